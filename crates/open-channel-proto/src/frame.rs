//! Frames: what travels over a link. `docs/PROTOCOL.md` has the same in tables.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::ProtocolError;
use crate::handshake::{Hello, Reject, Welcome};
use crate::text::printable;
use crate::transmit::TransmitBuffer;

/// Length of a frame's header: body length (u32), kind (u8), flags (u8), attempt (u8, zero except in
/// [`Frame::Data`]), reserved (u8, zero). All integers on the wire are little-endian.
pub const HEADER_LEN: usize = 8;

/// Most payload bytes in one [`Frame::Data`]; longer messages travel in several, so that acknowledgements of the
/// other direction never wait behind a large message.
pub const MAX_CHUNK: usize = 64 * 1024;

/// Longest body of any frame; a longer one is refused before memory is set aside for it.
pub const MAX_BODY: usize = MAX_CHUNK + 16;

/// Longest body that is accepted before the handshake is done.
pub const HANDSHAKE_MAX_BODY: usize = 1024;

/// Where the header of a [`Frame::Data`] tells the attempt.
const ATTEMPT: usize = 6;

/// Longest reason text in a [`Frame::Reset`] or a [`Reject`], in bytes.
const MAX_REASON: usize = 512;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REJECT: u8 = 3;
    pub(super) const DATA: u8 = 4;
    pub(super) const FIN: u8 = 5;
    pub(super) const ACK: u8 = 6;
    pub(super) const ACK_REQUEST: u8 = 7;
    pub(super) const RESET: u8 = 8;
    pub(super) const GO_AWAY: u8 = 9;
    pub(super) const PING: u8 = 10;
    pub(super) const PONG: u8 = 11;
    pub(super) const SKIP: u8 = 12;
    pub(super) const RETURNED: u8 = 13;
    pub(super) const RECALL: u8 = 14;
    pub(super) const WITHDRAWN: u8 = 15;
}

/// How a [`Frame::Data`] relates to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFlags {
    /// The message begins here.
    pub first: bool,
    /// The message ends here.
    pub last: bool,
    /// An earlier host may have handled the message already.
    pub redelivered: bool,
    /// These are several messages in one [`Pack`](crate::Pack); counts where the message begins.
    pub packed: bool,
    /// Which attempt this is, from 1, saturating; 0 on a link of version 1, which does not say.
    pub attempt: u8,
}

impl DataFlags {
    /// The attempt that they tell of, on a link of this version.
    ///
    /// # Errors
    /// When they contradict each other, or the version.
    pub(crate) fn attempt_in(self, version: u16) -> Result<u32, ProtocolError> {
        match (version, self.attempt) {
            (..2, 0) => Ok(1 + u32::from(self.redelivered)),
            (2.., attempt @ 1..) if (attempt > 1) == self.redelivered => Ok(attempt.into()),
            _ => Err(ProtocolError::Unexpected("an attempt that contradicts its frame")),
        }
    }

    fn to_bits(self) -> u8 {
        u8::from(self.first)
            | u8::from(self.last) << 1
            | u8::from(self.redelivered) << 2
            | u8::from(self.packed) << 3
    }

    fn from_bits(bits: u8, attempt: u8) -> Result<Self, FrameError> {
        if bits & !0b1111 != 0 {
            return Err(FrameError::UnknownFlags(bits));
        }
        Ok(Self {
            first: bits & 1 != 0,
            last: bits & 2 != 0,
            redelivered: bits & 4 != 0,
            packed: bits & 8 != 0,
            attempt,
        })
    }
}

/// Why a side ended its session for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetCode {
    /// The application closed its socket; nothing more will be handled.
    Closed,
    /// The application destroyed its socket or let it fall without reading to the end.
    Destroyed,
    /// The listener failed (in Rust: panicked).
    ListenerFailed,
    /// The other side broke the protocol.
    Protocol,
    /// A code of a newer version.
    Other(u16),
}

impl ResetCode {
    fn to_bits(self) -> u16 {
        match self {
            Self::Closed => 0,
            Self::Destroyed => 1,
            Self::ListenerFailed => 2,
            Self::Protocol => 3,
            Self::Other(code) => code,
        }
    }

    fn from_bits(code: u16) -> Self {
        match code {
            0 => Self::Closed,
            1 => Self::Destroyed,
            2 => Self::ListenerFailed,
            3 => Self::Protocol,
            other => Self::Other(other),
        }
    }
}

/// What becomes of a message that its receiver gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same host delivers it again.
    Again,
    /// Nobody is to deliver it again.
    GivenUp,
    /// Its sender [wants it back](Frame::Recall), and the receiver will not deliver it.
    Recalled,
    /// Its sender wants it back, and the receiver's application has taken it already.
    TooLate,
}

