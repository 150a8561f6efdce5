//! The job of one child process, and the lines in which it answers.

use clap::ValueEnum;
use open_channel::LinkKind;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A way to carry messages from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// tokio UnixStream, length-delimited frames, flushed per message
    Tokio,
    /// tokio UnixStream, length-delimited frames, fed and flushed when the buffer is full
    TokioBuffered,
    /// tokio TcpStream on the loopback interface without delay, length-delimited frames, flushed
    /// per message
    TokioTcp,
    /// std UnixStream, 4-byte lengths, one writev per message
    Std,
    /// std UnixStream, 4-byte lengths, BufWriter and BufReader
    StdBuffered,
    /// libzmq DEALER sockets over ipc://
    #[cfg(feature = "peers")]
    Zeromq,
    /// servo's ipc-channel, its bytes channel
    #[cfg(feature = "peers")]
    IpcChannel,
    /// iceoryx2 publish-subscribe, the receiver polls
    #[cfg(feature = "peers")]
    Iceoryx2Poll,
    /// iceoryx2 publish-subscribe, the receiver waits for an event per message
    #[cfg(feature = "peers")]
    Iceoryx2Event,
    /// a bare spinning ring in shared memory, each message published at once: the limit, not a
    /// contender
    RawRing,
    /// the same, published once per 4 KiB
    RawRingBuffered,
    /// open-channel, async face on tokio, on the link that it picks by itself
    OpenChannel,
    /// open-channel, blocking face, on the link that it picks by itself
    OpenChannelBlocking,
    /// open-channel, async face, on the link that it picks by itself, messages sent and received in
    /// batches
    OpenChannelBuffered,
    /// open-channel, blocking face, on the link that it picks by itself, messages sent and received
    /// in batches
    OpenChannelBlockingBuffered,
    /// open-channel, async face, messages written and read in place, in rings of 1 to 8 MiB
    OpenChannelInPlace,
    /// open-channel, blocking face, messages written and read in place, in rings of 1 to 8 MiB
    OpenChannelBlockingInPlace,
    /// open-channel, async face, made to use the Unix socket
    OpenChannelUnix,
    /// open-channel, blocking face, made to use the Unix socket
    OpenChannelBlockingUnix,
    /// open-channel, async face, made to use the Unix socket, messages sent and received in batches
    OpenChannelUnixBuffered,
    /// open-channel, blocking face, made to use the Unix socket, messages sent and received in
    /// batches
    OpenChannelBlockingUnixBuffered,
    /// open-channel, async face, made to use loopback TCP
    OpenChannelTcp,
}

impl Subject {
    /// Whether it differs from another subject only in what it does with many messages at once.
    pub(crate) fn buffered(self) -> bool {
        matches!(
            self,
            Subject::TokioBuffered
                | Subject::StdBuffered
                | Subject::RawRingBuffered
                | Subject::OpenChannelBuffered
                | Subject::OpenChannelBlockingBuffered
                | Subject::OpenChannelUnixBuffered
                | Subject::OpenChannelBlockingUnixBuffered
        )
    }

    pub(crate) fn is_open_channel(self) -> bool {
        matches!(
            self,
            Subject::OpenChannel
                | Subject::OpenChannelBlocking
                | Subject::OpenChannelBuffered
                | Subject::OpenChannelBlockingBuffered
        ) || self.in_place()
            || self.forced_link().is_some()
    }

    /// Whether messages are written where they travel, and read where they arrive.
    pub(crate) fn in_place(self) -> bool {
        matches!(self, Subject::OpenChannelInPlace | Subject::OpenChannelBlockingInPlace)
    }

    /// Whether it waits awake for what comes soon.
    pub(crate) fn spins(self) -> bool {
        #[cfg(feature = "peers")]
        if self == Subject::Iceoryx2Poll {
            return true;
        }
        matches!(self, Subject::RawRing | Subject::RawRingBuffered)
            || self.is_open_channel() && self.forced_link().is_none()
    }

    /// The link that it is made to use.
    pub(crate) fn forced_link(self) -> Option<LinkKind> {
        match self {
            Subject::OpenChannelUnix
            | Subject::OpenChannelBlockingUnix
            | Subject::OpenChannelUnixBuffered
            | Subject::OpenChannelBlockingUnixBuffered => Some(LinkKind::Unix),
            Subject::OpenChannelTcp => Some(LinkKind::Tcp),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.pad(value.get_name()),
            None => fmt::Debug::fmt(self, f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Host,
    Peer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Send one, wait for the answer.
    RoundTrip,
    /// The same with a pause before each, longer than anyone would spin.
    PacedRoundTrip,
    /// A given number of round trips, from the word "go" on.
    CountedRoundTrips,
    /// Send as fast as the subject takes them.
    OneWay,
    /// From nothing to the first acknowledged message, in a process that finds a host.
    Connect,
    /// The same in the process that has to become the host.
    ConnectFirst,
    /// Everyone sends to one host.
    FanIn,
    /// Connect, send one message each, then stay silent.
    Hold,
    /// Send numbered messages for ever; the host is killed.
    Failover,
}

impl Task {
    /// Two processes and one connection between them, nothing else.
    pub(crate) fn is_of_a_pair(self) -> bool {
        matches!(
            self,
            Task::RoundTrip | Task::PacedRoundTrip | Task::CountedRoundTrips | Task::OneWay
        )
    }
}

/// One child's orders; travels as JSON in its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) subject: Subject,
    pub(crate) side: Side,
    pub(crate) task: Task,
    /// A fresh private directory that all processes of one measurement share.
    pub(crate) place: PathBuf,
    /// A name that no other measurement uses.
    pub(crate) name: String,
    pub(crate) len: usize,
    pub(crate) millis: u64,
    /// Round trips, where they are counted and not timed.
    pub(crate) trips: u64,
    /// Connections that the host is to expect.
    pub(crate) connections: usize,
    /// Which of the peers this is.
    pub(crate) index: u16,
    pub(crate) core: Option<usize>,
}

/// One line from a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The host can be connected to.
    Ready,
    /// Every expected connection has delivered its first message.
    Settled,
    RoundTrip {
        p50: f64,
        p99: f64,
        p999: f64,
        messages: u64,
        cpu_nanos: u64,
    },
    /// The link that carries the messages, where the subject has a choice.
    Link {
        name: String,
    },
    OneWay {
        messages: u64,
        nanos: u64,
        cpu_nanos: u64,
    },
    /// The receiving side's processor time for the measured phase.
    Served {
        messages: u64,
        cpu_nanos: u64,
    },
    Connected {
        nanos: u64,
    },
    FanIn {
        messages: u64,
        /// Messages of the peer that got fewest through.
        fewest: u64,
        end_nanos: u64,
    },
    /// The first acknowledgement in a generation, and whether this process hosts it.
    Acked {
        at_nanos: u64,
        generation: u64,
        hosting: bool,
    },
    Failed {
        why: String,
    },
}
