//! Frames on the stream of a link.

use std::cell::RefCell;
use std::io::{self, IoSlice};

use open_channel_proto::{Frame, HEADER_LEN, MAX_BODY, Session, TransmitBuffer, decode};

use crate::connection::transport::error::LinkError;
use crate::link::Link;

/// The longest frame. Larger reads were measured to be slower: the bytes leave the core's caches
/// before they are copied.
const READ_BUFFER: usize = HEADER_LEN + MAX_BODY;

/// Slices per vectored write: the most that one `TransmitBuffer` fills.
const SLICES: usize = 16;

thread_local! {
    /// Shared by all connections of a thread. Between reads, a stream holds only part of a frame.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// There may be more.
    More,
    /// That was all for now.
    Last,
    /// There was nothing.
    Nothing,
}

/// The incomplete frames on the stream, in both directions.
#[derive(Debug, Default)]
pub(crate) struct FrameStream {
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
    out: TransmitBuffer,
    /// The link took no more.
    blocked: bool,
    /// The last frame in `out` ends the link.
    pub(super) ends: bool,
    /// The driver watches for room.
    pub(crate) room_watched: bool,
    /// The last read of a caller that watches the descriptor itself took all there was.
    pub(crate) drained: bool,
}

impl FrameStream {
    /// Whether everything that was encoded is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether the link took no more: a waiter or the driver watches for room and calls
    /// [`unblock`](Self::unblock).
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Puts a frame behind those that wait to be written, with which the link ends.
    pub(crate) fn add_last(&mut self, frame: &Frame) {
        frame.encode(&mut self.out);
        self.ends = true;
    }

    /// Encodes what the session has, without writing it.
    pub(super) fn encode(&mut self, session: &mut Session) {
        session.transmit(&mut self.out);
    }

    /// Everything that was encoded and not written.
    pub(super) fn take_unwritten(&mut self) -> Vec<u8> {
        let mut unwritten = Vec::with_capacity(self.out.len());
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.out.slices(&mut slices);
            let before = unwritten.len();
            slices[..used].iter().for_each(|slice| unwritten.extend_from_slice(slice));
            self.out.advance(unwritten.len() - before);
        }
        unwritten
    }

    pub(super) fn add_acknowledgement(&mut self, session: &mut Session) {
        if !self.blocked {
            session.transmit_ack(&mut self.out);
        }
    }

    pub(super) fn write(&mut self, link: &Link, session: &mut Session) -> Result<(), LinkError> {
        if self.blocked {
            return Ok(());
        }
        loop {
            session.transmit(&mut self.out);
            if self.out.is_empty() {
                return Ok(());
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.out.slices(&mut slices);
            match link.write(&slices[..used]) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads once. Calls `drain` before a frame that was sent behind records of the ring.
    pub(super) fn read(
        &mut self,
        link: &Link,
        session: &mut Session,
        may_deliver: impl Fn() -> bool,
        drain: impl FnMut(&mut Session),
    ) -> Result<Read, LinkError> {
        BUFFER.with_borrow_mut(|buffer| self.read_into(buffer, link, session, may_deliver, drain))
    }

    fn read_into(
        &mut self,
        buffer: &mut [u8],
        link: &Link,
        session: &mut Session,
        may_deliver: impl Fn() -> bool,
        mut drain: impl FnMut(&mut Session),
    ) -> Result<Read, LinkError> {
        let held = self.partial.len();
        buffer[..held].copy_from_slice(&self.partial);
        let read = link.read(&mut buffer[held..])?;
        if read == 0 {
            return Err(LinkError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let filled = held + read == buffer.len();
        let mut rest = &buffer[..held + read];
        let broken = |error: open_channel_proto::FrameError| LinkError::Protocol(error.to_string());
        while let Some((frame, len)) = decode(rest, MAX_BODY).map_err(broken)? {
            rest = &rest[len..];
            if matches!(frame, Frame::Recall { .. }) && !may_deliver() {
                continue;
            }
            if matches!(frame, Frame::Reset { .. } | Frame::GoAway | Frame::Recall { .. }) {
                drain(session);
            }
            session.handle(frame)?;
        }
        self.partial.clear();
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        Ok(if filled { Read::More } else { Read::Last })
    }
}
