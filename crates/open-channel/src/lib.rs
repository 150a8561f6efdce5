//! A self-hosting inter-process channel.
//!
//! Processes that know a channel's name meet on it. There is no broker to install, no server to
//! start and no port to choose. The first process to arrive *hosts* the channel inside itself; the
//! others are *peers*. When the host goes away, however it goes, another process takes over. Every
//! message that was not handled is then delivered to the new host.
//!
//! ```text
//!   process A            process B              process C
//!   ┌──────────────┐     ┌──────────────┐       ┌──────────────┐
//!   │ hosts "jobs" │◀────│ socket       │       │ socket       │
//!   │  listener    │◀────┼──────────────┼───────│              │
//!   └──────────────┘     └──────────────┘       └──────────────┘
//!        ✝ kill -9           becomes the host ◀──── moves over, sends again what A had not handled
//! ```
//!
//! Every process runs the same code:
//!
//! ```
//! use open_channel::Channel;
//!
//! # #[tokio::main] async fn main() -> Result<(), open_channel::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let builder = Channel::builder("jobs").runtime_dir(dir.path().join("d"));
//! # if false {
//! let channel = Channel::new("jobs", |socket| async move {
//!     // Runs in whichever process hosts, once for each socket that connects.
//!     while let Ok(Some(message)) = socket.recv().await {
//!         println!("handling {:?}", message);
//!         message.ack(); // handled: the sender may forget it
//!     }
//! })?;
//! # ; }
//! # let channel = builder.build(|socket| async move {
//! #     while let Ok(Some(m)) = socket.recv().await { m.ack() }
//! # })?;
//! let socket = channel.connect(); // returns at once: messages wait for the connection
//! socket.send("work").await?;
//! socket.flush().await?; // all of it is handled now
//! channel.close().await?; // hands over, if this process hosts
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! On one socket, from peer to host:
//! 1. Messages arrive in order, each whole: one `send` is one `recv`.
//! 2. A message that `send` accepted is delivered while the sending process lives and some process
//!    can host.
//! 3. Nothing is delivered twice by one host, unless its handler gave it back. After a change of
//!    host, messages that were not acknowledged are delivered again, [marked](Message::redelivered)
//!    and with the same [id](Message::id).
//! 4. Acknowledged means handled: [`Message::ack`] and [`Message::into_bytes`] acknowledge, and so do
//!    their counterparts of [`Messages`], [`MessageReader`] and [`ByteStream`]. Nothing else does.
//! 5. Every queue is bounded.
//! 6. Silence is visible. A socket without any acknowledgement for long is
//!    [reported](Event::Stalled), and its [statistics](SocketStats) show the age of its oldest
//!    message.
//! 7. Attempts are counted, and each message carries the number of its [attempt](Message::attempt).
//!    With [`Builder::max_attempts`], a message that has had its last attempt comes back to its
//!    sender ([`Socket::undeliverable`]).
//! 8. A handler gives a message back with [`Message::nack`]. Its sender takes it back with
//!    [`Socket::take_back`] while no handler has taken it.
//!
//! `docs/GUARANTEES.md` in the repository has the whole contract, with the tests for it.
//!
//! # Where to begin
//!
//! [`Channel`] is the meeting place, [`Socket`] the connection, [`Message`] what arrives. [Which
//! call when](Socket#which-call-when) compares the calls that send and receive. [`blocking`] has
//! the same for threads.
//!
//! Between processes of one user, messages travel through shared memory. [`Socket::link`] returns
//! what carries a socket, and [`Builder::link`] forces it. Decisions of the library (elected, lost,
//! resumed, redelivered, fenced) are [`tracing`] events.
//!
//! # Metrics
//!
//! With the feature `metrics`, each channel publishes its numbers once in a second, with the crate
//! [`metrics`](https://docs.rs/metrics), to the exporter that the program has installed. Each has a
//! label `channel` with the channel's name.
//!
//! | counters | gauges |
//! | --- | --- |
//! | `openchannel_messages_sent_total` | `openchannel_sockets` |
//! | `openchannel_sent_bytes_total` | `openchannel_stalled_sockets` |
//! | `openchannel_messages_acknowledged_total` | `openchannel_unacknowledged_messages` |
//! | `openchannel_messages_received_total` | `openchannel_held_messages` |
//! | `openchannel_received_bytes_total` | `openchannel_outbox_bytes` |
//! | `openchannel_messages_redelivered_total` | `openchannel_inbox_bytes` |
//! | `openchannel_failovers_total` | `openchannel_oldest_unacknowledged_seconds` |
//! | | `openchannel_oldest_unhandled_seconds` |
//! | | `openchannel_host`, 1 if this process hosts |
//! | | `openchannel_generation` |
//!
//! They mean what [`ChannelStats`] and [`SocketStats`] say of the fields with these names, summed
//! up over all sockets of the channel in this process. Counters include sockets that are gone.
#![deny(unsafe_code)] // but for `sys`, where each use of it is argued for
#![deny(clippy::print_stdout, clippy::print_stderr)] // say it as a `tracing` event

mod background;
pub mod blocking;
mod channel;
mod connection;
mod error;
#[doc(hidden)]
pub mod ffi;
#[doc(hidden)]
pub mod hosting;
pub mod inspect;
mod link;
mod membership;
mod rendezvous;
mod socket;
mod sys;

pub use channel::Channel;
pub use channel::builder::Builder;
pub use channel::connect::ConnectOptions;
pub use channel::event::{Event, Events, Role, State};
pub use channel::settings::*;
pub use channel::stats::{ChannelStats, Totals};
pub use connection::stall::{Stall, StallEnd};
pub use connection::stats::SocketStats;
pub use error::{Error, SendError, TryRecvError};
pub use link::{LinkKind, PeerInfo};
pub use open_channel_proto::{Draft, MAX_ATTEMPTS, MESSAGE_OVERHEAD, ResetCode};
pub use rendezvous::identity::{MAX_NAME, Scope};
pub use socket::Socket;
pub use socket::batch::{Batch, MessageRef, Messages, MessagesIntoIter, MessagesIter};
pub use socket::halves::{RecvHalf, SendHalf};
pub use socket::message::{Message, MessageId, SocketId};
pub use socket::reader::MessageReader;
pub use socket::reservation::Reservation;
pub use socket::stream::ByteStream;
pub use socket::undeliverable::{GivenUp, Undeliverable};
pub use sys::UserId;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
