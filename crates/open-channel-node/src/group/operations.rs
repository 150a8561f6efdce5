//! What JavaScript begins with a number, and what ends once under that number.

use std::{collections::VecDeque, future::Future, sync::Arc};

use bytes::Bytes;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Answers, Error, Group};

use super::{answers::NativeAnswers, failure::GroupFailure, futures::Futures};
use crate::hub::{Signal, reason};

/// How something ended well.
pub(crate) enum Done {
    Joined(Group),
    Nothing,
    Bytes(Bytes),
    Number(f64),
    Flag(bool),
    Answers(Answers),
}

/// The end of something that JavaScript holds a promise for.
#[napi(object)]
#[derive(Default)]
pub struct Finished {
    /// The number that JavaScript gave when it began.
    pub request: u32,
    /// Why it failed, if it did.
    pub failure: Option<GroupFailure>,
    /// The answer of a call.
    pub data: Option<Buffer>,
    /// A revision, or a sum.
    pub number: Option<f64>,
    /// Whether a write had an effect.
    pub flag: Option<bool>,
    /// The answers of all.
    pub answers: Option<NativeAnswers>,
}

/// All operations of one group.
pub(crate) struct Operations {
    signal: Arc<Signal>,
    futures: Futures<Result<Done, Error>>,
    ended: VecDeque<(u32, Result<Done, Error>)>,
}

impl Operations {
    pub(crate) fn new(signal: &Arc<Signal>) -> Self {
        Self {
            signal: Arc::clone(signal),
            futures: Futures::new(signal, reason::OPERATION),
            ended: VecDeque::new(),
        }
    }

    /// Begins something. When it ends, `next` has it.
    pub(crate) fn begin(
        &mut self,
        request: u32,
        operation: impl Future<Output = Result<Done, Error>> + Send + 'static,
    ) {
        if let Some(end) = self.futures.begin(request, operation) {
            self.ended.push_back((request, end));
            self.signal.raise(reason::OPERATION);
        }
    }

    /// Nobody waits for it any more. False if JavaScript has had its end.
    pub(crate) fn cancel(&mut self, request: u32) -> bool {
        let ended = self.ended.len();
        self.ended.retain(|(number, _)| *number != request);
        self.futures.drop_one(request) || self.ended.len() < ended
    }

    /// Those that have ended.
    pub(crate) fn take(&mut self) -> Vec<(u32, Result<Done, Error>)> {
        let mut ended: Vec<_> = self.ended.drain(..).collect();
        ended.extend(self.futures.poll());
        ended
    }
}

impl Finished {
    pub(crate) fn new(request: u32, end: Result<Done, Error>) -> Self {
        let mut finished = Self { request, ..Self::default() };
        match end {
            Err(error) => finished.failure = Some(error.into()),
            Ok(Done::Bytes(bytes)) => finished.data = Some(bytes.to_vec().into()),
            Ok(Done::Number(number)) => finished.number = Some(number),
            Ok(Done::Flag(flag)) => finished.flag = Some(flag),
            Ok(Done::Answers(answers)) => finished.answers = Some(answers.into()),
            Ok(Done::Nothing | Done::Joined(_)) => {}
        }
        finished
    }
}
