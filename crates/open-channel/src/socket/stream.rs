//! The byte-stream interface: a socket as `AsyncRead + AsyncWrite`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use open_channel_proto::ResetCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;
use crate::connection::waiters::WaiterKey;
use crate::connection::waiters::WakeMode;
use crate::error::Error;
use crate::socket::Socket;
use crate::socket::message::Message;

/// Longest message that a write becomes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A socket as a stream of bytes; from [`Socket::into_stream`].
///
/// Each write is sent as one message of up to 64 KiB, without waiting for more. Reads join messages
/// and acknowledge each when its last byte was read. On the peer's end the stream ends with its
/// host: see [`Socket::into_stream`].
///
/// Flushing waits for nothing: written bytes are on their way. Shutting down ends this direction,
/// and the other side reads to the end.
#[derive(Debug)]
pub struct ByteStream {
    socket: Socket,
    reading: Reading,
    recv_key: WaiterKey,
    send_key: WaiterKey,
}

/// A message that is read in pieces, and acknowledged when its last byte was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    message: Option<Message>,
    read: usize,
}

impl Reading {
    /// Goes on in `message`. An empty one is acknowledged at once: returned, it would mean the end.
    pub(crate) fn begin(&mut self, message: Message) {
        self.read = 0;
        if message.is_empty() {
            message.ack();
        } else {
            self.message = Some(message);
        }
    }

    /// Copies what there is, as far as `buf` has room; 0 when another message is due.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> usize {
        let Some(message) = &self.message else { return 0 };
        let rest = &message[self.read..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        if self.read == message.len()
            && let Some(message) = self.message.take()
        {
            message.ack();
        }
        len
    }
}

/// Ends this direction. It is no error if the other side has read to the end, ended its own
/// direction, and is gone.
pub(crate) fn shut_down(connection: &Connection) -> Result<(), Error> {
    match connection.finish() {
        Err(Error::Closed | Error::Reset { code: ResetCode::Closed, .. })
            if connection.has_ended() =>
        {
            Ok(())
        }
        finished => finished,
    }
}

impl Socket {
    /// On the peer's end: bytes do not go on with another host, unless that was asked for.
    pub(crate) fn pin_unless_asked(&self) {
        if self.inner.guard.is_some() && self.inner.reconnect.is_none() {
            self.connection().pin();
        }
    }

    /// The socket as a stream of bytes, for codecs and protocols that want one.
    ///
    /// On the peer's end it ends with its host ([`Error::HostLost`]), as a plain socket does,
    /// unless [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect) was set to `true`.
    pub fn into_stream(self) -> ByteStream {
        self.pin_unless_asked();
        let (recv_key, send_key) = (WaiterKey::default(), WaiterKey::default());
        ByteStream { socket: self, reading: Reading::default(), recv_key, send_key }
    }
}

impl ByteStream {
    /// The socket behind it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        for key in [&mut self.recv_key, &mut self.send_key] {
            self.socket.connection().leave(key);
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.socket.connection().check_process()?;
        loop {
            let read = this.reading.read(buf.initialize_unfilled());
            if read > 0 || buf.remaining() == 0 {
                buf.advance(read);
                return Poll::Ready(Ok(()));
            }
            match ready!(Message::poll(
                this.socket.connection(),
                cx,
                &mut this.recv_key,
                WakeMode::Task
            ))? {
                Some(message) => this.reading.begin(message),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let connection = this.socket.connection();
        let len = buf.len().min(CHUNK).min(connection.max_message());
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(connection.poll_room(cx, &mut this.send_key, WakeMode::Task, len))?;
        connection.send_over(Bytes::copy_from_slice(&buf[..len]))?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.socket.connection();
        connection.check_process()?;
        connection.write();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_down(self.socket.connection()).map_err(io::Error::from))
    }
}
