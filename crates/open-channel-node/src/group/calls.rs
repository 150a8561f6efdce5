//! Calls of this member, and the jobs that it pushes.

use std::{num::NonZeroU32, time::Duration};

use bytes::Bytes;
use napi_derive::napi;
use open_channel_group::{CallOptions, Error};

use super::{group::NativeGroup, operations::Done, view::member_id};

#[napi]
impl NativeGroup {
    /// Completes with the answer. `timeout` is in milliseconds.
    #[napi]
    pub fn call(
        &mut self,
        request: u32,
        service: String,
        payload: &[u8],
        timeout: Option<u32>,
        idempotent: bool,
        member: Option<String>,
    ) {
        let (payload, mut options) = (Bytes::copy_from_slice(payload), options(timeout));
        if idempotent {
            options = options.idempotent();
        }
        self.begin(request, async move |group| {
            let answer = match member {
                None => group.call_with(&service, payload, options).await,
                Some(id) => {
                    // No member has another id.
                    let id = member_id(&id).ok_or(Error::Died)?;
                    group.call_member(id, &service, payload, options).await
                }
            };
            answer.map(Done::Bytes)
        });
    }

    /// Completes with the answers of all members that serve it.
    #[napi]
    pub fn call_all(
        &mut self,
        request: u32,
        service: String,
        payload: &[u8],
        timeout: Option<u32>,
    ) {
        let payload = Bytes::copy_from_slice(payload);
        self.begin(request, async move |group| {
            group.call_all(&service, payload, options(timeout)).await.map(Done::Answers)
        });
    }

    /// Completes when a worker has done the job.
    #[napi]
    pub fn push(&mut self, request: u32, queue: String, job: &[u8], attempts: Option<u32>) {
        let job = Bytes::copy_from_slice(job);
        let attempts = attempts.and_then(NonZeroU32::new);
        self.begin(request, async move |group| {
            group.queue(&queue)?.push_at_most(job, attempts).await.map(|()| Done::Nothing)
        });
    }
}

fn options(timeout: Option<u32>) -> CallOptions {
    let options = CallOptions::default();
    timeout.map_or(options, |ms| options.within(Duration::from_millis(ms.into())))
}
