//! Futures that the JavaScript thread polls: when a wake-up says that one has something new.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use crate::hub::Signal;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One future.
pub(crate) struct Awaited<T> {
    future: Option<BoxFuture<T>>,
    waker: Waker,
}

impl<T> Awaited<T> {
    /// Raises `reason` when it is to be polled again.
    pub(crate) fn new(
        signal: &Arc<Signal>,
        reason: u32,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self { future: Some(Box::pin(future)), waker: signal.waker(reason) }
    }

    /// Drops it.
    pub(crate) fn cancel(&mut self) {
        self.future = None;
    }

    /// Its result, once.
    pub(crate) fn poll(&mut self) -> Option<T> {
        let future = self.future.as_mut()?;
        match future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(result) => {
                self.future = None;
                Some(result)
            }
            Poll::Pending => None,
        }
    }
}

/// Many futures, each with a number. Only those that were woken are polled.
pub(crate) struct Futures<T> {
    signal: Arc<Signal>,
    reason: u32,
    woken: Arc<Woken>,
    open: HashMap<u32, (BoxFuture<T>, Waker)>,
}

#[derive(Default)]
struct Woken(Mutex<Vec<u32>>);

impl Woken {
    fn push(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct WakeOne {
    number: u32,
    reason: u32,
    woken: Arc<Woken>,
    signal: Arc<Signal>,
}

impl Wake for WakeOne {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.push(self.number);
        self.signal.raise(self.reason);
    }
}

impl<T> Futures<T> {
    /// Raises `reason` when `poll` has something to do.
    pub(crate) fn new(signal: &Arc<Signal>, reason: u32) -> Self {
        Self { signal: Arc::clone(signal), reason, woken: Arc::default(), open: HashMap::new() }
    }

    /// Begins a future: it is polled for the first time. Its result comes out of `poll`, unless it
    /// is there at once.
    pub(crate) fn begin(
        &mut self,
        number: u32,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let waker = Waker::from(Arc::new(WakeOne {
            number,
            reason: self.reason,
            woken: Arc::clone(&self.woken),
            signal: Arc::clone(&self.signal),
        }));
        let mut future: BoxFuture<T> = Box::pin(future);
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => {
                self.open.insert(number, (future, waker));
                None
            }
        }
    }

    /// The results of those that have ended since.
    pub(crate) fn poll(&mut self) -> Vec<(u32, T)> {
        let mut ended = Vec::new();
        for number in self.woken.take() {
            // It may have ended, or have been woken twice.
            let Some((future, waker)) = self.open.get_mut(&number) else { continue };
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                self.open.remove(&number);
                ended.push((number, result));
            }
        }
        ended
    }

    /// Drops a future. False if it is not there any more.
    pub(crate) fn drop_one(&mut self, number: u32) -> bool {
        self.open.remove(&number).is_some()
    }
}
