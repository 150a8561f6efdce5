//! The byte-stream face: a socket as `AsyncRead + AsyncWrite`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use open_channel_proto::ResetCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Connection, WakeMode};
use crate::error::Error;
use crate::message::Message;
use crate::socket::Socket;
use crate::waiters::Seat;

/// Longest message that a write becomes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A socket as a stream of bytes; from [`Socket::into_stream`].
///
/// Each write is sent as one message of up to 64 KiB, without waiting for more; reads join messages and
/// acknowledge each when its last byte was read. On the peer's end, it ends with its host: see
/// [`Socket::into_stream`]. Flushing waits for nothing: written is on its way. Shutting down
/// ends this direction, and the other side reads to the end.
#[derive(Debug)]
pub struct ByteStream {
    socket: Socket,
    reading: Reading,
    recv_seat: Seat,
    send_seat: Seat,
}

/// A message that is read bit by bit, and acknowledged when its last byte was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    message: Option<Message>,
    read: usize,
}

impl Reading {
    /// Reads on in `message`. An empty one is acknowledged at once: it would look like the end.
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

/// Ends this direction. The other side may have read to the end, ended its own direction, and be gone: then there is
/// nobody left to tell, and nothing is wrong.
pub(crate) fn shut_down(connection: &Connection) -> Result<(), Error> {
    match connection.finish() {
        Err(Error::Closed | Error::Reset { code: ResetCode::Closed, .. }) if connection.has_ended() => Ok(()),
        finished => finished,
    }
}

impl ByteStream {
    pub(crate) fn new(socket: Socket) -> Self {
        socket.pin_unless_asked();
        Self { socket, reading: Reading::default(), recv_seat: Seat::default(), send_seat: Seat::default() }
    }

    /// The socket behind it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        for seat in [&mut self.recv_seat, &mut self.send_seat] {
            self.socket.connection().leave(seat);
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
            match ready!(this.socket.connection().poll_recv(cx, &mut this.recv_seat, WakeMode::Task))? {
                Some(message) => this.reading.begin(message),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let connection = this.socket.connection();
        let len = buf.len().min(CHUNK).min(connection.max_message());
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(connection.poll_room(cx, &mut this.send_seat, WakeMode::Task, len))?;
        connection.send_over(Bytes::copy_from_slice(&buf[..len]))?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.socket.connection();
        connection.check_process()?;
        connection.with(|inner| inner.write());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_down(self.socket.connection()).map_err(io::Error::from))
    }
}
