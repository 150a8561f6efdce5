//! The error texts for a file system without the abilities that processes need to meet on it.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::sys::{Directory, REMEDY, Step};

/// The error of a `step` in the directory at `path`: one of the directory if it can never work
/// there.
pub(crate) fn failed(dir: &Directory, path: &Path, step: Step, error: io::Error) -> Error {
    if !step.is_impossible(&error) {
        return Error::io(step.words(), error);
    }
    let place =
        dir.file_system().map_or_else(String::new, |name| format!(" (its file system is {name})"));
    Error::directory(path, format!("{} failed there{place}: {error}: {REMEDY}", step.words()))
}
