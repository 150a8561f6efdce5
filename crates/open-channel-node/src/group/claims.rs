//! Who holds locks and who waits for them, as JavaScript sees it.

use napi_derive::napi;
use open_channel_group::{LockClaim, LockMode, LockSpace};

use super::view::shown;

/// A member that holds a lock, or waits for it.
#[napi(object)]
pub struct NativeClaim {
    /// Its name.
    pub name: String,
    /// It is a role, not a lock.
    pub role: bool,
    /// Whether others may hold it at the same time.
    pub shared: bool,
    /// The member.
    pub member: String,
    /// Or else it waits.
    pub held: bool,
}

impl From<LockClaim> for NativeClaim {
    fn from(claim: LockClaim) -> Self {
        Self {
            name: claim.name.name.to_string(),
            role: claim.name.space == LockSpace::Lead,
            shared: claim.mode == LockMode::Shared,
            member: shown(claim.member),
            held: claim.token.is_some(),
        }
    }
}
