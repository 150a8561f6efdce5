//! The first exchange on every link: identities, version, and where both sides go on.

use bytes::{BufMut, BytesMut};

use crate::body::{Body, clip};
use crate::error::{FrameError, ProtocolError};
use crate::id::{ChannelKey, SocketId};
use crate::version::{ATTEMPTS, VERSION_MAX, VERSION_MIN};

/// First bytes of every [`Hello`], [`Welcome`] and [`Reject`]. Their place and the versions behind
/// them never change.
pub const MAGIC: [u8; 8] = *b"openchan";

/// The purpose of a peer's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// To carry a [`Session`](crate::Session).
    Session,
    /// To watch the host's health: only [`Frame::Ping`](crate::Frame::Ping),
    /// [`Frame::Pong`](crate::Frame::Pong) and [`Frame::GoAway`](crate::Frame::GoAway) follow.
    Lifeline,
    /// To ask the host how it is, from outside of the channel:
    /// [`Frame::StatusRequest`](crate::Frame::StatusRequest)s and their answers follow. The
    /// channel's key need not be known. A host that does not know this purpose refuses the link
    /// with [`RejectCode::Protocol`].
    Status,
}

/// Optional abilities, as bits; unknown ones are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u64);

impl Features {
    /// In a hello: the descriptors of a ring in shared memory come with it. In a welcome: the host
    /// has taken the ring, and messages travel there.
    pub const RING: Self = Self(1);

    /// Whether all of `other` is among these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Sizes in bytes of the two rings that come with a [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RingSizes {
    /// From the peer to the host.
    pub up: u64,
    /// From the host to the peer.
    pub down: u64,
}

/// The first frame of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version the peer speaks.
    pub version_min: u16,
    /// Newest version the peer speaks.
    pub version_max: u16,
    /// The purpose of the link.
    pub purpose: Purpose,
    /// The channel the peer means.
    pub channel: ChannelKey,
    /// The session's stable identity.
    pub socket: SocketId,
    /// Generation of the host that the session was attached to last; 0 if never.
    pub generation: u64,
    /// Lowest sequence number in the peer's outbox, or the next one that it will give. If even the
    /// end of its direction is acknowledged, the number of that end.
    pub first: u64,
    /// Next sequence number that the peer expects from the host.
    pub recv_next: u64,
    /// Last sequence number from the host that the peer has handled.
    pub handled: u64,
    /// Cost in bytes of what the peer has received and not handled.
    pub unhandled: u64,
    /// Receive window in bytes.
    pub window: u64,
    /// Outbox limit in bytes.
    pub outbox: u64,
    /// Longest message that the peer takes, in bytes.
    pub max_message: u64,
    /// Whether the host's direction has ended, as far as the peer has received. A new host cannot
    /// reopen it.
    pub ended: bool,
    /// Abilities of the peer beyond its version.
    pub features: Features,
    /// Sizes of the rings that the peer offers; zero without [`Features::RING`].
    pub ring: RingSizes,
    /// How often a message of the peer is delivered at most; 0 for any number. From version 2 on.
    pub max_attempts: u32,
}

/// The host's answer when it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both sides use from here.
    pub version: u16,
    /// The host's generation.
    pub generation: u64,
    /// Whether the host still knew the session.
    pub resumed: bool,
    /// Next sequence number that the host expects from the peer.
    pub recv_next: u64,
    /// Last sequence number from the peer that the host has handled.
    pub handled: u64,
    /// Receive window in bytes.
    pub window: u64,
    /// Outbox limit in bytes.
    pub outbox: u64,
    /// Longest message that the host takes, in bytes.
    pub max_message: u64,
    /// The features of the [`Hello`] that the host agrees to.
    pub features: Features,
    /// How often a message of the host is delivered at most; 0 for any number. From version 2 on.
    pub max_attempts: u32,
}

