//! The questions that each subject can be asked.

use crate::job::{Subject, Task};

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
