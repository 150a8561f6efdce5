//! A worker of a queue as JavaScript polls it.

use std::{
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Job, Worker};

use super::{
    assigned::Assigned, failure::GroupFailure, group::NativeGroup, opened::Opened, view::shown,
};
use crate::hub::reason;

/// One worker of this member.
#[napi]
pub struct NativeWorker {
    worker: Opened<Worker>,
    waker: Waker,
    assigned: Assigned<Job>,
}

/// An attempt of a job.
#[napi(object)]
pub struct Attempted {
    /// For `ack`, `nak` and `term`.
    pub number: u32,
    /// The member that pushed it.
    pub from: String,
    /// Which attempt it is: 1 at first.
    pub attempt: u32,
    /// The job.
    pub data: Buffer,
}

#[napi]
impl NativeWorker {
    /// Raises `READABLE` when `take` or `cancelled` has something new, or it has failed.
    #[napi(constructor)]
    pub fn new(
        group: &NativeGroup,
        token: u32,
        queue: String,
        capacity: u32,
    ) -> napi::Result<Self> {
        let signal = group.signal_like(token);
        let group = group.joined()?;
        // JavaScript has checked that it is not zero.
        let capacity = NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN);
        let opening = async move { group.queue(&queue)?.work(capacity).await };
        Ok(Self {
            worker: Opened::new(&signal, opening),
            waker: signal.waker(reason::READABLE),
            assigned: Assigned::new(&signal),
        })
    }

    /// Why it does not work.
    #[napi]
    pub fn failure(&self) -> Option<GroupFailure> {
        self.worker.failure()
    }

    /// The next jobs; raises `READABLE` when there are others.
    #[napi]
    pub fn take(&mut self) -> Vec<Attempted> {
        let mut taken = Vec::new();
        let Some(worker) = self.worker.get() else { return taken };
        let mut cx = Context::from_waker(&self.waker);
        // There are as many at most as the worker has room for.
        while let Poll::Ready(Some(job)) = Pin::new(&mut *worker).poll_next(&mut cx) {
            let (from, attempt) = (shown(job.from()), job.attempt());
            let data = job.payload().to_vec().into();
            taken.push(Attempted { number: self.assigned.add(job), from, attempt, data });
        }
        taken
    }

    /// The jobs that are not needed any more.
    #[napi]
    pub fn cancelled(&mut self) -> Vec<u32> {
        self.assigned.cancelled()
    }

    /// A job is done.
    #[napi]
    pub fn ack(&mut self, number: u32) {
        if let Some(job) = self.assigned.take(number) {
            job.ack();
        }
    }

    /// A job is to be tried again after so many milliseconds; after a pause that grows if there is
    /// no number.
    #[napi]
    pub fn nak(&mut self, number: u32, delay: Option<u32>) {
        match (self.assigned.take(number), delay) {
            (Some(job), Some(delay)) => job.nak_after(Duration::from_millis(delay.into())),
            (job, _) => drop(job),
        }
    }

    /// A job is never to be tried again.
    #[napi]
    pub fn term(&mut self, number: u32, reason: String) {
        if let Some(job) = self.assigned.take(number) {
            job.term(&reason);
        }
    }

    /// No more jobs come. Those that JavaScript has are finished as before.
    #[napi]
    pub fn close(&mut self) {
        self.worker.close();
    }
}
