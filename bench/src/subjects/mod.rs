//! The subjects, one file each, and what each of them can be asked.

pub(crate) mod answers;
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
mod tokio_tcp;
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
        Subject::TokioTcp => worker::run::<tokio_tcp::TokioTcp>(job),
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
        Subject::OpenChannel
        | Subject::OpenChannelInPlace
        | Subject::OpenChannelUnix
        | Subject::OpenChannelTcp => worker::run::<open_channel::OneByOne>(job),
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
