//! The subjects, one file each, and what each of them can be asked.

mod batches;
mod failover;
#[cfg(feature = "peers")]
mod iceoryx;
#[cfg(feature = "peers")]
mod ipc_channel;
mod open_channel;
mod open_channel_blocking;
pub(crate) mod raw_ring;
mod std_socket;
mod tokio_socket;
#[cfg(feature = "peers")]
mod zeromq;

use crate::job::{Job, Subject, Task};
use crate::worker;
use anyhow::Result;

/// Does the job with the subject that it names.
pub(crate) fn work(job: &Job) -> Result<()> {
    if job.task == Task::Failover {
        return failover::take_part(job);
    }
    match job.subject {
        Subject::Tokio => worker::run::<tokio_socket::Flushed>(job),
        Subject::TokioBuffered => worker::run::<tokio_socket::Buffered>(job),
        Subject::Std => worker::run::<std_socket::Unbuffered>(job),
        Subject::StdBuffered => worker::run::<std_socket::Buffered>(job),
        #[cfg(feature = "peers")]
        Subject::Zeromq => worker::run::<zeromq::Zeromq>(job),
        #[cfg(feature = "peers")]
        Subject::IpcChannel => worker::run::<ipc_channel::IpcChannel>(job),
        #[cfg(feature = "peers")]
        Subject::Iceoryx2Poll => worker::run::<iceoryx::Polling>(job),
        #[cfg(feature = "peers")]
        Subject::Iceoryx2Event => worker::run::<iceoryx::Events>(job),
        Subject::RawRing => worker::run::<raw_ring::Published>(job),
        Subject::RawRingBuffered => worker::run::<raw_ring::Buffered>(job),
        Subject::OpenChannel | Subject::OpenChannelInPlace | Subject::OpenChannelUnix => {
            worker::run::<open_channel::OneByOne>(job)
        }
        Subject::OpenChannelBuffered | Subject::OpenChannelUnixBuffered => {
            worker::run::<open_channel::Buffered>(job)
        }
        Subject::OpenChannelBlocking
        | Subject::OpenChannelBlockingInPlace
        | Subject::OpenChannelBlockingUnix => worker::run::<open_channel_blocking::OneByOne>(job),
        Subject::OpenChannelBlockingBuffered | Subject::OpenChannelBlockingUnixBuffered => {
            worker::run::<open_channel_blocking::Buffered>(job)
        }
    }
}

/// Whether the question makes sense for the subject.
pub(crate) fn answers(subject: Subject, task: Task) -> bool {
    match task {
        Task::RoundTrip | Task::PacedRoundTrip | Task::CountedRoundTrips => !subject.buffered(),
        Task::OneWay => true,
        // Here buffering is no matter, and the bare ring has neither accept nor many ends.
        Task::Connect => !subject.buffered() && !subject.in_place() && subject != Subject::RawRing,
        Task::ConnectFirst => {
            subject == Subject::Tokio
                || subject.is_open_channel() && !subject.buffered() && !subject.in_place()
        }
        Task::FanIn => match subject {
            Subject::RawRing | Subject::RawRingBuffered => false,
            _ if subject.in_place() => false, // 64 times 8 MiB
            #[cfg(feature = "peers")]
            Subject::IpcChannel => false, // an accept per connection is not what it offers
            _ => true,
        },
        Task::Hold => match subject {
            Subject::RawRing | Subject::RawRingBuffered => false,
            #[cfg(feature = "peers")]
            Subject::IpcChannel => false,
            _ => !subject.buffered() && !subject.in_place(),
        },
        Task::Failover => matches!(subject, Subject::OpenChannel | Subject::OpenChannelUnix),
    }
}

/// Whether 500 connections to one host are within what the subject is made for.
pub(crate) fn holds_many(subject: Subject) -> bool {
    match subject {
        #[cfg(feature = "peers")]
        Subject::Iceoryx2Poll | Subject::Iceoryx2Event => false,
        _ => answers(subject, Task::Hold),
    }
}
