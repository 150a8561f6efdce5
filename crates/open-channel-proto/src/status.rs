//! A host's answer to the question how it is: for people, and for programs that show it to them.
//!
//! Both frames may grow at their end in later versions. A reader ignores the part that it does not
//! know.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::body::Body;
use crate::error::FrameError;
use crate::id::SocketId;
use crate::text::clip_to;

/// Longest texts in bytes; a longer one is cut when it is sent, and refused when it is received.
const MAX_NAME: usize = 255;
const MAX_APP: usize = 300;
const MAX_SHORT: usize = 64;

/// On the wire, a time that there is not.
const NEVER: u64 = u64::MAX;

/// A host, and the sums of the sockets that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostStatus {
    /// The channel's name.
    pub name: String,
    /// The application that the channel is for; `None` if it is for all programs of the user.
    pub app: Option<String>,
    /// The process that hosts.
    pub process: ProcessStatus,
    /// Version of its library.
    pub library: String,
    /// Its generation.
    pub generation: u64,
    /// For how long it has hosted.
    pub hosting: Duration,
    /// Whether it is handing over.
    pub leaving: bool,
    /// From this time without progress on, it counts a socket as stalled.
    pub stall_after: Duration,
    /// How many sockets it serves, and the limit of that.
    pub sockets: u32,
    /// The limit of [`sockets`](Self::sockets).
    pub max_sockets: u32,
    /// How many of the sockets are stalled.
    pub stalled: u32,
    /// Sums of all sockets.
    pub totals: Traffic,
    /// How many [`SocketStatus`] frames follow.
    pub described: u32,
}

/// One socket, as its host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SocketStatus {
    /// The socket; the same at both ends.
    pub id: SocketId,
    /// The process on the other side.
    pub process: ProcessStatus,
    /// What carries it; empty while there is no connection.
    pub link: String,
    /// The number of connections that it has had to this host.
    pub links: u64,
    /// Its messages.
    pub traffic: Traffic,
    /// The time without progress, while it is stalled.
    pub stalled: Option<Duration>,
}

/// A process, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessStatus {
    /// Its number; 0 if that is not known.
    pub pid: u32,
    /// The name of its program; empty if that is not known.
    pub program: String,
    /// Its user, as the system writes it; empty if that is not known.
    pub user: String,
}

/// The messages of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// From the host: acknowledged is finished.
    pub sent: Direction,
    /// To the host: handled is finished.
    pub received: Direction,
    /// Messages that the host's application has taken and not finished.
    pub held: u64,
    /// Messages that the application got marked as redelivered.
    pub redelivered: u64,
    /// The highest attempt among the messages that the application got; 0 without any above 1.
    pub highest_attempt: u32,
}

/// The messages of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direction {
    /// All of them, in this host's time.
    pub messages: u64,
    /// How many of them are finished.
    pub finished: u64,
    /// How many of them wait to be finished.
    pub open: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes that the open ones take in their queue.
    pub open_bytes: u64,
    /// Limit of these bytes.
    pub limit: u64,
    /// Age of the oldest open one.
    pub oldest: Option<Duration>,
}

impl std::ops::AddAssign for Direction {
    /// Sums; the age is that of the older.
    fn add_assign(&mut self, other: Self) {
        let Self { messages, finished, open, bytes, open_bytes, limit, oldest } = self;
        for (sum, number) in [
            (messages, other.messages),
            (finished, other.finished),
            (open, other.open),
            (bytes, other.bytes),
            (open_bytes, other.open_bytes),
            (limit, other.limit),
        ] {
            *sum = sum.saturating_add(number);
        }
        *oldest = (*oldest).max(other.oldest);
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.held = self.held.saturating_add(other.held);
        self.redelivered = self.redelivered.saturating_add(other.redelivered);
        self.highest_attempt = self.highest_attempt.max(other.highest_attempt);
    }
}

