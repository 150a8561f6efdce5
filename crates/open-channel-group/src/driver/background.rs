//! The thread on which members and switchboards are driven.
//!
//! It is not the channel's own, whose runtime watches the links of all sockets itself: a task there
//! could not watch them as well, and each message would wait for the channel's grace period. And a
//! busy switchboard delays no heartbeat.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};

use crate::error::Error;

/// The runtime, and the process that it runs in: a forked child has none.
static RUNNING: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

/// The runtime of this process, started at first use.
pub(super) fn handle() -> Result<Handle, Error> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((of, handle)) = &*running
        && *of == process
    {
        return Ok(handle.clone());
    }
    let failed = |error: std::io::Error| Error::Thread(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("open-channel group".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(failed)?;
    // The handle of a parent is not dropped: its runtime is not here.
    std::mem::forget(running.replace((process, handle.clone())));
    Ok(handle)
}
