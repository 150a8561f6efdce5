//! Named pipes, the native link of Windows.
//!
//! Each candidate has a pipe of its own, whose name holds 128 random bits. A small file in the
//! channel's directory holds them, too, and only this user can read it. So nobody can make a pipe
//! of that name first, and a dead host's pipe, whose name is taken while its clients hold it open,
//! is in nobody's way.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use open_channel_ring::{Offer, ReceivedDescriptors};
use tokio::io::Interest;
use tokio::net::windows::named_pipe::NamedPipeServer;

use super::{LinkKind, PeerInfo};
use crate::sys::{self, Directory, Instance, PipeInstance, PipeStream};

pub(crate) const KIND: LinkKind = LinkKind::Pipe;

/// The error of a connect while all instances of a pipe are taken.
const PIPE_BUSY: i32 = 231;
/// Pause before another try.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// The path of the file that holds a pipe's number.
#[derive(Debug)]
pub(crate) struct Address(PathBuf);

impl Address {
    /// That of `file` in the directory at `path`.
    ///
    /// # Errors
    /// None.
    pub(crate) fn in_directory(_dir: &Directory, path: &Path, file: &str) -> io::Result<Self> {
        Ok(Self(path.join(file)))
    }

    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none, as for a pipe that is gone.
    fn pipe(&self) -> io::Result<String> {
        let text = sys::read_text(&self.0)?;
        let number = text.and_then(|text| parse(&text)).ok_or(io::ErrorKind::NotFound)?;
        Ok(sys::name_of(number))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The number of a pipe: 32 lower-case hexadecimal digits, and nothing else.
fn parse(text: &[u8]) -> Option<u128> {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != 32 || !text.iter().all(is_hex) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

/// A listener that no runtime watches yet.
#[derive(Debug)]
pub(crate) struct Bound {
    name: String,
    first: PipeInstance,
}

/// Listens at an address where nothing is.
pub(crate) fn bind(address: &Address) -> io::Result<Bound> {
    let number = sys::random_number()?;
    let name = sys::name_of(number);
    let first = PipeInstance::new(&name, Instance::First)?;
    sys::write_new(&address.0, &format!("{number:032x}"))?;
    Ok(Bound { name, first })
}

/// A listener of the background runtime.
#[derive(Debug)]
pub(crate) struct Listener {
    name: String,
    /// The instance that the next client gets; `None` if none could be made.
    next: Option<NamedPipeServer>,
}

impl Listener {
    /// Inside the runtime that is to watch it.
    pub(crate) fn watch(bound: Bound) -> io::Result<Self> {
        Ok(Self { name: bound.name, next: Some(bound.first.watch()?) })
    }

    /// Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            if self.next.is_none() {
                self.next = Some(self.another()?);
            }
            let Some(waiting) = &self.next else { continue };
            let connected = waiting.connect().await;
            // The next one comes first: while a pipe has no instance, clients do not find it. If
            // none can be made now, the next call tries again.
            let another = self.another().ok();
            match (connected, std::mem::replace(&mut self.next, another)) {
                (Ok(()), Some(taken)) => return Ok(Stream(PipeStream::Server(taken))),
                // Its client has gone already, which concerns nobody else.
                (Err(error), _) if sys::has_left(&error) => {}
                (Err(error), _) => return Err(error),
                (Ok(()), None) => {}
            }
        }
    }

    fn another(&self) -> io::Result<NamedPipeServer> {
        PipeInstance::new(&self.name, Instance::Next)?.watch()
    }
}

/// A stream of the background runtime.
#[derive(Debug)]
pub(crate) struct Stream(PipeStream);

impl Stream {
    /// Calls `act` when the pipe may be ready, until it does not say that it would block. Cancel
    /// safe.
    pub(crate) async fn async_io<T>(
        &self,
        interest: Interest,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.0.ready(interest).await?;
            match act() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
}

/// Connects. Tries again while all instances are taken, for as long as the caller waits: a host
/// that lives makes the next one within microseconds.
pub(crate) async fn connect(address: &Address) -> io::Result<(Stream, PeerInfo)> {
    let name = address.pipe()?;
    let stream = loop {
        match PipeStream::open(&name) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            opened => break Stream(opened?),
        }
    };
    let peer = peer(&stream)?;
    Ok((stream, peer))
}

/// The process that connected, or that listens, as the kernel recorded it.
pub(crate) fn peer(stream: &Stream) -> io::Result<PeerInfo> {
    let (process_id, user) = stream.0.peer()?;
    Ok(PeerInfo::new(process_id, user))
}

/// Receives bytes. No descriptors come with them.
pub(crate) fn try_read_first(
    stream: &Stream,
    buffer: &mut [u8],
) -> io::Result<ReceivedDescriptors> {
    Ok(ReceivedDescriptors { bytes: stream.try_read(buffer)?, descriptors: Vec::new() })
}

/// Nobody can make an offer.
pub(crate) fn try_write_first(_stream: &Stream, _bytes: &[u8], offer: &Offer) -> io::Result<usize> {
    match *offer {}
}

/// For callers on any thread. The pipe stays with the background runtime.
pub(crate) fn detach(stream: Stream) -> io::Result<sys::Stream> {
    Ok(sys::Stream::new(stream.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_of_a_pipe_is_read() {
        let number = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(parse(format!("{number:032x}").as_bytes()), Some(number));
        let (short, long) = ("0".repeat(31), "0".repeat(33));
        for text in [
            "",
            &short,
            &long,
            "0123456789ABCDEF0123456789abcdef",
            "0123456789abcdef0123456789abcde\n",
            "+123456789abcdef0123456789abcdef",
            r"\\.\pipe\0123456789abcdef012345",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
