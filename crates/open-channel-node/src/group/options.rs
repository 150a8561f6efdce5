//! The options of `Group.join`, as the library's builder takes them.

use std::time::Duration;

use napi_derive::napi;
use open_channel::{LinkKind, Scope};
use open_channel_group::{Group, GroupBuilder, ffi};

/// Only `name`, `program` and `labels` are always there; what is missing keeps the library's
/// default.
#[napi(object)]
pub struct JoinOptions {
    /// The group's name.
    pub name: String,
    /// The program that runs in this process.
    pub program: String,
    /// The application that the group belongs to; the whole user's when missing.
    pub app: Option<String>,
    /// Where groups live, instead of the user's runtime directory.
    pub runtime_dir: Option<String>,
    /// A file in which the generation outlives the runtime directory.
    pub generation_file: Option<String>,
    /// The name of the only link to use.
    pub link: Option<String>,
    /// Pairs of a name and a value, one after the other.
    pub labels: Vec<String>,
    /// Milliseconds to find a host in.
    pub connect_timeout: Option<u32>,
    /// Milliseconds of silence after which a host is given up.
    pub host_timeout: Option<u32>,
    /// Milliseconds that a host keeps the session of a member whose connection broke.
    pub resume_timeout: Option<u32>,
    /// Milliseconds without progress after which a member that holds others up is put out.
    pub stall_timeout: Option<u32>,
    /// Bytes under way in each face.
    pub window: Option<u32>,
    /// The longest payload, in bytes.
    pub max_payload: Option<u32>,
    /// Bytes of all maps together.
    pub map_bytes: Option<u32>,
    /// How many members there may be.
    pub max_members: Option<u32>,
}

impl JoinOptions {
    pub(crate) fn builder(self) -> GroupBuilder {
        let builder = ffi::identify(Group::builder(&self.name), &self.program, "node");
        let mut builder = builder.scope(self.app.map_or(Scope::User, Scope::App));
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
        for pair in self.labels.chunks_exact(2) {
            builder = builder.label(&*pair[0], &*pair[1]);
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
        if let Some(ms) = self.stall_timeout {
            builder = builder.stall_timeout(millis(ms));
        }
        if let Some(bytes) = self.window {
            builder = builder.window(bytes as usize);
        }
        if let Some(bytes) = self.max_payload {
            builder = builder.max_payload(bytes as usize);
        }
        if let Some(bytes) = self.map_bytes {
            builder = builder.map_bytes(bytes as usize);
        }
        if let Some(members) = self.max_members {
            builder = builder.max_members(members as usize);
        }
        builder
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}
