//! Where a host listens: which address its files give it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::link::{Address, Bound, LinkKind, native, tcp};
use crate::rendezvous::directory::{ChannelDir, Privacy};
use crate::rendezvous::entries::exists;
use crate::rendezvous::lock_file;
use crate::rendezvous::port_file;
use crate::rendezvous::token::Token;
use crate::sys::Step;

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

    /// The plain path of its socket, if it has one. No other host has the same.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The channel's directory.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    fn native_address(&self) -> Result<native::Address, Error> {
        let dir = &self.dir;
        native::Address::in_directory(dir.files(), dir.path(), &self.token.socket()).map_err(
            |error| match error.kind() {
                io::ErrorKind::InvalidInput => Error::directory(dir.path(), error.to_string()),
                _ => Error::io("finding a shorter path for a socket", error),
            },
        )
    }
}

/// For those who connect.
impl Endpoint {
    /// The address to connect to, with this link if it is forced; `None` if nobody listens.
    ///
    /// # Errors
    /// [`Error::Directory`] if there is none, [`Error::Link`] if the host has only others; anything
    /// else may be otherwise a moment later.
    pub(crate) fn address(&self, forced: Option<LinkKind>) -> Result<Option<Address>, Error> {
        let has = |name: &str| exists(&self.dir, name).map_err(|error| self.unreadable(error));
        let has_socket = has(&self.token.socket())?;
        if has_socket && forced != Some(tcp::KIND) {
            return self.native_address().map(|address| Some(Address::Native(address)));
        }
        let has_port = has(&self.token.port())?;
        // A dead host's port may be another program's by now.
        if !(has_socket || has_port) || !lock_file::is_alive(&self.dir, self.token)? {
            return Ok(None);
        }
        match forced {
            Some(tcp::KIND) if !has_port => Err(no_common_link(native::KIND, tcp::KIND)),
            Some(other) if other != tcp::KIND => Err(no_common_link(tcp::KIND, other)),
            _ => {
                let read = port_file::read(&self.dir, self.token);
                Ok(read.map_err(|error| self.unreadable(error))?.map(Address::Tcp))
            }
        }
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::io(
            format!("reading where its host listens, in {}", self.dir.path().display()),
            error,
        )
    }
}

fn no_common_link(offered: LinkKind, forced: LinkKind) -> Error {
    Error::Link(format!(
        "its host listens with {offered} alone, and this process is to use {forced}"
    ))
}

/// A host's listener, and its address if that has to be written down.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) bound: Bound,
    pub(crate) port: Option<tcp::Address>,
}

/// For the host.
impl Endpoint {
    /// That there is a way to listen here.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub(crate) fn check(&self, forced: Option<LinkKind>) -> Result<(), Error> {
        if forced == Some(tcp::KIND) { Ok(()) } else { self.native_address().map(drop) }
    }

    /// Listens: with the forced link, else with the native one if the file system can do that, else
    /// on a TCP port.
    ///
    /// # Errors
    /// [`Error::Directory`] where nobody can; anything else may be otherwise a moment later.
    pub(crate) fn listen(&self, forced: Option<LinkKind>) -> Result<Listening, Error> {
        if forced == Some(tcp::KIND) {
            return self.listen_on_port();
        }
        match self.listen_natively() {
            Err(why @ Error::Directory { .. }) if forced.is_none() => {
                let listening = self.listen_on_port();
                match &listening {
                    Ok(_) => tracing::warn!(%why, "this host listens on loopback TCP"),
                    Err(error) => tracing::warn!(%error, "nor can it listen on loopback TCP"),
                }
                listening.map_err(|_| why)
            }
            listening => listening,
        }
    }

    fn listen_natively(&self) -> Result<Listening, Error> {
        let failed = |error| self.dir.failed(Step::Listen, error);
        let bound = native::bind(&self.native_address()?).map_err(failed)?;
        if self.dir.privacy() == Privacy::Shared {
            self.dir.files().share_socket(&self.token.socket()).map_err(failed)?;
        }
        Ok(Listening { bound: Bound::Native(bound), port: None })
    }

    fn listen_on_port(&self) -> Result<Listening, Error> {
        let listening = tcp::bind().map_err(|error| Error::io("listening on loopback TCP", error));
        let (bound, address) = listening?;
        port_file::publish(&self.dir, self.token, &address)?;
        Ok(Listening { bound: Bound::Tcp(bound), port: Some(address) })
    }

    /// Puts back what something deleted of a host's address, which is on this port if it has one.
    /// A new listener has to take the place of the old one if one is returned.
    pub(crate) fn restore(&self, port: Option<&tcp::Address>) -> Result<Option<Bound>, Error> {
        let exists = |name: &str| exists(&self.dir, name).map_err(|error| self.unreadable(error));
        match port {
            Some(port) => {
                if !exists(&self.token.port())? {
                    port_file::publish(&self.dir, self.token, port)?;
                    tracing::warn!(directory = %self.directory().display(), "the port file was deleted: restored");
                }
                Ok(None)
            }
            None if exists(&self.token.socket())? => Ok(None),
            None => self.listen_natively().map(|listening| Some(listening.bound)),
        }
    }
}
