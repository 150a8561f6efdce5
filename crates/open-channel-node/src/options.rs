//! The options of `openChannel`, as the library's builder takes them.

use std::num::NonZeroU32;
use std::time::Duration;

use napi_derive::napi;
use open_channel::{Channel, DEFAULT_HOST_TIMEOUT, LinkKind, Scope};

/// Only `name` and `host` are always there; what is missing keeps the library's default.
#[napi(object)]
pub struct OpenOptions {
    /// The channel's name.
    pub name: String,
    /// May host: has a listener.
    pub host: bool,
    /// The application that the channel belongs to; the whole user's when missing.
    pub app: Option<String>,
    /// Where channels live, instead of the user's runtime directory.
    pub runtime_dir: Option<String>,
    /// A file in which the generation outlives the runtime directory.
    pub generation_file: Option<String>,
    /// The name of the only link to use.
    pub link: Option<String>,
    /// Milliseconds to find a host in, and to find one again.
    pub connect_timeout: Option<u32>,
    /// Milliseconds of silence after which a host is given up.
    pub host_timeout: Option<u32>,
    /// Milliseconds that a host keeps the session of a peer that went away.
    pub resume_timeout: Option<u32>,
    /// Milliseconds without an acknowledgement after which a socket is stalled.
    pub stall_after: Option<u32>,
    /// Bytes accepted and not yet acknowledged, per socket.
    pub outbox_bytes: Option<u32>,
    /// Bytes received and not yet acknowledged, per socket.
    pub receive_window: Option<u32>,
    /// Bytes of each of the two rings that a socket offers.
    pub ring_bytes: Option<u32>,
    /// Bytes of all rings that the process has, at most.
    pub ring_memory: Option<u32>,
    /// The longest message, in bytes.
    pub max_message: Option<u32>,
    /// Connections that a host accepts at a time.
    pub max_connections: Option<u32>,
    /// How often a message is delivered at most.
    pub max_attempts: Option<u32>,
    /// Allows taps while this process hosts.
    pub tap: Option<bool>,
}

impl OpenOptions {
    pub(crate) fn host_timeout(&self) -> Duration {
        self.host_timeout.map_or(DEFAULT_HOST_TIMEOUT, millis)
    }

    /// The builder, and whether it may host.
    pub(crate) fn builder(self) -> (open_channel::Builder, bool) {
        let scope = self.app.map_or(Scope::User, Scope::App);
        let mut builder = Channel::builder(self.name).scope(scope);
        if let Some(path) = self.runtime_dir {
            builder = builder.runtime_dir(path);
        }
        if let Some(path) = self.generation_file {
            builder = builder.generation_file(path);
        }
        // JavaScript has checked the name.
        if let Some(kind) = self.link.and_then(|name| LinkKind::from_name(&name)) {
            builder = builder.link(kind);
        }
        if let Some(ms) = self.connect_timeout {
            builder = builder.connect_timeout(millis(ms));
        }
        if let Some(ms) = self.host_timeout {
            builder = builder.host_timeout(millis(ms));
        }
        if let Some(ms) = self.resume_timeout {
            builder = builder.resume_timeout(millis(ms));
        }
        match self.stall_after {
            // An infinite number of JavaScript.
            Some(u32::MAX) => builder = builder.stall_after(Duration::MAX),
            Some(ms) => builder = builder.stall_after(millis(ms)),
            None => {}
        }
        if let Some(bytes) = self.outbox_bytes {
            builder = builder.outbox_bytes(bytes as usize);
        }
        if let Some(bytes) = self.receive_window {
            builder = builder.receive_window(bytes as usize);
        }
        if let Some(bytes) = self.ring_bytes {
            builder = builder.ring_bytes(bytes as usize);
        }
        if let Some(bytes) = self.ring_memory {
            builder = builder.ring_memory(bytes as usize);
        }
        if let Some(bytes) = self.max_message {
            builder = builder.max_message(bytes as usize);
        }
        if let Some(count) = self.max_connections {
            builder = builder.max_connections(count as usize);
        }
        if let Some(attempts) = self.max_attempts {
            builder = builder.max_attempts(NonZeroU32::new(attempts));
        }
        if let Some(allowed) = self.tap {
            builder = builder.tap(allowed);
        }
        (builder, self.host)
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}
