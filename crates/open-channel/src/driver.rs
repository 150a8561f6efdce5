//! The library's own background thread: accepting, handshakes, heartbeats, reconnecting, timers.
//!
//! It is separate from the application's runtime, so that an application that computes or blocks for seconds
//! neither looks dead to others nor loses its channel.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::error::Error;

/// The process id tells a forked child, where the thread does not exist, that it needs its own.
static DRIVER: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

/// The background runtime of this process, started at first use.
pub(crate) fn handle() -> Result<Handle, Error> {
    let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if let Some((owner, handle)) = &*driver
        && *owner == pid
    {
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
    *driver = Some((pid, handle.clone()));
    Ok(handle)
}
