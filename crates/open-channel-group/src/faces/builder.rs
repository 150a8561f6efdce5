//! How a group is joined.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use open_channel::{Channel, LinkKind, Scope};

use super::group::Group;
use super::handle::Handle;
use crate::core::{Limits, MAX_INFO, MemberInfo};
use crate::driver::{Driver, NAME_SPACE, Setup};
use crate::engine::Engine;
use crate::error::Error;

/// Beyond the longest payload, a message has names and a head.
const HEAD: usize = 1 << 20;

/// Settings of a group, from [`Group::builder`]. All members should have the same limits and
/// timeouts.
#[derive(Debug)]
#[must_use]
pub struct GroupBuilder {
    channel: open_channel::Builder,
    limits: Limits,
    info: MemberInfo,
}

impl Group {
    /// Joins the group of this name, and waits until a host serves this member. The first process
    /// to join hosts the group inside itself; the next one takes over when it goes.
    ///
    /// # Errors
    /// As [`GroupBuilder::join`].
    ///
    /// # Cancel safety
    /// When dropped before it is done, nothing was joined.
    pub async fn join(name: &str) -> Result<Self, Error> {
        Self::builder(name).join().await
    }

    /// Settings for joining.
    pub fn builder(name: &str) -> GroupBuilder {
        GroupBuilder::new(name)
    }
}

impl GroupBuilder {
    fn new(name: &str) -> Self {
        let program = std::env::current_exe().ok();
        let program = program.as_ref().and_then(|path| path.file_name());
        Self {
            channel: Channel::builder(format!("{NAME_SPACE}{name}")),
            limits: Limits::default(),
            info: MemberInfo {
                pid: std::process::id(),
                program: program.unwrap_or_default().to_string_lossy().into_owned(),
                language: "rust".into(),
                labels: Vec::new(),
            },
        }
    }

    /// The programs that share the group, as for a [channel](open_channel::Builder::scope).
    pub fn scope(mut self, scope: Scope) -> Self {
        self.channel = self.channel.scope(scope);
        self
    }

    /// The runtime directory, as for a [channel](open_channel::Builder::runtime_dir).
    pub fn runtime_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.channel = self.channel.runtime_dir(dir);
        self
    }

    /// A file that remembers the generation, as for a
    /// [channel](open_channel::Builder::generation_file): tokens of locks grow for as long as it
    /// is there. Without it they grow for as long as the runtime directory is.
    pub fn generation_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.channel = self.channel.generation_file(path);
        self
    }

    /// Forces the kind of link, as for a [channel](open_channel::Builder::link).
    pub fn link(mut self, kind: LinkKind) -> Self {
        self.channel = self.channel.link(kind);
        self
    }

    /// Whether processes of this user may tap the group while this process hosts it, as for a
    /// [channel](open_channel::Builder::tap).
    pub fn tap(mut self, allowed: bool) -> Self {
        self.channel = self.channel.tap(allowed);
        self
    }

    /// Time to find a host in, or to become it, as for a
    /// [channel](open_channel::Builder::connect_timeout).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.channel = self.channel.connect_timeout(timeout);
        self
    }

    /// Time for which a host holds the session of a member whose connection broke, as for a
    /// [channel](open_channel::Builder::resume_timeout).
    pub fn resume_timeout(mut self, timeout: Duration) -> Self {
        self.channel = self.channel.resume_timeout(timeout);
        self
    }

    /// Time for which a host may be silent before another takes over, and for which a new host
    /// waits for the members that it knows of. At least 100 ms. Default:
    /// [`DEFAULT_HOST_TIMEOUT`](crate::core::DEFAULT_HOST_TIMEOUT).
    pub fn host_timeout(mut self, timeout: Duration) -> Self {
        self.limits.host_timeout = timeout;
        self
    }

    /// Time for which a member that holds others up may make no progress before it is put out of
    /// the view. Not zero. Default:
    /// [`DEFAULT_STALL_TIMEOUT`](crate::core::DEFAULT_STALL_TIMEOUT).
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.limits.stall_timeout = timeout;
        self
    }

    /// Bytes that this member may have under way in each face, and that each subscription holds.
    /// Default: [`DEFAULT_WINDOW`](crate::core::DEFAULT_WINDOW).
    pub fn window(mut self, bytes: usize) -> Self {
        self.limits.window = bytes;
        self
    }

    /// Longest payload, value or answer in bytes. Default:
    /// [`DEFAULT_MAX_PAYLOAD`](crate::core::DEFAULT_MAX_PAYLOAD).
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.limits.max_payload = bytes;
        self
    }

    /// Limit of all keys and values of all maps together, in bytes. Default:
    /// [`DEFAULT_MAP_BYTES`](crate::core::DEFAULT_MAP_BYTES).
    pub fn map_bytes(mut self, bytes: usize) -> Self {
        self.limits.map_bytes = bytes;
        self
    }

    /// Limit of the members. Default:
    /// [`DEFAULT_MAX_MEMBERS`](crate::core::DEFAULT_MAX_MEMBERS).
    pub fn max_members(mut self, members: usize) -> Self {
        self.limits.max_members = members;
        self
    }

    /// A label by which others may know this member. Together with its program they have at most
    /// [`MAX_INFO`] bytes.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.info.labels.push((name.into(), value.into()));
        self
    }

    pub(crate) fn identify(mut self, program: &str, language: &str) -> Self {
        self.info.program = program.into();
        self.info.language = language.into();
        self
    }

    /// Joins, and waits until a host serves this member.
    ///
    /// # Errors
    /// As for a channel: a name or setting that cannot be, a directory that cannot be used, no host
    /// within the connect timeout.
    ///
    /// # Cancel safety
    /// When dropped before it is done, nothing was joined.
    pub async fn join(self) -> Result<Group, Error> {
        let Self { channel, limits, info } = self;
        let invalid = |setting, problem| Err(Error::InvalidSetting { setting, problem });
        let of_labels = info.labels.iter().map(|(name, value)| 16 + name.len() + value.len());
        if of_labels.sum::<usize>() + info.program.len() + info.language.len() > MAX_INFO {
            return invalid("label", "is too long together with the others: 64 KiB are allowed");
        }
        if limits.max_payload == 0 {
            return invalid("max_payload", "is zero: nothing could ever be sent");
        }
        let longest = limits.max_payload.saturating_add(HEAD);
        let channel = channel
            .host_timeout(limits.host_timeout)
            .stall_after(limits.stall_timeout)
            .max_message(longest.max(open_channel::DEFAULT_MAX_MESSAGE));
        let driver = Driver::start(Setup { channel, limits, info })?;
        let name = driver.channel().name()[NAME_SPACE.len()..].to_owned();
        let directory = driver.channel().directory();
        let engine: Arc<dyn Engine> = Arc::clone(&driver) as _;
        let handle = Handle::new(engine, driver.background().clone());
        driver.joined().await?;
        Ok(Group::new(handle, name, directory))
    }
}
