//! Attaching and losing links: the handshakes of both sides.

use std::num::NonZeroU32;

use super::wanted::GivenUps;
use super::{Link, Session};
use crate::error::ProtocolError;
use crate::handshake::{Features, Hello, Purpose, RingSizes, Welcome};
use crate::id::ChannelKey;
use crate::inbox::Inbox;
use crate::limits::Limits;
use crate::version::{ATTEMPTS, VERSION_MAX, VERSION_MIN};

/// How a handshake went, for the peer; exhaustive, because a caller has to know which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// The same host still knew the session: nothing is delivered twice.
    Resumed,
    /// The host does not know the session: what was transmitted before goes out again, marked.
    Fresh,
}

/// The peer's side.
impl Session {
    /// The first frame of the peer on a new link. The old link must be [detached](Self::detach): a
    /// new host would not know what arrived on it after the hello.
    pub fn hello(&self, channel: ChannelKey, features: Features) -> Hello {
        Hello {
            // A host that knows no gaps cannot go on from here.
            version_min: if self.outbox.has_gaps() { ATTEMPTS } else { VERSION_MIN },
            version_max: VERSION_MAX,
            purpose: Purpose::Session,
            channel,
            socket: self.id,
            generation: self.generation,
            first: self.outbox.restart_at(),
            recv_next: self.inbox.next(),
            handled: self.inbox.handled_through(),
            unhandled: self.inbox.unhandled_cost() as u64,
            window: self.limits.window as u64,
            outbox: self.limits.outbox as u64,
            max_message: self.limits.max_message as u64,
            ended: self.inbox.is_finished(),
            features,
            ring: RingSizes::default(),
            max_attempts: self.announced_max_attempts(),
        }
    }

    /// The peer takes the host's answer to its [`hello`](Self::hello): the link is attached.
    ///
    /// # Errors
    /// If the answer does not fit the session. The link is useless then, the session unharmed.
    pub fn attach(&mut self, welcome: &Welcome) -> Result<Attachment, ProtocolError> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            return Err(ProtocolError::Handshake("the host chose a version that was not offered"));
        }
        self.may_go_on_in(welcome.version)?;
        if welcome.generation < self.generation {
            return Err(ProtocolError::Handshake("the host is older than the one before it"));
        }
        let attachment = if welcome.resumed {
            if welcome.generation != self.generation || welcome.handled >= welcome.recv_next {
                return Err(ProtocolError::Handshake("the host resumes what it never had"));
            }
            if !self.ending.is_over() {
                self.outbox.rewind(welcome.recv_next)?;
                self.outbox.acknowledge(welcome.handled)?;
            }
            Attachment::Resumed
        } else {
            if welcome.recv_next != self.outbox.restart_at() {
                return Err(ProtocolError::Handshake(
                    "a new host must start at the first unacknowledged message",
                ));
            }
            if !self.ending.is_over() {
                let undeliverable = &mut self.undeliverable;
                self.outbox.restart(welcome.version, |message| undeliverable.push_back(message));
            } else {
                self.ending.reset_new_host();
            }
            self.inbox.change_sender();
            Attachment::Fresh
        };
        self.generation = welcome.generation;
        self.remote.max_attempts = welcome.max_attempts;
        self.link_up(welcome.version, welcome.window, welcome.outbox, welcome.max_message);
        self.settle();
        Ok(attachment)
    }

    /// The link is lost; everything unacknowledged waits for the next one.
    pub fn detach(&mut self) {
        self.link = None;
        self.given_up = GivenUps::default();
        self.renew_recalls();
    }
}

/// The host's side.
impl Session {
    /// The host's side of a socket that this host meets for the first time.
    ///
    /// # Errors
    /// If the hello's numbers are impossible.
    pub fn accept(
        hello: &Hello,
        version: u16,
        generation: u64,
        limits: Limits,
    ) -> Result<(Self, Welcome), ProtocolError> {
        hello.check()?;
        let mut session = Self { generation, ..Self::new(hello.socket, limits) };
        let welcome = session.start(hello, version);
        Ok((session, welcome))
    }

    /// The host takes a new link of a peer that it knows.
    ///
    /// # Errors
    /// If the hello does not fit the session, which is unharmed then.
    pub fn resume(&mut self, hello: &Hello, version: u16) -> Result<Welcome, ProtocolError> {
        hello.check()?;
        if hello.generation > self.generation {
            return Err(ProtocolError::Handshake("the peer has met a newer host"));
        }
        if hello.generation < self.generation {
            // The peer never took our welcome, so nothing has passed and both sides start afresh. A
            // hello that a later one has overtaken must not have that effect.
            let overtaken = hello.first < self.inbox.next() || hello.recv_next < self.outbox.base();
            if overtaken || !self.inbox.is_untouched() || self.outbox.has_given_back() {
                return Err(ProtocolError::Handshake("a hello from before the session began"));
            }
            self.may_go_on_in(version)?;
            return Ok(self.start(hello, version));
        }
        if hello.first > self.inbox.next() {
            return Err(ProtocolError::Handshake(
                "the peer has forgotten messages that never arrived",
            ));
        }
        self.may_go_on_in(version)?;
        self.outbox.rewind(hello.recv_next)?;
        self.outbox.acknowledge(hello.handled)?;
        self.link_up(version, hello.window, hello.outbox, hello.max_message);
        self.inbox.acknowledged_by_handshake();
        self.settle();
        Ok(self.welcome(version, true))
    }

    /// The host's side begins where the peer stands.
    fn start(&mut self, hello: &Hello, version: u16) -> Welcome {
        self.inbox = Inbox::new(hello.first, self.limits);
        if self.outbox.base() != hello.recv_next {
            self.forget_recalls();
        }
        self.outbox.renumber(hello.recv_next);
        let unhandled = usize::try_from(hello.unhandled).unwrap_or(usize::MAX).min(usize::MAX / 4);
        self.outbox.carry(hello.recv_next - 1, unhandled);
        if hello.ended {
            self.outbox.conclude();
        }
        self.remote.max_attempts = hello.max_attempts;
        self.link_up(version, hello.window, hello.outbox, hello.max_message);
        self.welcome(version, false)
    }

    fn welcome(&self, version: u16, resumed: bool) -> Welcome {
        Welcome {
            version,
            generation: self.generation,
            resumed,
            recv_next: self.inbox.next(),
            handled: self.inbox.handled_through(),
            window: self.limits.window as u64,
            outbox: self.limits.outbox as u64,
            max_message: self.limits.max_message as u64,
            features: Features::default(),
            max_attempts: self.announced_max_attempts(),
        }
    }
}

impl Session {
    fn announced_max_attempts(&self) -> u32 {
        self.limits.max_attempts.map_or(0, NonZeroU32::get)
    }

    fn may_go_on_in(&self, version: u16) -> Result<(), ProtocolError> {
        if version < ATTEMPTS && self.outbox.has_gaps() {
            return Err(ProtocolError::Handshake(
                "that version cannot tell of a message that was withdrawn",
            ));
        }
        Ok(())
    }

    fn link_up(&mut self, version: u16, window: u64, remote_outbox: u64, remote_max_message: u64) {
        debug_assert!(
            !self.outbox.has_store(),
            "what the last link's store held was not reclaimed"
        );
        self.inbox.attach(version, remote_outbox);
        self.outbox.use_version(version);
        self.remote.is_going_away = false;
        self.ending.attach();
        self.link = Some(Link { window: usize::try_from(window).unwrap_or(usize::MAX) });
        self.remote.max_message = usize::try_from(remote_max_message).unwrap_or(usize::MAX);
        self.renew_recalls();
    }
}
