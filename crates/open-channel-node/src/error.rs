//! Errors with the codes that Node people look for.

use std::io;

use napi_derive::napi;
use open_channel::{Error, ResetCode};

/// An error on its way to JavaScript, which makes an `Error` with a `code` of it.
#[napi(object)]
pub struct Failure {
    /// `ECONNREFUSED` and the like.
    pub code: String,
    /// The error and its remedy.
    pub message: String,
    /// The other side left on purpose: to a `net.Socket` that is an end, not an error.
    pub left: bool,
    /// This process hosts no longer: the other side goes on with the next host.
    pub handed_over: bool,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let left = matches!(
            error,
            Error::Reset { code: ResetCode::Closed | ResetCode::Destroyed, .. }
                | Error::Closed
                | Error::HandedOver
        );
        let handed_over = matches!(error, Error::HandedOver | Error::Fenced);
        Self { code: code(error), message: message(error), left, handed_over }
    }
}

/// A failure thrown at once; JavaScript splits the code off again.
pub(crate) fn thrown(error: &Error) -> napi::Error {
    napi::Error::from_reason(format!("{}: {}", code(error), message(error)))
}

/// The library's settings under the names that they have as options in JavaScript.
const OPTIONS: [(&str, &str); 14] = [
    ("Scope::App", "app"),
    ("Scope::User", "scope: \"user\""),
    ("connect_timeout", "connectTimeout"),
    ("generation_file", "generationFile"),
    ("host_timeout", "hostTimeout"),
    ("max_attempts", "maxAttempts"),
    ("max_connections", "maxConnections"),
    ("max_message", "maxMessage"),
    ("outbox_bytes", "outboxBytes"),
    ("receive_window", "receiveWindow"),
    ("resume_timeout", "resumeTimeout"),
    ("ring_bytes", "ringBytes"),
    ("runtime_dir", "runtimeDir"),
    ("stall_after", "stallAfter"),
];

fn message(error: &Error) -> String {
    if let Error::Undeliverable { messages, .. } = error {
        return format!(
            "{messages} messages are undeliverable: the event 'undeliverable' brings them"
        );
    }
    OPTIONS.iter().fold(error.to_string(), |text, (setting, option)| text.replace(setting, option))
}

fn code(error: &Error) -> String {
    match error {
        Error::InvalidName { len, max, .. } if len > max => "ENAMETOOLONG",
        Error::InvalidName { .. } | Error::InvalidSetting { .. } | Error::NoRuntime => "EINVAL",
        Error::GenerationFile { .. } => "EINVAL",
        Error::Directory { .. } | Error::PermissionDenied(_) => "EACCES",
        Error::Timeout { .. } | Error::Unacknowledged { .. } | Error::FlushTimeout { .. } => {
            "ETIMEDOUT"
        }
        Error::Closed | Error::Finished => "EPIPE",
        Error::Full => "EAGAIN",
        Error::Undeliverable { .. } => "EUNDELIVERABLE",
        Error::TooLarge { .. } => "EMSGSIZE",
        Error::Reset { .. } | Error::PeerGone | Error::HostLost => "ECONNRESET",
        Error::HandedOver | Error::Fenced => "ECONNABORTED",
        Error::Version(_) | Error::Link(_) => "EPROTONOSUPPORT",
        Error::Refused(_) => "ECONNREFUSED",
        Error::Protocol(_) => "EPROTO",
        Error::Io { error, .. } => match error.kind() {
            io::ErrorKind::PermissionDenied => "EACCES",
            io::ErrorKind::NotFound => "ENOENT",
            io::ErrorKind::AlreadyExists => "EEXIST",
            io::ErrorKind::StorageFull => "ENOSPC",
            io::ErrorKind::ReadOnlyFilesystem => "EROFS",
            _ => match error.raw_os_error() {
                Some(libc_code::ENFILE) => "ENFILE",
                Some(libc_code::EMFILE) => "EMFILE",
                _ => "EIO",
            },
        },
        _ => "EIO",
    }
    .to_owned()
}

/// The same numbers on Linux and macOS.
mod libc_code {
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
}
