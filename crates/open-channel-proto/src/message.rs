//! Messages as an application gets them: those of the other side, and its own that come back.

use bytes::Bytes;

use crate::pack::Pack;

/// The result of [`Session::recv`](crate::Session::recv); exhaustive, since an application has to
/// handle each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message; call [`Session::handled`](crate::Session::handled) when it is handled.
    Message {
        /// Its sequence number in its direction, from 1.
        seq: u64,
        /// Its bytes.
        payload: Bytes,
        /// The number of this attempt: 1 at first, one more for each host that may have handled it.
        attempt: u32,
    },
    /// The other side sends no more; handled like a message.
    End {
        /// Its sequence number, one past the last message's.
        seq: u64,
    },
}

/// The result of [`Session::recv_many`](crate::Session::recv_many): messages in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPack {
    /// Sequence number of the first; the others follow.
    pub first: u64,
    /// The messages; call [`Session::handled`](crate::Session::handled) for each when it is
    /// handled.
    pub pack: Pack,
    /// The number of this attempt, for all of them: 1 at first, one more for each host that may
    /// have handled them.
    pub attempt: u32,
}

/// A message of this side that is not delivered any more; from
/// [`Session::take_undeliverable`](crate::Session::take_undeliverable).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeliverable {
    /// Its sequence number.
    pub seq: u64,
    /// How many attempts there were.
    pub attempts: u32,
    /// Why there is no other.
    pub reason: GivenUp,
    /// Its bytes.
    pub payload: Bytes,
}

/// Why a message is not delivered any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GivenUp {
    /// It has had as many attempts as it [may](crate::Limits::max_attempts).
    MaxAttempts,
    /// Its receiver has rejected it, for this reason.
    Rejected(String),
    /// Its sender has [taken it back](crate::Session::take_back), and no call fetched it then. A
    /// session itself gives no such reason.
    TakenBack,
}

impl std::fmt::Display for GivenUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaxAttempts => write!(f, "it has had all its attempts"),
            Self::Rejected(reason) if reason.is_empty() => write!(f, "it was rejected"),
            Self::Rejected(reason) => write!(f, "it was rejected: {reason}"),
            Self::TakenBack => write!(f, "it was taken back"),
        }
    }
}
