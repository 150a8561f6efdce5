//! The two kinds of connection that are measured, behind one face.

use std::io;

use open_channel::blocking::Socket;

/// Longer than any message of a measurement.
pub(super) const LONGEST: usize = 16 << 20;

/// What a message's first byte asks of who receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// Nothing.
    Plain,
    /// To come back.
    Echo,
    /// On a plain socket: to come back, as a sign that everything before it was handled.
    Flush,
}

impl Message {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Echo => 1,
            Self::Flush => 2,
        }
    }

    /// A message of this length, of one byte at least.
    pub(super) fn of(self, len: usize) -> Vec<u8> {
        let mut message = vec![b'x'; len.max(1)];
        message[0] = self.byte();
        message
    }
}

pub(super) fn kind_of(message: &[u8]) -> Message {
    match message.first() {
        Some(1) => Message::Echo,
        Some(2) => Message::Flush,
        _ => Message::Plain,
    }
}

/// One end of a connection, whose calls block.
pub(super) trait End {
    fn send(&mut self, message: &[u8]) -> io::Result<()>;
    /// Receives and handles a message; its length.
    fn recv(&mut self) -> io::Result<usize>;
    /// Returns when everything that was sent is handled.
    fn flush(&mut self) -> io::Result<()>;
}

impl End for Socket {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.send_copy(message).map(drop).map_err(io::Error::other)
    }

    fn recv(&mut self) -> io::Result<usize> {
        let message = Self::recv(self).map_err(io::Error::other)?;
        let message = message.ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = message.len();
        message.ack();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).map_err(io::Error::other)
    }
}

/// Answers what asks for it, until the end.
pub(super) fn serve(socket: &Socket) {
    while let Ok(Some(message)) = socket.recv() {
        // A peer that is gone needs no answer.
        if kind_of(&message) == Message::Echo && socket.send_copy(&message).is_err() {
            return;
        }
        message.ack();
    }
}
