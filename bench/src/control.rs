//! How a child talks with the controller that started it. On its standard input "go" starts it, and
//! the end of the input ends it; its reports are lines on standard output.

use crate::job::Line;
use anyhow::{Context, Result};
use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};

static GO: OnceLock<Mutex<Receiver<()>>> = OnceLock::new();

/// Watches standard input from a thread, so that a child which spins or blocks ends all the same.
pub(crate) fn watch() {
    let (sender, receiver) = channel();
    if GO.set(Mutex::new(receiver)).is_err() {
        return;
    }
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(());
        }
        std::process::exit(0);
    });
}

/// Waits for "go" without stopping a runtime that may have work to do meanwhile.
pub(crate) async fn go() -> Result<()> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(wait).await?,
        Err(_) => wait(),
    }
}

fn wait() -> Result<()> {
    let receiver = GO.get().context("standard input is not watched")?;
    let receiver = receiver.lock().map_err(|_| anyhow::anyhow!("another waiter panicked"))?;
    Ok(receiver.recv()?)
}

/// Sends a line to the controller.
pub(crate) fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    // A controller that is gone wants no answer; the watcher of standard input ends this process.
    let _ = serde_json::to_writer(&mut out, line).map(|()| out.write_all(b"\n"));
    let _ = out.flush();
}