impl Fate {
    fn to_bits(self) -> u8 {
        match self {
            Self::Again => 0,
            Self::GivenUp => 1,
            Self::Recalled => 2,
            Self::TooLate => 3,
        }
    }

    fn from_bits(bits: u8) -> Result<Self, FrameError> {
        match bits {
            0 => Ok(Self::Again),
            1 => Ok(Self::GivenUp),
            2 => Ok(Self::Recalled),
            3 => Ok(Self::TooLate),
            _ => Err(FrameError::Malformed("returned: unknown fate")),
        }
    }
}

/// One unit on a link. What is sent owns its payload, what is received borrows it from the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<P = Bytes> {
    /// Peer to host, first frame of a link.
    Hello(Hello),
    /// Host to peer, the answer that attaches the link.
    Welcome(Welcome),
    /// Host to peer, the answer that refuses the link.
    Reject(Reject),
    /// A message or a part of one.
    Data {
        /// Number of the message in its direction, from 1; of several in a pack, of the first.
        seq: u64,
        /// Which part of the message this is, and whether it was sent before.
        flags: DataFlags,
        /// Length of the whole message; on the wire only when the message has several parts.
        total: u64,
        /// The bytes of this part.
        payload: P,
    },
    /// The sender's direction ends; takes a sequence number like a message.
    Fin {
        /// One past the last message.
        seq: u64,
    },
    /// Nothing has this number any more: its message was withdrawn. Counts as received and handled.
    Skip {
        /// The number.
        seq: u64,
    },
    /// The receiver has not handled this message, and says what it does about that.
    Returned {
        /// The message's number.
        seq: u64,
        /// What becomes of it.
        fate: Fate,
        /// The attempt that failed, saturating.
        attempt: u8,
        /// For people, when it was given up on purpose.
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
    /// Please acknowledge without delay what you have received so far, once it is handled.
    AckRequest,
    /// The session is over, whatever was under way.
    Reset {
        /// Why.
        code: ResetCode,
        /// For people.
        reason: String,
    },
    /// The host gives up hosting in an orderly way: find the next one.
    GoAway,
    /// Are you alive?
    Ping {
        /// Returned in the [`Frame::Pong`].
        nonce: u64,
    },
    /// I am alive.
    Pong {
        /// Of the [`Frame::Ping`].
        nonce: u64,
    },
}

/// What was wrong with the bytes on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces more than may be sent at this point.
    TooLong {
        /// Announced length of the body.
        len: usize,
        /// Longest acceptable.
        max: usize,
    },
    /// No frame has this kind.
    UnknownKind(u8),
    /// Flags that this version does not know.
    UnknownFlags(u8),
    /// The body is shorter or longer than its kind requires, or holds an impossible value.
    Malformed(&'static str),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "a frame of {len} bytes where at most {max} are allowed"),
            Self::UnknownKind(kind) => write!(f, "a frame of unknown kind {kind}"),
            Self::UnknownFlags(flags) => write!(f, "unknown frame flags {flags:#04x}"),
            Self::Malformed(what) => write!(f, "a malformed {what}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A frame and the number of bytes it took.
pub type Decoded<'a> = (Frame<&'a [u8]>, usize);

/// Reads the frame at the start of `bytes`, with the number of bytes it takes; `None` when more are needed.
///
/// # Errors
/// [`FrameError`] when the bytes cannot be a frame; the link is of no further use then.
pub fn decode(bytes: &[u8], max_body: usize) -> Result<Option<Decoded<'_>>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let [l0, l1, l2, l3, kind, flags, attempt, reserved] = *header;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if len > max_body {
        return Err(FrameError::TooLong { len, max: max_body });
    }
    if reserved != 0 || attempt != 0 && kind != kind::DATA {
        return Err(FrameError::Malformed("header: the reserved bytes are not zero"));
    }
    let Some(body) = rest.get(..len) else { return Ok(None) };
    let frame = if kind == kind::DATA {
        decode_data(flags, attempt, Body(body))?
    } else if flags == 0 {
        decode_control(kind, Body(body))?
    } else {
        return Err(FrameError::UnknownFlags(flags));
    };
    Ok(Some((frame, HEADER_LEN + len)))
}

fn decode_data(flags: u8, attempt: u8, mut body: Body<'_>) -> Result<Frame<&[u8]>, FrameError> {
    let flags = DataFlags::from_bits(flags, attempt)?;
    let seq = body.u64("data")?;
    let many = flags.first && !flags.last;
    let total = if many { body.u64("data")? } else { body.0.len() as u64 };
    Ok(Frame::Data { seq, flags, total, payload: body.0 })
}

