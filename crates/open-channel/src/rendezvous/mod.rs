//! How a name becomes a place: scopes, names, and a private directory that nobody else can enter.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use open_channel_proto::ChannelKey;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use self::filesystem::Step;
use self::root::Root;
use crate::error::Error;
use crate::sys::{self, SocketPath, UserId};

pub(crate) mod election;
pub(crate) mod entries;
pub(crate) mod fence;
mod filesystem;
pub(crate) mod generation_file;
pub(crate) mod lock_file;
pub(crate) mod removal;
pub(crate) mod root;
pub(crate) mod versions;

/// Longest channel name in bytes of UTF-8.
pub const MAX_NAME: usize = 255;

/// Longest path that fits a socket address on every Unix, its final zero included or not.
const MAX_SOCKET_PATH: usize = 103;

/// Characters of the name that show in its directory's name.
const READABLE_PREFIX: usize = 16;

/// The environment variable that names the application.
const APP_VARIABLE: &str = "OPEN_CHANNEL_APP";
/// The environment variable that names the scope.
const SCOPE_VARIABLE: &str = "OPEN_CHANNEL_SCOPE";

/// Who shares a channel of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Every program of the user.
    #[default]
    User,
    /// Only programs that name the same application, by any string they agree on (the Node package uses the
    /// path of the entry script).
    App(String),
}

impl Scope {
    /// The scope that the environment asks for; [`Scope::User`] if it asks for none. An empty variable counts as
    /// one that is not set.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::of(variable(SCOPE_VARIABLE), variable(APP_VARIABLE))
    }

    fn of(scope: Option<OsString>, app: Option<OsString>) -> Result<Self, Error> {
        let invalid = |setting, problem| Error::InvalidSetting { setting, problem };
        let named = scope.as_deref().map(|scope| scope.to_str().unwrap_or_default());
        match (named, app) {
            (Some("user"), _) | (None, None) => Ok(Self::User),
            (Some("app") | None, Some(app)) => app
                .into_string()
                .map(Self::App)
                .map_err(|_| invalid(APP_VARIABLE, "is not valid UTF-8: choose another name")),
            (Some("app"), None) => Err(invalid(
                SCOPE_VARIABLE,
                "is `app`, and nothing names the application: set OPEN_CHANNEL_APP, too",
            )),
            (Some(_), _) => {
                Err(invalid(SCOPE_VARIABLE, "is neither `user` nor `app`: set it to one of them"))
            }
        }
    }
}

/// A channel's identity: what its name and scope amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) key: ChannelKey,
    pub(crate) scope: Scope,
    directory: String,
}

impl Identity {
    /// The name of its directory.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    pub(crate) fn new(name: &str, scope: Scope) -> Result<Self, Error> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(Error::InvalidName { len: name.len(), max: MAX_NAME });
        }
        let mut hash = Sha256::new();
        match &scope {
            Scope::User => hash.update(b"open-channel user\0"),
            Scope::App(app) => {
                hash.update(b"open-channel app\0");
                hash.update((app.len() as u64).to_le_bytes());
                hash.update(app);
            }
        }
        hash.update(name);
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = ChannelKey::default();
        key.copy_from_slice(&digest[..16]);
        let readable: String = name
            .chars()
            .take(READABLE_PREFIX)
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        let unique = u64::from_be_bytes(*digest.last_chunk().unwrap_or(&[0; 8]));
        Ok(Self { key, scope, directory: format!("{readable}-{unique:016x}") })
    }
}

/// Whether a channel's directory could have this name.
pub(crate) fn is_channel(directory: &str) -> bool {
    let Some((readable, unique)) = directory.rsplit_once('-') else { return false };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    unique.len() == 16
        && unique.bytes().all(is_hex)
        && (1..=READABLE_PREFIX).contains(&readable.len())
        && readable.bytes().all(is_safe)
}

/// Who may enter the runtime directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Its owner alone.
    Private,
    /// Others too, on purpose.
    Shared,
}

/// Where a host listens: a socket in a channel's directory.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    path: PathBuf,
    file: String,
    dir: Arc<ChannelDir>,
}

/// A path that fits a socket address, for as long as this lives.
#[derive(Debug)]
pub(crate) enum Address<'a> {
    Plain(&'a Path),
    Short(SocketPath),
}

impl Address<'_> {
    pub(crate) fn as_path(&self) -> &Path {
        match self {
            Self::Plain(path) => path,
            Self::Short(path) => path.as_path(),
        }
    }
}

impl Endpoint {
    /// Its plain path, which may be too long for a socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to it that fits a socket address: the plain one, else a shorter one.
    ///
    /// # Errors
    /// [`Error::Directory`] if there is none; anything else may be otherwise a moment later.
    pub(crate) fn address(&self) -> Result<Address<'_>, Error> {
        if self.path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Address::Plain(&self.path));
        }
        let dir = &self.dir;
        SocketPath::short(dir.fd(), dir.path(), &self.file).map(Address::Short).map_err(|error| {
            match error.kind() {
                io::ErrorKind::InvalidInput => Error::directory(dir.path(), error.to_string()),
                _ => Error::io("finding a shorter path for a socket", error),
            }
        })
    }

    /// The channel's directory.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }
}

