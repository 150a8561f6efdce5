//! The channels of this user, seen from outside: which there are, and how their hosts are.
//!
//! Nothing here takes part in a channel. A host's background thread answers, so a host whose
//! application is busy or blocked answers, too. A host answers its own user only.
//!
//! ```
//! use std::time::Duration;
//!
//! use open_channel::inspect;
//!
//! # #[tokio::main] async fn main() -> Result<(), open_channel::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let runtime_dir = dir.path().join("d");
//! # let builder = open_channel::Channel::builder("jobs").runtime_dir(&runtime_dir);
//! # let channel = builder.build(|_| async {})?;
//! # channel.join().await?;
//! # let channels = inspect::channels(Some(&runtime_dir))?;
//! # if false {
//! let channels = inspect::channels(None)?;
//! # }
//! for channel in &channels {
//!     match channel.ask(10, Duration::from_secs(1)).await {
//!         Ok(status) => println!("{}: pid {}", status.host.name, status.host.process.pid),
//!         Err(unanswered) => println!("{}: {unanswered}", channel.label()),
//!     }
//! }
//! # assert_eq!(channels.len(), 1);
//! # Ok(()) }
//! ```

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::background;
use crate::channel::settings::DEFAULT_RING_BYTES;
use crate::error::Error;
use crate::link::ring;
use crate::membership::question::{Asked, NoAnswer};
use crate::rendezvous::identity::{Identity, Scope};
use crate::rendezvous::listing::{self, Listed};
use crate::rendezvous::root::Root;

pub use open_channel_proto::{
    Direction, HostStatus, ProcessStatus, SocketStatus, TapRequest, Tapped, Traffic, printable,
};

pub use crate::membership::question::TapEvent;

/// Most bytes of one message that come along with a tap.
const MOST_CARRIED: u64 = 256 << 20;
/// Messages of a tap that are read before they are received.
const READ_AHEAD: usize = 16;

/// The runtime directory that processes with this environment meet in: `runtime_dir`, else
/// `$OPEN_CHANNEL_DIR`, else the user's own.
///
/// # Errors
/// It cannot be found now, or the path cannot be made absolute.
pub fn runtime_directory(runtime_dir: Option<&Path>) -> Result<PathBuf, Error> {
    let root = Root::choose(runtime_dir)?;
    root.path().map_err(|error| Error::io("looking for the runtime directory", error))
}

/// The channels that have a directory in the [runtime directory](runtime_directory), of all
/// scopes, sorted by their [labels](Found::label). None if there is no runtime directory.
///
/// Takes the lock of each process's file for a moment, as every process that searches for a host
/// does. Otherwise it only reads.
///
/// # Errors
/// The runtime directory cannot be read.
pub fn channels(runtime_dir: Option<&Path>) -> Result<Vec<Found>, Error> {
    let root = Arc::new(Root::choose(runtime_dir)?);
    Ok(listing::list(&root)?.into_iter().map(|listed| Found { listed }).collect())
}

/// The [label](Found::label) of a channel of this name and scope.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn label(name: &str, scope: Scope) -> Result<String, Error> {
    Ok(Identity::new(name, scope)?.directory().to_owned())
}

/// Whether this process could share memory with another one now, as
/// [`LinkKind::Ring`](crate::LinkKind::Ring) needs it.
///
/// # Errors
/// Why it cannot: the kernel, a limit, or few descriptors or little memory left. Messages then
/// travel on a socket.
pub fn shared_memory() -> std::io::Result<()> {
    ring::offer(DEFAULT_RING_BYTES, ring::Memory::new(None)).map(drop)
}

/// A channel's directory, as it was when [`channels`] looked.
#[derive(Debug, Clone)]
pub struct Found {
    listed: Listed,
}

/// What the files of a channel say about its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// A process that hosts lives, and may be stopped.
    Hosted,
    /// Processes take part, and none hosts: one is about to, or none of them may.
    HostMissing,
    /// All are gone, and left files behind. The next process to come removes them.
    Deserted,
    /// The directory cannot be read; why.
    Unknown(String),
}

impl Found {
    /// The name of its directory: the beginning of the channel's name, and a digest of name and
    /// scope. Only its host knows the whole name.
    pub fn label(&self) -> &str {
        &self.listed.name
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.listed.path
    }

    /// Whether anybody is there.
    pub fn presence(&self) -> Presence {
        match &self.listed.seen {
            Err(error) => Presence::Unknown(error.to_string()),
            Ok(seen) if seen.host_lives => Presence::Hosted,
            Ok(seen) if !seen.versions.is_empty() => Presence::HostMissing,
            Ok(_) => Presence::Deserted,
        }
    }

    /// The latest generation, whether or not its host lives; `None` before the first.
    pub fn generation(&self) -> Option<u64> {
        Some(self.listed.seen.as_ref().ok()?.host?.generation)
    }

    /// How many files of processes that are gone lie there. The next host removes them.
    pub fn leftovers(&self) -> usize {
        self.listed.seen.as_ref().map_or(0, |seen| seen.leftovers)
    }

    /// The ranges of protocol versions that the processes there speak.
    pub fn versions(&self) -> Vec<RangeInclusive<u16>> {
        self.listed.seen.as_ref().map_or_else(|_| Vec::new(), |seen| seen.versions.clone())
    }

    /// Asks its host how it is. The answer describes at most this many sockets, those whose
    /// messages have waited longest, and never more than 512. Waits no longer than `within`.
    ///
    /// # Errors
    /// [`Unanswered`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing changes.
    pub async fn ask(&self, sockets: usize, within: Duration) -> Result<Status, Unanswered> {
        let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
        let question = move |mut asked: Asked| async move { asked.ask(sockets).await };
        let (host, sockets) = self.put(question, within).await?;
        Ok(Status { host, sockets })
    }

