//! A self-hosting inter-process channel: processes that know a name meet on it, the first to arrive hosts it
//! inside itself, and when the host goes away, however it goes, another takes over and no accepted message is lost.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("open-channel needs Unix domain sockets so far; named pipes for Windows are not there yet");

mod attendant;
pub mod blocking;
mod builder;
mod channel;
mod connection;
mod driver;
mod election;
mod error;
mod event;
mod greeting;
mod host;
mod lifeline;
mod link;
mod membership;
mod message;
mod peer;
mod rendezvous;
mod settings;
mod socket;
mod stream;
mod waiters;

pub use builder::Builder;
pub use channel::{Channel, State};
pub use error::{Error, SendError, TryRecvError};
pub use event::{Event, Events, Role};
pub use link::{LinkKind, PeerInfo};
pub use message::{Message, MessageId, SocketId};
pub use open_channel_proto::{MESSAGE_OVERHEAD, ResetCode};
pub use rendezvous::{MAX_NAME, Scope};
pub use settings::*;
pub use socket::{RecvHalf, SendHalf, Socket};
pub use stream::ByteStream;
