//! The Node.js addon: the channel of `open-channel` as a few objects that JavaScript polls.
//!
//! JavaScript sees a `net.Socket`; this crate sees to it that the JavaScript thread never waits and is
//! never called for nothing:
//!
//! ```text
//!   JavaScript thread                          the channel's own thread
//!   ─────────────────                          ────────────────────────
//!   socket.write ──▶ NativeSocket::write ──▶ outbox
//!   wake(tokens) ◀── one call per turn ◀───── Signal::raise (a Waker)
//!   NativeSocket::read ──▶ up to 512 messages copied into one slab
//! ```
//!
//! Messages are pulled by JavaScript, never pushed at it: a paused stream does not call `read`, the
//! receive window fills, and the other side's outbox fills in turn. A message is acknowledged when
//! JavaScript says that its listeners have returned, by a count that rides on the next `read`.

mod channel;
mod error;
mod hub;
mod options;
mod socket;
