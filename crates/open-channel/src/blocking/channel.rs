//! [`Channel`] for threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::socket::Socket;
use crate::blocking::wait::block_on;
use crate::channel;
use crate::channel::builder::Builder;
use crate::channel::connect::ConnectOptions;
use crate::channel::event::{Events, Role, State};
use crate::channel::stats::ChannelStats;
use crate::error::Error;
use crate::rendezvous::identity::Scope;

/// [`open_channel::Channel`](crate::Channel) for threads.
#[derive(Debug, Clone)]
pub struct Channel {
    channel: channel::Channel,
}

impl Channel {
    /// As [`open_channel::Channel::new`](crate::Channel::new), with a listener that runs on its own
    /// thread for each socket. A listener that panics takes down its own connection only.
    ///
    /// While no thread can be started, new sockets of peers are put off. They try again until their
    /// connect timeout.
    ///
    /// # Errors
    /// - [`Error::InvalidName`].
    /// - [`Error::InvalidSetting`] for the environment's scope.
    /// - [`Error::Directory`] if a relative path of a directory cannot be made absolute.
    /// - [`Error::Io`] if the background thread could not be started.
    pub fn new<F>(name: impl Into<String>, listener: F) -> Result<Self, Error>
    where
        F: Fn(Socket) + Send + Sync + 'static,
    {
        Self::build(channel::Channel::builder(name), listener)
    }

    /// Sets a channel up, to be made with [`build`](Self::build) or [`build_peer`](Self::build_peer).
    pub fn builder(name: impl Into<String>) -> Builder {
        channel::Channel::builder(name)
    }

    /// A channel with settings other than the defaults, for a process that only joins and never
    /// hosts.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidSetting`].
    pub fn build_peer(builder: Builder) -> Result<Self, Error> {
        Ok(builder.build_peer()?.into())
    }

    /// A channel with settings other than the defaults.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::InvalidSetting`].
    pub fn build<F>(builder: Builder, listener: F) -> Result<Self, Error>
    where
        F: Fn(Socket) + Send + Sync + 'static,
    {
        let listener = Arc::new(move |socket| listener(Socket::new(socket)));
        Ok(Self { channel: builder.build_threaded(listener)? })
    }

    /// As [`open_channel::Channel::peer`](crate::Channel::peer).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn peer(name: impl Into<String>) -> Result<Self, Error> {
        Ok(channel::Channel::peer(name)?.into())
    }

    /// As [`open_channel::Channel::connect`](crate::Channel::connect): does not block.
    pub fn connect(&self) -> Socket {
        Socket::new(self.channel.connect())
    }

    /// As [`open_channel::Channel::connect_within`](crate::Channel::connect_within): does not
    /// block.
    pub fn connect_within(&self, timeout: Duration) -> Socket {
        Socket::new(self.channel.connect_within(timeout))
    }

    /// As [`open_channel::Channel::connect_with`](crate::Channel::connect_with): does not block.
    pub fn connect_with(&self, options: ConnectOptions) -> Socket {
        Socket::new(self.channel.connect_with(options))
    }

    /// As [`open_channel::Channel::join`](crate::Channel::join).
    ///
    /// # Errors
    /// As there.
    pub fn join(&self) -> Result<Role, Error> {
        block_on(self.channel.join())
    }

    /// As [`open_channel::Channel::directory`](crate::Channel::directory).
    pub fn directory(&self) -> PathBuf {
        self.channel.directory()
    }

    /// As [`open_channel::Channel::name`](crate::Channel::name).
    pub fn name(&self) -> &str {
        self.channel.name()
    }

    /// As [`open_channel::Channel::scope`](crate::Channel::scope).
    pub fn scope(&self) -> &Scope {
        self.channel.scope()
    }

    /// As [`open_channel::Channel::key`](crate::Channel::key).
    pub fn key(&self) -> String {
        self.channel.key()
    }

    /// As [`open_channel::Channel::state`](crate::Channel::state).
    pub fn state(&self) -> State {
        self.channel.state()
    }

    /// As [`open_channel::Channel::connected`](crate::Channel::connected).
    pub fn connected(&self) -> bool {
        self.channel.connected()
    }

    /// As [`open_channel::Channel::role`](crate::Channel::role).
    pub fn role(&self) -> Role {
        self.channel.role()
    }

    /// As [`open_channel::Channel::generation`](crate::Channel::generation).
    pub fn generation(&self) -> u64 {
        self.channel.generation()
    }

    /// As [`open_channel::Channel::events`](crate::Channel::events); use
    /// [`blocking_recv`](Events::blocking_recv).
    pub fn events(&self) -> Events {
        self.channel.events()
    }

    /// As [`open_channel::Channel::stats`](crate::Channel::stats).
    pub fn stats(&self) -> ChannelStats {
        self.channel.stats()
    }

    /// As [`open_channel::Channel::close`](crate::Channel::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), Error> {
        block_on(self.channel.close())
    }
}

impl From<channel::Channel> for Channel {
    fn from(channel: channel::Channel) -> Self {
        Self { channel }
    }
}
