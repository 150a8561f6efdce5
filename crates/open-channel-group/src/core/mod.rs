//! A group as two state machines: no I/O, no clock, no threads, no randomness of their own.
//!
//! ```text
//!   application              Member                          Switchboard (at the host)
//!   publish, call, … ──────▶ own facts ── poll_send() ─────▶ receive(link, message)
//!   poll_event() ◀────────── replica   ◀─── receive() ────── poll_send(link)
//!   kernel locks ◀──────────  poll_kernel()
//! ```
//!
//! The driver carries the messages over one socket for each member, hands the time in as a
//! [`Duration`](std::time::Duration) since any fixed moment, and draws member ids at random.
//! It reports each new host to the member ([`Member::connected`]), and each end of a socket or
//! process to the switchboard ([`Switchboard::lost`], [`Switchboard::gone`]).
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use open_channel_group::core::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (now, limits) = (Duration::ZERO, Limits::default());
//! let info = MemberInfo {
//!     pid: std::process::id(),
//!     program: "example".into(),
//!     language: "rust".into(),
//!     labels: Vec::new(),
//! };
//! let mut switchboard = Switchboard::new(1, Start::First, limits, now);
//! let mut member = Member::new(MemberId(0x5eed), info, limits, now);
//! member.connected(1, now);
//! let subscription = member.subscribe(Pattern::new("news.*")?, false)?;
//! member.publish(Topic::new("news.local")?, Bytes::from("hello"))?;
//!
//! // A driver carries messages over a socket; here is none.
//! let link = LinkId(1);
//! loop {
//!     let (up, down) = (member.poll_send(), switchboard.poll_send(link));
//!     if up.is_none() && down.is_none() {
//!         break;
//!     }
//!     if let Some(message) = up {
//!         switchboard.receive(link, message, now)?;
//!     }
//!     if let Some(message) = down {
//!         member.receive(message, now)?;
//!     }
//! }
//! let delivery = member.next_delivery(subscription).ok_or("nothing arrived")?;
//! assert_eq!(delivery.payload, "hello");
//! member.handled(subscription, delivery.id)?;
//! # Ok(())
//! # }
//! ```
//!
//! A driver drops its switchboard, and calls nothing of it any more, once its channel says that
//! another process hosts.

mod describe;
mod entry;
mod error;
mod event;
mod frame;
mod ids;
mod limits;
mod log;
mod map;
mod member;
mod name;
mod pattern;
mod replica;
mod status;
mod switchboard;
#[cfg(test)]
mod tests;
mod transfer;
mod view;
mod wire;
mod write;

pub use describe::{Act, Described};
pub use entry::LeaveReason;
pub use error::{FrameError, ProtocolError, Refused};
pub use event::{
    Answers, CallEnd, Delivery, Event, JobEnd, KernelRequest, MapChange, Outcome, PublishEnd, Run,
};
pub use frame::{LockClaim, LockMode, LockName, LockSpace, LockWait};
pub use ids::{
    CallId, DeliveryId, ExchangeId, JobId, LinkId, LockId, LockQueryId, Mark, MemberId, OpId,
    PublishId, RequestId, RunId, SubscriptionId, Ticket, Token, WatchId, WorkerId,
};
pub use limits::{
    DEFAULT_HOST_TIMEOUT, DEFAULT_MAP_BYTES, DEFAULT_MAX_MEMBERS, DEFAULT_MAX_PAYLOAD,
    DEFAULT_STALL_TIMEOUT, DEFAULT_WINDOW, Limits, MAX_INFO, MAX_ITEMS, MAX_NAME, OVERHEAD,
};
pub use map::Value;
pub use member::{CallOptions, Member, Target};
pub use name::Name;
pub use pattern::{Pattern, Topic};
pub use status::{GroupStatus, LockStatus, MemberStatus, QueueStatus};
pub use switchboard::{Start, Switchboard};
pub use transfer::Known;
pub use view::{MemberInfo, MemberView};
pub use write::{Expect, Write, WriteEnd};