/// Why a host refuses a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectCode {
    /// No common protocol version.
    Version,
    /// The host serves another channel.
    WrongChannel,
    /// The peer's user may not join.
    Permission,
    /// The host has as many connections as it allows.
    TooManyConnections,
    /// The host is giving up hosting: look for the next one.
    GoingAway,
    /// The [`Hello`] made no sense.
    Protocol,
    /// The host lives and has no descriptors or threads left: try again later.
    Busy,
    /// A code of a newer version.
    Other(u16),
}

impl RejectCode {
    fn to_bits(self) -> u16 {
        match self {
            Self::Version => 1,
            Self::WrongChannel => 2,
            Self::Permission => 3,
            Self::TooManyConnections => 4,
            Self::GoingAway => 5,
            Self::Protocol => 6,
            Self::Busy => 7,
            Self::Other(code) => code,
        }
    }

    fn from_bits(code: u16) -> Self {
        match code {
            1 => Self::Version,
            2 => Self::WrongChannel,
            3 => Self::Permission,
            4 => Self::TooManyConnections,
            5 => Self::GoingAway,
            6 => Self::Protocol,
            7 => Self::Busy,
            other => Self::Other(other),
        }
    }
}

/// The host's answer when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The code of the refusal.
    pub code: RejectCode,
    /// Oldest version the host speaks.
    pub version_min: u16,
    /// Newest version the host speaks.
    pub version_max: u16,
    /// The reason, for people.
    pub reason: String,
}

impl Reject {
    /// A refusal with the versions of this crate.
    pub fn new(code: RejectCode, reason: impl Into<String>) -> Self {
        Self { code, version_min: VERSION_MIN, version_max: VERSION_MAX, reason: reason.into() }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&MAGIC);
        out.put_u16_le(self.version_min);
        out.put_u16_le(self.version_max);
        out.put_u16_le(self.code.to_bits());
        out.put_slice(clip(&self.reason).as_bytes());
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        magic(body, "reject")?;
        Ok(Self {
            version_min: body.u16("reject")?,
            version_max: body.u16("reject")?,
            code: RejectCode::from_bits(body.u16("reject")?),
            reason: body.text("reject")?,
        })
    }
}

impl Hello {
    /// A hello that only asks for a [`Purpose::Lifeline`].
    pub fn lifeline(channel: ChannelKey) -> Self {
        Self {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            purpose: Purpose::Lifeline,
            channel,
            socket: SocketId(0),
            generation: 0,
            first: 1,
            recv_next: 1,
            handled: 0,
            unhandled: 0,
            window: 0,
            outbox: 0,
            max_message: 0,
            ended: false,
            features: Features::default(),
            ring: RingSizes::default(),
            max_attempts: 0,
        }
    }

    /// A hello that only asks how the host is: [`Purpose::Status`].
    pub fn status() -> Self {
        Self { purpose: Purpose::Status, ..Self::lifeline(ChannelKey::default()) }
    }

    /// The version to use with this peer on this channel.
    ///
    /// # Errors
    /// The [`Reject`] to answer with when there is none, or when the peer means another channel.
    pub fn negotiate(&self, channel: &ChannelKey) -> Result<u16, Reject> {
        let version = self.version_max.min(VERSION_MAX);
        if version < self.version_min.max(VERSION_MIN) {
            let (min, max) = (self.version_min, self.version_max);
            let reason = format!(
                "the host speaks protocol versions {VERSION_MIN} to {VERSION_MAX}, the peer {min} to {max}"
            );
            return Err(Reject::new(RejectCode::Version, reason));
        }
        if self.channel != *channel && self.purpose != Purpose::Status {
            return Err(Reject::new(
                RejectCode::WrongChannel,
                "this address belongs to another channel",
            ));
        }
        Ok(version)
    }

