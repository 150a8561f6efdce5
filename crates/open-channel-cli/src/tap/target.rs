//! The channel or group that is meant, among all that are there.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use open_channel::inspect::{self, Found, Presence};
use open_channel_group::inspect as groups;

use crate::options::Options;
use crate::survey::{Surveyed, survey};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A channel
    Channel,
    /// A group
    Group,
}

pub(super) struct Target {
    pub(super) kind: Kind,
    /// Of the channel, the group's too.
    label: String,
    dir: Option<PathBuf>,
}

impl Target {
    /// The only one that is meant.
    pub(super) async fn find(name: &str, kind: Option<Kind>, options: &Options) -> Result<Self> {
        let all = survey(options.dir(), 0).await?;
        let meant: Vec<&Surveyed> = all
            .iter()
            .filter(|surveyed| surveyed.may_be(name))
            .filter(|surveyed| kind.is_none_or(|kind| kind_of(surveyed) == kind))
            .filter(|surveyed| in_scope(surveyed, options))
            .filter(|surveyed| surveyed.found.presence() != Presence::Deserted)
            .collect();
        let [surveyed] = meant[..] else {
            let directory = inspect::runtime_directory(options.dir())?;
            return Err(not_one(name, &meant, &directory.display().to_string()));
        };
        if let Err(unanswered) = &surveyed.answer {
            bail!(
                "{name:?} cannot be tapped: {unanswered}; `open-channel doctor {name:?}` says more"
            );
        }
        let label = surveyed.found.label().to_owned();
        let dir = options.dir().map(ToOwned::to_owned);
        Ok(Self { kind: kind_of(surveyed), label, dir })
    }

    /// Its directory as it is now; `None` if all processes have left.
    pub(super) fn look(&self) -> Result<Option<Found>> {
        let all = inspect::channels(self.dir.as_deref())?;
        let found = all.into_iter().find(|found| found.label() == self.label);
        Ok(found.filter(|found| found.presence() != Presence::Deserted))
    }
}

fn kind_of(surveyed: &Surveyed) -> Kind {
    if surveyed.is_group() { Kind::Group } else { Kind::Channel }
}

fn in_scope(surveyed: &Surveyed, options: &Options) -> bool {
    options.scope_app().is_none_or(|app| match &surveyed.answer {
        Ok(status) => status.host.app.as_deref() == Some(app),
        Err(_) => true,
    })
}

fn not_one(name: &str, meant: &[&Surveyed], directory: &str) -> anyhow::Error {
    if meant.is_empty() {
        return anyhow!(
            "there is no channel {name:?} and no group of that name in {directory}: \
             `open-channel ls` shows those that are there"
        );
    }
    let kinds: Vec<Kind> = meant.iter().map(|surveyed| kind_of(surveyed)).collect();
    let choose = if kinds.iter().all(|kind| *kind == kinds[0]) {
        "choose an application with --scope-app NAME"
    } else {
        "say --kind channel or --kind group"
    };
    let described = meant.iter().map(|surveyed| match &surveyed.answer {
        Ok(status) => match &status.host.app {
            Some(app) => format!("a {} of the application {app:?}", surveyed.kind()),
            None => format!("a {} of the user", surveyed.kind()),
        },
        Err(_) => "one whose host does not answer".to_owned(),
    });
    let described: Vec<String> = described.collect();
    anyhow!("{name:?} is {}: {choose}", described.join(" and "))
}

/// The name of the channel that a replay of this kind goes to.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Channel => "channel",
        Kind::Group => "group",
    }
}

/// The kind of this word.
pub(super) fn kind_from(word: &str) -> Option<Kind> {
    [Kind::Channel, Kind::Group].into_iter().find(|kind| self::word(*kind) == word)
}

/// Whether this is the name of a group's channel, which cannot be sent to as a channel.
pub(super) fn is_groups_own(name: &str) -> bool {
    groups::is_group(name)
}
