//! The rows of the table, and the subjects.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::task::Role;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// Messages delivered per second, one publisher and one subscriber
    Single,
    /// The same with eight subscribers
    Fanout,
    /// From publishing to delivery, eight subscribers, a message each half millisecond
    Latency,
    /// A request and its answer
    Call,
    /// A lock that four processes take in turn
    Lock,
    /// Jobs done per second, one process that pushes and four that work
    Queue,
    /// Increments of one number by four processes
    Map,
}

impl Row {
    pub(crate) const ALL: [Self; 7] =
        [Self::Single, Self::Fanout, Self::Latency, Self::Call, Self::Lock, Self::Queue, Self::Map];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Single => "1 → 1, deliveries/s",
            Self::Fanout => "1 → 8, deliveries/s",
            Self::Latency => "1 → 8, time to delivery",
            Self::Call => "request and reply",
            Self::Lock => "lock, 4 processes, holders/s",
            Self::Queue => "queue, 1 → 4, jobs/s",
            Self::Map => "increments by 4 processes/s",
        }
    }

    /// Whether a row is a time rather than a rate.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Latency | Self::Call)
    }

    /// The processes: those that serve or listen first, so that they are ready before the others.
    pub(crate) fn roles(self) -> Vec<Role> {
        let with = |many: Role, count: usize, one: Role| {
            let mut roles = vec![many; count];
            roles.push(one);
            roles
        };
        match self {
            Self::Single => with(Role::Subscriber, 1, Role::Publisher),
            Self::Fanout | Self::Latency => with(Role::Subscriber, 8, Role::Publisher),
            Self::Call => with(Role::Server, 1, Role::Caller),
            Self::Queue => with(Role::QueueWorker, 4, Role::Pusher),
            Self::Lock => vec![Role::Locker; 4],
            Self::Map => vec![Role::Incrementer; 4],
        }
    }

    /// How many messages, calls, holders, jobs or increments each process makes.
    pub(crate) fn count(self, quick: bool) -> u64 {
        let count = match self {
            Self::Single => 200_000,
            Self::Fanout => 50_000,
            Self::Latency => 4_000,
            Self::Call => 20_000,
            Self::Lock => 2_000,
            Self::Queue => 20_000,
            Self::Map => 5_000,
        };
        if quick { count / 4 } else { count }
    }
}

/// A subject of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// A group of open-channel
    Group,
    /// A socket of the channel below it, without a group; calls only
    Channel,
    /// Redis, by the redis crate
    Redis,
    /// NATS, by async-nats; JetStream for queue, lock and map
    Nats,
    /// ZeroMQ, PUB and SUB over ipc; without a confirmation that anything arrived
    Zeromq,
}

impl Subject {
    pub(crate) const ALL: [Self; 5] =
        [Self::Group, Self::Channel, Self::Redis, Self::Nats, Self::Zeromq];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Channel => "channel",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Zeromq => "zeromq",
        }
    }

    pub(crate) fn has(self, row: Row) -> bool {
        match self {
            Self::Channel => row == Row::Call,
            Self::Zeromq => matches!(row, Row::Single | Row::Fanout | Row::Latency),
            _ => true,
        }
    }
}
