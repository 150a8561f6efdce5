//! Settings of a channel, and their defaults.

use std::path::PathBuf;
use std::time::Duration;

use open_channel_proto::{Limits, MAX_ATTEMPTS};

use crate::error::Error;
pub use crate::link::ring::DEFAULT_RING_MEMORY;
use crate::link::{LinkKind, native};
use crate::rendezvous::directory::Privacy;
use crate::rendezvous::identity::Scope;
use crate::sys::UserId;

/// Default of [`Builder::connect_timeout`](crate::Builder::connect_timeout).
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(5000);
/// Default of [`Builder::host_timeout`](crate::Builder::host_timeout).
pub const DEFAULT_HOST_TIMEOUT: Duration = Duration::from_millis(3000);
/// Default of [`Builder::resume_timeout`](crate::Builder::resume_timeout).
pub const DEFAULT_RESUME_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`Builder::stall_after`](crate::Builder::stall_after).
pub const DEFAULT_STALL_AFTER: Duration = Duration::from_secs(10);
/// Default of [`Builder::outbox_bytes`](crate::Builder::outbox_bytes).
pub const DEFAULT_OUTBOX_BYTES: usize = 4 << 20;
/// Default of [`Builder::receive_window`](crate::Builder::receive_window).
pub const DEFAULT_RECEIVE_WINDOW: usize = 4 << 20;
/// Default of [`Builder::max_message`](crate::Builder::max_message).
pub const DEFAULT_MAX_MESSAGE: usize = 64 << 20;
/// Default of [`Builder::ring_bytes`](crate::Builder::ring_bytes).
pub const DEFAULT_RING_BYTES: usize = 8 << 20;
/// Default of [`Builder::max_connections`](crate::Builder::max_connections).
pub const DEFAULT_MAX_CONNECTIONS: usize = 4096;

/// Below this, ordinary scheduling on a busy machine would be taken for a stuck host.
const MIN_HOST_TIMEOUT: Duration = Duration::from_millis(100);

/// The environment variable that forces a link.
const LINK_VARIABLE: &str = "OPEN_CHANNEL_LINK";

/// The environment variable that allows taps.
const TAP_VARIABLE: &str = "OPEN_CHANNEL_TAP";

/// Why a connect timeout of zero is refused.
pub(crate) const NO_TIME_TO_CONNECT: Error = Error::InvalidSetting {
    setting: "connect_timeout",
    problem: "is zero: nothing connects in no time",
};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `None`: the environment's.
    pub(crate) scope: Option<Scope>,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) generation_file: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) host_timeout: Duration,
    pub(crate) resume_timeout: Duration,
    pub(crate) stall_after: Duration,
    pub(crate) limits: Limits,
    pub(crate) max_connections: usize,
    pub(crate) allowed_users: Vec<UserId>,
    /// `None`: the environment's, if it asks for one.
    pub(crate) link: Option<LinkKind>,
    pub(crate) ring_bytes: usize,
    pub(crate) ring_memory: Option<usize>,
    /// `None`: the environment's, which is not to allow it.
    pub(crate) tap: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scope: None,
            runtime_dir: None,
            generation_file: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            host_timeout: DEFAULT_HOST_TIMEOUT,
            resume_timeout: DEFAULT_RESUME_TIMEOUT,
            stall_after: DEFAULT_STALL_AFTER,
            limits: Limits::new(DEFAULT_OUTBOX_BYTES, DEFAULT_RECEIVE_WINDOW, DEFAULT_MAX_MESSAGE),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            allowed_users: Vec::new(),
            link: None,
            ring_bytes: DEFAULT_RING_BYTES,
            ring_memory: None,
            tap: None,
        }
    }
}

impl Settings {
    /// Asks the environment for what is not set.
    pub(crate) fn complete(&mut self) -> Result<(), Error> {
        let set = std::env::var_os(LINK_VARIABLE).filter(|value| !value.is_empty());
        if let (None, Some(name)) = (self.link, set) {
            let kind = name.to_str().and_then(LinkKind::from_name);
            self.link = Some(kind.ok_or(Error::InvalidSetting {
                setting: LINK_VARIABLE,
                problem: "is none of `ring`, `unix`, `pipe`, `tcp` and `local`: set it to one of them",
            })?);
        }
        let set = std::env::var_os(TAP_VARIABLE).filter(|value| !value.is_empty());
        if let (None, Some(value)) = (self.tap, set) {
            self.tap = Some(match value.to_str() {
                Some("1") => true,
                Some("0") => false,
                _ => {
                    let (setting, problem) =
                        (TAP_VARIABLE, "is neither 0 nor 1: set it to one of them");
                    return Err(Error::InvalidSetting { setting, problem });
                }
            });
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |setting, problem| Err(Error::InvalidSetting { setting, problem });
        if self.limits.max_message == 0 {
            return invalid("max_message", "is zero: no message could ever be sent");
        }
        if self.limits.max_attempts.is_some_and(|most| most.get() > MAX_ATTEMPTS) {
            return invalid("max_attempts", "is above 64: no link counts further");
        }
        if self.max_connections == 0 {
            return invalid("max_connections", "is zero: nobody could ever connect");
        }
        if self.host_timeout < MIN_HOST_TIMEOUT {
            return invalid(
                "host_timeout",
                "is below 100 ms: a busy machine would look like a stuck host",
            );
        }
        if self.connect_timeout.is_zero() {
            return Err(NO_TIME_TO_CONNECT);
        }
        if self.stall_after.is_zero() {
            return invalid("stall_after", "is zero: every message would be late");
        }
        let native = [LinkKind::Unix, LinkKind::Pipe];
        if self.link.is_some_and(|link| native.contains(&link) && link != native::KIND) {
            return invalid("link", "is another system's: choose `pipe` on Windows, else `unix`");
        }
        Ok(())
    }

    pub(crate) fn privacy(&self) -> Privacy {
        if self.allowed_users.is_empty() { Privacy::Private } else { Privacy::Shared }
    }

    /// Whether to share memory with a process of this user. A process of the same user could do
    /// worse things than write into it.
    pub(crate) fn shares_memory_with(&self, user: &UserId) -> bool {
        self.link.is_none_or(|link| link == LinkKind::Ring) && *user == UserId::current()
    }

    /// Whether a process of this user may be on the other side.
    pub(crate) fn allows(&self, user: &UserId) -> bool {
        *user == UserId::current() || self.allowed_users.contains(user)
    }
}
