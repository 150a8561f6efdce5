//! A Unix of which nothing more is known.

use std::future;
use std::os::fd::BorrowedFd;

pub(crate) use super::short_link::SocketPath;
pub(crate) use super::temporary::{UserDirectory, short_link_folder};
pub(crate) use super::unlimited::{address_space_left, machine_memory, memory_left};

/// Another process, whose end cannot be watched.
///
/// The end of a connection tells of it; where a forked child holds the connection open, silence does,
/// after the host timeout or the resume timeout.
#[derive(Debug)]
pub(crate) struct ProcessExit;

impl ProcessExit {
    /// Of process `pid`.
    pub(crate) fn of(_pid: Option<u32>) -> Self {
        Self
    }

    /// Never resolves. Cancel safe.
    pub(crate) async fn wait(&self) {
        future::pending().await
    }
}

/// It is not known.
pub(crate) fn file_system(_fd: BorrowedFd<'_>) -> Option<String> {
    None
}
