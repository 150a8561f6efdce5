//! Groups, seen from outside, as [`open_channel::inspect`] sees channels. Nothing here takes part.

use std::time::Duration;

use open_channel::hosting;
use open_channel::inspect::{Found, Unanswered};

pub use crate::core::{
    Act, Described, GroupStatus, LockStatus, MemberStatus, Pattern, QueueStatus, Topic,
};
use crate::core::{FrameError, LockName};
use crate::driver::NAME_SPACE;

/// The name of the channel that a group of this name is on.
pub fn channel_name(group: &str) -> String {
    format!("{NAME_SPACE}{group}")
}

/// Whether the channel of this name, as [`open_channel::inspect::HostStatus`] has it, is that of a
/// group. Its [`status`] says which.
pub fn is_group(channel: &str) -> bool {
    name_in(channel).len() < channel.len()
}

/// The group's name in such a channel's name.
pub fn name_in(channel: &str) -> &str {
    // Names come with their control characters escaped.
    let escaped = NAME_SPACE.escape_default().to_string();
    let name = channel.strip_prefix(NAME_SPACE).or_else(|| channel.strip_prefix(&*escaped));
    name.unwrap_or(channel)
}

/// Asks the host of a group's channel how the group is. The answer describes at most this many
/// members, locks and queues, and never more than 1024 of each. Waits no longer than `within`.
///
/// # Errors
/// [`NoStatus`].
///
/// # Cancel safety
/// Cancel safe: nothing changes.
pub async fn status(found: &Found, most: usize, within: Duration) -> Result<GroupStatus, NoStatus> {
    let detail = hosting::detail(found, most, within).await?;
    if detail.is_empty() {
        return Err(NoStatus::NotYet);
    }
    Ok(GroupStatus::decode(detail)?)
}

/// There is no [`status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoStatus {
    /// The host did not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It has not begun to serve a group, or its channel is none of a group.
    #[error("the host serves no group yet")]
    NotYet,
    /// Its answer makes no sense, or is of another version.
    #[error("the host answers nonsense: {0}")]
    Nonsense(#[from] FrameError),
}

impl LockStatus {
    /// Whether it is a role, of [`Group::lead`](crate::Group::lead).
    pub fn is_role(&self) -> bool {
        let LockName { space, .. } = &self.name;
        *space == crate::core::LockSpace::Lead
    }
}
