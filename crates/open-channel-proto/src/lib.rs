//! The protocol of [open-channel](https://docs.rs/open-channel) as a pure state machine: no I/O, no
//! clock, no threads, no async. Bytes go in, bytes and events come out. So a test can play every
//! schedule of loss, crash and delay.
//!
//! ```text
//!   application            Session                     link (the caller's)
//!   send(bytes) ────────▶ outbox ── transmit(buf) ───▶ bytes out
//!   recv() ◀───────────── inbox  ◀─ handle(frame) ──── bytes in ── decode()
//!   handled(seq) ───────▶ inbox  ── Ack frames ──────▶
//! ```
//!
//! One [`Session`] is one side of one socket. The peer's side lives as long as the application's
//! socket and moves from host to host. The host's side lives as long as that host remembers the
//! session. A handshake attaches a link: [`Hello`], answered by [`Welcome`] or [`Reject`]. A link
//! may be lost at any time. A message not acknowledged stays in the outbox and goes out again on
//! the next link.
//!
//! A message is acknowledged when the receiving application has *handled* it. Acknowledgements are
//! cumulative and also open the window: at most `window` bytes are transmitted and unacknowledged.
//!
//! A link may have a *store*, as a ring in shared memory is one: it holds what it carries until the
//! other side releases it. Messages go there in parts ([`Session::next_part`],
//! [`Session::receive_part`]), and a release is the acknowledgement ([`Session::released`]). When
//! such a link is lost, the session takes back what lay in the store ([`Session::reclaim`]).
//!
//! `docs/PROTOCOL.md` describes the wire format.
//!
//! The version number of this crate promises nothing: it is for `open-channel`, which needs the
//! same version.
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
mod status;
mod tap;
mod text;
mod transmit;
mod version;

pub use error::{FrameError, ProtocolError, Refused};
pub use frame::{
    DataFlags, Decoded, Fate, Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, MAX_BODY, MAX_CHUNK,
    ResetCode, decode,
};
pub use handshake::{Features, Hello, MAGIC, Purpose, Reject, RejectCode, RingSizes, Welcome};
pub use heartbeat::{Beat, Heartbeat};
pub use id::{ChannelKey, SocketId};
pub use limits::{Limits, MAX_ATTEMPTS, MAX_PACK_COST, MESSAGE_OVERHEAD};
pub use message::{GivenUp, Incoming, ReceivedPack, Undeliverable};
pub use pack::{Pack, PackIter};
pub use packer::{Draft, PackRef, Packer};
pub use part::{Part, PartFlags, PartKind, ReceivedPart, StoredPart};
pub use session::{Attachment, Closed, Session, TakeBack};
pub use status::{Direction, HostStatus, ProcessStatus, SocketStatus, Traffic};
pub use tap::{TapRequest, Tapped};
pub use text::printable;
pub use transmit::TransmitBuffer;
pub use version::{VERSION_MAX, VERSION_MIN};
