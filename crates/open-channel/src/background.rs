//! The library's own background thread: accepting, handshakes, heartbeats, reconnecting, timers.
//!
//! It is separate from the application's runtime. So an application that computes or blocks for
//! seconds neither seems dead to others nor loses its channel.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use open_channel_ring::{Process, notice_forks};
use tokio::runtime::Handle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::error::Error;
use crate::sys;

static BACKGROUND: Background = Background { handle: Mutex::new(None), in_child: OnceLock::new() };

/// The background thread of one process.
#[derive(Default)]
struct Background {
    handle: Mutex<Option<Handle>>,
    /// The background runtime of a forked child. There the thread does not exist, and another thread may have
    /// held the lock.
    in_child: OnceLock<Box<Background>>,
}

impl Background {
    fn of_this_process() -> &'static Self {
        let forks = Process::current().forks();
        (0..forks).fold(&BACKGROUND, |background, _| background.in_child.get_or_init(Box::default))
    }
}

/// The background runtime of this process, started at first use.
pub(crate) fn handle() -> Result<Handle, Error> {
    notice_forks().map_err(|error| Error::io("watching for forks", error))?;
    let mut running =
        Background::of_this_process().handle.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*running {
        return Ok(handle.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("starting the background runtime", error))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("open-channel".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| Error::io("starting the background thread", error))?;
    *running = Some(handle.clone());
    Ok(handle)
}

/// Ticks at the multiples of `period` on the clock that all processes of a machine share. So a host
/// and its peers wake at the same moments, and an idle host answers all its peers at one go. The
/// first tick comes within a `period`.
pub(crate) fn beats(period: Duration) -> Interval {
    let now = sys::monotonic_now();
    let gone = (now.as_nanos() % period.as_nanos().max(1)) as u64;
    let mut beats = interval_at(Instant::now() + period - Duration::from_nanos(gone), period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    beats
}
