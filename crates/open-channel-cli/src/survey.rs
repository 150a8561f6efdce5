//! All channels of a runtime directory, and how their hosts are: asked at once, each in its time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use open_channel::inspect::{self, Found, Presence, Status, Traffic, Unanswered, Why, printable};
use open_channel_group::inspect::{self as groups, GroupStatus};
use tokio::task::JoinSet;

/// A host that has not answered by then is called silent. Short enough that the whole answer is
/// there within a second.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// A channel, and the answer of its host.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) found: Found,
    pub(crate) answer: Result<Status, Unanswered>,
    /// If it is a group, and its host has said so.
    pub(crate) group: Option<GroupStatus>,
    pub(crate) at: Instant,
    /// Messages and bytes of both directions in a second; `None` with one answer only.
    pub(crate) rate: Option<Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) messages: f64,
    pub(crate) bytes: f64,
}

/// How it is with a channel, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// Some socket is stalled.
    Stalled,
    /// The host is handing over.
    Leaving,
    /// The host lives and does not answer.
    Silent,
    /// The host answers something else.
    Refusing,
    /// Processes are there, and none hosts.
    HostMissing,
    /// Nobody is there any more.
    Stale,
    /// The directory cannot be read.
    Unreadable,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Stalled => "stalled",
            Self::Leaving => "leaving",
            Self::Silent => "silent",
            Self::Refusing => "refusing",
            Self::HostMissing => "no host",
            Self::Stale => "stale",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn is_bad(self) -> bool {
        !matches!(self, Self::Well | Self::Leaving | Self::Stale)
    }
}

impl Surveyed {
    /// Asks for at most this many sockets, and as many members if it is a group.
    async fn ask(found: Found, most: usize) -> Self {
        let started = Instant::now();
        let answer = found.ask(most, PATIENCE).await;
        let at = Instant::now();
        let is_group = answer.as_ref().is_ok_and(|status| groups::is_group(&status.host.name));
        let left = PATIENCE.saturating_sub(started.elapsed());
        // Without this answer, it is shown as far as the first one goes.
        let group = match is_group {
            true => groups::status(&found, most, left).await.ok(),
            false => None,
        };
        Self { found, answer, group, at, rate: None }
    }

    pub(crate) fn is_group(&self) -> bool {
        self.answer.as_ref().is_ok_and(|status| groups::is_group(&status.host.name))
    }

    /// Its kind, in a word; only a host knows it.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.answer, self.is_group()) {
            (Err(_), _) => "-",
            (Ok(_), true) => "group",
            (Ok(_), false) => "channel",
        }
    }

    /// Its name; the beginning of it, if there is no host that could tell all.
    pub(crate) fn name(&self) -> String {
        match (&self.answer, &self.group) {
            (Ok(_), Some(group)) => printable(&group.name),
            (Ok(status), None) if self.is_group() => groups::name_in(&status.host.name).into(),
            (Ok(status), None) => status.host.name.clone(),
            (Err(_), _) => format!("{}…", readable(self.found.label())),
        }
    }

    pub(crate) fn health(&self) -> Health {
        match &self.answer {
            Ok(status) if status.host.stalled > 0 => Health::Stalled,
            Ok(status) if status.host.leaving => Health::Leaving,
            Ok(_) => Health::Well,
            Err(unanswered) => match (self.found.presence(), &unanswered.why) {
                (Presence::Unknown(_), _) => Health::Unreadable,
                (Presence::Deserted, Why::NoHost(_)) => Health::Stale,
                (Presence::HostMissing, Why::NoHost(_)) => Health::HostMissing,
                (_, Why::Refused(_) | Why::NotKnown(_) | Why::Nonsense(_)) => Health::Refusing,
                _ => Health::Silent,
            },
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.answer {
            Ok(status) => Some(status.host.process.pid),
            Err(unanswered) => unanswered.pid,
        }
    }

    /// Whether some process is there.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.health(), Health::Stale | Health::Unreadable)
    }

    /// The process that hosts, in words.
    pub(crate) fn host(&self) -> String {
        match &self.answer {
            Ok(status) => {
                format!("{} (pid {})", status.host.process.program, status.host.process.pid)
            }
            Err(unanswered) => match unanswered.pid {
                Some(pid) => format!("pid {pid}"),
                None => "an unknown process".into(),
            },
        }
    }

    pub(crate) fn generation(&self) -> Option<u64> {
        match &self.answer {
            Ok(status) => Some(status.host.generation),
            Err(_) => self.found.generation(),
        }
    }

    /// Whether it may be the channel or the group of this name, in whatever scope.
    pub(crate) fn may_be(&self, name: &str) -> bool {
        if self.answer.is_ok() {
            return self.name() == printable(name);
        }
        [name, &groups::channel_name(name)].iter().any(|name| {
            inspect::label(name, open_channel::Scope::User)
                .is_ok_and(|label| readable(&label) == readable(self.found.label()))
        })
    }

    pub(crate) fn rate_since(&self, earlier: &Surveyed) -> Option<Rate> {
        let (Ok(now), Ok(before)) = (&self.answer, &earlier.answer) else { return None };
        let same = now.host.generation == before.host.generation
            && now.host.process.pid == before.host.process.pid;
        let time = self.at.duration_since(earlier.at);
        same.then(|| rate(&now.host.totals, &before.host.totals, time))
    }
}

/// The part of a directory's name that comes from the channel's.
fn readable(label: &str) -> &str {
    label.rsplit_once('-').map_or(label, |(readable, _)| readable)
}

pub(crate) fn rate(now: &Traffic, before: &Traffic, time: Duration) -> Rate {
    let messages =
        |traffic: &Traffic| traffic.sent.messages.saturating_add(traffic.received.messages);
    let bytes = |traffic: &Traffic| traffic.sent.bytes.saturating_add(traffic.received.bytes);
    let seconds = time.as_secs_f64().max(f64::EPSILON);
    Rate {
        // Sockets that are over take their part of the sums with them.
        messages: messages(now).saturating_sub(messages(before)) as f64 / seconds,
        bytes: bytes(now).saturating_sub(bytes(before)) as f64 / seconds,
    }
}

/// Asks all hosts in the directory at once, for at most this many sockets each.
pub(crate) async fn survey(dir: Option<&Path>, sockets: usize) -> Result<Vec<Surveyed>> {
    survey_with(dir, |_| sockets).await
}

/// [`survey`], with the number of sockets by the label of the channel.
pub(crate) async fn survey_with(
    dir: Option<&Path>,
    sockets: impl Fn(&str) -> usize,
) -> Result<Vec<Surveyed>> {
    let mut asking = JoinSet::new();
    for found in inspect::channels(dir)? {
        let sockets = sockets(found.label());
        asking.spawn(Surveyed::ask(found, sockets));
    }
    let mut all = asking.join_all().await;
    all.sort_by_cached_key(|surveyed| (surveyed.name(), surveyed.found.label().to_owned()));
    Ok(all)
}

/// Asks those that have answered once more, for their rates. The others have had their time.
pub(crate) async fn ask_again(first: Vec<Surveyed>, sockets: usize) -> Vec<Surveyed> {
    let mut asking = JoinSet::new();
    for (place, earlier) in first.into_iter().enumerate() {
        asking.spawn(async move {
            if earlier.answer.is_err() {
                return (place, earlier);
            }
            let mut now = Surveyed::ask(earlier.found.clone(), sockets).await;
            now.rate = now.rate_since(&earlier);
            (place, now)
        });
    }
    let mut all = asking.join_all().await;
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, surveyed)| surveyed).collect()
}