impl HostStatus {
    const WHAT: &'static str = "host status";

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.generation);
        put_time(out, Some(self.hosting));
        put_time(out, Some(self.stall_after));
        out.put_u8(u8::from(self.leaving) | u8::from(self.app.is_some()) << 1);
        for number in [self.sockets, self.max_sockets, self.stalled, self.described] {
            out.put_u32_le(number);
        }
        self.totals.encode(out);
        self.process.encode(out);
        put_text(out, &self.library, MAX_SHORT);
        put_text(out, &self.name, MAX_NAME);
        put_text(out, self.app.as_deref().unwrap_or_default(), MAX_APP);
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = HostStatus::WHAT;
        let generation = body.u64(WHAT)?;
        let (hosting, stall_after) = (time(body, WHAT)?, time(body, WHAT)?);
        let flags = body.u8(WHAT)?;
        let [sockets, max_sockets, stalled, described] =
            [body.u32(WHAT)?, body.u32(WHAT)?, body.u32(WHAT)?, body.u32(WHAT)?];
        let totals = Traffic::decode(body, WHAT)?;
        let process = ProcessStatus::decode(body, WHAT)?;
        let library = body.short_text(MAX_SHORT, WHAT)?;
        let name = body.short_text(MAX_NAME, WHAT)?;
        let app = body.short_text(MAX_APP, WHAT)?;
        Ok(Self {
            name,
            app: (flags & 2 != 0).then_some(app),
            process,
            library,
            generation,
            hosting: hosting.unwrap_or_default(),
            leaving: flags & 1 != 0,
            stall_after: stall_after.unwrap_or_default(),
            sockets,
            max_sockets,
            stalled,
            totals,
            described,
        })
    }
}

impl SocketStatus {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u128_le(self.id.0);
        out.put_u64_le(self.links);
        put_time(out, self.stalled);
        self.traffic.encode(out);
        self.process.encode(out);
        put_text(out, &self.link, MAX_SHORT);
    }

    pub(crate) fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        const WHAT: &str = "socket status";
        let (id, links) = (SocketId(body.u128(WHAT)?), body.u64(WHAT)?);
        Ok(Self {
            id,
            links,
            stalled: time(body, WHAT)?,
            traffic: Traffic::decode(body, WHAT)?,
            process: ProcessStatus::decode(body, WHAT)?,
            link: body.short_text(MAX_SHORT, WHAT)?,
        })
    }
}

impl ProcessStatus {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u32_le(self.pid);
        put_text(out, &self.program, MAX_SHORT);
        put_text(out, &self.user, MAX_SHORT);
    }

    fn decode(body: &mut Body<'_>, what: &'static str) -> Result<Self, FrameError> {
        Ok(Self {
            pid: body.u32(what)?,
            program: body.short_text(MAX_SHORT, what)?,
            user: body.short_text(MAX_SHORT, what)?,
        })
    }
}

impl Traffic {
    fn encode(&self, out: &mut BytesMut) {
        self.sent.encode(out);
        self.received.encode(out);
        out.put_u64_le(self.held);
        out.put_u64_le(self.redelivered);
        out.put_u32_le(self.highest_attempt);
    }

    fn decode(body: &mut Body<'_>, what: &'static str) -> Result<Self, FrameError> {
        Ok(Self {
            sent: Direction::decode(body, what)?,
            received: Direction::decode(body, what)?,
            held: body.u64(what)?,
            redelivered: body.u64(what)?,
            highest_attempt: body.u32(what)?,
        })
    }
}

impl Direction {
    fn encode(&self, out: &mut BytesMut) {
        let Self { messages, finished, open, bytes, open_bytes, limit, oldest } = *self;
        for number in [messages, finished, open, bytes, open_bytes, limit] {
            out.put_u64_le(number);
        }
        put_time(out, oldest);
    }

    fn decode(body: &mut Body<'_>, what: &'static str) -> Result<Self, FrameError> {
        Ok(Self {
            messages: body.u64(what)?,
            finished: body.u64(what)?,
            open: body.u64(what)?,
            bytes: body.u64(what)?,
            open_bytes: body.u64(what)?,
            limit: body.u64(what)?,
            oldest: time(body, what)?,
        })
    }
}

/// In milliseconds.
fn put_time(out: &mut BytesMut, time: Option<Duration>) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(NEVER - 1);
    out.put_u64_le(time.map_or(NEVER, |time| millis(time).min(NEVER - 1)));
}

fn time(body: &mut Body<'_>, what: &'static str) -> Result<Option<Duration>, FrameError> {
    let millis = body.u64(what)?;
    Ok((millis != NEVER).then(|| Duration::from_millis(millis)))
}

fn put_text(out: &mut BytesMut, text: &str, most: usize) {
    let text = clip_to(text, most);
    out.put_u16_le(text.len() as u16);
    out.put_slice(text.as_bytes());
}
