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

use tokio::io::unix::AsyncFd;

use crate::connection::{Connection, Inner, Read};
use crate::link::{self, Link, LinkKind, Stream};

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
    if link.kind() == LinkKind::Ring {
        return attend_ring(&connection, &link).await;
    }
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

/// Beside a ring only the stream has to be watched at all times: for the end of the other process, and for frames.
/// The doorbell is watched while something waits for room or for acknowledgements that no caller watches for.
async fn attend_ring(connection: &Connection, link: &Arc<Link>) {
    let mut doorbell = None;
    let mut stream = None;
    while let Some(attendance) = look(connection, link) {
        if stream.is_none() {
            stream = link::watch(Stream(Arc::clone(link))).ok();
        }
        if attendance != Attendance::Watching {
            doorbell = None;
        } else if doorbell.is_none() {
            doorbell = link::watch(Arc::clone(link)).ok();
        }
        let write_blocked = connection.with(|inner| {
            if doorbell.is_some() && inner.is_on(link) {
                inner.attend_ring();
            }
            inner.watch_writes()
        });
        let (Some(stream), true) = (&stream, doorbell.is_some() == (attendance == Attendance::Watching))
        else {
            // Neither can be watched without memory or descriptors: look again after a while instead.
            tokio::time::sleep(GRACE * 10).await;
            connection.with(|inner| {
                if inner.is_on(link) {
                    inner.read_both();
                    inner.attend_ring();
                }
            });
            continue;
        };
        tokio::select! {
            readable = stream.readable() => {
                let Ok(mut readable) = readable else { return };
                if connection.with(|inner| inner.is_on(link).then(|| inner.read_stream())) != Some(Read::More) {
                    readable.clear_ready();
                }
            }
            writable = stream.writable(), if write_blocked => {
                let Ok(mut writable) = writable else { return };
                if connection.with(|inner| { inner.writable(); inner.is_write_blocked() }) {
                    writable.clear_ready();
                }
            }
            rung = rung(doorbell.as_ref()) => if !rung { return },
            () = connection.called() => {
                if !connection.with(|inner| inner.has_passive_waiters()) {
                    tokio::time::sleep(GRACE).await;
                }
            }
        }
    }
}

/// Resolves when the doorbell rings; `false` when it cannot any more.
async fn rung(doorbell: Option<&AsyncFd<Arc<Link>>>) -> bool {
    match doorbell {
        None => std::future::pending().await,
        Some(doorbell) => match doorbell.readable().await {
            Ok(mut rung) => {
                rung.clear_ready();
                true
            }
            Err(_) => false,
        },
    }
}
