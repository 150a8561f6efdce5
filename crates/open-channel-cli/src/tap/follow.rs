//! A tap that goes on with the next host.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use open_channel::inspect::{Found, Tap, TapEvent, TapRequest, Why};
use open_channel_group::inspect::Described;

use super::filter::Filter;
use super::seen::Seen;
use super::target::{Kind, Target};
use crate::options::Options;
use crate::survey::PATIENCE;

/// Between two looks for the next host.
const LOOK: Duration = Duration::from_millis(20);
/// How long none may be there, while processes are. A host that was stopped is replaced sooner.
const NO_HOST: Duration = Duration::from_secs(20);

/// A tap on a channel or a group, whoever hosts it.
pub(super) struct Follow<'a> {
    filter: &'a Filter,
    target: Target,
    request: TapRequest,
    tap: Tap,
    began: Instant,
    /// When this host's tap began.
    since: Duration,
    /// Dropped by this host.
    dropped: u64,
}

pub(super) enum Happened {
    Seen(Seen),
    /// So many messages were dropped.
    Missed(u64),
    /// Another process hosts. Messages in between may be missing.
    NextHost,
    /// All processes have left.
    Over,
}

impl Happened {
    /// For people; none for a message, and for the end.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Self::Missed(number) => {
                Some(format!("{number} messages went by too fast and are missing here"))
            }
            Self::NextHost => {
                Some("another process hosts now: messages may be missing here".into())
            }
            Self::Seen(_) | Self::Over => None,
        }
    }
}

impl<'a> Follow<'a> {
    /// Begins, with so many bytes of each message.
    pub(super) async fn begin(filter: &'a Filter, bytes: usize, options: &Options) -> Result<Self> {
        let target = Target::find(&filter.name, filter.kind, options).await?;
        let request = filter.request(target.kind, bytes)?;
        let Some(found) = target.look()? else {
            bail!("all processes have left {:?}", filter.name)
        };
        let tap = match found.tap(request, PATIENCE).await {
            Ok(tap) => tap,
            Err(unanswered) => bail!("{:?} cannot be tapped: {unanswered}", filter.name),
        };
        tracing::info!(name = filter.name, "tapping");
        let began = Instant::now();
        Ok(Self { filter, target, request, tap, began, since: Duration::ZERO, dropped: 0 })
    }

    pub(super) fn kind(&self) -> Kind {
        self.target.kind
    }

    /// The next thing that happens.
    pub(super) async fn next(&mut self) -> Result<Happened> {
        loop {
            match self.tap.recv().await? {
                Some(TapEvent::Message(tapped, payload)) => {
                    let at = self.since + tapped.time;
                    if self.target.kind == Kind::Channel {
                        return Ok(Happened::Seen(Seen::of_channel(at, tapped, payload)));
                    }
                    // What is no frame of a group is none of its members' doing.
                    let Ok(described) = Described::of(payload, tapped.from_host) else { continue };
                    if self.filter.lets_through(&described) {
                        return Ok(Happened::Seen(Seen::of_group(at, tapped, described)));
                    }
                }
                Some(TapEvent::Dropped(dropped)) => {
                    let missed = dropped.saturating_sub(self.dropped);
                    self.dropped = dropped;
                    if missed > 0 {
                        return Ok(Happened::Missed(missed));
                    }
                }
                Some(_) => {}
                None => {
                    let Some(tap) = self.next_host().await? else { return Ok(Happened::Over) };
                    self.tap = tap;
                    (self.since, self.dropped) = (self.began.elapsed(), 0);
                    return Ok(Happened::NextHost);
                }
            }
        }
    }

    /// The end, with so many messages still to come.
    pub(super) fn ended(&self, left: Option<u64>) -> Result<()> {
        let name = &self.filter.name;
        match left {
            None => {
                crate::output::say(format_args!("all processes have left {name:?}"));
                Ok(())
            }
            Some(left) => {
                bail!("all processes have left {name:?}, and {left} messages are missing")
            }
        }
    }

    async fn next_host(&self) -> Result<Option<Tap>> {
        let started = Instant::now();
        loop {
            let Some(found) = self.target.look()? else { return Ok(None) };
            if let Some(tap) = self.try_tap(&found).await? {
                return Ok(Some(tap));
            }
            if started.elapsed() > NO_HOST {
                let name = &self.filter.name;
                bail!(
                    "no process hosts {name:?} any more: `open-channel doctor {name:?}` says why"
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `None` while there is no host.
    async fn try_tap(&self, found: &Found) -> Result<Option<Tap>> {
        match found.tap(self.request, PATIENCE).await {
            Ok(tap) => Ok(Some(tap)),
            Err(unanswered) => match unanswered.why {
                Why::NoHost(_) | Why::Silent(_) => Ok(None),
                why => bail!("the next host of {:?} cannot be tapped: {why}", self.filter.name),
            },
        }
    }
}
