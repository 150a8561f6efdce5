//! One search for the host of a channel, by a process that becomes it if there is none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::channel::shared::{Place, Shared};
use crate::error::Error;
use crate::link::{PeerInfo, Stream};
use crate::membership::handshake::HandshakeError;
use crate::membership::lifeline::{Lifeline, Loss, NoLifeline};
use crate::rendezvous::directory::{ChannelDir, Missing};
use crate::rendezvous::election::{self, Candidacy, Next, Tenure};
use crate::rendezvous::endpoint::Endpoint;
use crate::rendezvous::entries::{self, Published};
use crate::rendezvous::lock_file;
use crate::rendezvous::removal;
use crate::rendezvous::versions::{self, Presence, Versions};

/// Attempts that are only microseconds apart: another process is about to publish itself, or to
/// end.
const QUICK_ATTEMPTS: u32 = 20;
const QUICK_PAUSE: Duration = Duration::from_micros(50);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause after candidates have stepped back for each other; it grows with each time.
const STEPPED_BACK: Duration = Duration::from_millis(4);
const LONGEST_STEPPED_BACK: Duration = Duration::from_millis(64);

/// The cause that a process which never hosts reports while no process hosts.
const ONLY_JOINS: &str = "no process hosts it, and this one only joins";

pub(super) enum Found {
    Tenure(Box<Tenure>, Predecessor),
    Peer(Lifeline, Endpoint),
}

/// The host that a new generation was opened over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predecessor {
    Gone,
    /// It may still handle messages until its lease ends.
    Alive,
}

/// One step of a search.
enum Step {
    Found(Found),
    /// Something changed: search again at once.
    Again,
    /// Search again after a pause; the text names the obstacle.
    Wait(String),
    /// The same, because of processes that speak other versions.
    WaitForVersions(String),
    /// No candidate became the host. Search again after a pause that differs from that of the
    /// others.
    Contended,
}

/// The last obstacle.
#[derive(Debug, Default)]
struct Cause {
    words: String,
    /// Other processes speak other versions.
    versions: bool,
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self { words, versions: false }
    }
}

pub(super) struct Search<'a> {
    shared: &'a Arc<Shared>,
    pub(super) last_generation: u64,
    /// Generations up to this one are taken by something that is no host's link.
    passed_over: u64,
    /// A generation whose host is dead or stuck although its lock is held.
    presumed_dead: Option<u64>,
    attempts: u32,
    /// The number of times that no candidate became the host.
    stepped_back: u32,
    /// The time since which a living process without a link has been here.
    inhabited_since: Option<Instant>,
    /// Publishes the versions of this process.
    presence: Option<Presence>,
    /// The time since which processes of other versions have been without a host.
    strangers_since: Option<Instant>,
    cause: Cause,
}

