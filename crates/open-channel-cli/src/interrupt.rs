//! Signals that ask the program to stop, as an error that ends a command the orderly way.
//!
//! They are watched from before the first channel is made: a host that is told to go always hands
//! over. The second signal ends the program at once.

use std::fmt;
use std::sync::OnceLock;

use tokio::sync::watch;

/// The program was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// As a shell has it: 128 and the number of the signal.
    pub(crate) status: u8,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The first signal. One per process, as signals are.
fn first() -> &'static watch::Sender<Option<Interrupted>> {
    static FIRST: OnceLock<watch::Sender<Option<Interrupted>>> = OnceLock::new();
    FIRST.get_or_init(|| watch::Sender::new(None))
}

/// Resolves when the user, a terminal that closes or a supervisor has asked this process to stop.
pub(crate) async fn asked_to_stop() -> Interrupted {
    let mut signals = first().subscribe();
    match signals.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(signal)) => *signal,
        _ => std::future::pending().await,
    }
}

fn arrived(signal: Interrupted) {
    let is_first = first().send_if_modified(|present| {
        let is_first = present.is_none();
        present.get_or_insert(signal);
        is_first
    });
    if !is_first {
        // The user does not want to wait for the hand-over.
        std::process::exit(signal.status.into());
    }
}

/// Begins to watch. Signals that cannot be watched keep their effect, and so do those that whoever
/// started the program wants ignored, as nohup(1) does with SIGHUP.
pub(crate) fn watch_signals() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored_signals();
        for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()] {
            let number = kind.as_raw_value();
            if ignored >> (number - 1) & 1 == 1 {
                continue;
            }
            let Ok(mut signals) = signal(kind) else { continue };
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    arrived(Interrupted { status: 128 | number as u8 });
                }
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            arrived(Interrupted { status: 130 });
        }
    });
}

/// A bit for each signal, the lowest for signal 1; 0 where it is not known.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
