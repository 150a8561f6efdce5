//! Bytes on their way to frames.

use super::{DataFlags, Fate, Frame, HEADER_LEN, ResetCode, kind};
use crate::body::Body;
use crate::error::FrameError;
use crate::handshake::{Hello, Reject, Welcome};
use crate::status::{HostStatus, SocketStatus};
use crate::tap::{TapRequest, Tapped};

/// A frame, and the number of bytes that it took.
pub type Decoded<'a> = (Frame<&'a [u8]>, usize);

/// Reads the frame at the start of `bytes`, with the number of bytes that it takes. `None` if more
/// bytes are needed. `max_body` limits the body, in bytes.
///
/// # Errors
/// [`FrameError`] if the bytes cannot be a frame; the link is of no further use then.
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
        decode_data(flags, attempt, Body::new(body))?
    } else if flags == 0 {
        decode_control(kind, Body::new(body))?
    } else {
        return Err(FrameError::UnknownFlags(flags));
    };
    Ok(Some((frame, HEADER_LEN + len)))
}

fn decode_data(flags: u8, attempt: u8, mut body: Body<'_>) -> Result<Frame<&[u8]>, FrameError> {
    let flags = DataFlags::from_bits(flags, attempt)?;
    let seq = body.u64("data")?;
    let many = flags.first && !flags.last;
    let total = if many { body.u64("data")? } else { body.len() as u64 };
    Ok(Frame::Data { seq, flags, total, payload: body.rest() })
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
        kind::RESET => Frame::Reset {
            code: ResetCode::from_bits(body.u16("reset")?),
            reason: body.text("reset")?,
        },
        kind::GO_AWAY => Frame::GoAway,
        kind::PING => Frame::Ping { nonce: body.u64("ping")? },
        kind::PONG => Frame::Pong { nonce: body.u64("pong")? },
        kind::STATUS_REQUEST => Frame::StatusRequest { sockets: body.u32("status request")? },
        kind::HOST_STATUS => Frame::HostStatus(Box::new(HostStatus::decode(&mut body)?)),
        kind::SOCKET_STATUS => Frame::SocketStatus(Box::new(SocketStatus::decode(&mut body)?)),
        kind::DETAIL_REQUEST => Frame::DetailRequest { most: body.u32("detail request")? },
        kind::TAP_REQUEST => Frame::TapRequest(TapRequest::decode(&mut body)?),
        kind::TAP_STATE => Frame::TapState { dropped: body.u64("tap state")? },
        kind::TAPPED => Frame::Tapped(Tapped::decode(&mut body)?),
        kind::TAP_DATA => return Ok(Frame::TapData { payload: body.rest() }),
        kind::DETAIL => {
            let more = body.u8("detail")? != 0;
            return Ok(Frame::Detail { more, payload: body.rest() });
        }
        other => return Err(FrameError::UnknownKind(other)),
    };
    if !body.is_empty() && !may_grow(&frame) {
        return Err(FrameError::Malformed("frame: bytes after its end"));
    }
    Ok(frame)
}

