//! A process's place on its channel: find the host or become it, and again when it is lost.
//!
//! ```text
//!              ┌───────────┐  published a generation   ┌─────────┐
//!    start ──▶ │ searching │ ────────────────────────▶ │ hosting │
//!              └───────────┘ ◀──────────────────────── └─────────┘
//!                │  ▲  │            fenced off              │ closed: hand over
//!      welcomed  │  │  │ timeout                            ▼
//!                ▼  │  └────────────────────────────▶ ┌────────┐
//!              ┌───────┐   host lost / handed over    │ closed │
//!              │ guest │ ───── (to searching)         └────────┘
//!              └───────┘
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::channel::{Place, Shared};
use crate::election::{self, Candidate, Published, Tenure};
use crate::error::Error;
use crate::event::{Event, Role};
use crate::greeting::Unwelcome;
use crate::host::{self, Host};
use crate::lifeline::{Lifeline, Loss, NoLifeline};
use crate::link::unix;
use crate::rendezvous::{ChannelDir, Endpoint};

/// Attempts that are only microseconds apart: another process is about to publish itself, or to be gone.
const QUICK_ATTEMPTS: u32 = 20;
const QUICK_PAUSE: Duration = Duration::from_micros(50);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Runs on the background thread until the channel is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut search = Search {
        shared: &shared,
        last_generation: 0,
        passed_over: 0,
        presumed_dead: None,
        attempts: 0,
        inhabited_since: None,
        cause: String::new(),
    };
    loop {
        shared.set_place(Place::Searching);
        let found = tokio::select! {
            found = search.find() => found,
            _ = shared.closing() => return shared.ended(None),
        };
        match found {
            Ok(Found::Tenure(tenure, rival)) => {
                search.last_generation = tenure.generation();
                if rival == Rival::Alive {
                    tokio::select! {
                        () = tokio::time::sleep(election::lease(shared.settings.host_timeout)) => {}
                        _ = shared.closing() => return shared.ended(None),
                    }
                }
                match host(&shared, tenure).await {
                    host::End::Closing => return shared.ended(None),
                    host::End::Fenced => {}
                }
            }
            Ok(Found::Guest(lifeline, endpoint)) => {
                search.last_generation = lifeline.generation;
                tokio::select! {
                    loss = guest(&shared, lifeline, endpoint) => search.lost(loss),
                    _ = shared.closing() => return shared.ended(None),
                }
            }
            Err(error) => return shared.ended(Some(error)),
        }
    }
}

async fn host(shared: &Arc<Shared>, tenure: Tenure) -> host::End {
    let generation = tenure.generation();
    tracing::info!(channel = shared.name(), generation, "elected: this process hosts");
    let host = Arc::new(Host::new(shared, &tenure));
    shared.set_place(Place::Hosting(Arc::clone(&host)));
    shared.announce(Event::BecameHost { generation });
    shared.announce(Event::Connected { role: Role::Host, generation });
    let end = host.serve(tenure).await;
    if end == host::End::Fenced {
        tracing::warn!(channel = shared.name(), generation, "fenced: another process hosts");
        shared.abandon_links();
        shared.announce(Event::Fenced { generation });
    }
    end
}

async fn guest(shared: &Arc<Shared>, mut lifeline: Lifeline, endpoint: Endpoint) -> Loss {
    let generation = lifeline.generation;
    shared.set_place(Place::Guest { generation, endpoint });
    shared.announce(Event::Connected { role: Role::Peer, generation });
    let loss = lifeline.watch(shared.settings.host_timeout).await;
    tracing::info!(channel = shared.name(), generation, ?loss, "lost the host");
    // What the host had sent is taken in before anybody hears of its end.
    shared.set_place(Place::Searching);
    shared.abandon_links();
    shared.announce(match loss {
        Loss::HandedOver => Event::HandedOver { generation },
        Loss::Gone | Loss::Stuck => Event::HostLost { generation },
    });
    loss
}

enum Found {
    Tenure(Tenure, Rival),
    Guest(Lifeline, Endpoint),
}

