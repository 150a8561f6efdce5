//! Frames on their way to bytes.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::{DataFlags, Frame, HEADER_LEN, MAX_BODY, kind};
use crate::body::clip;
use crate::transmit::TransmitBuffer;

/// Where the header of a [`Frame::Data`] has the attempt.
const ATTEMPT: usize = 6;

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
            Self::StatusRequest { sockets } => {
                body.put_u32_le(*sockets);
                kind::STATUS_REQUEST
            }
            Self::HostStatus(status) => {
                status.encode(&mut body);
                kind::HOST_STATUS
            }
            Self::SocketStatus(status) => {
                status.encode(&mut body);
                kind::SOCKET_STATUS
            }
            Self::GoAway => kind::GO_AWAY,
            Self::DetailRequest { most } => {
                body.put_u32_le(*most);
                kind::DETAIL_REQUEST
            }
            Self::TapRequest(request) => {
                request.encode(&mut body);
                kind::TAP_REQUEST
            }
            Self::TapState { dropped } => return encode_number(out, kind::TAP_STATE, *dropped),
            Self::Tapped(tapped) => {
                tapped.encode(&mut body);
                kind::TAPPED
            }
            Self::TapData { payload } => {
                out.put(&header(payload.len(), kind::TAP_DATA, 0));
                return out.put_payload(payload, 0..payload.len());
            }
            Self::Detail { more, payload } => {
                out.put(&header(1 + payload.len(), kind::DETAIL, 0));
                out.put(&[u8::from(*more)]);
                return out.put_payload(payload, 0..payload.len());
            }
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
