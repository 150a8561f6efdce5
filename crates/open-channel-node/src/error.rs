//! Errors with the codes that Node people look for.

use napi_derive::napi;
use open_channel::Error;

/// An error on its way to JavaScript, which makes an `Error` with a `code` of it.
#[napi(object)]
pub struct Failure {
    /// `ECONNREFUSED` and the like.
    pub code: String,
    /// What happened and what to do about it.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: code(error).to_owned(), message: error.to_string() }
    }
}

/// A failure thrown at once; JavaScript splits the code off again.
pub(crate) fn thrown(error: &Error) -> napi::Error {
    napi::Error::from_reason(format!("{}: {error}", code(error)))
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Full => "EAGAIN",
        _ => "EIO",
    }
}