fn decode_control(kind: u8, mut body: Body<'_>) -> Result<Frame<&[u8]>, FrameError> {
    let frame = match kind {
        kind::HELLO => Frame::Hello(Hello::decode(&mut body)?),
        kind::WELCOME => Frame::Welcome(Welcome::decode(&mut body)?),
        kind::REJECT => Frame::Reject(Reject::decode(&mut body)?),
        kind::FIN => Frame::Fin { seq: body.u64("fin")? },
        kind::SKIP => Frame::Skip { seq: body.u64("skip")? },
        kind::RETURNED => decode_returned(&mut body)?,
        kind::RECALL => Frame::Recall { seq: body.u64("recall")? },
        kind::WITHDRAWN => Frame::Withdrawn { seq: body.u64("withdrawn")? },
        kind::ACK => Frame::Ack { through: body.u64("ack")? },
        kind::ACK_REQUEST => Frame::AckRequest,
        kind::RESET => {
            Frame::Reset { code: ResetCode::from_bits(body.u16("reset")?), reason: body.text("reset")? }
        }
        kind::GO_AWAY => Frame::GoAway,
        kind::PING => Frame::Ping { nonce: body.u64("ping")? },
        kind::PONG => Frame::Pong { nonce: body.u64("pong")? },
        other => return Err(FrameError::UnknownKind(other)),
    };
    // The three handshake frames may grow at their end in later versions.
    if !body.0.is_empty() && !matches!(frame, Frame::Hello(_) | Frame::Welcome(_) | Frame::Reject(_)) {
        return Err(FrameError::Malformed("frame: bytes after its end"));
    }
    Ok(frame)
}

fn decode_returned<'a>(body: &mut Body<'_>) -> Result<Frame<&'a [u8]>, FrameError> {
    const WHAT: &str = "returned";
    let seq = body.u64(WHAT)?;
    let fate = Fate::from_bits(body.u8(WHAT)?)?;
    let attempt = body.u8(WHAT)?;
    if attempt == 0 {
        return Err(FrameError::Malformed("returned: attempt 0"));
    }
    Ok(Frame::Returned { seq, fate, attempt, reason: body.text(WHAT)? })
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut TransmitBuffer) {
        let mut body = BytesMut::new();
        let kind = match self {
            Self::Data { seq, flags, total, payload } => {
                return encode_data(out, *seq, *flags, *total, payload, 0..payload.len());
            }
            Self::Hello(hello) => {
                hello.encode(&mut body);
                kind::HELLO
            }
            Self::Welcome(welcome) => {
                welcome.encode(&mut body);
                kind::WELCOME
            }
            Self::Reject(reject) => {
                reject.encode(&mut body);
                kind::REJECT
            }
            Self::Reset { code, reason } => {
                body.put_u16_le(code.to_bits());
                body.put_slice(clip(reason).as_bytes());
                kind::RESET
            }
            Self::Fin { seq } => return encode_number(out, kind::FIN, *seq),
            Self::Skip { seq } => return encode_number(out, kind::SKIP, *seq),
            Self::Returned { seq, fate, attempt, reason } => {
                body.put_u64_le(*seq);
                body.put_u8(fate.to_bits());
                body.put_u8(*attempt);
                body.put_slice(clip(reason).as_bytes());
                kind::RETURNED
            }
            Self::Recall { seq } => return encode_number(out, kind::RECALL, *seq),
            Self::Withdrawn { seq } => return encode_number(out, kind::WITHDRAWN, *seq),
            Self::Ack { through } => return encode_number(out, kind::ACK, *through),
            Self::Ping { nonce } => return encode_number(out, kind::PING, *nonce),
            Self::Pong { nonce } => return encode_number(out, kind::PONG, *nonce),
            Self::AckRequest => kind::ACK_REQUEST,
            Self::GoAway => kind::GO_AWAY,
        };
        out.put(&header(body.len(), kind, 0));
        out.put(&body);
    }
}

pub(crate) fn encode_data(
    out: &mut TransmitBuffer,
    seq: u64,
    flags: DataFlags,
    total: u64,
    message: &Bytes,
    part: Range<usize>,
) {
    let many = flags.first && !flags.last;
    let numbers = if many { 16 } else { 8 };
    let mut head = [0; HEADER_LEN + 16];
    head[..HEADER_LEN].copy_from_slice(&header(numbers + part.len(), kind::DATA, flags.to_bits()));
    head[ATTEMPT] = flags.attempt;
    head[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&seq.to_le_bytes());
    head[HEADER_LEN + 8..].copy_from_slice(&total.to_le_bytes());
    out.put(&head[..HEADER_LEN + numbers]);
    out.put_payload(message, part);
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
            Self::Returned { seq, fate, attempt, reason } => Frame::Returned { seq, fate, attempt, reason },
            Self::Recall { seq } => Frame::Recall { seq },
            Self::Withdrawn { seq } => Frame::Withdrawn { seq },
            Self::Ack { through } => Frame::Ack { through },
            Self::AckRequest => Frame::AckRequest,
            Self::Reset { code, reason } => Frame::Reset { code, reason },
            Self::GoAway => Frame::GoAway,
            Self::Ping { nonce } => Frame::Ping { nonce },
            Self::Pong { nonce } => Frame::Pong { nonce },
        }
    }
}

