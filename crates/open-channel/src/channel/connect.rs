//! How a socket is connected.

use std::time::Duration;

/// Options of [`Channel::connect_with`](crate::Channel::connect_with). The defaults are those of
/// [`Channel::connect`](crate::Channel::connect).
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

    /// Time to find a host in, at first and after each loss of a host. It becomes the channel's own
    /// timeout. Default: the channel's [`connect_timeout`](crate::Builder::connect_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether the socket goes on with the next host when this one is lost or hands over.
    ///
    /// By default a socket of messages does, because each message is whole: those that were not
    /// acknowledged are delivered again.
    ///
    /// A protocol with state on its connection cannot go on. Half a request would reach the parser
    /// of a host that has not seen the other half, and a half answer would never end. So a socket
    /// that becomes a [`ByteStream`](crate::ByteStream) does not go on, unless this was set to
    /// `true`.
    ///
    /// A socket that does not go on fails with [`Error::HostLost`](crate::Error::HostLost) when its
    /// first host is lost. Messages that had arrived can be received before that. A connection that
    /// breaks while the host lives is resumed in either case.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = Some(reconnect);
        self
    }
}
