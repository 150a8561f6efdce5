//! What JavaScript was given to do, and has not finished.

use std::{collections::HashMap, future::Future, sync::Arc};

use open_channel_group::{Job, Request};

use super::futures::Futures;
use crate::hub::{Signal, reason};

/// Something that may be of no use any more before it is finished.
pub(crate) trait Cancellable: Send + Sync + 'static {
    /// Resolves when it is.
    fn cancelled(&self) -> impl Future<Output = ()> + Send;
}

impl Cancellable for Request {
    async fn cancelled(&self) {
        Request::cancelled(self).await;
    }
}

impl Cancellable for Job {
    async fn cancelled(&self) {
        Job::cancelled(self).await;
    }
}

/// Things that JavaScript knows by a number.
pub(crate) struct Assigned<T> {
    signal: Arc<Signal>,
    last: u32,
    open: HashMap<u32, Arc<T>>,
    waits: Futures<()>,
    cancelled: Vec<u32>,
}

impl<T: Cancellable> Assigned<T> {
    /// Raises `READABLE` when `cancelled` has something.
    pub(crate) fn new(signal: &Arc<Signal>) -> Self {
        Self {
            signal: Arc::clone(signal),
            last: 0,
            open: HashMap::new(),
            waits: Futures::new(signal, reason::READABLE),
            cancelled: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, item: T) -> u32 {
        self.last = self.last.wrapping_add(1);
        let item = Arc::new(item);
        let waiting = Arc::clone(&item);
        self.open.insert(self.last, item);
        if self.waits.begin(self.last, async move { waiting.cancelled().await }).is_some() {
            self.cancelled.push(self.last);
            self.signal.raise(reason::READABLE);
        }
        self.last
    }

    /// Takes one out, to finish it.
    pub(crate) fn take(&mut self, number: u32) -> Option<T> {
        self.waits.drop_one(number);
        // Only the future that was dropped had it as well.
        Arc::into_inner(self.open.remove(&number)?)
    }

    /// Those that are of no use any more, since the last call.
    pub(crate) fn cancelled(&mut self) -> Vec<u32> {
        let mut cancelled = std::mem::take(&mut self.cancelled);
        cancelled.extend(self.waits.poll().into_iter().map(|(number, ())| number));
        cancelled
    }
}
