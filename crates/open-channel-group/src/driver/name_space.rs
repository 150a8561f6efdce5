//! The names of groups among those of channels.

/// Stands before a group's name in the name of its channel. No channel is named so by accident.
pub(crate) const NAME_SPACE: &str = "group\u{1f}";
