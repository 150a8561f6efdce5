//! A service as JavaScript polls it.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Request, Requests};

use super::{
    assigned::Assigned, failure::GroupFailure, group::NativeGroup, opened::Opened, view::shown,
};
use crate::hub::reason;

/// One service of this member.
#[napi]
pub struct NativeService {
    requests: Opened<Requests>,
    waker: Waker,
    assigned: Assigned<Request>,
}

/// A call to be answered.
#[napi(object)]
pub struct Called {
    /// For `answer` and `fail`.
    pub number: u32,
    /// The caller.
    pub from: String,
    /// The bytes that it was called with.
    pub data: Buffer,
}

#[napi]
impl NativeService {
    /// Raises `READABLE` when `opened`, `take` or `cancelled` has something new.
    #[napi(constructor)]
    pub fn new(group: &NativeGroup, token: u32, service: String) -> napi::Result<Self> {
        let signal = group.signal_like(token);
        let group = group.joined()?;
        let opening = async move { group.requests(&service).await };
        Ok(Self {
            requests: Opened::new(&signal, opening),
            waker: signal.waker(reason::READABLE),
            assigned: Assigned::new(&signal),
        })
    }

    /// Whether all members know of it.
    #[napi]
    pub fn opened(&mut self) -> bool {
        self.requests.get().is_some()
    }

    /// Why it is not served.
    #[napi]
    pub fn failure(&self) -> Option<GroupFailure> {
        self.requests.failure()
    }

    /// The next calls, at most so many; raises `READABLE` after there were fewer.
    #[napi]
    pub fn take(&mut self, most: u32) -> Vec<Called> {
        let mut taken = Vec::new();
        let Some(requests) = self.requests.get() else { return taken };
        let mut cx = Context::from_waker(&self.waker);
        while taken.len() < most as usize
            && let Poll::Ready(Some(request)) = Pin::new(&mut *requests).poll_next(&mut cx)
        {
            let (from, data) = (shown(request.from()), request.payload().to_vec().into());
            taken.push(Called { number: self.assigned.add(request), from, data });
        }
        taken
    }

    /// The calls that nobody waits for any more.
    #[napi]
    pub fn cancelled(&mut self) -> Vec<u32> {
        self.assigned.cancelled()
    }

    /// Answers a call, if anybody waits for it.
    #[napi]
    pub fn answer(&mut self, number: u32, payload: &[u8]) -> Option<GroupFailure> {
        let request = self.assigned.take(number)?;
        request.answer(Bytes::copy_from_slice(payload)).err().map(Into::into)
    }

    /// Fails a call.
    #[napi]
    pub fn fail(&mut self, number: u32, reason: String) -> Option<GroupFailure> {
        let request = self.assigned.take(number)?;
        request.fail(reason).err().map(Into::into)
    }

    /// It is not served any more. Calls that JavaScript has are answered as before.
    #[napi]
    pub fn close(&mut self) {
        self.requests.close();
    }
}
