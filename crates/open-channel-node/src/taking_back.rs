//! Messages that JavaScript wants back: everything that nobody has taken.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use open_channel::{
    Error, Socket,
    ffi::{WaiterKey, raw},
};

use crate::{
    hub::{Signal, reason},
    waiting::Waiting,
};

/// All calls of one socket.
pub(crate) struct TakingBack {
    waiting: Waiting,
    /// Those that are not answered, oldest first.
    calls: VecDeque<Call>,
    /// The messages that came back to those that are, by their numbers.
    answers: Vec<(u32, Vec<Bytes>)>,
}

impl TakingBack {
    pub(crate) fn new(signal: &Arc<Signal>) -> Self {
        Self {
            waiting: Waiting::new(signal, reason::FLUSHED),
            calls: VecDeque::new(),
            answers: Vec::new(),
        }
    }

    /// Asks for everything that was written so far.
    pub(crate) fn begin(&mut self, socket: &Socket, request: u32) {
        self.calls.push_back(Call::begin(socket, request));
    }

    /// Completes the calls that are answered; raises `FLUSHED` for the rest.
    pub(crate) fn complete(&mut self, socket: &Socket, signal: &Signal) {
        while let Some(call) = self.calls.front_mut() {
            if !self.waiting.poll(|cx, key| call.poll(socket, cx, key)) {
                return;
            }
            let Some(call) = self.calls.pop_front() else { return };
            let request = call.request;
            let result = call.finish().map(|back| self.answers.push((request, back)));
            signal.hub().complete(request, result);
        }
    }

    /// The messages that came back to a call that has completed, oldest first; once.
    pub(crate) fn answer(&mut self, request: u32) -> Vec<Bytes> {
        let place = self.answers.iter().position(|(completed, _)| *completed == request);
        place.map(|place| self.answers.swap_remove(place).1).unwrap_or_default()
    }

    pub(crate) fn leave(&mut self, socket: &Socket) {
        self.waiting.leave(socket);
    }
}

/// One call for everything that was written so far.
struct Call {
    request: u32,
    /// The other side was asked for these.
    asked: VecDeque<u64>,
    /// The messages that came back, by number.
    back: Vec<(u64, Bytes)>,
    failed: Option<Error>,
}

impl Call {
    fn begin(socket: &Socket, request: u32) -> Self {
        let mut call = Self { request, asked: VecDeque::new(), back: Vec::new(), failed: None };
        for seq in raw(socket).unacknowledged() {
            match raw(socket).begin_taking_back(seq) {
                Poll::Pending => call.asked.push_back(seq),
                Poll::Ready(answer) => call.answered(seq, answer),
            }
        }
        call
    }

    fn answered(&mut self, seq: u64, answer: Result<Option<Bytes>, Error>) {
        match answer {
            Ok(message) => self.back.extend(message.map(|message| (seq, message))),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Whether everything is answered.
    fn poll(&mut self, socket: &Socket, cx: &mut Context<'_>, key: &mut WaiterKey) -> bool {
        while let Some(&seq) = self.asked.front() {
            let Poll::Ready(answer) = raw(socket).poll_taken_back(cx, key, seq) else {
                return false;
            };
            self.asked.pop_front();
            self.answered(seq, answer);
        }
        true
    }

    /// The messages that came back, oldest first; an error only if nothing did.
    fn finish(mut self) -> Result<Vec<Bytes>, Error> {
        match self.failed {
            Some(error) if self.back.is_empty() => Err(error),
            _ => {
                self.back.sort_unstable_by_key(|(seq, _)| *seq);
                Ok(self.back.into_iter().map(|(_, message)| message).collect())
            }
        }
    }
}
