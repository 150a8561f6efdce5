//! The byte-stream interface: a socket as `Read + Write`.

use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::blocking::socket::Socket;
use crate::blocking::wait::wait;
use crate::connection::waiters::WakeMode;
use crate::error::Error;
use crate::socket::stream::{CHUNK, Reading, shut_down};

/// A socket as a stream of bytes; from [`Socket::into_stream`]. As
/// [`open_channel::ByteStream`](crate::ByteStream), for threads: reading blocks until there is
/// something, and writing blocks while the outbox is full.
///
/// Like std's `TcpStream`, a reference to it can be read and written too. So one thread may read
/// while another writes.
#[derive(Debug)]
pub struct ByteStream {
    socket: Socket,
    reading: Mutex<Reading>,
}

impl Socket {
    /// As [`open_channel::Socket::into_stream`](crate::Socket::into_stream).
    pub fn into_stream(self) -> ByteStream {
        self.socket.pin_unless_asked();
        ByteStream { socket: self, reading: Mutex::default() }
    }
}

impl ByteStream {
    /// The socket behind it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Ends this direction: the other side reads to the end, and may still write.
    ///
    /// # Errors
    /// Why the socket is over already.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        shut_down(self.socket.connection())
    }
}

impl Read for &ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Before the lock, which another thread may have held at the fork.
        self.socket.connection().check_process()?;
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let read = reading.read(buf);
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            match self.socket.recv()? {
                Some(message) => reading.begin(message),
                None => return Ok(0),
            }
        }
    }
}

impl Write for &ByteStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let connection = self.socket.connection();
        let len = buf.len().min(CHUNK).min(connection.max_message());
        if len == 0 {
            return Ok(0);
        }
        wait(connection, None, |cx, key| connection.poll_room(cx, key, WakeMode::Thread, len))
            .unwrap_or_else(|| unreachable!("waits without a limit"))?;
        connection.send_over(Bytes::copy_from_slice(&buf[..len]))?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        let connection = self.socket.connection();
        connection.check_process()?;
        connection.write();
        Ok(())
    }
}

impl Read for ByteStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for ByteStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
