//! The kind of link that carries a socket, as JavaScript names it.

use open_channel::LinkKind;

/// The name that programs compare with; the one for people is its `Display`.
pub(crate) fn link_name(kind: LinkKind) -> String {
    match kind {
        LinkKind::Local => "local",
        LinkKind::Unix => "unix",
        LinkKind::Ring => "ring",
        _ => "other",
    }
    .to_owned()
}
