//! Groups on [open-channel](https://docs.rs/open-channel): the processes that joined one name, as
//! members that know each other. They have what people otherwise start a server for.
//!
//! | face | is for |
//! | --- | --- |
//! | [`members`](Group::members), [`events`](Group::events) | who is there |
//! | [`publish`](Group::publish), [`subscribe`](Group::subscribe) | telling all who care |
//! | [`call`](Group::call), [`serve`](Group::serve) | asking one, or [all](Group::call_all) |
//! | [`lock`](Group::lock), [`lead`](Group::lead) | doing something in one process at a time |
//! | [`queue`](Group::queue) | work for whoever has room |
//! | [`map`](Group::map) | state that all share |
//!
//! Nothing has to be installed, started or configured: every process runs the same code. The first
//! one hosts the group inside itself. When it goes, however it goes, the next one takes over, and
//! everything that was under way goes on.
//!
//! ```
//! use open_channel_group::Group;
//!
//! # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let builder = Group::builder("shop").runtime_dir(dir.path().join("d"));
//! # if false {
//! let group = Group::join("shop").await?;
//! # }
//! # let group = builder.join().await?;
//! println!("{} processes are here", group.members().get().members.len());
//!
//! let cache = group.map("cache")?;
//! cache.set("prices", "1 2 3").await?; // every process has it now
//!
//! let _leader = group.lead("cron").await?; // only one process gets here at a time
//! # drop(_leader);
//! group.close().await?;
//! # Ok(()) }
//! ```
//!
//! `docs/GROUP.md` in the repository explains how it works and what each face promises, and
//! `docs/FACES.md` which face is for what. The pure [`core`] is a state machine; the driver runs on
//! the channel's background thread, and application code only at the edges, in the member that a
//! message is for. [`blocking`] has the same for threads.
//!
//! With the feature `tower`, calls and services are also those of tower: `Group::caller` and
//! `Group::serve_with`.
//!
//! A child of `fork(2)` that has inherited a group gets [`Error::Channel`] with
//! [`open_channel::Error::Forked`] from it, and lets none of its parent's locks go.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // say it as a `tracing` event

pub mod blocking;
pub mod core;
mod driver;
mod engine;
mod error;
mod faces;
pub mod ffi;
mod forked;
pub mod inspect;
#[cfg(feature = "tower")]
pub mod tower;

pub use crate::core::{
    Answers, CallOptions, Expect, LeaveReason, LockClaim, LockMode, LockName, LockSpace, LockWait,
    MemberId, MemberInfo, MemberView,
};
pub use crate::core::{Refused, Token};
pub use engine::{Event, Promises, View};
pub use error::Error;
pub use faces::builder::GroupBuilder;
pub use faces::calls::{Call, Request, Requests, Service};
pub use faces::group::Group;
pub use faces::locks::LockGuard;
pub use faces::map::{Change, Changes, Entry, Map};
pub use faces::members::{Events, Members};
pub use faces::queue::{Job, Processor, Queue, Task, Worker};
pub use faces::topics::{Published, Subscription};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/FACES.md")]
struct FacesPage;