/// A channel's own directory, held open: what is checked is what is used, whatever happens to the path.
#[derive(Debug)]
pub(crate) struct ChannelDir {
    fd: OwnedFd,
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
        Self::in_root(root, &identity.directory, privacy, missing)
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
        let root_fd = open_checked(&root_path, privacy, missing)?;
        let path = root_path.join(name);
        let fd = open_checked(&path, privacy, missing)?;
        if privacy == Privacy::Shared {
            share_like(&fd, &root_fd)
                .map_err(|errno| Error::io(format!("sharing {}", path.display()), errno))?;
        }
        Ok(Self { fd, path, root: Arc::clone(root), name: name.to_owned(), privacy })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether a process that comes now would open this same directory. It does not after this one
    /// was removed, moved, unmounted or mounted over, or after the user's runtime directory came or
    /// went. A process that has given up the right to look, or has another root directory, cannot
    /// tell. It stays then: others still find it where it was.
    pub(crate) fn is_where_others_look(&self) -> bool {
        let Ok(here) = rustix::fs::fstat(&self.fd) else { return true };
        if here.st_nlink == 0 {
            return false;
        }
        if self.root.is_out_of_sight() {
            return true;
        }
        let Ok(root) = self.root.path() else { return true };
        match rustix::fs::lstat(root.join(&self.name)) {
            Ok(there) => (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino),
            Err(errno) => !matches!(errno, Errno::NOENT | Errno::NOTDIR),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a step here: [`Error::Directory`] if it can never work.
    pub(crate) fn failed(&self, step: Step, error: impl Into<io::Error>) -> Error {
        filesystem::failed(self.fd(), &self.path, step, error.into())
    }

    pub(crate) fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// The socket `file` here.
    pub(crate) fn endpoint(self: &Arc<Self>, file: &str) -> Endpoint {
        Endpoint { path: self.path.join(file), file: file.to_owned(), dir: Arc::clone(self) }
    }
}

fn open_checked(path: &Path, privacy: Privacy, missing: Missing) -> Result<OwnedFd, Error> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(Error::directory(path, "the path holds a zero byte"));
    }
    let made = missing == Missing::Make && make(path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let problem = match errno {
            _ if is_link => {
                "it is a symbolic link, which is never followed: replace it with a directory".into()
            }
            Errno::NOTDIR => "it is not a directory: choose another path, or remove it".into(),
            // Gone since it was made, or never there.
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOENT => {
                return Error::io(format!("opening {}", path.display()), errno);
            }
            other => io::Error::from(other).to_string(),
        };
        Error::directory(path, problem)
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| Error::io("fstat", errno))?;
    if privacy == Privacy::Private
        && let Some(problem) = lets_others_in(&stat, made, || sys::file_system(fd.as_fd()))
    {
        return Err(Error::directory(path, problem));
    }
    Ok(fd)
}

/// Why a directory is not this user's alone, if it is not, and what to do.
fn lets_others_in(
    stat: &Stat,
    made: bool,
    file_system: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let (owner, user) = (UserId::from_uid(stat.st_uid), UserId::current());
    let mode = stat.st_mode & 0o7777;
    if owner != user {
        return Some(format!(
            "it belongs to user {owner}, not to this process's user {user}: set OPEN_CHANNEL_DIR to a directory of user {user}"
        ));
    }
    if mode & 0o077 == 0 {
        return None;
    }
    Some(if made {
        let file_system = file_system().map_or_else(String::new, |name| format!(" ({name})"));
        let remedy = filesystem::REMEDY;
        format!(
            "it was made with mode 700 and has mode {mode:03o}: its file system{file_system} keeps no permissions: {remedy}"
        )
    } else if mode & 0o2070 == 0o2070 || mode & 0o2070 == 0o2060 {
        format!(
            "its mode {mode:03o} lets other users in: a Kubernetes volume with fsGroup gets such a mode when it is mounted: \
             set OPEN_CHANNEL_DIR to a path outside of that volume or, in an emptyDir, to one that does not exist yet"
        )
    } else {
        // Not "chmod 700 it" alone: it may be /tmp.
        format!(
            "its mode {mode:03o} lets other users in: set OPEN_CHANNEL_DIR to a path that does not exist yet, or chmod \
             700 it if it serves nothing else"
        )
    })
}

/// Who was let into the root is let into the channel; only its owner can, and needs to, see to that.
fn share_like(fd: &OwnedFd, root: &OwnedFd) -> Result<(), Errno> {
    let (own, root) = (rustix::fs::fstat(fd)?, rustix::fs::fstat(root)?);
    let mode = Mode::from_raw_mode(root.st_mode & 0o1777);
    if UserId::from_uid(own.st_uid) == UserId::current()
        && own.st_mode & 0o1777 != mode.as_raw_mode()
    {
        rustix::fs::fchmod(fd, mode)?;
    }
    Ok(())
}

