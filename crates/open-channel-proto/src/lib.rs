//! The protocol of [open-channel](https://docs.rs/open-channel) as a pure state machine: no I/O, no clock, no
//! threads, no async. Bytes go in, bytes and events come out, so every schedule of loss, crash and delay can
//! be played in a test.
//!
//! ```text
//!   application            Session                     link (somebody else's)
//!   send(bytes) ────────▶ outbox ── transmit(buf) ───▶ bytes out
//!   recv() ◀───────────── inbox  ◀─ handle(frame) ──── bytes in ── decode()
//!   handled(seq) ───────▶ inbox  ── Ack frames ──────▶
//! ```
//!
//! One [`Session`] is one side of one socket. The peer's side lives as long as the application's socket and
//! moves from host to host; the host's side lives as long as that host keeps the session. A link is attached by
//! a handshake ([`Hello`] answered by [`Welcome`] or [`Reject`]) and lost at any time: everything that was
//! not acknowledged stays in the outbox and goes out again on the next link.
//!
//! A message is acknowledged when the receiving application has *handled* it. Acknowledgements are cumulative
//! and also open the window: a sender keeps at most `window` bytes transmitted and unacknowledged.
//!
//! A link may *keep what it carries* until the other side releases it, as a ring in shared memory does. Messages then go
//! there in parts ([`Session::next_part`], [`Session::receive_part`]), a release is the acknowledgement
//! ([`Session::released`]), and when such a link is lost, the session takes back what lay in it ([`Session::reclaim`]).
//!
//! The wire format is described in `docs/PROTOCOL.md`.
#![forbid(unsafe_code)]

mod body;
mod error;
mod frame;
mod handshake;
mod heartbeat;
mod id;
mod inbox;
mod limits;
mod message;
mod outbox;
mod pack;
mod packer;
mod part;
mod session;
mod text;
mod transmit;
mod version;

pub use error::{FrameError, ProtocolError, Refused};
pub use frame::{
    DataFlags, Decoded, Fate, Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, MAX_BODY, MAX_CHUNK, ResetCode, decode,
};
pub use handshake::{Features, Hello, MAGIC, Purpose, Reject, RejectCode, RingSizes, Welcome};
pub use heartbeat::{Beat, Heartbeat};
pub use id::{ChannelKey, SocketId};
pub use limits::{Limits, MAX_ATTEMPTS, MAX_PACK_COST, MESSAGE_OVERHEAD};
pub use message::{GivenUp, Incoming, Received, Undeliverable};
pub use pack::{Messages, Pack};
pub use packer::{Draft, Next, Packer};
pub use part::{Arrival, Kept, Part, PartFlags, PartKind};
pub use session::{Attachment, Closed, Session, TakeBack};
pub use transmit::TransmitBuffer;
pub use version::{VERSION_MAX, VERSION_MIN};