fn encode_number(out: &mut TransmitBuffer, kind: u8, number: u64) {
    let mut frame = [0; HEADER_LEN + 8];
    frame[..HEADER_LEN].copy_from_slice(&header(8, kind, 0));
    frame[HEADER_LEN..].copy_from_slice(&number.to_le_bytes());
    out.put(&frame);
}

fn header(body: usize, kind: u8, flags: u8) -> [u8; HEADER_LEN] {
    debug_assert!(body <= MAX_BODY, "frames are built within their limits");
    let [l0, l1, l2, l3] = (body as u32).to_le_bytes();
    [l0, l1, l2, l3, kind, flags, 0, 0]
}

/// The longest prefix of `reason` that fits a frame.
pub(crate) fn clip(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// A frame's body while it is read.
pub(crate) struct Body<'a>(&'a [u8]);

impl Body<'_> {
    pub(crate) fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Malformed(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.take::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, FrameError> {
        self.take(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FrameError> {
        self.take(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FrameError> {
        self.take(what).map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, FrameError> {
        self.take(what).map(u128::from_le_bytes)
    }

    /// Words for people, fit for a terminal.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, FrameError> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.len() > MAX_REASON {
            return Err(FrameError::Malformed(what));
        }
        Ok(printable(&String::from_utf8_lossy(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        let mut out = TransmitBuffer::default();
        frame.encode(&mut out);
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    fn samples() -> Vec<Frame> {
        let whole = DataFlags { first: true, last: true, redelivered: true, packed: true, attempt: 0 };
        let part = DataFlags { first: true, last: false, redelivered: false, packed: false, attempt: 1 };
        let again = DataFlags { attempt: 255, ..whole };
        vec![
            Frame::Data { seq: 7, flags: whole, total: 3, payload: Bytes::from_static(b"abc") },
            Frame::Data { seq: 7, flags: part, total: 1 << 20, payload: Bytes::from(vec![5; MAX_CHUNK]) },
            Frame::Data { seq: 9, flags: whole, total: 0, payload: Bytes::new() },
            Frame::Data { seq: 8, flags: again, total: 1, payload: Bytes::from_static(b"x") },
            Frame::Fin { seq: u64::MAX },
            Frame::Skip { seq: 4 },
            Frame::Returned { seq: 4, fate: Fate::Again, attempt: 2, reason: String::new() },
            Frame::Returned { seq: 5, fate: Fate::GivenUp, attempt: 255, reason: "no such job".into() },
            Frame::Returned { seq: 6, fate: Fate::Recalled, attempt: 1, reason: String::new() },
            Frame::Returned { seq: 7, fate: Fate::TooLate, attempt: 1, reason: String::new() },
            Frame::Recall { seq: 6 },
            Frame::Withdrawn { seq: 5 },
            Frame::Ack { through: 0 },
            Frame::AckRequest,
            Frame::Reset { code: ResetCode::ListenerFailed, reason: "it panicked".into() },
            Frame::GoAway,
            Frame::Ping { nonce: 3 },
            Frame::Pong { nonce: 3 },
        ]
    }

    #[test]
    fn every_frame_survives_the_wire() {
        for frame in samples() {
            let bytes = bytes_of(&frame);
            let (read, len) = decode(&bytes, MAX_BODY).expect("decodes").expect("is whole");
            assert_eq!(len, bytes.len());
            assert_eq!(bytes_of(&read.into_owned()), bytes);
        }
    }

    #[test]
    fn half_a_frame_asks_for_more() {
        for frame in samples() {
            let bytes = bytes_of(&frame);
            for cut in [0, 1, HEADER_LEN - 1, HEADER_LEN, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(decode(&bytes[..cut], MAX_BODY), Ok(None));
                }
            }
        }
    }

    #[test]
    fn a_four_gigabyte_length_is_refused_from_the_header_alone() {
        let bytes = [0xff, 0xff, 0xff, 0xff, kind::DATA, 0, 0, 0];
        assert_eq!(
            decode(&bytes, MAX_BODY),
            Err(FrameError::TooLong { len: u32::MAX as usize, max: MAX_BODY })
        );
    }

    #[test]
    fn a_reason_is_clipped_at_a_character() {
        let reason = "é".repeat(MAX_REASON);
        let bytes = bytes_of(&Frame::Reset { code: ResetCode::Closed, reason });
        let Ok(Some((Frame::Reset { reason, .. }, _))) = decode(&bytes, MAX_BODY) else { panic!("no reset") };
        assert_eq!(reason, "é".repeat(MAX_REASON / 2));
    }
}
