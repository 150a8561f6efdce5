//! Sees to a connection while no caller does.
//!
//! ```text
//!             a caller waits and watches the link
//!   ┌─────────┐ ◀──────────────────────────────── ┌──────────┐
//!   │ dormant │                                   │ watching │ reads, writes, acknowledges
//!   └─────────┘ ── nobody watches, or something ─▶└──────────┘
//!               is left to write: armed, then a
//!               moment of grace
//! ```
//!
//! The grace keeps the hot path free of it: an application that answers one message and waits for the next never
//! meets its attendant, whose registration with the background runtime only exists while it watches.

use std::sync::Arc;
use std::time::Duration;

use crate::connection::{Connection, Inner, Read};
use crate::link::{self, Link};

/// How long acknowledgements and small messages may wait for company, and a link for a caller.
const GRACE: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attendance {
    /// The callers do everything.
    Dormant,
    /// Called; will look after the grace.
    Armed,
    /// Does everything itself.
    Watching,
}

/// Runs on the background thread for as long as `connection` is on `link`.
pub(crate) async fn attend(connection: Arc<Connection>, link: Arc<Link>) {
    let mut attendance = look(&connection, &link);
    while let Some(present) = attendance {
        attendance = match present {
            Attendance::Watching => watch(&connection, &link).await,
            Attendance::Armed => {
                tokio::time::sleep(GRACE).await;
                look(&connection, &link)
            }
            Attendance::Dormant => {
                connection.called().await;
                tokio::time::sleep(GRACE).await;
                look(&connection, &link)
            }
        };
    }
}

/// `None` when the connection has left the link.
fn look(connection: &Connection, link: &Arc<Link>) -> Option<Attendance> {
    connection.with(|inner| inner.is_on(link).then(|| inner.attended()))
}

/// Drives the link until callers do.
async fn watch(connection: &Connection, link: &Arc<Link>) -> Option<Attendance> {
    let Ok(fd) = link::watch(Arc::clone(link)) else {
        // The link cannot be watched (no memory, say): look again after a while instead.
        tokio::time::sleep(GRACE * 10).await;
        connection.with(Inner::read_all);
        return look(connection, link);
    };
    loop {
        let write_blocked = connection.with(|inner| inner.watch_writes());
        tokio::select! {
            readable = fd.readable() => {
                let Ok(mut readable) = readable else { return None };
                if connection.with(|inner| inner.is_on(link).then(|| inner.read())) != Some(Read::More) {
                    readable.clear_ready();
                }
            }
            writable = fd.writable(), if write_blocked => {
                let Ok(mut writable) = writable else { return None };
                if connection.with(|inner| { inner.writable(); inner.is_write_blocked() }) {
                    writable.clear_ready();
                }
            }
            () = connection.called() => tokio::time::sleep(GRACE).await,
        }
        match look(connection, link) {
            Some(Attendance::Watching) => {}
            other => return other,
        }
    }
}
