//! The events of a channel, and its state.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use open_channel_ring::ProcessLocal;

use crate::connection::stall::{Stall, StallEnd};
use crate::error::Error;

/// How far a channel is.
///
/// ```text
/// initiated ──connect()──▶ connecting ──▶ connected ──host lost──▶ connecting …
///                               └──timeout──▶ closed ◀──close()──┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing was done yet.
    Initiated,
    /// In search of a host, or about to become it.
    Connecting,
    /// There is a host, perhaps this process.
    Connected,
    /// Closed, or not reached within the connect timeout.
    Closed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Initiated => "initiated",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        })
    }
}

/// The role of this process on its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

/// A change of a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The channel has a host, which may be this process.
    #[non_exhaustive]
    Connected {
        /// The role of this process now.
        role: Role,
        /// The host's generation.
        generation: u64,
    },
    /// This process hosts now.
    #[non_exhaustive]
    BecameHost {
        /// Its generation.
        generation: u64,
    },
    /// The host died, was given up, or was [fenced](Self::Fenced); the next one is being found.
    /// Replies of its that had arrived are in their sockets already.
    #[non_exhaustive]
    HostLost {
        /// The lost host's generation.
        generation: u64,
    },
    /// The host gave up hosting in an orderly way; the next one is being found.
    #[non_exhaustive]
    HandedOver {
        /// The former host's generation.
        generation: u64,
    },
    /// This process hosted, and another took over. This process was stopped for too long, or
    /// newcomers use another directory now.
    #[non_exhaustive]
    Fenced {
        /// This process's former generation.
        generation: u64,
    },
    /// A socket of this process, of either end, is stalled: nothing that it sent was acknowledged
    /// for [`stall_after`](crate::Builder::stall_after). Nothing else happens: the socket goes on.
    ///
    /// The handler at the other side hangs or takes long, or its process is stopped, or there is no
    /// host. The time goes on across a lost connection and a change of host. Reported once for each
    /// stall, until [its end](Self::StallEnded).
    Stalled(Stall),
    /// A stall is over. After [`Closed`](Self::Closed), all are.
    StallEnded(StallEnd),
    /// The channel is closed, by this side if there is no error.
    #[non_exhaustive]
    Closed {
        /// The reason; `None` if it was closed on purpose.
        error: Option<Error>,
    },
}

/// The events of a channel from [`Channel::events`](crate::Channel::events) on.
#[derive(Debug)]
pub struct Events {
    receiver: ProcessLocal<broadcast::Receiver<Event>>,
    over: bool,
}

impl Events {
    /// Events that are kept for a receiver that does not keep up; the oldest are dropped.
    pub const BACKLOG: usize = 256;

    /// The channel may be `over` already.
    pub(crate) fn new(receiver: broadcast::Receiver<Event>, over: bool) -> Self {
        Self { receiver: ProcessLocal::new(receiver), over }
    }

    /// The events of a channel that a forked child has inherited.
    pub(crate) fn inherited() -> Self {
        let (sender, receiver) = broadcast::channel(1);
        // The receiver is here.
        let _ = sender.send(Event::Closed { error: Some(Error::Forked) });
        Self::new(receiver, false)
    }

    /// The next event; `None` when there will be no more, because the channel was closed on
    /// purpose.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        while !self.over {
            let Some(receiver) = self.receiver.get_mut() else { return self.forked() };
            let received = receiver.recv().await;
            if let Some(event) = self.take(received) {
                return Some(event);
            }
        }
        None
    }

    /// The next event, waiting on this thread; not for use in async code.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        while !self.over {
            let Some(receiver) = self.receiver.get_mut() else { return self.forked() };
            let received = receiver.blocking_recv();
            if let Some(event) = self.take(received) {
                return Some(event);
            }
        }
        None
    }

    /// All that a forked child gets.
    fn forked(&mut self) -> Option<Event> {
        self.over = true;
        Some(Event::Closed { error: Some(Error::Forked) })
    }

    fn take(&mut self, received: Result<Event, RecvError>) -> Option<Event> {
        self.over = matches!(received, Ok(Event::Closed { error: None }) | Err(RecvError::Closed));
        received.ok()
    }
}
