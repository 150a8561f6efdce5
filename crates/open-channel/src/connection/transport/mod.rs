//! A transport carries the messages of a session: on the stream of a link, or through rings in
//! shared memory beside it.
//!
//! ```text
//!             flush              ┌─────────────┐   every frame, if there is no ring
//!   session ─────────▶ Transport ┤ FrameStream ├────────────────────────────────────▶ link
//!           ◀─────────           └─────────────┘   without a message, beside a ring
//!              read       │      ┌─────────────┐
//!                         └─────▶│    Ring     │ ══════════════▶ shared memory
//!              claim, release    └─────────────┘   every message
//! ```
//! A transport knows frames and records, their session, and whom to notify. It does not know the
//! application's calls, nor the next transport: an error ends it.

use std::sync::Arc;

use bytes::Bytes;
use open_channel_proto::{Closed, Session};
use open_channel_ring::{Mapped, RingWatch};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::connection::transport::error::LinkError;
use crate::connection::transport::frames::{FrameStream, Read};
use crate::connection::transport::reactor::Reactor;
use crate::connection::transport::ring::Ring;
use crate::connection::waiters::Wakes;
use crate::link::Link;

pub(crate) mod error;
pub(crate) mod frames;
mod linger;
pub(crate) mod reactor;
pub(crate) mod ring;
#[cfg(all(test, target_os = "linux", not(open_channel_portable)))]
mod tests;

/// A link with the incomplete frames on it; lives as long as the link does.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) link: Arc<Link>,
    pub(crate) frames: FrameStream,
    /// The ring that carries the messages, if they are not frames.
    ring: Option<Box<Ring>>,
    /// The link as the calling application's runtime sees it.
    pub(crate) reactor: Option<Reactor>,
    /// Writing failed. The frames that the other side has sent are still to be read, and nothing
    /// else.
    broken: bool,
    /// The runtime on which the link may linger.
    background: Handle,
}

impl Transport {
    pub(crate) fn new(link: Arc<Link>, ring: Option<Ring>, background: Handle) -> Self {
        let (ring, frames) = (ring.map(Box::new), FrameStream::default());
        Self { link, frames, ring, reactor: None, broken: false, background }
    }

    #[inline]
    pub(crate) fn ring(&mut self) -> Option<&mut Ring> {
        self.ring.as_deref_mut()
    }

    pub(crate) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Watches the place in the ring where the next message appears.
    pub(crate) fn message_watch(&self) -> Option<RingWatch<Mapped>> {
        self.ring.as_ref().map(|ring| ring.message_watch())
    }

    /// Whether the ring has a message that was not taken.
    pub(crate) fn has_message(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.has_message())
    }

    /// Writes all that the session has, as far as there is room.
    pub(crate) fn flush(&mut self, session: &mut Session) -> Result<(), LinkError> {
        if self.broken {
            return Ok(());
        }
        let stored = self.ring.as_mut().map_or(Ok(()), |ring| ring.store(session));
        let written = stored.and_then(|()| self.frames.write(&self.link, session));
        // Not for nonsense in the ring: the stream still takes the last words.
        self.broken = matches!(written, Err(LinkError::Io(_)));
        written
    }

    /// [`flush`](Self::flush), including acknowledgements that could wait.
    pub(crate) fn flush_all(&mut self, session: &mut Session) -> Result<(), LinkError> {
        self.frames.add_acknowledgement(session);
        self.flush(session)
    }

    /// Reads frames once and gives them to the session.
    ///
    /// A side that may not deliver any more does not answer to a recall either: the next host will.
    pub(crate) fn read_frames(
        &mut self,
        session: &mut Session,
        wakes: &mut Wakes,
        may_deliver: impl Fn() -> bool,
    ) -> Result<Read, LinkError> {
        let Self { link, frames, ring, .. } = self;
        let read = frames.read(link, session, may_deliver, |session| {
            if let Some(ring) = ring {
                ring.drain(session, wakes);
            }
        })?;
        // Messages that the other side has given up leave the outbox and the ring.
        while let Some(end) = session.wanted() {
            let stored = self.stored(end);
            session.found(stored)?;
        }
        Ok(read)
    }

    fn stored(&mut self, end: u64) -> Option<Bytes> {
        self.ring.as_mut()?.stored(end)
    }

    /// Takes in the other side's releases; whether there was one.
    pub(crate) fn take_releases(
        &mut self,
        session: &mut Session,
        wakes: &mut Wakes,
    ) -> Result<bool, LinkError> {
        self.ring.as_mut().map_or(Ok(false), |ring| ring.take_releases(session, wakes))
    }

    /// Takes the next message out of the ring; whether there was one.
    pub(crate) fn claim(&mut self, session: &mut Session) -> Result<bool, LinkError> {
        self.ring.as_mut().map_or(Ok(false), |ring| ring.claim(session))
    }

    /// Publishes which messages are handled, if that needs no frame.
    pub(crate) fn release(&mut self, session: &Session) -> Result<(), LinkError> {
        self.ring.as_mut().map_or(Ok(()), |ring| ring.release(session))
    }

    /// Takes everything that lies in the ring.
    pub(crate) fn drain_ring(&mut self, session: &mut Session, wakes: &mut Wakes) {
        if let Some(ring) = &mut self.ring {
            ring.drain(session, wakes);
        }
    }

    /// Drops a ring with broken content, so that it is not read again.
    pub(crate) fn drop_ring(&mut self) {
        self.ring = None;
    }

    /// The link is lost. Messages that were not handled go back into the outbox. If the session is
    /// over, messages in the ring count as sent, like bytes in a socket.
    ///
    /// If the link takes the last frame later, it ends then. The task is returned.
    pub(crate) fn close(
        mut self,
        session: &mut Session,
        is_over: bool,
    ) -> (Result<(), LinkError>, Option<JoinHandle<()>>) {
        let rest = self.last_frames(session);
        let reclaimed = match self.ring {
            Some(ring) if !is_over => ring.give_up(session),
            _ => Ok(()),
        };
        let lingering = if rest.is_empty() {
            self.link.shutdown();
            None
        } else {
            Some(linger::linger(self.link, rest, &self.background))
        };
        session.detach();
        (reclaimed, lingering)
    }

    /// The bytes up to the frame that ends the link, if there is one that was not written.
    fn last_frames(&mut self, session: &mut Session) -> Vec<u8> {
        // Otherwise everything is written, or nothing more can be.
        let may_follow = self.frames.is_blocked() && !self.broken;
        let ends_here = matches!(session.closed(), Some(Closed::Finished | Closed::Locally));
        if !may_follow || !self.frames.ends && !ends_here {
            return Vec::new();
        }
        if !self.frames.ends {
            self.frames.encode(session);
        }
        self.frames.take_unwritten()
    }
}
