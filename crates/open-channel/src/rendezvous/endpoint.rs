//! Where a host listens: which address its files give it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode};

use crate::error::Error;
use crate::link::{Address, Bound, native};
use crate::rendezvous::directory::{ChannelDir, Privacy};
use crate::rendezvous::filesystem::Step;
use crate::rendezvous::token::Token;

/// Where a host listens, by the token that names its files.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    dir: Arc<ChannelDir>,
    token: Token,
    path: PathBuf,
}

impl Endpoint {
    pub(crate) fn new(dir: &Arc<ChannelDir>, token: Token) -> Self {
        Self { dir: Arc::clone(dir), token, path: dir.path().join(token.socket()) }
    }

    /// The plain path of its socket, which no other host has.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The channel's directory.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// The address to connect to.
    ///
    /// # Errors
    /// [`Error::Directory`] if there is none; anything else may be otherwise a moment later.
    pub(crate) fn address(&self) -> Result<Address, Error> {
        self.native_address().map(Address::Native)
    }

    fn native_address(&self) -> Result<native::Address, Error> {
        let dir = &self.dir;
        native::Address::in_directory(dir.fd(), dir.path(), &self.token.socket()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::InvalidInput => Error::directory(dir.path(), error.to_string()),
                _ => Error::io("finding a shorter path for a socket", error),
            }
        })
    }

    /// Listens here.
    ///
    /// # Errors
    /// [`Error::Directory`] where nobody can; anything else may be otherwise a moment later.
    pub(crate) fn listen(&self) -> Result<Bound, Error> {
        let failed = |error| self.dir.failed(Step::Listen, error);
        let bound = native::bind(&self.native_address()?).map_err(failed)?;
        if self.dir.privacy() == Privacy::Shared {
            let everybody = Mode::RWXU | Mode::RWXG | Mode::RWXO;
            let (file, no_flags) = (self.token.socket(), AtFlags::empty());
            let shared = rustix::fs::chmodat(self.dir.fd(), file, everybody, no_flags);
            shared.map_err(|errno| failed(errno.into()))?;
        }
        Ok(Bound::Native(bound))
    }
}
