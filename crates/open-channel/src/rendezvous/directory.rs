//! A private directory that nobody else can enter.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::rendezvous::filesystem;
use crate::rendezvous::identity::Identity;
use crate::rendezvous::root::Root;
use crate::sys::{self, Directory, Step, Unopened};

/// The users who may enter the runtime directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Its owner alone.
    Private,
    /// Others too, on purpose.
    Shared,
}

/// A channel's own directory, held open: what is checked is what is used, whatever happens to the
/// path.
#[derive(Debug)]
pub(crate) struct ChannelDir {
    files: Directory,
    path: PathBuf,
    root: Arc<Root>,
    name: String,
    privacy: Privacy,
}

/// Whether a directory that is missing is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    /// It is an error of the kind [`NotFound`](io::ErrorKind::NotFound).
    Leave,
}

impl ChannelDir {
    pub(crate) fn open(
        root: &Arc<Root>,
        identity: &Identity,
        privacy: Privacy,
        missing: Missing,
    ) -> Result<Self, Error> {
        Self::in_root(root, identity.directory(), privacy, missing)
    }

    /// Another directory in the same root, with the same checks.
    pub(crate) fn beside(&self, name: &str, missing: Missing) -> Result<Self, Error> {
        Self::in_root(&self.root, name, self.privacy, missing)
    }

    fn in_root(
        root: &Arc<Root>,
        name: &str,
        privacy: Privacy,
        missing: Missing,
    ) -> Result<Self, Error> {
        let root_path =
            root.path().map_err(|error| Error::io("looking for the runtime directory", error))?;
        let root_files = open_checked(&root_path, privacy, missing)?;
        let path = root_path.join(name);
        let files = open_checked(&path, privacy, missing)?;
        if privacy == Privacy::Shared {
            files
                .share_like(&root_files)
                .map_err(|error| Error::io(format!("sharing {}", path.display()), error))?;
        }
        Ok(Self { files, path, root: Arc::clone(root), name: name.to_owned(), privacy })
    }

    /// A directory in `root`, whoever may enter it, to look at and to change nothing.
    pub(crate) fn look(root: &Arc<Root>, name: &str) -> Result<Self, Error> {
        let root_path =
            root.path().map_err(|error| Error::io("looking for the runtime directory", error))?;
        let (path, privacy) = (root_path.join(name), Privacy::Shared);
        let files = open_checked(&path, privacy, Missing::Leave)?;
        Ok(Self { files, path, root: Arc::clone(root), name: name.to_owned(), privacy })
    }

    /// The files in it.
    pub(crate) fn files(&self) -> &Directory {
        &self.files
    }

    /// Whether a process that comes now would open this same directory. It does not after this one
    /// was removed, moved, unmounted or mounted over, or after the user's runtime directory came or
    /// went. A process that has given up the right to look, or has another root directory, cannot
    /// know. It stays then: others still find it where it was.
    pub(crate) fn is_where_others_look(&self) -> bool {
        let here = match self.files.id() {
            Ok(Some(here)) => here,
            Ok(None) => return false,
            Err(_) => return true,
        };
        if self.root.is_out_of_sight() {
            return true;
        }
        let Ok(root) = self.root.path() else { return true };
        sys::directory_at(&root.join(&self.name)).map_or(true, |there| there == Some(here))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a step here: [`Error::Directory`] if it can never work.
    pub(crate) fn failed(&self, step: Step, error: impl Into<io::Error>) -> Error {
        filesystem::failed(&self.files, &self.path, step, error.into())
    }

    pub(crate) fn privacy(&self) -> Privacy {
        self.privacy
    }
}

fn open_checked(path: &Path, privacy: Privacy, missing: Missing) -> Result<Directory, Error> {
    let made = missing == Missing::Make
        && sys::make_directory(path)
            .map_err(|error| Error::directory(path, format!("it cannot be created: {error}")))?;
    let directory = Directory::open(path).map_err(|unopened| match unopened {
        Unopened::Never(problem) => Error::directory(path, problem),
        Unopened::Now(error) => Error::io(format!("opening {}", path.display()), error),
    })?;
    let looking = |error| Error::io(format!("looking at {}", path.display()), error);
    if privacy == Privacy::Private
        && let Some(problem) = directory.lets_others_in(made).map_err(looking)?
    {
        return Err(Error::directory(path, problem));
    }
    Ok(directory)
}
