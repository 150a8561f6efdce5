//! Statistics and stalls of all sockets of a channel in this process, of either end.

use std::sync::Arc;
use std::time::Duration;

use super::shared::{Place, Shared, lock};
use crate::channel::event::Event;
use crate::channel::stats::ChannelStats;
use crate::connection::Connection;
use crate::connection::silence::Change;
use crate::membership::host::Host;

impl Shared {
    /// The sockets that this process serves, and the host that it is for them.
    fn hosted(&self) -> Option<(Arc<Host>, Vec<Arc<Connection>>)> {
        let host = match &*self.place.borrow() {
            Place::Hosting(host) => Arc::clone(host),
            _ => return None,
        };
        let connections = host.connections();
        Some((host, connections))
    }

    pub(super) fn check_silence(&self, now: Duration) {
        let mut connections = self.connections();
        connections.extend(self.hosted().into_iter().flat_map(|(_, connections)| connections));
        // A connection that has left these lists is over. The end of its stall is still to be
        // reported.
        let stalled = std::mem::take(&mut *lock(&self.stalled));
        for connection in stalled {
            if !connections.iter().any(|listed| Arc::ptr_eq(listed, &connection)) {
                connections.push(connection);
            }
        }
        for connection in connections {
            let change = connection.check_silence(now, self.settings.stall_after);
            if connection.is_stalled() {
                lock(&self.stalled).push(Arc::clone(&connection));
            }
            let Some(change) = change else { continue };
            match &change {
                Change::Began(stall) => {
                    tracing::warn!(channel = self.name, socket = %stall.socket, ?stall, "a socket is stalled");
                }
                Change::Ended(end) => {
                    tracing::info!(channel = self.name, socket = %end.socket, ?end, "a stall is over");
                }
            }
            self.announce(match change {
                Change::Began(stall) => Event::Stalled(stall),
                Change::Ended(end) => Event::StallEnded(end),
            });
        }
    }

    pub(super) fn stats(&self) -> ChannelStats {
        let place = self.place.borrow().clone();
        let hosted = self.hosted();
        let live = |connections: Vec<Arc<Connection>>| {
            let live = connections.into_iter().filter(|connection| !connection.is_over());
            live.map(|connection| connection.stats()).collect()
        };
        ChannelStats {
            name: self.name.clone(),
            state: place.state(),
            role: place.role(),
            generation: place.generation(),
            hosting: hosted.as_ref().map(|(host, _)| host.age()),
            sockets: live(self.connections()),
            hosted: hosted.map_or_else(Vec::new, |(_, connections)| live(connections)),
        }
    }
}
