//! The plain socket that everything is measured beside: a length before each message, no more.

use std::io::{self, Read, Write};
use std::path::Path;

#[cfg(not(unix))]
use std::net::{TcpListener as Listener, TcpStream as Stream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener as Listener, UnixStream as Stream};

use super::ends::{End, LONGEST, Message, kind_of};

/// Bytes of a length.
const PREFIX: usize = 4;

/// Where the listener is found.
#[cfg(unix)]
pub(super) fn listen(dir: &Path) -> io::Result<Listener> {
    Listener::bind(dir.join("plain"))
}

#[cfg(not(unix))]
pub(super) fn listen(dir: &Path) -> io::Result<Listener> {
    let listener = Listener::bind("127.0.0.1:0")?;
    std::fs::write(dir.join("plain"), listener.local_addr()?.to_string())?;
    Ok(listener)
}

pub(super) fn accept(listener: &Listener) -> io::Result<Plain> {
    Plain::new(listener.accept()?.0)
}

pub(super) fn connect(dir: &Path) -> io::Result<Plain> {
    #[cfg(unix)]
    let stream = Stream::connect(dir.join("plain"))?;
    #[cfg(not(unix))]
    let stream = Stream::connect(std::fs::read_to_string(dir.join("plain"))?.trim())?;
    Plain::new(stream)
}

/// One end of a connection.
pub(super) struct Plain {
    stream: Stream,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Plain {
    fn new(stream: Stream) -> io::Result<Self> {
        #[cfg(not(unix))]
        stream.set_nodelay(true)?;
        Ok(Self { stream, outgoing: Vec::new(), incoming: Vec::new() })
    }

    /// The next message; `None` at the end.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut prefix = [0; PREFIX];
        match self.stream.read_exact(&mut prefix) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let len = u32::from_le_bytes(prefix) as usize;
        if len > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.incoming.resize(len, 0);
        self.stream.read_exact(&mut self.incoming)?;
        Ok(Some(&self.incoming))
    }

    /// Answers what asks for it, until the end.
    pub(super) fn serve(mut self) -> io::Result<()> {
        while let Some(message) = self.next()? {
            if matches!(kind_of(message), Message::Echo | Message::Flush) {
                let answer = message.to_vec();
                self.send(&answer)?;
            }
        }
        Ok(())
    }
}

impl End for Plain {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // In one piece, so that it is one write.
        self.outgoing.clear();
        self.outgoing.extend_from_slice(&(message.len() as u32).to_le_bytes());
        self.outgoing.extend_from_slice(message);
        self.stream.write_all(&self.outgoing)
    }

    fn recv(&mut self) -> io::Result<usize> {
        self.next()?.map(<[u8]>::len).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send(&[Message::Flush.byte()])?;
        self.recv().map(drop)
    }
}
