//! What carries the messages of a session: the stream of a link, or a ring beside it.

pub(super) mod ring;
