//! For bindings to other languages. Not covered by the promises of the version number.

use crate::faces::builder::GroupBuilder;
use crate::faces::group::Group;

/// A member of this program and language, where the library cannot see that itself.
pub fn identify(builder: GroupBuilder, program: &str, language: &str) -> GroupBuilder {
    builder.identify(program, language)
}

/// Leaves the group as if this process had been killed. Nothing is acknowledged or sent any more,
/// locks are free, and another process may host at once.
pub fn abandon(group: &Group) {
    group.abandon();
}
