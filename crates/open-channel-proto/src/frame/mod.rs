//! Frames: what travels over a link. `docs/PROTOCOL.md` has the same in tables.

mod codes;
mod decode;
mod encode;
mod flags;
mod kind;

use bytes::Bytes;

pub use codes::{Fate, ResetCode};
pub use decode::{Decoded, decode};
pub(crate) use encode::encode_data;
pub use flags::DataFlags;

use crate::handshake::{Hello, Reject, Welcome};
use crate::status::{HostStatus, SocketStatus};
use crate::tap::{TapRequest, Tapped};

/// Length of a frame's header in bytes: body length (u32), kind (u8), flags (u8), attempt (u8, zero
/// except in [`Frame::Data`]), reserved (u8, zero). All integers on the wire are little-endian.
pub const HEADER_LEN: usize = 8;

/// Most payload bytes in one [`Frame::Data`]. Longer messages travel in several frames, so that
/// acknowledgements of the other direction never wait behind a large message.
pub const MAX_CHUNK: usize = 64 * 1024;

/// Longest body of any frame in bytes. A longer one is refused before memory is allocated for it.
pub const MAX_BODY: usize = MAX_CHUNK + 16;

/// Longest body in bytes that is accepted before the handshake is done.
pub const HANDSHAKE_MAX_BODY: usize = 1024;

/// One unit on a link. A frame to be sent owns its payload; a received one borrows it from the read
/// buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<P = Bytes> {
    /// Peer to host, first frame of a link.
    Hello(Hello),
    /// Host to peer, the answer that attaches the link.
    Welcome(Welcome),
    /// Host to peer, the answer that refuses the link.
    Reject(Reject),
    /// A message or a part of one.
    Data {
        /// Sequence number of the message in its direction, from 1. For a pack, that of its first
        /// message.
        seq: u64,
        /// Which part of the message this is, and whether it was sent before.
        flags: DataFlags,
        /// Length of the whole message in bytes; on the wire only if the message has several parts.
        total: u64,
        /// The bytes of this part.
        payload: P,
    },
    /// The sender's direction ends; takes a sequence number like a message.
    Fin {
        /// One past the last message.
        seq: u64,
    },
    /// A gap: no message has this number any more, because its message was withdrawn. The number
    /// counts as received and handled.
    Skip {
        /// The number.
        seq: u64,
    },
    /// The receiver has not handled this message, and announces what becomes of it.
    Returned {
        /// The message's number.
        seq: u64,
        /// Its fate.
        fate: Fate,
        /// The attempt that failed, saturating.
        attempt: u8,
        /// The reason, for people, if the application gave it up on purpose.
        reason: String,
    },
    /// The sender wants this message back, if the receiver's application has not taken it.
    Recall {
        /// The message's number.
        seq: u64,
    },
    /// The sender has taken back what the receiver has given up: the number counts as handled.
    Withdrawn {
        /// The message's number.
        seq: u64,
    },
    /// Everything up to and including `through` has been handled.
    Ack {
        /// Last handled sequence number.
        through: u64,
    },
    /// A request to acknowledge, without delay, what was received so far once it is handled.
    AckRequest,
    /// The session is over, whatever was under way.
    Reset {
        /// The code.
        code: ResetCode,
        /// The reason, for people.
        reason: String,
    },
    /// The host hands over: the peer has to find the next one.
    GoAway,
    /// A question whether the other side lives.
    Ping {
        /// Returned in the [`Frame::Pong`].
        nonce: u64,
    },
    /// The answer to it.
    Pong {
        /// The number of the [`Frame::Ping`] that it answers.
        nonce: u64,
    },
    /// A question to a host, how it is; on a link for [`Purpose::Status`](crate::Purpose::Status).
    StatusRequest {
        /// How many sockets the answer may describe.
        sockets: u32,
    },
    /// The answer.
    HostStatus(Box<HostStatus>),
    /// Follows a [`Frame::HostStatus`].
    SocketStatus(Box<SocketStatus>),
    /// A question to a host on the same link: what the program on top of it has to say of itself.
    DetailRequest {
        /// How many things of one kind the answer may describe.
        most: u32,
    },
    /// A part of the answer; empty if nobody has anything to say.
    Detail {
        /// Whether another part follows.
        more: bool,
        /// The bytes of this part, at most [`MAX_CHUNK`].
        payload: P,
    },
    /// The last question on such a link: copies of messages follow, until it ends.
    TapRequest(TapRequest),
    /// The answer, and again whenever the number has grown.
    TapState {
        /// How many messages of the tap were dropped so far, because it was not read fast enough.
        dropped: u64,
    },
    /// A message has passed. Its bytes follow, in as many [`Frame::TapData`] as they take.
    Tapped(Tapped),
    /// Bytes of the last [`Frame::Tapped`].
    TapData {
        /// The bytes, at most [`MAX_CHUNK`].
        payload: P,
    },
}

impl Frame<&[u8]> {
    /// The same frame with a payload of its own.
    pub fn into_owned(self) -> Frame {
        match self {
            Self::Data { seq, flags, total, payload } => {
                Frame::Data { seq, flags, total, payload: Bytes::copy_from_slice(payload) }
            }
            Self::Hello(hello) => Frame::Hello(hello),
            Self::Welcome(welcome) => Frame::Welcome(welcome),
            Self::Reject(reject) => Frame::Reject(reject),
            Self::Fin { seq } => Frame::Fin { seq },
            Self::Skip { seq } => Frame::Skip { seq },
            Self::Returned { seq, fate, attempt, reason } => {
                Frame::Returned { seq, fate, attempt, reason }
            }
            Self::Recall { seq } => Frame::Recall { seq },
            Self::Withdrawn { seq } => Frame::Withdrawn { seq },
            Self::Ack { through } => Frame::Ack { through },
            Self::AckRequest => Frame::AckRequest,
            Self::Reset { code, reason } => Frame::Reset { code, reason },
            Self::GoAway => Frame::GoAway,
            Self::Ping { nonce } => Frame::Ping { nonce },
            Self::Pong { nonce } => Frame::Pong { nonce },
            Self::StatusRequest { sockets } => Frame::StatusRequest { sockets },
            Self::HostStatus(status) => Frame::HostStatus(status),
            Self::SocketStatus(status) => Frame::SocketStatus(status),
            Self::DetailRequest { most } => Frame::DetailRequest { most },
            Self::Detail { more, payload } => {
                Frame::Detail { more, payload: Bytes::copy_from_slice(payload) }
            }
            Self::TapRequest(request) => Frame::TapRequest(request),
            Self::TapState { dropped } => Frame::TapState { dropped },
            Self::Tapped(tapped) => Frame::Tapped(tapped),
            Self::TapData { payload } => {
                Frame::TapData { payload: Bytes::copy_from_slice(payload) }
            }
        }
    }
}