    /// Checks that the numbers are possible, before anything is built from them.
    pub(crate) fn check(&self) -> Result<(), ProtocolError> {
        let possible = self.first >= 1
            && self.recv_next >= 1
            && self.handled < self.recv_next
            && self.first <= u64::MAX / 2
            && self.recv_next <= u64::MAX / 2;
        if possible {
            Ok(())
        } else {
            Err(ProtocolError::Handshake("impossible sequence numbers in a hello"))
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&MAGIC);
        out.put_u16_le(self.version_min);
        out.put_u16_le(self.version_max);
        out.put_u8(match self.purpose {
            Purpose::Session => 0,
            Purpose::Lifeline => 1,
            Purpose::Status => 2,
        });
        out.put_u8(u8::from(self.ended));
        out.put_slice(&self.channel);
        out.put_u128_le(self.socket.0);
        for number in [
            self.generation,
            self.first,
            self.recv_next,
            self.handled,
            self.unhandled,
            self.window,
            self.outbox,
            self.max_message,
            self.features.0,
            self.ring.up,
            self.ring.down,
        ] {
            out.put_u64_le(number);
        }
        if self.version_max >= ATTEMPTS {
            out.put_u32_le(self.max_attempts);
        }
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = "hello";
        magic(body, WHAT)?;
        let (version_min, version_max) = (body.u16(WHAT)?, body.u16(WHAT)?);
        if version_min > VERSION_MAX || version_max < VERSION_MIN {
            // What follows the versions belongs to a version we do not know.
            return Ok(Self { version_min, version_max, ..Self::lifeline(ChannelKey::default()) });
        }
        Ok(Self {
            version_min,
            version_max,
            purpose: match body.u8(WHAT)? {
                0 => Purpose::Session,
                1 => Purpose::Lifeline,
                2 => Purpose::Status,
                _ => return Err(FrameError::Malformed("hello: unknown purpose")),
            },
            ended: body.u8(WHAT)? != 0,
            channel: body.take(WHAT)?,
            socket: SocketId(body.u128(WHAT)?),
            generation: body.u64(WHAT)?,
            first: body.u64(WHAT)?,
            recv_next: body.u64(WHAT)?,
            handled: body.u64(WHAT)?,
            unhandled: body.u64(WHAT)?,
            window: body.u64(WHAT)?,
            outbox: body.u64(WHAT)?,
            max_message: body.u64(WHAT)?,
            features: Features(body.u64(WHAT)?),
            ring: RingSizes { up: body.u64(WHAT)?, down: body.u64(WHAT)? },
            max_attempts: if version_max < ATTEMPTS { 0 } else { body.u32(WHAT)? },
        })
    }
}

impl Welcome {
    /// The answer to a [`Purpose::Lifeline`] or [`Purpose::Status`].
    pub fn lifeline(version: u16, generation: u64) -> Self {
        Self {
            version,
            generation,
            resumed: false,
            recv_next: 1,
            handled: 0,
            window: 0,
            outbox: 0,
            max_message: 0,
            features: Features::default(),
            max_attempts: 0,
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&MAGIC);
        out.put_u16_le(self.version);
        out.put_u8(u8::from(self.resumed));
        for number in [
            self.generation,
            self.recv_next,
            self.handled,
            self.window,
            self.outbox,
            self.max_message,
            self.features.0,
        ] {
            out.put_u64_le(number);
        }
        if self.version >= ATTEMPTS {
            out.put_u32_le(self.max_attempts);
        }
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = "welcome";
        magic(body, WHAT)?;
        let version = body.u16(WHAT)?;
        Ok(Self {
            version,
            resumed: body.u8(WHAT)? != 0,
            generation: body.u64(WHAT)?,
            recv_next: body.u64(WHAT)?,
            handled: body.u64(WHAT)?,
            window: body.u64(WHAT)?,
            outbox: body.u64(WHAT)?,
            max_message: body.u64(WHAT)?,
            features: Features(body.u64(WHAT)?),
            max_attempts: if version < ATTEMPTS { 0 } else { body.u32(WHAT)? },
        })
    }
}

fn magic(body: &mut Body<'_>, what: &'static str) -> Result<(), FrameError> {
    if body.take(what)? != MAGIC {
        return Err(FrameError::Malformed("handshake: this is not open-channel"));
    }
    Ok(())
}