/// Makes a directory with mode 0700, unless something is there already; tells whether it was made.
fn make(path: &Path) -> Result<bool, Error> {
    let refused =
        |error: io::Error| Error::directory(path, format!("it cannot be created: {error}"));
    let mut made = rustix::fs::mkdir(path, Mode::RWXU);
    if made == Err(Errno::NOENT)
        && let Some(parent) = path.parent()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(refused)?;
        made = rustix::fs::mkdir(path, Mode::RWXU);
    }
    match made {
        Ok(()) => Ok(true),
        // Opening says what stands there, if it is no directory.
        Err(Errno::EXIST) => Ok(false),
        Err(_) if path.symlink_metadata().is_ok() => Ok(false),
        Err(errno) => Err(refused(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn directory(name: &str, scope: Scope) -> String {
        Identity::new(name, scope).expect("a good name").directory
    }

    #[test]
    fn names_become_safe_short_and_distinct() {
        let long = "x".repeat(MAX_NAME);
        let longer = format!("{}y", "x".repeat(MAX_NAME - 1));
        let names = [
            "a",
            "A",
            "a/../../../x",
            "..",
            ".",
            "/",
            "🦀🦀",
            "a b",
            "a\0b",
            "-rf",
            &long,
            &longer,
        ];
        let mut seen = std::collections::HashSet::new();
        for name in names {
            let directory = directory(name, Scope::User);
            assert!(directory.len() <= READABLE_PREFIX + 17, "{directory}");
            assert!(
                directory.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
                "{directory}"
            );
            assert!(is_channel(&directory), "{directory}");
            assert!(seen.insert(directory));
        }
    }

    #[test]
    fn directories_that_are_no_channels_are_told_apart() {
        for other in [
            "generations",
            "photos-2024",
            "-0123456789abcdef",
            "a-0123456789ABCDEF",
            "a-0123456789abcde",
        ] {
            assert!(!is_channel(other), "{other}");
        }
    }

    #[test]
    fn scopes_keep_channels_of_one_name_apart() {
        let app = |app: &str| directory("jobs", Scope::App(app.into()));
        assert_ne!(app("/srv/a.js"), app("/srv/b.js"));
        assert_ne!(app("/srv/a.js"), directory("jobs", Scope::User));
        assert_eq!(app("/srv/a.js"), app("/srv/a.js"));
    }

    #[test]
    fn empty_and_overlong_names_are_refused() {
        for name in ["", &"x".repeat(MAX_NAME + 1)] {
            assert!(matches!(Identity::new(name, Scope::User), Err(Error::InvalidName { .. })));
        }
    }

    #[test]
    fn the_environment_names_the_scope_and_the_application() {
        let of = |scope: Option<&str>, app: Option<&str>| {
            Scope::of(scope.map(Into::into), app.map(Into::into))
        };
        let shop = || Scope::App("shop".into());
        for (scope, app, meant) in [
            (None, None, Scope::User),
            (None, Some("shop"), shop()),
            (Some("app"), Some("shop"), shop()),
            (Some("user"), None, Scope::User),
            (Some("user"), Some("shop"), Scope::User),
        ] {
            assert_eq!(of(scope, app).expect("a good environment"), meant, "{scope:?} {app:?}");
        }
        for (scope, app, named) in [
            ("all", Some("shop"), SCOPE_VARIABLE),
            ("User", None, SCOPE_VARIABLE),
            ("app", None, APP_VARIABLE),
        ] {
            let error = of(Some(scope), app).expect_err("a bad environment").to_string();
            assert!(error.contains(SCOPE_VARIABLE) && error.contains(named), "{error}");
        }
        let broken = OsString::from_vec(vec![b's', 0xff]);
        let error = Scope::of(None, Some(broken.clone())).expect_err("not UTF-8").to_string();
        assert!(error.contains(APP_VARIABLE), "{error}");
        assert!(Scope::of(Some(broken), None).is_err());
    }

    /// As on exFAT, which shows every directory with the mode that it was mounted with.
    #[test]
    fn a_file_system_that_keeps_no_modes_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let mut stat = rustix::fs::stat(root.path()).expect("its state");
        let problem = |stat: &Stat, made| {
            lets_others_in(stat, made, || Some("exfat, mounted on /mnt".into()))
        };
        stat.st_mode = 0o040_700;
        assert_eq!(problem(&stat, true), None);
        stat.st_mode = 0o040_755;
        let made = problem(&stat, true).expect("a problem");
        assert!(made.contains("(exfat, mounted on /mnt) keeps no permissions"), "{made}");
        assert!(made.contains("set OPEN_CHANNEL_DIR"), "{made}");
        let found = problem(&stat, false).expect("a problem");
        assert!(found.contains("its mode 755 lets other users in"), "{found}");
    }

    /// Other languages and later versions must find the same place: this never changes.
    #[test]
    fn the_directory_of_a_name_is_pinned() {
        assert_eq!(directory("chat", Scope::User), pinned());
    }

    fn pinned() -> String {
        let digest: [u8; 32] = Sha256::digest(b"open-channel user\0chat").into();
        format!(
            "chat-{}",
            digest[24..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        )
    }
}
