//! Errors of groups with the codes that JavaScript programs look for.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Error, Refused};

use crate::error::Failure;

/// An error on its way to JavaScript.
#[napi(object)]
pub struct GroupFailure {
    /// `ERR_OPEN_CHANNEL_…`, or as for a channel.
    pub code: String,
    /// The error and its remedy.
    pub message: String,
    /// The words of a handler or a worker.
    pub reason: Option<String>,
    /// A job that comes back.
    pub data: Option<Buffer>,
}

impl From<Error> for GroupFailure {
    fn from(error: Error) -> Self {
        let message = message(&error);
        let code = match &error {
            Error::Channel(error) => {
                let Failure { code, message, .. } = error.into();
                return Self { code, message, reason: None, data: None };
            }
            Error::InvalidSetting { .. } => "EINVAL",
            error => code(error),
        };
        let (reason, data) = match error {
            Error::Failed(reason) => (Some(reason), None),
            Error::Exhausted(job) => (None, Some(job.to_vec().into())),
            Error::Terminated { reason, payload, .. } => {
                (Some(reason), Some(payload.to_vec().into()))
            }
            _ => (None, None),
        };
        Self { code: code.into(), message, reason, data }
    }
}

/// A failure thrown at once; JavaScript splits the code off again.
pub(crate) fn thrown(error: Error) -> napi::Error {
    let GroupFailure { code, message, .. } = error.into();
    napi::Error::from_reason(format!("{code}: {message}"))
}

/// The settings of groups under the names that they have as options in JavaScript.
const OPTIONS: [(&str, &str); 4] = [
    ("label", "labels"),
    ("max_payload", "maxPayload"),
    ("max_members", "maxMembers"),
    ("stall_timeout", "stallTimeout"),
];

fn message(error: &Error) -> String {
    match error {
        Error::InvalidSetting { setting, problem, .. } => {
            let option = OPTIONS.iter().find(|(name, _)| name == setting);
            let option = option.map_or(*setting, |(_, option)| option);
            format!("the option {option} {problem}")
        }
        error => error.to_string(),
    }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Refused(refused) => match refused {
            Refused::TooLarge { .. } => "ERR_OPEN_CHANNEL_TOO_LARGE",
            Refused::InvalidName { .. } => "ERR_OPEN_CHANNEL_INVALID_NAME",
            Refused::InvalidTopic { .. } => "ERR_OPEN_CHANNEL_INVALID_TOPIC",
            Refused::AlreadyServed => "ERR_OPEN_CHANNEL_ALREADY_SERVED",
            _ => "ERR_OPEN_CHANNEL_CLOSED",
        },
        Error::Left => "ERR_OPEN_CHANNEL_CLOSED",
        Error::Directory(_) => "EACCES",
        Error::Out => "ERR_OPEN_CHANNEL_OUT",
        Error::Unknown => "ERR_OPEN_CHANNEL_UNKNOWN",
        Error::Died => "ERR_OPEN_CHANNEL_DIED",
        Error::TimedOut => "ERR_OPEN_CHANNEL_TIMED_OUT",
        Error::NoSuchService => "ERR_OPEN_CHANNEL_NO_SUCH_SERVICE",
        Error::Failed(_) => "ERR_OPEN_CHANNEL_FAILED",
        Error::Exhausted(_) => "ERR_OPEN_CHANNEL_EXHAUSTED",
        Error::Terminated { .. } => "ERR_OPEN_CHANNEL_TERMINATED",
        Error::NotANumber => "ERR_OPEN_CHANNEL_NOT_A_NUMBER",
        Error::Overflow => "ERR_OPEN_CHANNEL_OVERFLOW",
        Error::MapFull => "ERR_OPEN_CHANNEL_MAP_FULL",
        Error::Unfinished => "ERR_OPEN_CHANNEL_UNFINISHED",
        _ => "EIO",
    }
}
