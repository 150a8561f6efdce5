//! The blocking Unix socket of std with a 4-byte length before each message.

use crate::job::Job;
use crate::payload::Payload;
use crate::receive;
use crate::tally::Tally;
use crate::transport::{Endpoint, Runtime, Transport};
use anyhow::Result;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

const BUFFER: usize = 64 * 1024;
const HEADER: usize = 4;

/// Two reads and one write for each message.
pub(crate) type Unbuffered = StdSocket<UnixStream, UnixStream>;
/// Buffers of 64 KiB on both sides.
pub(crate) type Buffered = StdSocket<BufReader<UnixStream>, BufWriter<UnixStream>>;

pub(crate) struct StdSocket<R, W> {
    listener: UnixListener,
    halves: std::marker::PhantomData<fn() -> (R, W)>,
}

pub(crate) struct Frames<R, W> {
    reader: R,
    writer: W,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

/// Wraps a stream or not.
pub(crate) trait Half: Send + 'static {
    fn from_stream(stream: UnixStream) -> Self;
}

impl Half for UnixStream {
    fn from_stream(stream: UnixStream) -> Self {
        stream
    }
}

impl Half for BufReader<UnixStream> {
    fn from_stream(stream: UnixStream) -> Self {
        BufReader::with_capacity(BUFFER, stream)
    }
}

impl Half for BufWriter<UnixStream> {
    fn from_stream(stream: UnixStream) -> Self {
        BufWriter::with_capacity(BUFFER, stream)
    }
}

fn frames<R: Half, W: Half>(stream: UnixStream) -> Result<Frames<R, W>> {
    Ok(Frames {
        reader: R::from_stream(stream.try_clone()?),
        writer: W::from_stream(stream),
        outgoing: Vec::new(),
        incoming: Vec::new(),
    })
}

impl<R: Half + Read, W: Half + Write> Transport for StdSocket<R, W> {
    type Endpoint = Frames<R, W>;
    const RUNTIME: Runtime = Runtime::Blocking;

    async fn host(job: &Job) -> Result<Self> {
        let listener = UnixListener::bind(job.place.join("socket"))?;
        Ok(StdSocket { listener, halves: std::marker::PhantomData })
    }

    async fn accept(&mut self) -> Result<Self::Endpoint> {
        frames(self.listener.accept()?.0)
    }

    async fn connect(job: &Job) -> Result<Self::Endpoint> {
        frames(UnixStream::connect(job.place.join("socket"))?)
    }

    async fn receive_all(self, tally: Arc<Tally>) -> Result<()> {
        receive::receive_in_threads(self, tally).await
    }
}

impl<R: Read, W: Write> Endpoint for Frames<R, W> {
    async fn send(&mut self, payload: Payload) -> Result<()> {
        self.feed(payload).await?;
        self.flush().await
    }

    async fn feed(&mut self, payload: Payload) -> Result<()> {
        // The length and the message lie in one buffer, so that an unbuffered writer needs one
        // call.
        self.outgoing.resize(HEADER + payload.len, 0);
        let (header, body) = self.outgoing.split_at_mut(HEADER);
        header.copy_from_slice(&u32::try_from(payload.len)?.to_le_bytes());
        payload.write(body);
        Ok(self.writer.write_all(&self.outgoing)?)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    async fn recv(&mut self) -> Result<Payload> {
        let mut header = [0; HEADER];
        self.reader.read_exact(&mut header)?;
        self.incoming.resize(u32::from_le_bytes(header) as usize, 0);
        self.reader.read_exact(&mut self.incoming)?;
        Payload::check(&self.incoming)
    }
}