/// Whether later versions may add to the frame at its end.
fn may_grow(frame: &Frame<&[u8]>) -> bool {
    matches!(
        frame,
        Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Reject(_)
            | Frame::StatusRequest { .. }
            | Frame::HostStatus(_)
            | Frame::SocketStatus(_)
            | Frame::DetailRequest { .. }
            | Frame::TapRequest(_)
            | Frame::TapState { .. }
            | Frame::Tapped(_)
    )
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::frame::{HANDSHAKE_MAX_BODY, MAX_BODY, MAX_CHUNK};
    use crate::handshake::{Features, Purpose, RejectCode, RingSizes};
    use crate::id::SocketId;
    use crate::status::{Direction, ProcessStatus, Traffic};
    use crate::transmit::TransmitBuffer;
    use crate::version::VERSION_MAX;

    const MAX_REASON: usize = 512;

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        let mut out = TransmitBuffer::default();
        frame.encode(&mut out);
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    fn samples() -> Vec<Frame> {
        let whole =
            DataFlags { first: true, last: true, redelivered: true, packed: true, attempt: 0 };
        let part =
            DataFlags { first: true, last: false, redelivered: false, packed: false, attempt: 1 };
        let again = DataFlags { attempt: 255, ..whole };
        vec![
            Frame::Data { seq: 7, flags: whole, total: 3, payload: Bytes::from_static(b"abc") },
            Frame::Data {
                seq: 7,
                flags: part,
                total: 1 << 20,
                payload: Bytes::from(vec![5; MAX_CHUNK]),
            },
            Frame::Data { seq: 9, flags: whole, total: 0, payload: Bytes::new() },
            Frame::Data { seq: 8, flags: again, total: 1, payload: Bytes::from_static(b"x") },
            Frame::Fin { seq: u64::MAX },
            Frame::Skip { seq: 4 },
            Frame::Returned { seq: 4, fate: Fate::Again, attempt: 2, reason: String::new() },
            Frame::Returned {
                seq: 5,
                fate: Fate::GivenUp,
                attempt: 255,
                reason: "no such job".into(),
            },
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
            Frame::StatusRequest { sockets: 7 },
            Frame::HostStatus(Box::new(host_status("tea room"))),
            Frame::HostStatus(Box::default()),
            Frame::DetailRequest { most: 3 },
            Frame::TapRequest(TapRequest { from_host: false, pid: 7, ..TapRequest::default() }),
            Frame::TapState { dropped: 9 },
            Frame::Tapped(Tapped {
                time: Duration::from_micros(7),
                socket: SocketId(5),
                pid: 4711,
                from_host: true,
                attempt: 2,
                len: 10,
                carried: 3,
            }),
            Frame::TapData { payload: Bytes::from_static(b"abc") },
            Frame::Detail { more: true, payload: Bytes::from(vec![7; MAX_CHUNK]) },
            Frame::Detail { more: false, payload: Bytes::new() },
            Frame::SocketStatus(Box::new(SocketStatus {
                id: SocketId(5),
                link: "shared memory".into(),
                links: 2,
                traffic: traffic(),
                stalled: Some(Duration::from_secs(11)),
                ..SocketStatus::default()
            })),
        ]
    }

    fn traffic() -> Traffic {
        let sent = Direction {
            messages: 9,
            finished: 4,
            open: 5,
            bytes: 900,
            open_bytes: 820,
            limit: 1 << 20,
            oldest: Some(Duration::from_millis(77)),
        };
        Traffic { sent, held: 3, redelivered: 2, highest_attempt: 4, ..Traffic::default() }
    }

    fn host_status(name: &str) -> HostStatus {
        let program = "node worker.js".into();
        HostStatus {
            name: name.into(),
            app: Some("/srv/shop/app.js".into()),
            process: ProcessStatus { pid: 4711, program, user: "1000".into() },
            library: "0.2.0".into(),
            generation: 8,
            hosting: Duration::from_millis(1234),
            leaving: true,
            stall_after: Duration::from_secs(10),
            sockets: 3,
            max_sockets: 1024,
            stalled: 1,
            totals: traffic(),
            described: 3,
        }
    }

    #[test]
    fn every_frame_is_decoded_as_it_was_encoded() {
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
    fn a_status_fits_what_is_read_before_a_session_begins() {
        let long = "é".repeat(600);
        let process = ProcessStatus { pid: u32::MAX, program: long.clone(), user: long.clone() };
        let host = HostStatus {
            app: Some(long.clone()),
            process: process.clone(),
            library: long.clone(),
            ..host_status(&long)
        };
        let socket = SocketStatus { process, link: long.clone(), ..SocketStatus::default() };
        for frame in [Frame::HostStatus(Box::new(host)), Frame::SocketStatus(Box::new(socket))] {
            let bytes = bytes_of(&frame);
            let (read, len) = decode(&bytes, HANDSHAKE_MAX_BODY).expect("decodes").expect("whole");
            assert_eq!(len, bytes.len());
            if let Frame::HostStatus(host) = read {
                assert_eq!(host.name, "é".repeat(127));
                assert_eq!(host.app, Some("é".repeat(150)));
            }
        }
    }

    #[test]
    fn a_status_may_grow_at_its_end_and_nowhere_else() {
        let status = host_status("tea room");
        let mut bytes = bytes_of(&Frame::HostStatus(Box::new(status.clone())));
        let whole = bytes.len() - HEADER_LEN;
        bytes.extend_from_slice(b"of a later version");
        for len in 0..=whole + 18 {
            bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
            let read = decode(&bytes, MAX_BODY);
            if len < whole {
                assert_eq!(read, Err(FrameError::Malformed("host status")), "{len} bytes");
            } else {
                let read = read.expect("decodes").expect("whole").0;
                assert_eq!(read, Frame::HostStatus(Box::new(status.clone())));
            }
        }
    }

    #[test]
    fn a_text_of_a_status_cannot_claim_more_than_it_may_have() {
        let bytes = bytes_of(&Frame::HostStatus(Box::new(host_status("tea room"))));
        let at = bytes.windows(8).position(|bytes| bytes == b"tea room").expect("its name") - 2;
        for claimed in [256, u16::MAX] {
            let mut lying = bytes.clone();
            lying[at..at + 2].copy_from_slice(&claimed.to_le_bytes());
            lying.resize(lying.len() + usize::from(claimed), b'x');
            let body = lying.len() - HEADER_LEN;
            lying[..4].copy_from_slice(&(body as u32).to_le_bytes());
            assert_eq!(decode(&lying, 1 << 20), Err(FrameError::Malformed("host status")));
        }
        let mut steering = bytes.clone();
        steering[at + 2..at + 6].copy_from_slice(b"\x1b[2J");
        let Ok(Some((Frame::HostStatus(read), _))) = decode(&steering, MAX_BODY) else {
            panic!("no status")
        };
        assert_eq!(read.name, r"\u{1b}[2Jroom");
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
        let Ok(Some((Frame::Reset { reason, .. }, _))) = decode(&bytes, MAX_BODY) else {
            panic!("no reset")
        };
        assert_eq!(reason, "é".repeat(MAX_REASON / 2));
    }

    fn over_the_wire(frame: &Frame) -> Frame {
        let mut out = TransmitBuffer::default();
        frame.encode(&mut out);
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let used = out.slices(&mut slices);
        let bytes: Vec<u8> =
            slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect();
        decode(&bytes, HANDSHAKE_MAX_BODY).expect("decodes").expect("is whole").0.into_owned()
    }

    #[test]
    fn the_handshake_is_decoded_as_it_was_encoded() {
        let hello = Hello {
            socket: SocketId(u128::MAX - 3),
            generation: 9,
            window: 77,
            features: Features::RING,
            ring: RingSizes { up: 4096, down: 8192 },
            ..Hello::lifeline([3; 16])
        };
        let welcome = Welcome { resumed: true, recv_next: 12, ..Welcome::lifeline(1, 4) };
        let reject = Reject::new(RejectCode::TooManyConnections, "full");
        for frame in [Frame::Hello(hello), Frame::Welcome(welcome), Frame::Reject(reject)] {
            assert_eq!(over_the_wire(&frame), frame);
        }
    }

    #[test]
    fn another_version_is_told_both_ranges() {
        let hello = Hello { version_min: 7, version_max: 9, ..Hello::lifeline([0; 16]) };
        let Frame::Hello(hello) = over_the_wire(&Frame::Hello(hello)) else {
            panic!("not a hello")
        };
        let reject = hello.negotiate(&[0; 16]).expect_err("no common version");
        assert_eq!(reject.code, RejectCode::Version);
        assert_eq!(reject.reason, "the host speaks protocol versions 1 to 2, the peer 7 to 9");
    }

    #[test]
    fn a_newer_peer_that_still_speaks_our_version_is_welcome() {
        let hello = Hello { version_max: 40, ..Hello::lifeline([0; 16]) };
        assert_eq!(hello.negotiate(&[0; 16]), Ok(VERSION_MAX));
        assert_eq!(hello.negotiate(&[1; 16]).expect_err("wrong").code, RejectCode::WrongChannel);
    }

    #[test]
    fn a_question_need_not_know_the_channel() {
        let Frame::Hello(hello) = over_the_wire(&Frame::Hello(Hello::status())) else {
            panic!("not a hello")
        };
        assert_eq!(hello.purpose, Purpose::Status);
        assert_eq!(hello.negotiate(&[1; 16]), Ok(VERSION_MAX));
        let newer = Hello { version_min: VERSION_MAX + 1, version_max: VERSION_MAX + 1, ..hello };
        assert_eq!(newer.negotiate(&[1; 16]).expect_err("newer").code, RejectCode::Version);
    }
}
