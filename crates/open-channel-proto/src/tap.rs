//! A tap: a copy of the messages that pass a host, for a process that takes no part.
//!
//! The frames may grow at their end in later versions. A reader ignores what it does not know.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::body::Body;
use crate::error::FrameError;
use crate::id::SocketId;

/// The messages that a tap is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TapRequest {
    /// Those that peers send to the host.
    pub to_host: bool,
    /// Those that the host sends.
    pub from_host: bool,
    /// Those of sockets of this process only; 0 for all.
    pub pid: u32,
    /// Shortest length in bytes.
    pub shortest: u64,
    /// Longest length in bytes.
    pub longest: u64,
    /// Most bytes of each message that come along.
    pub carried: u64,
}

impl Default for TapRequest {
    /// All messages, whole.
    fn default() -> Self {
        let (to_host, from_host, pid) = (true, true, 0);
        Self { to_host, from_host, pid, shortest: 0, longest: u64::MAX, carried: u64::MAX }
    }
}

/// A message that has passed the host; its bytes follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tapped {
    /// Since the tap began.
    pub time: Duration,
    /// The socket that it belongs to.
    pub socket: SocketId,
    /// The process at the other end of the socket; 0 if it is not known.
    pub pid: u32,
    /// Whether the host sends it, and not the peer.
    pub from_host: bool,
    /// The attempt to deliver it; 1 in the host's own direction.
    pub attempt: u32,
    /// Its length in bytes.
    pub len: u64,
    /// How many of these bytes come along.
    pub carried: u64,
}

const TO_HOST: u8 = 1;
const FROM_HOST: u8 = 2;

impl TapRequest {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let Self { to_host, from_host, pid, shortest, longest, carried } = *self;
        out.put_u8((u8::from(to_host) * TO_HOST) | (u8::from(from_host) * FROM_HOST));
        out.put_u32_le(pid);
        for number in [shortest, longest, carried] {
            out.put_u64_le(number);
        }
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = "tap request";
        let directions = body.u8(WHAT)?;
        Ok(Self {
            to_host: directions & TO_HOST != 0,
            from_host: directions & FROM_HOST != 0,
            pid: body.u32(WHAT)?,
            shortest: body.u64(WHAT)?,
            longest: body.u64(WHAT)?,
            carried: body.u64(WHAT)?,
        })
    }
}

impl Tapped {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(u64::try_from(self.time.as_micros()).unwrap_or(u64::MAX));
        out.put_u128_le(self.socket.0);
        out.put_u32_le(self.pid);
        out.put_u8(if self.from_host { FROM_HOST } else { TO_HOST });
        out.put_u32_le(self.attempt);
        out.put_u64_le(self.len);
        out.put_u64_le(self.carried);
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = "tapped message";
        let tapped = Self {
            time: Duration::from_micros(body.u64(WHAT)?),
            socket: SocketId(body.u128(WHAT)?),
            pid: body.u32(WHAT)?,
            from_host: match body.u8(WHAT)? {
                TO_HOST => false,
                FROM_HOST => true,
                _ => return Err(FrameError::Malformed(WHAT)),
            },
            attempt: body.u32(WHAT)?,
            len: body.u64(WHAT)?,
            carried: body.u64(WHAT)?,
        };
        if tapped.carried > tapped.len {
            return Err(FrameError::Malformed(WHAT));
        }
        Ok(tapped)
    }
}
