//! The state of a host: its generation, the sessions of its peers, and the phase of its hand-over.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use open_channel_proto::SocketId;
use tokio::sync::watch;

use crate::channel::settings::Settings;
use crate::connection::Connection;
use crate::connection::tap::Taps;
use crate::error::Error;
use crate::rendezvous::election::Tenure;
use crate::rendezvous::endpoint::Endpoint;
use crate::rendezvous::fence::Fence;

/// Time between two checks whether the handlers are done.
const SETTLE_POLL: Duration = Duration::from_millis(1);
/// The wait for links that take their last frames later. A peer that is stopped costs no more.
const LINGER: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Only the sockets of this same channel are admitted, for the messages they hold. Handlers
    /// finish their messages.
    Retiring,
    /// No socket is admitted; handlers finish their messages.
    Closing,
    /// The right to host is given back: peers may go.
    Released,
    /// The right to host was lost, or the process behaves as if it had been killed: peers get no
    /// notice.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Host {
    generation: u64,
    since: Instant,
    endpoint: Endpoint,
    pub(crate) fence: Arc<Fence>,
    sessions: Mutex<HashMap<SocketId, Arc<Connection>>>,
    /// If the program allows any.
    pub(super) taps: Option<Arc<Taps>>,
    /// Lifelines that have not ended, and sockets whose handshake goes on.
    pub(super) links: AtomicUsize,
    pub(super) phase: watch::Sender<Phase>,
    /// The time since which the hand-over waits for handlers.
    retiring_since: OnceLock<Instant>,
}

impl Host {
    pub(crate) fn new(tenure: &Tenure, settings: &Settings) -> Self {
        Self {
            generation: tenure.generation(),
            since: Instant::now(),
            endpoint: tenure.endpoint(),
            fence: Arc::new(tenure.fence(settings.host_timeout)),
            sessions: Mutex::default(),
            taps: settings.tap.unwrap_or(false).then(Arc::default),
            links: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Open),
            retiring_since: OnceLock::new(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The time for which it has hosted.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The sockets that it serves.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.sessions().values().cloned().collect()
    }

    /// Where others connect.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Begins the hand-over: messages that the peers send from here on are for the next host. The
    /// sockets of this same channel go on, because closing the channel flushes them first.
    pub(crate) fn retire(&self, is_own: impl Fn(SocketId) -> bool) {
        let begins = self.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Open;
            if begins {
                *phase = Phase::Retiring;
            }
            begins
        });
        if begins {
            if !self.fence.holds() {
                return self.step_down(Error::Fenced);
            }
            self.retiring_since.get_or_init(Instant::now);
            let connections = self.connections();
            let others = connections.iter().filter(|connection| !is_own(connection.id()));
            others.for_each(|connection| connection.stop_delivery());
        }
    }

    /// Hands over in order: handlers finish, the right to host is given back, and peers are
    /// notified.
    pub(super) async fn hand_over(&self, tenure: Tenure, patience: Duration) {
        // Handlers must not be told of a hand-over where another process has taken over.
        if !self.fence.holds() {
            return self.step_down(Error::Fenced);
        }
        self.phase.send_replace(Phase::Closing);
        let patience =
            patience.saturating_sub(self.retiring_since.get_or_init(Instant::now).elapsed());
        let connections = self.connections();
        connections.iter().for_each(|connection| connection.stop_delivery());
        let settled = async {
            while !connections.iter().all(|connection| connection.is_settled()) {
                tokio::time::sleep(SETTLE_POLL).await;
            }
        };
        if tokio::time::timeout(patience, settled).await.is_err() {
            tracing::warn!(
                generation = self.generation,
                "handlers did not finish before the hand-over"
            );
        }
        if !self.fence.holds() {
            return self.step_down(Error::Fenced);
        }
        self.fence.give_up();
        drop(tenure);
        let lingering: Vec<_> =
            connections.iter().filter_map(|connection| connection.say_go_away()).collect();
        self.phase.send_replace(Phase::Released);
        // The others go on already. This process may end next, and its links with it.
        let lingered = async {
            for link in lingering {
                drop(link.await);
            }
        };
        drop(tokio::time::timeout(LINGER, lingered).await);
        tracing::info!(generation = self.generation, "handed over");
    }

    pub(super) fn step_down(&self, why: Error) {
        self.fence.give_up();
        self.sessions().drain().for_each(|(_, connection)| connection.fail(why.clone()));
        // Lifelines end too.
        self.phase.send_replace(Phase::Lost);
    }

    /// Resolves when hosting is over, to the phase in which it ended.
    pub(super) async fn over(&self) -> Phase {
        let mut phase = self.phase.subscribe();
        let over = phase.wait_for(|phase| matches!(phase, Phase::Released | Phase::Lost)).await;
        over.map_or(Phase::Lost, |phase| *phase)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<SocketId, Arc<Connection>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendezvous::election::tests;

    /// It was stopped, and the first thing that it does is to close, or to end its program.
    #[tokio::test]
    async fn a_fenced_host_hands_nothing_over() {
        let settings = Settings { host_timeout: Duration::ZERO, ..Settings::default() };
        for retires_first in [true, false] {
            let (_root, dir) = tests::directory("passed by");
            let tenure = tests::host(&dir, 1);
            let host = Host::new(&tenure, &settings);
            let _successor = tests::host(&dir, 2);
            if retires_first {
                host.retire(|_| false);
                assert_eq!(*host.phase.borrow(), Phase::Lost);
            }
            host.hand_over(tenure, Duration::ZERO).await;
            assert_eq!(*host.phase.borrow(), Phase::Lost);
            assert_eq!(host.retiring_since.get(), None, "handlers were told of a hand-over");
        }
    }
}
