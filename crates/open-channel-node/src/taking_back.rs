//! Messages that JavaScript wants back: everything that nobody has taken.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use bytes::Bytes;
use open_channel::{
    Error, Socket,
    ffi::{Face, WaiterKey},
};

/// One call for everything that was written so far.
pub(crate) struct TakingBack {
    pub(crate) request: u32,
    /// The other side was asked for these.
    asked: VecDeque<u64>,
    /// What came back, by number.
    back: Vec<(u64, Bytes)>,
    failed: Option<Error>,
}

impl TakingBack {
    pub(crate) fn begin(socket: &Socket, request: u32) -> Self {
        let mut call = Self { request, asked: VecDeque::new(), back: Vec::new(), failed: None };
        for seq in socket.unacknowledged() {
            match socket.begin_taking_back(seq) {
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
    pub(crate) fn poll(&mut self, socket: &Socket, cx: &mut Context<'_>, seat: &mut WaiterKey) -> bool {
        while let Some(&seq) = self.asked.front() {
            let Poll::Ready(answer) = socket.poll_taken_back(cx, seat, seq) else { return false };
            self.asked.pop_front();
            self.answered(seq, answer);
        }
        true
    }

    /// What came back, oldest first; an error only if nothing did.
    pub(crate) fn finish(mut self) -> Result<Vec<Bytes>, Error> {
        match self.failed {
            Some(error) if self.back.is_empty() => Err(error),
            _ => {
                self.back.sort_unstable_by_key(|(seq, _)| *seq);
                Ok(self.back.into_iter().map(|(_, message)| message).collect())
            }
        }
    }
}
