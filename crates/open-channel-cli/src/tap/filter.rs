//! Which messages are seen: the arguments that `tap` and `record` share.

use anyhow::{Result, bail};
use open_channel::inspect::TapRequest;
use open_channel_group::inspect::{Act, Described, Pattern};

use super::target::Kind;

#[derive(clap::Args)]
pub(crate) struct Filter {
    /// The name of the channel or the group
    pub(super) name: String,

    /// What is meant, where a channel and a group have the same name
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) kind: Option<Kind>,

    /// See one direction only [default: both; of a group, to-host]
    #[arg(long, value_enum, value_name = "DIRECTION")]
    direction: Option<Direction>,

    /// See the messages of this process only
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    /// See messages of at least so many bytes
    #[arg(long, value_name = "BYTES", default_value = "0")]
    min_size: u64,

    /// See messages of at most so many bytes [default: all]
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,

    /// Of a group: see publications to topics of this pattern only, such as 'log.>'
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    topic: Option<Pattern>,

    /// Of a group: see what keeps it together, too
    #[arg(long, conflicts_with = "topic")]
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Direction {
    /// Both
    Both,
    /// From the other processes to the host
    ToHost,
    /// From the host to the other processes
    FromHost,
}

impl Filter {
    /// What the host is asked for, with so many bytes of each message.
    pub(super) fn request(&self, kind: Kind, bytes: usize) -> Result<TapRequest> {
        if kind == Kind::Channel && (self.topic.is_some() || self.all) {
            bail!("{:?} is a channel: --topic and --all are for groups", self.name);
        }
        let usual = if kind == Kind::Group { Direction::ToHost } else { Direction::Both };
        let direction = self.direction.unwrap_or(usual);
        let mut request = TapRequest::default();
        request.to_host = direction != Direction::FromHost;
        request.from_host = direction != Direction::ToHost;
        request.pid = self.pid.unwrap_or(0);
        if kind == Kind::Channel {
            // A group's messages have more in them than the payload, and need all of it.
            request.carried = bytes as u64;
            request.shortest = self.min_size;
            request.longest = self.max_size.unwrap_or(u64::MAX);
        }
        Ok(request)
    }

    /// Whether a message of a group is to be seen.
    pub(super) fn lets_through(&self, described: &Described) -> bool {
        let len = described.payload.as_ref().map_or(0, |payload| payload.len() as u64);
        if !(self.min_size..=self.max_size.unwrap_or(u64::MAX)).contains(&len) {
            return false;
        }
        match &self.topic {
            Some(pattern) => described.topic().is_some_and(|topic| pattern.matches(&topic)),
            None => self.all || described.act != Act::Bookkeeping,
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}