impl<'a> Search<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            last_generation: 0,
            passed_over: 0,
            presumed_dead: None,
            attempts: 0,
            stepped_back: 0,
            inhabited_since: None,
            presence: None,
            strangers_since: None,
            cause: Cause::default(),
        }
    }

    /// A process that never hosts has nothing to put in the directory.
    fn missing(&self) -> Missing {
        if self.shared.may_host() { Missing::Make } else { Missing::Leave }
    }

    pub(super) fn lost(&mut self, loss: Loss) {
        if loss != Loss::HandedOver {
            self.presumed_dead = (loss == Loss::Stuck).then_some(self.last_generation);
        }
    }

    pub(super) async fn find(&mut self) -> Result<Found, Error> {
        let started = Instant::now();
        self.attempts = 0;
        self.stepped_back = 0;
        self.cause = String::from("no process hosts it").into();
        loop {
            let timeout = self.shared.connect_timeout();
            let left = timeout.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(Step::Found(found))) => return Ok(found),
                Ok(Ok(Step::Again)) => {}
                Ok(Ok(Step::Wait(why))) => {
                    self.cause = why.into();
                    self.pause().await;
                }
                Ok(Ok(Step::Contended)) => {
                    self.stepped_back += 1;
                    let random = getrandom::u32().unwrap_or(std::process::id());
                    tokio::time::sleep(pause_after_stepping_back(self.stepped_back, random)).await;
                }
                Ok(Ok(Step::WaitForVersions(words))) => {
                    if !self.cause.versions {
                        tracing::warn!(
                            channel = self.shared.name(),
                            words,
                            "waiting for another host"
                        );
                    }
                    self.cause = Cause { words, versions: true };
                    self.pause().await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
            if started.elapsed() >= timeout {
                let cause = std::mem::take(&mut self.cause);
                return Err(match cause.versions {
                    true => Error::Version(cause.words),
                    false => self.shared.not_reached(timeout, cause.words),
                });
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
        let dir = match self.shared.open_dir(self.missing()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.shared.may_host() => {
                return Ok(Step::Wait(ONLY_JOINS.into()));
            }
            Err(error) => return self.put_off(error),
        };
        let step = self.step_in(&dir).await;
        if matches!(step, Ok(Step::Found(_))) {
            self.take_part(&dir);
        }
        step
    }

    /// Publishes the versions of this process to others.
    fn take_part(&mut self, dir: &ChannelDir) {
        self.strangers_since = None;
        if self.presence.as_ref().is_some_and(|presence| presence.is_visible(dir)) {
            return;
        }
        self.presence = Presence::announce(dir)
            .inspect_err(|error| {
                tracing::debug!(channel = self.shared.name(), %error, "others cannot see its versions");
            })
            .ok();
    }

    async fn step_in(&mut self, dir: &Arc<ChannelDir>) -> Result<Step, Error> {
        let unreadable = |error| Step::Wait(format!("reading {}: {error}", dir.path().display()));
        let published = match entries::current(dir) {
            Ok(Some(published)) => published,
            Ok(None) => return self.establish(dir).await,
            Err(error) => return Ok(unreadable(error)),
        };
        let next = Next {
            generation: published.generation.max(self.last_generation).max(self.passed_over) + 1,
            over: Some(published.generation),
        };
        // A process that cannot take its place waits for it to come back.
        if self.presumed_dead == Some(published.generation) && self.shared.may_host() {
            return self.run_for(dir, next).await;
        }
        if published.generation < self.last_generation && self.shared.may_host() {
            // The directory was emptied and a newcomer began anew; generations never go back.
            return self.run_for_after(dir, next, Predecessor::Alive).await;
        }
        let endpoint = Endpoint::new(dir, published.token);
        self.inhabited_since = None;
        let address = match endpoint.address(self.shared.settings.link) {
            Ok(Some(address)) => address,
            Ok(None) => return self.replace_unless_alive(dir, published, next, "").await,
            Err(error) => return self.put_off(error),
        };
        let patience = self.shared.settings.host_timeout;
        let connecting = tokio::time::timeout(patience, address.connect());
        match connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((stream, peer)) => {
                drop(address);
                self.join(stream, peer, published, endpoint).await
            }
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                    let why = format!(": connecting to {address}: {error}");
                    self.replace_unless_alive(dir, published, next, &why).await
                }
                io::ErrorKind::TimedOut => Ok(self.step_after_silence(published.generation)),
                io::ErrorKind::PermissionDenied => {
                    Err(Error::PermissionDenied(format!("connecting to {address}: {error}")))
                }
                // A full backlog or a lack of descriptors: the host is not dead.
                _ => Ok(Step::Wait(format!("connecting to {address}: {error}"))),
            },
        }
    }

    /// Becomes the host in place of one that cannot be reached, if that is dead.
    async fn replace_unless_alive(
        &mut self,
        dir: &Arc<ChannelDir>,
        published: Published,
        next: Next,
        why: &str,
    ) -> Result<Step, Error> {
        match lock_file::is_alive(dir, published.token) {
            Ok(true) => Ok(Step::Wait(format!("its host lives and cannot be reached{why}"))),
            Ok(false) => self.run_for(dir, next).await,
            Err(error) => self.put_off(error),
        }
    }

    /// After the host of `generation` did not answer for the host timeout.
    fn step_after_silence(&mut self, generation: u64) -> Step {
        tracing::warn!(channel = self.shared.name(), generation, "the host is stuck");
        self.presumed_dead = Some(generation);
        // A dead host whose forked child still listens is silent at once.
        if self.shared.may_host() {
            Step::Again
        } else {
            Step::Wait("its host does not answer".into())
        }
    }

    /// The first generation, or the next one after all links were deleted.
    async fn establish(&mut self, dir: &Arc<ChannelDir>) -> Result<Step, Error> {
        let since = *self.inhabited_since.get_or_insert_with(Instant::now);
        if lock_file::is_inhabited(dir).unwrap_or(false)
            && since.elapsed() < self.shared.settings.host_timeout
        {
            return Ok(Step::Wait("its host is about to publish itself".into()));
        }
        self.inhabited_since = None;
        let past = match removal::past(dir) {
            Ok(past) => past.max(self.last_generation).max(self.passed_over),
            Err(error) => return self.put_off(error),
        };
        self.run_for(dir, Next { generation: past + 1, over: None }).await
    }

    async fn run_for(&mut self, dir: &Arc<ChannelDir>, next: Next) -> Result<Step, Error> {
        self.run_for_after(dir, next, Predecessor::Gone).await
    }

    /// Tries to become the host.
    async fn run_for_after(
        &mut self,
        dir: &Arc<ChannelDir>,
        next: Next,
        predecessor: Predecessor,
    ) -> Result<Step, Error> {
        if !self.shared.may_host() {
            return Ok(Step::Wait(ONLY_JOINS.into()));
        }
        if let Some(words) = self.give_way(dir) {
            return Ok(Step::WaitForVersions(words));
        }
        let (generation, link) = (next.generation, self.shared.settings.link);
        let candidacy = match self.shared.generations() {
            None => election::run_for(dir, next, link, None),
            // A disk may be slow, and this thread answers heartbeats.
            Some(file) => {
                let (dir, file) = (Arc::clone(dir), file.clone());
                on_a_thread(move || election::run_for(&dir, next, link, Some(&file))).await
            }
        };
        match candidacy {
            Ok(Candidacy::Won(tenure)) => Ok(Step::Found(Found::Tenure(tenure, predecessor))),
            Ok(Candidacy::Taken | Candidacy::SteppedBack) => Ok(self.after_losing(dir, generation)),
            // A sweep in between has the same error. The next attempt finds out.
            Err(error) => {
                // A stuck host that cannot be replaced may still come back. A candidate that is
                // about to replace it would only cost another host timeout.
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound) {
                    self.presumed_dead = None;
                }
                self.put_off(error)
            }
        }
    }

    /// After another candidate, or something else, has prevented this process from taking
    /// `generation`.
    fn after_losing(&mut self, dir: &ChannelDir, generation: u64) -> Step {
        let Ok(latest) = entries::current(dir) else { return Step::Contended };
        if latest.is_some_and(|latest| latest.generation >= generation) {
            return Step::Again;
        }
        match entries::exists(dir, &entries::link_name(generation)) {
            // The entry is no link of a host.
            Ok(true) => {
                self.passed_over = generation;
                Step::Again
            }
            // Its candidate or this process took it back: it is free.
            _ => Step::Contended,
        }
    }

    /// The reason to let others host: processes are here that this one could not serve. A host of
    /// theirs takes over at once, if one of them can. If none did for the host timeout, the wait is
    /// over.
    fn give_way(&mut self, dir: &ChannelDir) -> Option<String> {
        let strangers = versions::strangers(dir).ok().flatten()?;
        let since = *self.strangers_since.get_or_insert_with(Instant::now);
        let words =
            || format!("processes that take part speak {strangers}, this one {}", Versions::OWN);
        (since.elapsed() < self.shared.settings.host_timeout).then(words)
    }

    /// Tries again after an error here. Only the first search fails at once when a directory can
    /// never be used, or the host has no link of this process. Later there are messages to lose,
    /// and another process may be able to host.
    fn put_off(&self, error: Error) -> Result<Step, Error> {
        match error {
            Error::Io { .. } => Ok(Step::Wait(error.to_string())),
            Error::Directory { .. } | Error::GenerationFile { .. } | Error::Link(_)
                if self.last_generation > 0 =>
            {
                Ok(Step::Wait(error.to_string()))
            }
            error => Err(error),
        }
    }

    async fn join(
        &mut self,
        stream: Stream,
        peer: PeerInfo,
        published: Published,
        endpoint: Endpoint,
    ) -> Result<Step, Error> {
        let user = peer.user();
        if !self.shared.settings.allows(user) {
            return Err(Error::PermissionDenied(format!(
                "the host belongs to user {user}, who is not allowed"
            )));
        }
        let host_timeout = self.shared.settings.host_timeout;
        self.strangers_since = None;
        let cause = "its host does not answer";
        if !self.cause.versions {
            self.cause = String::from(cause).into();
        }
        // A host that puts this process off may do so again. Each hello of a socket costs the
        // memory of its rings.
        if self.attempts == 0 {
            self.shared.set_place(Place::Approaching { endpoint: endpoint.clone() });
        }
        let opened =
            Lifeline::open(stream, peer.process_id(), self.shared.key(), host_timeout).await;
        let step = self.judge(opened, published, endpoint);
        if !matches!(step, Ok(Step::Found(_))) {
            self.shared.set_place(Place::Searching);
        }
        step
    }

    /// The next step, after the answer of the host.
    fn judge(
        &mut self,
        opened: Result<Lifeline, NoLifeline>,
        published: Published,
        endpoint: Endpoint,
    ) -> Result<Step, Error> {
        match opened {
            Ok(lifeline) if lifeline.generation != published.generation => {
                let (claimed, known) = (lifeline.generation, published.generation);
                Err(Error::Protocol(format!(
                    "the host of generation {known} says that it is of {claimed}"
                )))
            }
            Ok(lifeline) if lifeline.generation < self.last_generation => {
                Ok(Step::Wait("its host is of an earlier generation than the last one".into()))
            }
            Ok(lifeline) => Ok(Step::Found(Found::Peer(lifeline, endpoint))),
            Err(NoLifeline::Silent) => Ok(self.step_after_silence(published.generation)),
            Err(NoLifeline::Handshake(HandshakeError::Gone(why) | HandshakeError::Later(why))) => {
                Ok(Step::Wait(why))
            }
            Err(NoLifeline::Handshake(HandshakeError::OtherVersions(why))) => {
                Ok(Step::WaitForVersions(why))
            }
            Err(NoLifeline::Handshake(HandshakeError::Refused(error))) => Err(error),
        }
    }
}