/// The host that a new generation was opened over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rival {
    Gone,
    /// It may still handle messages until its lease ends.
    Alive,
}

/// One step of a search.
enum Step {
    Found(Found),
    /// Look again at once: something changed.
    Again,
    /// Look again after a pause; why, for people.
    Wait(String),
}

struct Search<'a> {
    shared: &'a Arc<Shared>,
    last_generation: u64,
    /// Up to here, generations are taken by something that is no host's link.
    passed_over: u64,
    /// A generation whose host is dead or stuck although its lock is held.
    presumed_dead: Option<u64>,
    attempts: u32,
    /// Since when a living process has been seen here without a link.
    inhabited_since: Option<Instant>,
    /// What stood in the way last, for people.
    cause: String,
}

impl Search<'_> {
    fn lost(&mut self, loss: Loss) {
        if loss != Loss::HandedOver {
            self.presumed_dead = (loss == Loss::Stuck).then_some(self.last_generation);
        }
    }

    async fn find(&mut self) -> Result<Found, Error> {
        let started = Instant::now();
        self.attempts = 0;
        self.cause = "no process hosts it".into();
        loop {
            let timeout = self.shared.connect_timeout();
            let left = timeout.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(Step::Found(found))) => return Ok(found),
                Ok(Ok(Step::Again)) => {}
                Ok(Ok(Step::Wait(why))) => {
                    self.cause = why;
                    self.pause().await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
            if started.elapsed() >= timeout {
                return Err(self.shared.not_reached(timeout, self.cause.clone()));
            }
        }
    }

    async fn pause(&mut self) {
        self.attempts += 1;
        if self.attempts <= QUICK_ATTEMPTS {
            // Shorter than any timer of the runtime.
            std::thread::sleep(QUICK_PAUSE);
            tokio::task::yield_now().await;
        } else {
            let pause = Duration::from_millis(u64::from(self.attempts - QUICK_ATTEMPTS));
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
    }

    async fn step(&mut self) -> Result<Step, Error> {
        let dir = match self.shared.open_dir() {
            Ok(dir) => dir,
            // Descriptors or memory may be free again soon.
            Err(error @ Error::Io { .. }) => return Ok(Step::Wait(error.to_string())),
            Err(error) => return Err(error),
        };
        let unreadable = |error| Step::Wait(format!("reading {}: {error}", dir.path().display()));
        let published = match election::current(&dir) {
            Ok(Some(published)) => published,
            Ok(None) => return Ok(self.found(&dir)),
            Err(error) => return Ok(unreadable(error)),
        };
        let next = published.generation.max(self.last_generation).max(self.passed_over) + 1;
        // Who cannot take its place can only hope that it comes back.
        if self.presumed_dead == Some(published.generation) && self.shared.may_host() {
            return Ok(self.stand(&dir, next));
        }
        if published.generation < self.last_generation && self.shared.may_host() {
            // Somebody emptied the place, and who came then began anew; generations never go back.
            return Ok(self.stand_against(&dir, next, Rival::Alive));
        }
        let endpoint =
            published.endpoint(&dir).map_err(|error| Error::directory(dir.path(), error.to_string()))?;
        self.inhabited_since = None;
        match unix::connect(endpoint.path()).await {
            Ok(stream) => self.join(stream, published, endpoint).await,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    Ok(match published.is_locked(&dir) {
                        Ok(true) => Step::Wait("its host lives and cannot be reached".into()),
                        Ok(false) => self.stand(&dir, next),
                        Err(error) => unreadable(error),
                    })
                }
                io::ErrorKind::PermissionDenied => Err(Error::PermissionDenied(format!(
                    "connecting to {}: {error}",
                    endpoint.path().display()
                ))),
                // A full backlog, descriptors that ran out: not a dead host.
                _ => Ok(Step::Wait(format!("connecting to {}: {error}", endpoint.path().display()))),
            },
        }
    }

    /// The first generation, or the next one after all links were deleted.
    fn found(&mut self, dir: &Arc<ChannelDir>) -> Step {
        let since = *self.inhabited_since.get_or_insert_with(Instant::now);
        if election::is_inhabited(dir).unwrap_or(false) && since.elapsed() < self.shared.settings.host_timeout
        {
            return Step::Wait("its host is about to publish itself".into());
        }
        self.inhabited_since = None;
        self.stand(dir, self.last_generation.max(self.passed_over) + 1)
    }

    fn stand(&mut self, dir: &Arc<ChannelDir>, generation: u64) -> Step {
        self.stand_against(dir, generation, Rival::Gone)
    }

    /// Tries to become the host of `generation`.
    fn stand_against(&mut self, dir: &Arc<ChannelDir>, generation: u64, rival: Rival) -> Step {
        if !self.shared.may_host() {
            return Step::Wait("no process hosts it, and this one only joins".into());
        }
        match Candidate::prepare(dir).and_then(|candidate| candidate.publish(generation)) {
            Ok(Some(tenure)) => Step::Found(Found::Tenure(tenure, rival)),
            Ok(None) => {
                // Whoever won it is to be seen; what is no link of a host is passed over.
                let winner =
                    |published: Option<Published>| published.is_some_and(|it| it.generation >= generation);
                if election::current(dir).is_ok_and(|published| !winner(published)) {
                    self.passed_over = generation;
                }
                Step::Again
            }
            // Also what a sweep looks like that came in between: the next attempt tells.
            Err(error) => {
                // A stuck host that cannot be replaced may still come back.
                self.presumed_dead = None;
                Step::Wait(format!("hosting in {}: {error}", dir.path().display()))
            }
        }
    }

    async fn join(
        &mut self,
        stream: tokio::net::UnixStream,
        published: Published,
        endpoint: Endpoint,
    ) -> Result<Step, Error> {
        let peer = unix::peer(&stream).map_err(|error| Error::io("reading the host's credentials", error))?;
        if !self.shared.settings.allows(peer.uid) {
            let uid = peer.uid;
            return Err(Error::PermissionDenied(format!(
                "the host belongs to user {uid}, who is not allowed"
            )));
        }
        let host_timeout = self.shared.settings.host_timeout;
        self.cause = "its host does not answer".into();
        // A host that puts us off may do so again, and each hello of a socket costs the memory of its rings.
        if self.attempts == 0 {
            self.shared.set_place(Place::Approaching { endpoint: endpoint.clone() });
        }
        let opened = Lifeline::open(stream, peer.pid, self.shared.key(), host_timeout).await;
        let step = self.judge(opened, published, endpoint);
        if !matches!(step, Ok(Step::Found(_))) {
            self.shared.set_place(Place::Searching);
        }
        step
    }

    /// What follows from the answer of the host.
    fn judge(
        &mut self,
        opened: Result<Lifeline, NoLifeline>,
        published: Published,
        endpoint: Endpoint,
    ) -> Result<Step, Error> {
        match opened {
            Ok(lifeline) if lifeline.generation != published.generation => {
                let (claimed, known) = (lifeline.generation, published.generation);
                Err(Error::Protocol(format!("the host of generation {known} says that it is of {claimed}")))
            }
            Ok(lifeline) if lifeline.generation < self.last_generation => {
                Ok(Step::Wait("its host is of an earlier generation than the last one".into()))
            }
            Ok(lifeline) => Ok(Step::Found(Found::Guest(lifeline, endpoint))),
            Err(NoLifeline::Silent) => {
                tracing::warn!(
                    channel = self.shared.name(),
                    generation = published.generation,
                    "the host is stuck"
                );
                self.presumed_dead = Some(published.generation);
                // A dead one whose forked child still listens is silent at once.
                Ok(if self.shared.may_host() { Step::Again } else { Step::Wait(self.cause.clone()) })
            }
            Err(NoLifeline::Unwelcome(Unwelcome::Gone(why) | Unwelcome::Later(why))) => Ok(Step::Wait(why)),
            Err(NoLifeline::Unwelcome(Unwelcome::Refused(error))) => Err(error),
        }
    }
}
