//! Streams of bytes for callers on any thread. Each stays with the background runtime, which made
//! it: a pipe cannot leave the runtime that watches it.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use open_channel_ring::{Descriptor, Doorbell};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pipe::{Instance, PipeInstance, PipeStream};
use super::user::UserId;

/// A stream of bytes that does not block, for any thread.
#[derive(Debug)]
pub(crate) struct Stream {
    /// `None` once the link has ended for both sides: the last share in it closes the handle.
    carrier: Mutex<Option<Arc<Carrier>>>,
    ended: watch::Sender<bool>,
}

/// What carries the bytes.
#[derive(Debug)]
enum Carrier {
    Pipe(PipeStream),
    Tcp(TcpStream),
}

/// Calls the same method on either kind.
macro_rules! either {
    ($carrier:expr, $kind:ident => $call:expr) => {
        match $carrier {
            Carrier::Pipe($kind) => $call,
            Carrier::Tcp($kind) => $call,
        }
    };
}

/// What a thread waits on.
pub(crate) type Watched<'a> = &'a Stream;

impl Stream {
    pub(crate) fn new(pipe: PipeStream) -> Self {
        Self::of(Carrier::Pipe(pipe))
    }

    fn of(carrier: Carrier) -> Self {
        Self { carrier: Mutex::new(Some(Arc::new(carrier))), ended: watch::Sender::new(false) }
    }

    fn carrier(&self) -> io::Result<Arc<Carrier>> {
        let carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        carrier.clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Resolves when it is ready or has ended. Cancel safe.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<()> {
        let mut ended = self.ended.subscribe();
        let Ok(carrier) = self.carrier() else { return Ok(()) };
        let ready = async { either!(&*carrier, it => it.ready(interest).await.map(drop)) };
        tokio::select! {
            ready = ready => ready,
            // The sender lives as long as this.
            _ = ended.wait_for(|ended| *ended) => Ok(()),
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&*self.carrier()?, it => it.poll_read_ready(cx))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&*self.carrier()?, it => it.poll_write_ready(cx))
    }
}

/// For callers on any thread. The stream stays with its runtime.
pub(crate) fn detach_tcp(stream: TcpStream) -> io::Result<Stream> {
    Ok(Stream::of(Carrier::Tcp(stream)))
}

/// Two ends of one stream, both of this process, with the present runtime.
pub(crate) fn pair() -> io::Result<(Stream, Stream)> {
    let name = name_of(random_number()?);
    let server = PipeInstance::new(&name, Instance::First)?;
    let client = PipeStream::open(&name)?;
    let server = PipeStream::Server(server.watch()?);
    // Somebody else of this user may have been faster.
    let here = (Some(std::process::id()), UserId::current());
    if server.peer()? != here || client.peer()? != here {
        return Err(io::Error::other("another process has connected to a pipe of this one's own"));
    }
    Ok((Stream::new(server), Stream::new(client)))
}

/// The number of a pipe that nobody knows yet.
pub(crate) fn random_number() -> io::Result<u128> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u128::from_ne_bytes(random))
}

/// The name of the pipe with this number.
pub(crate) fn name_of(number: u128) -> String {
    format!(r"\\.\pipe\open-channel-{number:032x}")
}

/// Reads into `buffer`; 0 means that the other side is gone.
pub(crate) fn receive(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    either!(&*stream.carrier()?, it => it.try_read(buffer))
}

/// Writes as much as there is room for.
pub(crate) fn send(stream: &Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    either!(&*stream.carrier()?, it => it.try_write_vectored(slices))
}

/// Ends the stream for both sides. Bytes that were written still arrive.
pub(crate) fn shutdown(stream: &Stream) {
    drop(stream.carrier.lock().unwrap_or_else(PoisonError::into_inner).take());
    stream.ended.send_replace(true);
}

/// What a thread that waits for the stream waits on.
pub(crate) fn borrow(stream: &Stream) -> Watched<'_> {
    stream
}

/// What a thread that waits for a ring waits on: there is none here.
pub(crate) fn borrow_doorbell(doorbell: &Doorbell) -> Watched<'_> {
    match *doorbell {}
}

/// There is no descriptor that an event loop could watch.
pub(crate) fn duplicate(_watched: Watched<'_>) -> io::Result<Descriptor> {
    Err(io::ErrorKind::Unsupported.into())
}
