//! Drives a connection while no caller does.
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
//! The grace period leaves the hot path alone: an application that answers one message and waits
//! for the next never meets its driver. The driver is registered with the background runtime only
//! while it watches.

use std::sync::Arc;
use std::time::Duration;

use open_channel_proto::{Attachment, Welcome};

use crate::connection::Connection;
use crate::connection::state::{DriverState, State};
use crate::connection::transport::frames::Read;
use crate::connection::transport::ring::Ring;
use crate::error::Error;
use crate::link::ring::Rings;
use crate::link::{Link, LinkKind};
use crate::sys::Registration;

/// The grace period: how long small messages and acknowledgements wait for more, and a link for a
/// caller.
const GRACE: Duration = Duration::from_millis(1);

/// Attaches the peer's side to a link that the host has welcomed.
pub(crate) fn attach(
    connection: &Arc<Connection>,
    link: Link,
    ring: Option<Rings>,
    welcome: &Welcome,
) -> Result<Attachment, Error> {
    let link = Arc::new(link);
    let attached = connection.attach(Arc::clone(&link), ring.map(Ring::new), welcome)?;
    spawn(connection, link);
    Ok(attached)
}

/// Attaches the host's side to a link, the first one or a later one.
pub(crate) fn begin(connection: &Arc<Connection>, link: Link, ring: Option<Rings>) {
    let link = Arc::new(link);
    connection.begin(Arc::clone(&link), ring.map(Ring::new));
    spawn(connection, link);
}

fn spawn(connection: &Arc<Connection>, link: Arc<Link>) {
    connection.background.spawn(drive(Arc::clone(connection), link));
}

/// Runs on the background runtime for as long as `connection` is on `link`.
async fn drive(connection: Arc<Connection>, link: Arc<Link>) {
    if link.kind() == LinkKind::Ring {
        return drive_beside_ring(&connection, &link).await;
    }
    let mut state = round(&connection, &link);
    while let Some(present) = state {
        state = match present {
            DriverState::Watching => watch(&connection, &link).await,
            DriverState::Armed => {
                tokio::time::sleep(GRACE).await;
                round(&connection, &link)
            }
            DriverState::Dormant => {
                connection.waiters.driver_called().await;
                tokio::time::sleep(GRACE).await;
                round(&connection, &link)
            }
        };
    }
}

/// `None` when the connection has left the link.
fn round(connection: &Connection, link: &Arc<Link>) -> Option<DriverState> {
    connection.with(|state| state.is_on(link).then(|| state.driven()))
}

/// Drives the link until callers do.
async fn watch(connection: &Connection, link: &Arc<Link>) -> Option<DriverState> {
    let Ok(stream) = Registration::new(link.source()) else {
        // The link cannot be watched (no memory, say): polls it at intervals instead.
        tokio::time::sleep(GRACE * 10).await;
        connection.with(State::read_all);
        return round(connection, link);
    };
    loop {
        let write_blocked = connection.with(|state| state.watch_for_room());
        tokio::select! {
            readable = stream.readable() => {
                let Ok(mut readable) = readable else { return None };
                if connection.with(|state| state.is_on(link).then(|| state.read())) != Some(Read::More) {
                    readable.clear_ready();
                }
            }
            writable = stream.writable(), if write_blocked => {
                let Ok(mut writable) = writable else { return None };
                if connection.with(|state| { state.writable(); state.is_write_blocked() }) {
                    writable.clear_ready();
                }
            }
            () = connection.waiters.driver_called() => tokio::time::sleep(GRACE).await,
        }
        match round(connection, link) {
            Some(DriverState::Watching) => {}
            other => return other,
        }
    }
}

/// Beside a ring only the stream is always watched: for the end of the other process, and for
/// frames. The doorbell is watched while something waits for room or acknowledgements, and no
/// caller watches.
async fn drive_beside_ring(connection: &Connection, link: &Arc<Link>) {
    let mut doorbell = None;
    let mut stream = None;
    while let Some(present) = round(connection, link) {
        if stream.is_none() {
            stream = Registration::new(link.stream_source()).ok();
        }
        if present != DriverState::Watching {
            doorbell = None;
        } else if doorbell.is_none() {
            doorbell = Registration::new(link.source()).ok();
        }
        let write_blocked = connection.with(|state| {
            if doorbell.is_some() && state.is_on(link) {
                state.watch_ring();
            }
            state.watch_for_room()
        });
        let (Some(stream), true) =
            (&stream, doorbell.is_some() == (present == DriverState::Watching))
        else {
            // Watching takes memory and descriptors: polls at intervals while there are none.
            tokio::time::sleep(GRACE * 10).await;
            connection.with(|state| {
                if state.is_on(link) {
                    state.read_both();
                    state.watch_ring();
                }
            });
            continue;
        };
        tokio::select! {
            readable = stream.readable() => {
                let Ok(mut readable) = readable else { return };
                if connection.with(|state| state.is_on(link).then(|| state.read_frames())) != Some(Read::More) {
                    readable.clear_ready();
                }
            }
            writable = stream.writable(), if write_blocked => {
                let Ok(mut writable) = writable else { return };
                if connection.with(|state| { state.writable(); state.is_write_blocked() }) {
                    writable.clear_ready();
                }
            }
            rung = rung(doorbell.as_ref()) => if !rung { return },
            () = connection.waiters.driver_called() => {
                if !connection.with(|state| state.is_urgent()) {
                    tokio::time::sleep(GRACE).await;
                }
            }
        }
    }
}

/// Resolves when the doorbell rings; to `false` when it cannot ring any more.
async fn rung(doorbell: Option<&Registration>) -> bool {
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
