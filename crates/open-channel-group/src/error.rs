//! One error type, with one variant for each case that a caller can act on.

use bytes::Bytes;

use crate::core::Refused;

/// An error of a group.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The channel under the group failed. The group is over with that.
    #[error(transparent)]
    Channel(#[from] open_channel::Error),
    /// A name, topic or payload that cannot be, or something that is over already.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A setting that cannot work.
    #[error("the setting `{setting}` {problem}")]
    #[non_exhaustive]
    InvalidSetting {
        /// Name of the builder's method.
        setting: &'static str,
        /// The problem and the remedy.
        problem: &'static str,
    },
    /// The group was left on this side.
    #[error("the group was left on this side")]
    Left,
    /// The member cannot hold its place among the files of the group.
    #[error("the group's directory cannot be used: {0}")]
    Directory(String),
    /// This member was put out of the view and is not back yet, so that it has no map.
    #[error("this member is out of the view just now, and has no map to read")]
    Out,
    /// This member was put out of the view meanwhile: it may have happened, or not.
    #[error("this member was put out of the view meanwhile: it may have happened, or not")]
    Unknown,
    /// The member that had the call left the view: it may have run.
    #[error("the member that had the call is gone: it may have run")]
    Died,
    /// There was no answer within the deadline. The handler was told that nobody waits any more.
    #[error("there was no answer within the deadline")]
    TimedOut,
    /// No member serves this.
    #[error("no member serves this")]
    NoSuchService,
    /// The handler failed, in these words.
    #[error("the handler failed: {0}")]
    Failed(String),
    /// The job has had all its attempts. Its bytes come back.
    #[error("the job has had all its attempts")]
    Exhausted(Bytes),
    /// A worker refused the job for good. Its bytes come back.
    #[error("a worker refused the job: {reason}")]
    #[non_exhaustive]
    Terminated {
        /// The worker's words.
        reason: String,
        /// The job.
        payload: Bytes,
    },
    /// The value is not a number in decimal digits.
    #[error("the value is not a number")]
    NotANumber,
    /// The number would be too large or too small for 64 bits.
    #[error("the number would be too large or too small for 64 bits")]
    Overflow,
    /// The map has no room for it, or the member serves as much as it may.
    #[error("there is no room for it: see the group's limits")]
    MapFull,
    /// The group was left before everything that this member had begun was complete.
    #[error("not everything was complete in time, and it was given up")]
    Unfinished,
    /// A thread could not be started.
    #[error("starting a thread: {0}")]
    Thread(String),
    /// A handler or a task needs a tokio runtime to run on.
    #[error("no tokio runtime here: call this inside one, or use open_channel_group::blocking")]
    NoRuntime,
}
