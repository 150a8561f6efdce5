//! The view and its changes.

use tokio::sync::{broadcast, watch};

use crate::engine::{Event, View};

/// The view of a group, from [`Group::members`](crate::Group::members).
#[derive(Debug, Clone)]
pub struct Members {
    view: watch::Receiver<View>,
}

impl Members {
    pub(crate) fn new(view: watch::Receiver<View>) -> Self {
        Self { view }
    }

    /// The members now. It counts as seen for [`changed`](Self::changed).
    pub fn get(&mut self) -> View {
        self.view.borrow_and_update().clone()
    }

    /// Waits for a view that was not seen; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: the next call finds the view, too.
    pub async fn changed(&mut self) -> Option<View> {
        self.view.changed().await.ok()?;
        Some(self.get())
    }

    /// Waits until `is_so` holds of the view; `None` when the group is over before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_for(&mut self, mut is_so: impl FnMut(&View) -> bool) -> Option<View> {
        self.view.wait_for(|view| is_so(view)).await.ok().map(|view| view.clone())
    }
}

/// The changes of a group, from [`Group::events`](crate::Group::events).
#[derive(Debug)]
pub struct Events {
    events: broadcast::Receiver<Event>,
}

impl Events {
    /// Events that are kept for a receiver that does not keep up; the oldest are dropped.
    pub const BACKLOG: usize = 1024;

    pub(crate) fn new(events: broadcast::Receiver<Event>) -> Self {
        Self { events }
    }

    /// The next event; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
