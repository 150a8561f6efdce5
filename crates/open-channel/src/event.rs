//! What happens to a channel, for those who want to know.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::Error;

/// What this process is on its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Not on it (yet, or any more).
    None,
    /// Connected to the host, which is another process or another channel object of this one.
    Peer,
    /// The host.
    Host,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Peer => "peer",
            Self::Host => "host",
        })
    }
}

/// What happened to a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The channel has a host, which may be this process.
    Connected {
        /// What this process is now.
        role: Role,
        /// The host's generation.
        generation: u64,
    },
    /// This process hosts now.
    BecameHost {
        /// Its generation.
        generation: u64,
    },
    /// The host died or was given up; the next one is being found. Replies of its that had arrived are in their
    /// sockets already.
    HostLost {
        /// The lost host's generation.
        generation: u64,
    },
    /// The host gave up hosting in an orderly way; the next one is being found.
    HandedOver {
        /// The former host's generation.
        generation: u64,
    },
    /// This process hosted, and another took over: this one was stopped for too long, or newcomers
    /// no longer look in its directory.
    Fenced {
        /// This process's former generation.
        generation: u64,
    },
    /// The channel is closed, by this side if there is no error.
    Closed {
        /// Why, unless on purpose.
        error: Option<Error>,
    },
}

/// The events of a channel from [`Channel::events`](crate::Channel::events) on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    over: bool,
}

impl Events {
    /// Events that are kept for a receiver that does not keep up; the oldest are dropped.
    pub const BACKLOG: usize = 256;

    /// Of a channel that may be `over` already.
    pub(crate) fn new(receiver: broadcast::Receiver<Event>, over: bool) -> Self {
        Self { receiver, over }
    }

    /// The next event; `None` when there will be no more, because the channel was closed on purpose.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        while !self.over {
            let received = self.receiver.recv().await;
            if let Some(event) = self.take(received) {
                return Some(event);
            }
        }
        None
    }

    /// The next event, waiting on this thread; not for use in async code.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        while !self.over {
            let received = self.receiver.blocking_recv();
            if let Some(event) = self.take(received) {
                return Some(event);
            }
        }
        None
    }

    fn take(&mut self, received: Result<Event, RecvError>) -> Option<Event> {
        self.over = matches!(received, Ok(Event::Closed { error: None }) | Err(RecvError::Closed));
        received.ok()
    }
}
