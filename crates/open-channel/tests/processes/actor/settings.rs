//! The settings of a channel, as words `key=value` of a command.

use std::collections::HashMap;
use std::time::Duration;

use open_channel::{Builder, Channel, LinkKind, Scope, UserId};

/// A channel's settings by their names.
pub(super) struct Settings<'a>(HashMap<&'a str, &'a str>);

impl<'a> Settings<'a> {
    pub(super) fn parse(words: &[&'a str]) -> Self {
        Self(words.iter().filter_map(|word| word.split_once('=')).collect())
    }

    /// A channel whose name is `name`, which is in hexadecimal digits, with these settings.
    pub(super) fn builder(&self) -> Builder {
        let name: Vec<u8> = self.0["name"]
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        configured(Channel::builder(String::from_utf8(name).unwrap()), &self.0)
    }

    /// Whether the channel never hosts.
    pub(super) fn is_peer(&self) -> bool {
        self.0.get("role") == Some(&"peer")
    }
}

/// A channel that has only what every test sets.
pub(super) fn usual(name: String) -> Builder {
    configured(Channel::builder(name), &HashMap::new())
}

fn configured(mut builder: Builder, settings: &HashMap<&str, &str>) -> Builder {
    let number = |key: &str| settings.get(key).map(|value| value.parse::<u64>().unwrap());
    let millis = |key: &str| number(key).map(Duration::from_millis);
    let size = |key: &str| number(key).map(|value| usize::try_from(value).unwrap());
    // Ample by default, so that a busy machine is no reason to fail.
    builder = builder.connect_timeout(millis("connect_timeout").unwrap_or(Duration::from_secs(25)));
    builder = builder.host_timeout(millis("host_timeout").unwrap_or(Duration::from_secs(20)));
    if let Some(app) = settings.get("app") {
        builder = builder.scope(Scope::App((*app).to_owned()));
    }
    if let Some(timeout) = millis("resume_timeout") {
        builder = builder.resume_timeout(timeout);
    }
    if let Some(time) = millis("stall_after") {
        builder = builder.stall_after(time);
    }
    if let Some(bytes) = size("outbox") {
        builder = builder.outbox_bytes(bytes);
    }
    if let Some(bytes) = size("window") {
        builder = builder.receive_window(bytes);
    }
    if let Some(bytes) = size("ring") {
        builder = builder.ring_bytes(bytes);
    }
    if let Some(bytes) = size("ring_memory") {
        builder = builder.ring_memory(bytes);
    }
    if let Some(link) = settings.get("link") {
        builder = builder.link(LinkKind::from_name(link).unwrap());
    }
    if let Some(connections) = size("max_connections") {
        builder = builder.max_connections(connections);
    }
    if let Some(uid) = number("allow") {
        builder = builder.allow_user(UserId::from_uid(u32::try_from(uid).unwrap()));
    }
    if let Some(path) = settings.get("generation_file") {
        builder = builder.generation_file(path);
    }
    match settings.get("dir") {
        Some(dir) => builder.runtime_dir(dir),
        None => builder,
    }
}
