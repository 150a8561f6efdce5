//! What a runtime directory shows to somebody who only looks.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::entries::{self, Entry, Published};
use crate::rendezvous::identity::is_channel;
use crate::rendezvous::lock_file;
use crate::rendezvous::root::Root;
use crate::rendezvous::versions;

/// One channel's directory.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) root: Arc<Root>,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) seen: Result<Seen, Error>,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The host of the highest generation, alive or not.
    pub(crate) host: Option<Published>,
    pub(crate) host_lives: bool,
    /// Version ranges of the processes that take part.
    pub(crate) versions: Vec<RangeInclusive<u16>>,
    /// Files of processes that are gone.
    pub(crate) leftovers: usize,
}

/// The channels' directories in a root, by name; none if there is no root.
pub(crate) fn list(root: &Arc<Root>) -> Result<Vec<Listed>, Error> {
    let failed = |error| Error::io("reading the runtime directory", error);
    let path = root.path().map_err(failed)?;
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::directory(&path, error.to_string())),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.retain(|name| is_channel(name));
    names.sort_unstable();
    Ok(names.into_iter().map(|name| one(root, path.join(&name), name)).collect())
}

fn one(root: &Arc<Root>, path: PathBuf, name: String) -> Listed {
    let seen = ChannelDir::look(root, &name).and_then(|dir| see(&dir));
    Listed { root: Arc::clone(root), name, path, seen }
}

fn see(dir: &ChannelDir) -> Result<Seen, Error> {
    let reading = |error| Error::io("reading the directory", error);
    let host = entries::current(dir).map_err(reading)?;
    let host_lives = host.map_or(Ok(false), |host| lock_file::is_alive(dir, host.token))?;
    let versions = versions::held(dir).map_err(reading)?;
    let mut leftovers = 0;
    for entry in entries::entries(dir).map_err(reading)? {
        let is_left = match entry {
            Entry::Generation(_) => false,
            Entry::Lock(token) => !lock_file::is_alive(dir, token)?,
            Entry::NewLock(token) => !lock_file::is_in_the_making(dir, token)?,
            Entry::Address(token) => !entries::exists(dir, &token.lock()).map_err(reading)?,
        };
        leftovers += usize::from(is_left);
    }
    let versions = versions.into_iter().map(|versions| versions.range()).collect();
    Ok(Seen { host, host_lives, versions, leftovers })
}
