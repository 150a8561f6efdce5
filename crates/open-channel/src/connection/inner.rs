//! The session and its link, behind the connection's lock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use open_channel_proto::{Frame, HEADER_LEN, MAX_BODY, ResetCode, Session, TransmitBuffer, decode};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::WakeMode;
use super::giving_back::Back;
use super::ring::Ring;
use super::taking_back::TakingBack;
use super::turn::Owed;
use crate::attendant::Attendance;
use crate::error::Error;
use crate::fence::Fence;
use crate::link::{self, Link};
use crate::undeliverable::Returned;
use crate::waiters::{Interest, Waiters};

/// The longest frame. Larger reads were measured to be slower: the bytes leave the near caches before they are copied.
const READ_BUFFER: usize = HEADER_LEN + MAX_BODY;

/// Slices per vectored write: the most that one `TransmitBuffer` usefully has.
const SLICES: usize = 16;

thread_local! {
    /// Bytes rest in a connection only while they are part of a frame, so that idle connections hold none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) session: Session,
    pub(super) link: Option<Arc<Link>>,
    /// Where messages travel, if not on the link itself.
    pub(super) ring: Option<Box<Ring>>,
    /// The link as the calling application's runtime sees it.
    reactor: Option<Reactor>,
    pub(super) waiters: Arc<Waiters>,
    /// The seat of the call that is looking at the link: it needs no waking.
    pub(super) polling: u64,
    pub(super) partial: Vec<u8>,
    /// The last read of a caller that watches the link itself took all there was.
    pub(super) drained: bool,
    pub(super) out: TransmitBuffer,
    /// Links that the session has had.
    pub(super) links: u64,
    pub(super) write_blocked: bool,
    /// The watching attendant knows of it.
    pub(super) writes_watched: bool,
    /// A message was sent since the last wait: the acknowledgements can travel with the next one.
    pub(super) replied: bool,
    pub(super) attendance: Attendance,
    /// Calls that may wait, since the attendant's last look.
    pub(super) calls: u64,
    pub(super) fence: Option<Arc<Fence>>,
    /// Messages that are to be delivered again after a pause, by their numbers.
    pub(super) coming_back: BTreeMap<u64, Back>,
    /// Messages that the application holds.
    pub(super) held: usize,
    /// Messages that it was given with the mark.
    pub(super) redelivered: u64,
    pub(super) ended: bool,
    /// Whatever the handler does to its socket now, the peer goes on with the next host.
    pub(super) handing_over: bool,
    pub(super) failed: Option<Error>,
    pub(super) woken: Vec<Waker>,
    pub(super) owed: Owed,
    pub(super) returned: Returned,
    pub(super) taking_back: TakingBack,
    pub(super) outbox_limit: usize,
}

#[derive(Debug)]
struct Reactor {
    fd: AsyncFd<Arc<Link>>,
    runtime: tokio::runtime::Id,
}

/// The session behind the lock.
impl Inner {
    pub(super) fn new(session: Session, waiters: Arc<Waiters>, fence: Option<Arc<Fence>>) -> Self {
        let outbox_limit = session.limits().outbox;
        Self {
            session,
            link: None,
            ring: None,
            reactor: None,
            waiters,
            polling: 0,
            partial: Vec::new(),
            drained: false,
            out: TransmitBuffer::default(),
            links: 0,
            write_blocked: false,
            writes_watched: false,
            replied: false,
            attendance: Attendance::Dormant,
            calls: 0,
            fence,
            coming_back: BTreeMap::new(),
            held: 0,
            redelivered: 0,
            ended: false,
            handing_over: false,
            failed: None,
            woken: Vec::new(),
            owed: Owed::default(),
            returned: Returned::default(),
            taking_back: TakingBack::default(),
            outbox_limit,
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.returned.news = true;
        self.waiters.collect_all(&mut self.woken);
    }
}

/// What comes back, behind the lock.
impl Inner {
    /// Takes over what the session does not deliver any more.
    pub(super) fn take_back(&mut self) {
        while let Some(message) = self.session.take_undeliverable() {
            self.returned.push(self.session.id(), message, self.outbox_limit);
        }
        self.take_what_was_asked_for();
    }
}

/// The link behind the lock.
impl Inner {
    pub(super) fn take_link(&mut self, link: Link, ring: Option<Ring>) {
        self.link = Some(Arc::new(link));
        if ring.is_some() {
            self.session.use_store();
        }
        self.ring = ring.map(Box::new);
        self.links += 1;
        self.drained = false;
        self.attendance = Attendance::Armed;
        self.write_blocked = false;
        self.write();
        self.wake_all();
    }

