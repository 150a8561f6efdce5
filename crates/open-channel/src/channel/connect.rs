//! How a socket is connected.

use std::time::Duration;

/// What [`Channel::connect_with`](crate::Channel::connect_with) takes. The default is what
/// [`Channel::connect`](crate::Channel::connect) does.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use open_channel::ConnectOptions;
/// let options = ConnectOptions::new().timeout(Duration::from_secs(1)).reconnect(false);
/// # drop(options);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ConnectOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) reconnect: Option<bool>,
}

impl ConnectOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Time to find a host in, at first and after one was lost. The channel keeps it from here on.
    /// Default: the channel's [`connect_timeout`](crate::Builder::connect_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether the socket goes on with the next host when this one is lost or hands over.
    ///
    /// By default a socket of messages does, because each message is whole: what was not
    /// acknowledged is delivered again. A protocol that keeps a state on its connection cannot:
    /// half a request would reach the parser of a host that has not seen the other half, and an
    /// answer that was begun would never end. So a socket that becomes a
    /// [`ByteStream`](crate::ByteStream) does not, unless this was set to `true`.
    ///
    /// A socket that does not go on fails with [`Error::HostLost`](crate::Error::HostLost) when its
    /// first host is lost, after what had arrived was received. A connection that breaks while the
    /// host lives is resumed in either case.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = Some(reconnect);
        self
    }
}
