//! The session on its transport: attaching it, reading, writing, losing it.

use std::sync::Arc;

use open_channel_proto::{Closed, ResetCode};
use tokio::runtime::Handle;

use super::{DriverState, State};
use crate::connection::transport::Transport;
use crate::connection::transport::error::LinkError;
use crate::connection::transport::frames::Read;
use crate::connection::transport::ring::Ring;
use crate::connection::waiters::Interest;
use crate::error::Error;
use crate::link::Link;

impl State {
    pub(in crate::connection) fn take_transport(
        &mut self,
        link: Arc<Link>,
        ring: Option<Ring>,
        background: Handle,
    ) {
        if ring.is_some() {
            self.session.use_store();
        }
        self.transports += 1;
        self.transport = Some(Transport::new(link, ring, background));
        self.driver = DriverState::Armed;
        self.write();
        self.wake_all();
    }

    /// A session that is over needs its link only for its last frames, and not even for these if
    /// the other side has ended it.
    pub(in crate::connection) fn drop_finished_link(&mut self) {
        if let (Some(transport), Some(closed)) = (&self.transport, self.session.closed())
            && (transport.frames.is_flushed() || matches!(closed, Closed::Remotely { .. }))
        {
            self.lose_link();
        }
    }

    pub(crate) fn lose_link(&mut self) {
        let Some(transport) = self.transport.take() else { return };
        let is_over = self.failed.is_some() || self.session.closed().is_some();
        let (reclaimed, lingering) = transport.close(&mut self.session, is_over);
        self.lingering = lingering;
        if let Err(problem) = reclaimed {
            tracing::error!(socket = %self.session.id(), %problem, "messages are lost");
            self.failed.get_or_insert(Error::Protocol(problem.to_string()));
        }
        self.take_back();
        self.wake_all();
    }

    /// Takes in everything that the other side sent before it ended.
    pub(in crate::connection) fn drain_and_lose(&mut self) {
        while self.read_frames() == Read::More {}
        let Self { transport, session, wakes, .. } = self;
        if let Some(transport) = transport {
            transport.drain_ring(session, wakes);
        }
        self.lose_link();
    }

    /// The value, or `None` after an error. An error costs the link, and also the session if the
    /// other side is to blame.
    pub(in crate::connection) fn or_lose_link<T>(
        &mut self,
        result: Result<T, LinkError>,
    ) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(LinkError::Io(_)) => {}
            Err(LinkError::Protocol(problem)) => {
                tracing::warn!(socket = %self.session.id(), %problem, "the other side broke the protocol");
                if let Some(transport) = &mut self.transport {
                    // The write below may fail and check the ring again: it would find the same
                    // error without end.
                    transport.drop_ring();
                }
                self.session.reset(ResetCode::Protocol, &*problem);
                self.failed.get_or_insert(Error::Protocol(problem));
                self.write();
            }
        }
        self.lose_link();
        None
    }

    pub(crate) fn read_all(&mut self) {
        while self.read() == Read::More {}
    }

    /// Polls the ring or the stream once, and passes the result to the session.
    pub(crate) fn read(&mut self) -> Read {
        if !self.has_ring() {
            return self.read_frames();
        }
        if self.poll_ring(Interest::Recv) { Read::Last } else { Read::Nothing }
    }

    /// Reads the stream once and passes its frames to the session.
    pub(crate) fn read_frames(&mut self) -> Read {
        let before = self.session.first_unacknowledged();
        let Self { transport, session, wakes, delivery, .. } = self;
        let Some(transport) = transport else { return Read::Nothing };
        let result = transport.read_frames(session, wakes, || delivery.is_allowed());
        if result.is_ok() {
            self.take_back();
            self.answer_what_came_back();
        }
        if self.session.first_unacknowledged() > before {
            self.wakes.notify(Interest::Acks);
        }
        if self.session.is_readable() {
            self.wakes.notify(Interest::Recv);
        }
        match result {
            Ok(_) if self.session.closed().is_some() => {
                self.wake_all();
                Read::Last
            }
            Ok(_) if self.session.is_going_away() => {
                self.lose_link();
                Read::Last
            }
            Ok(read) => read,
            Err(error) if error.is_would_block() => Read::Nothing,
            Err(error) => {
                let Self { transport, session, wakes, .. } = self;
                if let Some(transport) = transport {
                    // Messages that the other side sent before it ended are not lost.
                    transport.drain_ring(session, wakes);
                }
                self.or_lose_link::<()>(Err(error));
                Read::Last
            }
        }
    }

    /// Writes all that the session has, as far as the link takes it. If the link takes no more, a
    /// waiter or the driver watches for room and calls [`writable`](Self::writable).
    pub(crate) fn write(&mut self) {
        let Self { transport: Some(transport), session, .. } = self else { return };
        let flushed = transport.flush(session);
        self.or_drain_and_lose(flushed);
    }

    /// Writes everything, including acknowledgements that could wait.
    pub(crate) fn write_all(&mut self) {
        let Self { transport: Some(transport), session, .. } = self else { return };
        let flushed = transport.flush_all(session);
        self.or_drain_and_lose(flushed);
    }

    fn or_drain_and_lose(&mut self, flushed: Result<(), LinkError>) {
        match flushed {
            Err(LinkError::Io(_)) => self.drain_and_lose(),
            other => drop(self.or_lose_link(other)),
        }
    }

    /// There may be room again.
    pub(crate) fn writable(&mut self) {
        if let Some(transport) = &mut self.transport {
            transport.frames.unblock();
        }
        self.write();
    }

    pub(in crate::connection) fn write_before_waiting(&mut self, interest: Interest) {
        let replied = std::mem::take(&mut self.replied);
        if interest == Interest::Recv && !replied {
            self.write_all();
        } else {
            self.write();
        }
    }

    pub(crate) fn is_write_blocked(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.frames.is_blocked())
    }

    /// Takes in the other side's releases. `true` if there was one, or the link is lost.
    pub(in crate::connection) fn take_releases(&mut self) -> bool {
        let Self { transport: Some(transport), session, wakes, .. } = self else { return false };
        let taken = transport.take_releases(session, wakes);
        self.or_lose_link(taken).unwrap_or(true)
    }

    /// Publishes to the other side which messages are handled.
    pub(in crate::connection) fn release(&mut self) {
        let Self { transport: Some(transport), session, .. } = self else { return };
        let released = transport.release(session);
        self.or_lose_link(released);
    }
}