    pub(crate) fn is_on(&self, link: &Arc<Link>) -> bool {
        self.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link))
    }

    /// A session that is over needs its link only for its last words.
    pub(super) fn drop_finished_link(&mut self) {
        if self.session.closed().is_some() && self.out.is_empty() && self.link.is_some() {
            self.lose_link();
        }
    }

    pub(crate) fn lose_link(&mut self) {
        if let Some(link) = self.link.take() {
            self.give_ring_up();
            link.shutdown();
            self.session.detach();
            self.take_back();
            self.reactor = None;
            self.partial = Vec::new();
            self.out.clear();
            self.write_blocked = false;
            self.wake_all();
        }
    }

    /// What the other side managed to send before it went is not lost.
    pub(super) fn drain_and_lose(&mut self) {
        while self.read_stream() == Read::More {}
        self.drain_ring();
        self.lose_link();
    }

    pub(crate) fn read_all(&mut self) {
        while self.read() == Read::More {}
    }

    /// Looks once at what brings messages, and feeds the session.
    pub(crate) fn read(&mut self) -> Read {
        if self.ring.is_some() { self.read_ring() } else { self.read_stream() }
    }

    /// Reads the stream once and feeds the session.
    pub(crate) fn read_stream(&mut self) -> Read {
        let Some(link) = self.link.clone() else { return Read::Nothing };
        let before = self.session.first_unacknowledged();
        let result = BUFFER.with_borrow_mut(|buffer| self.read_into(&link, buffer));
        if result.is_ok() {
            self.answer_what_came_back();
        }
        if self.session.first_unacknowledged() > before {
            self.waiters.collect(Interest::Acks, self.polling, &mut self.woken);
        }
        if self.session.is_readable() {
            self.waiters.collect(Interest::Recv, self.polling, &mut self.woken);
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
            Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(trouble) => {
                // What the other side managed to send before it went is not lost.
                self.drain_ring();
                self.survive::<()>(Err(trouble));
                Read::Last
            }
        }
    }

    /// Takes what worked; what did not costs the link, and the session if the other side is to blame.
    pub(super) fn survive<T>(&mut self, result: Result<T, Trouble>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Trouble::Io(_)) => {}
            Err(Trouble::Protocol(problem)) => {
                tracing::warn!(socket = %self.session.id(), %problem, "the other side broke the protocol");
                // Another look at it, when the write below fails, would find the same again, and so on.
                self.ring = None;
                self.session.reset(ResetCode::Protocol, &*problem);
                self.failed.get_or_insert(Error::Protocol(problem));
                self.write();
            }
        }
        self.lose_link();
        None
    }

    fn read_into(&mut self, link: &Link, buffer: &mut [u8]) -> Result<Read, Trouble> {
        let held = self.partial.len();
        buffer[..held].copy_from_slice(&self.partial);
        let read = link.read(&mut buffer[held..]).map_err(Trouble::Io)?;
        if read == 0 {
            return Err(Trouble::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let filled = held + read == buffer.len();
        let mut rest = &buffer[..held + read];
        while let Some((frame, len)) =
            decode(rest, MAX_BODY).map_err(|error| Trouble::Protocol(error.to_string()))?
        {
            rest = &rest[len..];
            if matches!(frame, Frame::Recall { .. }) && !self.may_deliver() {
                // The application gets nothing more here: the next host will have it.
                continue;
            }
            if matches!(frame, Frame::Reset { .. } | Frame::GoAway | Frame::Recall { .. }) {
                // It was sent behind what lies in the ring.
                self.drain_ring();
            }
            self.session.handle(frame).map_err(|error| Trouble::Protocol(error.to_string()))?;
        }
        self.take_back_given_up()?;
        self.partial.clear();
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        Ok(if filled { Read::More } else { Read::Last })
    }

    /// Writes all that the session has, as far as the link takes it. Once it has taken no more, somebody
    /// watches for room and calls [`writable`](Self::writable).
    pub(crate) fn write(&mut self) {
        self.store();
        if self.write_blocked {
            return;
        }
        let Some(link) = &self.link else { return };
        let written = loop {
            self.session.transmit(&mut self.out);
            if self.out.is_empty() {
                return;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.out.slices(&mut slices);
            match link.write(&slices[..used]) {
                Ok(written) => self.out.advance(written),
                Err(error) => break error,
            }
        };
        if written.kind() == io::ErrorKind::WouldBlock {
            self.write_blocked = true;
        } else {
            self.drain_and_lose();
        }
    }

    /// There may be room again.
    pub(crate) fn writable(&mut self) {
        self.write_blocked = false;
        self.write();
    }

    /// Writes everything, pending acknowledgements included.
    pub(crate) fn write_all(&mut self) {
        if !self.write_blocked {
            self.session.transmit_ack(&mut self.out);
            self.write();
        }
    }

    pub(super) fn write_before_waiting(&mut self, interest: Interest) {
        let replied = std::mem::take(&mut self.replied);
        if interest == Interest::Recv && !replied {
            self.write_all();
        } else {
            self.write();
        }
    }

    /// Makes sure that a waiting call sees the link by itself, if it can.
    pub(super) fn watch_link(&mut self, mode: WakeMode) -> bool {
        let Some(link) = &self.link else { return false };
        match mode {
            WakeMode::Thread | WakeMode::Loop => return true,
            WakeMode::None => return false,
            WakeMode::Task => {}
        }
        let Ok(runtime) = Handle::try_current() else { return false };
        if self.reactor.as_ref().is_some_and(|reactor| reactor.runtime == runtime.id()) {
            return true;
        }
        // Those who wait on the other runtime are the attendant's from here on.
        self.reactor = None;
        self.waiters.stop_watching();
        if let Ok(fd) = link::watch(Arc::clone(link)) {
            self.reactor = Some(Reactor { fd, runtime: runtime.id() });
        }
        self.reactor.is_some()
    }

    /// Looks at the link; `true` when something happened.
    pub(super) fn look(&mut self, mode: WakeMode, interest: Interest) -> bool {
        if self.ring.is_some() {
            return self.look_at_ring(mode, interest);
        }
        if matches!(mode, WakeMode::Thread | WakeMode::Loop) {
            if self.write_blocked {
                self.writable();
            }
            // After a short read there is no more; new bytes show in the caller's next wait.
            if std::mem::take(&mut self.drained) {
                return false;
            }
            let read = self.read();
            self.drained = read == Read::Last;
            return read != Read::Nothing;
        }
        self.waiters.answer();
        let Some(reactor) = self.reactor.take() else { return false };
        let waker = Waker::from(Arc::clone(&self.waiters));
        let mut cx = Context::from_waker(&waker);
        let mut progress = false;
        if self.write_blocked
            && let Poll::Ready(Ok(mut guard)) = reactor.fd.poll_write_ready(&mut cx)
        {
            self.writable();
            if self.write_blocked {
                guard.clear_ready();
            }
            progress = true;
        }
        match reactor.fd.poll_read_ready(&mut cx) {
            Poll::Ready(Ok(mut guard)) => {
                if self.read() != Read::More {
                    guard.clear_ready();
                }
                progress = true;
            }
            // The runtime that it was registered with is gone: the next round takes the present one.
            Poll::Ready(Err(_)) => return true,
            Poll::Pending => {}
        }
        if self.is_on(reactor.fd.get_ref()) {
            self.reactor = Some(reactor);
        }
        progress
    }

    /// Whether the doorbell beside a ring called those whose runtime watches it.
    pub(super) fn hear_doorbell(&mut self) -> bool {
        self.waiters.answer();
        let Some(reactor) = self.reactor.take() else { return false };
        let waker = Waker::from(Arc::clone(&self.waiters));
        match reactor.fd.poll_read_ready(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
            // The runtime that it was registered with is gone: the next round takes the present one.
            Poll::Ready(Err(_)) => return true,
            Poll::Pending => {
                self.reactor = Some(reactor);
                return false;
            }
        }
        self.reactor = Some(reactor);
        true
    }

    pub(super) fn needs_attendant(&mut self) -> bool {
        if self.ring.is_some() {
            let needed = match self.attendance {
                Attendance::Dormant => self.needs_ring_watched() || self.has_unwritten(),
                Attendance::Armed => false,
                // A caller that silenced the doorbell may have used up what the attendant waits for.
                Attendance::Watching => self.must_announce(),
            };
            if needed {
                self.attendance = Attendance::Armed;
            }
            return needed;
        }
        if self.link.is_none() || self.attendance == Attendance::Armed {
            return false;
        }
        let waiting = self.has_unwritten() || self.session.is_sendable();
        let needed = match self.attendance {
            Attendance::Watching => waiting && !(self.write_blocked && self.writes_watched),
            _ => waiting || !self.waiters.are_watching(),
        };
        if needed {
            self.attendance = Attendance::Armed;
        }
        needed
    }

    fn has_unwritten(&self) -> bool {
        self.session.ack_pending() || !self.out.is_empty() || self.session.has_returned()
    }

    /// The attendant's look: everything goes out; what to do next.
    pub(crate) fn attended(&mut self) -> Attendance {
        self.write_all();
        if self.ring.is_some() {
            let watch = self.needs_ring_watched();
            self.attendance = if watch { Attendance::Watching } else { Attendance::Dormant };
            return self.attendance;
        }
        let at_ease = self.waiters.are_answering() && !self.write_blocked;
        // Callers that come and go look at the link themselves when they have to wait.
        let busy = std::mem::take(&mut self.calls) > 0 && !self.write_blocked;
        self.attendance = match (at_ease, busy) {
            (true, _) => Attendance::Dormant,
            (false, true) => Attendance::Armed,
            (false, false) => Attendance::Watching,
        };
        self.attendance
    }

    /// The attendant is about to watch; whether for room to write, too.
    pub(crate) fn watch_writes(&mut self) -> bool {
        self.writes_watched = self.write_blocked;
        self.writes_watched
    }

    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked
    }
}

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// There may be more.
    More,
    /// That was all for now.
    Last,
    /// There was nothing.
    Nothing,
}

pub(super) enum Trouble {
    Io(io::Error),
    Protocol(String),
}