/// Runs a candidacy on a thread of its own. A dropped call goes on there, and gives back the tenure
/// that it wins.
async fn on_a_thread(
    work: impl FnOnce() -> Result<Candidacy, Error> + Send + 'static,
) -> Result<Candidacy, Error> {
    let (done, result) = oneshot::channel();
    // The receiver is gone if the channel was closed, or its search took too long.
    let run = move || {
        if let Err(Ok(Candidacy::Won(tenure))) = done.send(work()) {
            tenure.abandon();
        }
    };
    let spawned = std::thread::Builder::new().name("open-channel disk".into()).spawn(run);
    spawned.map_err(|error| Error::io("starting a thread", error))?;
    let panicked = |_| Err(Error::io("a thread", io::Error::other("it panicked")));
    result.await.unwrap_or_else(panicked)
}

/// A pause that differs between candidates that ran at once: each passes a `random` number of its
/// own.
fn pause_after_stepping_back(times: u32, random: u32) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    let longest = STEPPED_BACK.saturating_mul(1 << doublings).min(LONGEST_STEPPED_BACK);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Channel;

    /// Candidates that step back for each other try again and again.
    #[tokio::test]
    async fn a_generation_that_was_taken_back_is_not_used_up_and_waited_for() {
        let root = tempfile::tempdir().expect("a directory");
        let builder = Channel::builder("stepped back").runtime_dir(root.path().join("channels"));
        let channel = builder.build_peer().expect("a channel");
        let shared = channel.shared().expect("this process's own");
        let dir = shared.open_dir(Missing::Make).expect("a directory");
        let mut search = Search::new(shared);
        for _ in 0..3 {
            assert!(matches!(search.after_losing(&dir, 7), Step::Contended));
            assert_eq!(search.passed_over, 0, "a generation is used up");
        }
        // Another entry of that name stays, and waiting is no help.
        std::fs::write(dir.path().join(entries::link_name(7)), "").expect("a file");
        assert!(matches!(search.after_losing(&dir, 7), Step::Again));
        assert_eq!(search.passed_over, 7);
        dir.files().publish("new", &entries::link_name(8), "0123456789abcdef").expect("a link");
        assert!(matches!(search.after_losing(&dir, 8), Step::Again), "somebody became the host");
        assert_eq!(search.passed_over, 7);
    }

    #[test]
    fn the_pause_after_stepping_back_is_bounded_and_differs() {
        for times in [1, 2, 5, 100, u32::MAX] {
            let longest = pause_after_stepping_back(times, u32::MAX);
            assert!((STEPPED_BACK..=LONGEST_STEPPED_BACK).contains(&longest), "{longest:?}");
            assert_eq!(pause_after_stepping_back(times, 0), Duration::ZERO);
            let half = pause_after_stepping_back(times, u32::MAX / 2);
            assert!(half < longest && half * 3 > longest, "{half:?} of {longest:?}");
        }
    }
}