    pub(crate) async fn ask_for_detail(
        &self,
        most: usize,
        within: Duration,
    ) -> Result<Bytes, Unanswered> {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.put(move |mut asked| async move { asked.ask_for_detail(most).await }, within).await
    }

    /// Begins to see copies of the messages that pass its host, without taking part and without
    /// slowing anybody: those that come while this process is too slow are dropped and counted.
    /// The host's program has to [allow](crate::Builder::tap) it.
    ///
    /// A message to the host is seen when its application gets it, one from the host when it is
    /// sent. Messages under way when the tap begins may be missed. Of each message, at most 256 MiB
    /// come along. Waits for the host's answer no longer than `within`.
    ///
    /// # Errors
    /// [`Unanswered`]; [`Why::Refused`] where it is not allowed.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, there is no tap.
    pub async fn tap(&self, request: TapRequest, within: Duration) -> Result<Tap, Unanswered> {
        let mut request = request;
        request.carried = request.carried.min(MOST_CARRIED);
        let begin =
            move |mut asked: Asked| async move { asked.ask_for_tap(request).await.map(|()| asked) };
        let asked = self.put(begin, within).await?;
        let background = background::handle().map_err(failed)?;
        let (events, receiver) = mpsc::channel(READ_AHEAD);
        background.spawn(pass_on(asked, request.carried, events));
        Ok(Tap { events: receiver })
    }

    /// Puts a question on the background runtime.
    async fn put<T, F>(
        &self,
        question: impl FnOnce(Asked) -> F + Send + 'static,
        within: Duration,
    ) -> Result<T, Unanswered>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, NoAnswer>> + Send,
    {
        let background = background::handle().map_err(failed)?;
        let (root, name) = (Arc::clone(&self.listed.root), self.listed.name.clone());
        let asking = background.spawn(async move {
            let deadline = tokio::time::Instant::now() + within;
            let connecting = tokio::time::timeout_at(deadline, Asked::connect(&root, &name));
            let asked = match connecting.await {
                Ok(connected) => connected.map_err(|why| unanswered(why, None))?,
                Err(_) => return Err(Unanswered { why: Why::Silent(within), pid: None }),
            };
            let pid = asked.pid;
            match tokio::time::timeout_at(deadline, question(asked)).await {
                Ok(answered) => answered.map_err(|why| unanswered(why, pid)),
                Err(_) => Err(Unanswered { why: Why::Silent(within), pid }),
            }
        });
        asking.await.unwrap_or_else(|error| {
            Err(Unanswered { why: Why::Failed(error.to_string()), pid: None })
        })
    }
}

fn failed(error: Error) -> Unanswered {
    Unanswered { why: Why::Failed(error.to_string()), pid: None }
}

/// Reads a tap on the background runtime, no faster than it is received.
async fn pass_on(mut asked: Asked, most: u64, events: mpsc::Sender<Result<TapEvent, Unanswered>>) {
    loop {
        let event = tokio::select! {
            event = asked.next(most) => event,
            () = events.closed() => return,
        };
        let event = match event {
            // It has handed over, or its process is gone.
            Err(NoAnswer::NoHost(_)) => return,
            event => event.map_err(|why| unanswered(why, asked.pid)),
        };
        let is_over = event.is_err();
        if events.send(event).await.is_err() || is_over {
            return;
        }
    }
}

/// Copies of messages; from [`Found::tap`]. It ends when it is dropped.
#[derive(Debug)]
pub struct Tap {
    events: mpsc::Receiver<Result<TapEvent, Unanswered>>,
}

impl Tap {
    /// The next message; `None` when the host is gone or hands over. The next host is found, and
    /// tapped, like the first one.
    ///
    /// # Errors
    /// [`Unanswered`] if the host sends nonsense. It is over then.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<TapEvent>, Unanswered> {
        self.events.recv().await.transpose()
    }
}

/// A host's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The host, and the sums of all its sockets.
    pub host: HostStatus,
    /// Its sockets, as far as they were asked for.
    pub sockets: Vec<SocketStatus>,
}

/// There was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
#[non_exhaustive]
pub struct Unanswered {
    /// Why.
    pub why: Why,
    /// The process that listens, if it could be asked at all.
    pub pid: Option<u32>,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Nobody listens there.
    #[error("no host: {0}")]
    NoHost(String),
    /// The host lives and did not answer in time: its process is stopped, or its machine is busy.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The host said no: it has too many connections, another user, or other versions.
    #[error("the host refuses: {0}")]
    Refused(String),
    /// The host does not know this question: its program has an older version of the library.
    #[error("the host does not know the question: {0}")]
    NotKnown(String),
    /// The answer made no sense.
    #[error("the host answers nonsense: {0}")]
    Nonsense(String),
    /// This process could not ask.
    #[error("it could not be asked: {0}")]
    Failed(String),
}

fn unanswered(why: NoAnswer, pid: Option<u32>) -> Unanswered {
    let why = match why {
        NoAnswer::NoHost(why) => Why::NoHost(why),
        NoAnswer::Refused(why) => Why::Refused(why),
        NoAnswer::NotKnown(why) => Why::NotKnown(why),
        NoAnswer::Nonsense(why) => Why::Nonsense(why),
        NoAnswer::Failed(error) => Why::Failed(error.to_string()),
    };
    Unanswered { why, pid }
}
