//! Messages that the application has not taken yet.

use crate::message::ReceivedPack;

#[derive(Debug)]
pub(super) enum Ready {
    Messages(ReceivedPack),
    End(u64),
}

impl Ready {
    pub(super) fn first(&self) -> u64 {
        match self {
            Self::Messages(received) => received.first,
            Self::End(seq) => *seq,
        }
    }
}
