//! The Node.js addon: channels and groups as a few objects that JavaScript polls.
//!
//! JavaScript sees a `net.Socket`; this crate sees to it that the JavaScript thread never waits and
//! is never called for nothing:
//!
//! ```text
//!   JavaScript thread                          the channel's own thread
//!   ─────────────────                          ────────────────────────
//!   socket.write ──▶ NativeSocket::write ──▶ outbox
//!   readable(token) ◀── libuv watches the link
//!   wake(tokens) ◀── one call per turn ◀───── Signal::raise (a Waker)
//!   NativeSocket::read ──▶ up to 512 messages copied into one slab
//! ```
//!
//! Messages are pulled by JavaScript, never pushed at it: a paused stream does not call `read`, the
//! receive window fills, and the other side's outbox fills in turn. A message is acknowledged when
//! JavaScript says that its listeners have returned, by a count that rides on the next `read`.
//!
//! Groups are told of in the same way; see `group`.
//!
//! The channel's events are pulled as well, straight from the library's queue: an event is there
//! before the connection that follows from it, so JavaScript can report both in their order however
//! late it looks.

use std::sync::{Mutex, PoisonError};

use napi::{Env, JsGlobal};
use napi_derive::napi;

mod channel;
mod error;
#[cfg(unix)]
mod event_loop;
mod flushes;
mod group;
mod hub;
mod lent;
#[cfg(unix)]
mod libuv;
mod options;
#[cfg(windows)]
mod resident;
mod socket;
#[cfg(unix)]
mod spin;
mod stats;
mod taking_back;
#[cfg(not(unix))]
#[path = "no_uv.rs"]
mod uv;
#[cfg(unix)]
mod uv;
mod waiting;
mod wake;

/// Whether this is the thread that the process began with: the one that Node runs what is no worker
/// on. `None` where only Node knows.
#[napi]
pub fn is_main_thread() -> Option<bool> {
    #[cfg(target_os = "linux")]
    return Some(rustix::thread::gettid() == rustix::process::getpid());
    #[cfg(not(target_os = "linux"))]
    None
}

/// The global object of the process. A test runner gives each of its scripts another one.
#[napi(ts_return_type = "typeof globalThis")]
pub fn globals(env: Env) -> napi::Result<JsGlobal<'static>> {
    env.get_global()
}

/// The application that the main thread `found` last, for worker threads, which cannot see it
/// themselves.
#[napi]
pub fn entry(found: Option<String>) -> Option<String> {
    static ENTRY: Mutex<Option<String>> = Mutex::new(None);
    let mut entry = ENTRY.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_some() {
        *entry = found;
    }
    entry.clone()
}
