//! The question to a host, how it is, by a process that is no member of its channel.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use open_channel_proto::{
    Frame, Hello, HostStatus, Reject, RejectCode, SocketStatus, TapRequest, Tapped,
};

use crate::error::Error;
use crate::link::Stream;
use crate::membership::handshake::{read_frame, read_long_frame, write_frame};
use crate::rendezvous::directory::ChannelDir;
use crate::rendezvous::endpoint::Endpoint;
use crate::rendezvous::entries;
use crate::rendezvous::root::Root;

/// Sockets that an answer is taken with at most, whatever the host says.
const MOST_SOCKETS: u32 = 4096;
/// Bytes that a detail is taken with at most.
const LONGEST_DETAIL: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nobody listens there.
    NoHost(String),
    /// The host has refused the question.
    Refused(String),
    /// The host does not know the question.
    NotKnown(String),
    /// Its answer makes no sense.
    Nonsense(String),
    /// It cannot be reached for want of something on this side.
    Failed(Error),
}

/// What comes from a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapEvent {
    /// A message has passed; with its bytes, as far as they were asked for.
    Message(Tapped, Bytes),
    /// So many messages were dropped since the tap began, because it was not read fast enough.
    Dropped(u64),
}

/// A link to a host, with the process that listens.
pub(crate) struct Asked {
    stream: Stream,
    pub(crate) pid: Option<u32>,
}

impl Asked {
    /// Connects to the host that is published in the directory `name`.
    pub(crate) async fn connect(root: &Arc<Root>, name: &str) -> Result<Self, NoAnswer> {
        let dir = Arc::new(ChannelDir::look(root, name).map_err(NoAnswer::Failed)?);
        let host = entries::current(&dir)
            .map_err(|error| NoAnswer::Failed(Error::io("reading the directory", error)))?;
        let Some(host) = host else { return Err(NoAnswer::NoHost("no process hosts it".into())) };
        let address = Endpoint::new(&dir, host.token).address(None).map_err(NoAnswer::Failed)?;
        let address = address.ok_or_else(|| NoAnswer::NoHost("nobody listens".into()))?;
        let (stream, peer) = address.connect().await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                NoAnswer::NoHost(format!("nobody listens: {error}"))
            }
            _ => NoAnswer::Failed(Error::io("connecting to the host", error)),
        })?;
        Ok(Self { stream, pid: peer.process_id() })
    }

    /// Asks once.
    pub(crate) async fn ask(
        &mut self,
        sockets: u32,
    ) -> Result<(HostStatus, Vec<SocketStatus>), NoAnswer> {
        let sockets = sockets.min(MOST_SOCKETS);
        self.begin().await?;
        let _ = write_frame(&self.stream, &Frame::StatusRequest { sockets }).await;
        let Frame::HostStatus(host) = self.read().await? else { return Err(nonsense()) };
        if host.described > sockets {
            return Err(NoAnswer::Nonsense(
                "it describes more sockets than it was asked for".into(),
            ));
        }
        let mut described = Vec::new();
        for _ in 0..host.described {
            let Frame::SocketStatus(socket) = self.read().await? else { return Err(nonsense()) };
            described.push(*socket);
        }
        Ok((*host, described))
    }

    /// Asks what the program on top of the channel says of itself.
    pub(crate) async fn ask_for_detail(&mut self, most: u32) -> Result<Bytes, NoAnswer> {
        self.begin().await?;
        let _ = write_frame(&self.stream, &Frame::DetailRequest { most }).await;
        let mut detail = BytesMut::new();
        loop {
            let frame =
                read_long_frame(&self.stream).await.map_err(|error| match error.kind() {
                    // As older hosts do with a question that they do not know.
                    io::ErrorKind::UnexpectedEof if detail.is_empty() => {
                        NoAnswer::NotKnown("it closes the connection".into())
                    }
                    _ => broken(error),
                })?;
            let Frame::Detail { more, payload } = frame else { return Err(nonsense()) };
            detail.extend_from_slice(&payload);
            if detail.len() > LONGEST_DETAIL || more && payload.is_empty() {
                return Err(NoAnswer::Nonsense("it says too much of itself".into()));
            }
            if !more {
                return Ok(detail.freeze());
            }
        }
    }

    /// Asks for copies of messages. The [next](Self::next) ones follow.
    pub(crate) async fn ask_for_tap(&mut self, request: TapRequest) -> Result<(), NoAnswer> {
        self.begin().await?;
        let _ = write_frame(&self.stream, &Frame::TapRequest(request)).await;
        match self.read().await {
            Ok(Frame::TapState { .. }) => Ok(()),
            Ok(Frame::Reject(reject)) => Err(refused(reject)),
            Ok(_) => Err(nonsense()),
            Err(NoAnswer::NoHost(_)) => Err(NoAnswer::NotKnown("it closes the connection".into())),
            Err(error) => Err(error),
        }
    }

    /// What comes next on a link of a tap that carries at most `most` bytes of each message.
    pub(crate) async fn next(&mut self, most: u64) -> Result<TapEvent, NoAnswer> {
        let tapped = match self.read().await? {
            Frame::TapState { dropped } => return Ok(TapEvent::Dropped(dropped)),
            Frame::Tapped(tapped) => tapped,
            _ => return Err(nonsense()),
        };
        if tapped.carried > most {
            return Err(NoAnswer::Nonsense("it sends more of a message than it was asked".into()));
        }
        let carried = usize::try_from(tapped.carried).unwrap_or(usize::MAX);
        let mut message = BytesMut::new();
        while message.len() < carried {
            let frame = read_long_frame(&self.stream).await.map_err(broken)?;
            let Frame::TapData { payload } = frame else { return Err(nonsense()) };
            if payload.is_empty() || message.len() + payload.len() > carried {
                return Err(nonsense());
            }
            message.extend_from_slice(&payload);
        }
        Ok(TapEvent::Message(tapped, message.freeze()))
    }

    /// The handshake.
    async fn begin(&mut self) -> Result<(), NoAnswer> {
        // A host may close before it has read everything. Its answer comes first.
        let _ = write_frame(&self.stream, &Frame::Hello(Hello::status())).await;
        match self.read().await? {
            Frame::Welcome(_) => Ok(()),
            Frame::Reject(reject) => Err(refused(reject)),
            _ => Err(nonsense()),
        }
    }

    async fn read(&mut self) -> Result<Frame, NoAnswer> {
        read_frame(&self.stream).await.map_err(broken)
    }
}

fn refused(reject: Reject) -> NoAnswer {
    match reject.code {
        // As older hosts say of a purpose that they do not know.
        RejectCode::Protocol => NoAnswer::NotKnown(reject.reason),
        _ => NoAnswer::Refused(reject.reason),
    }
}

fn broken(error: io::Error) -> NoAnswer {
    if error.kind() == io::ErrorKind::InvalidData {
        return NoAnswer::Nonsense(error.to_string());
    }
    NoAnswer::NoHost(format!("the connection broke: {error}"))
}

fn nonsense() -> NoAnswer {
    NoAnswer::Nonsense("it answered with something else".into())
}
