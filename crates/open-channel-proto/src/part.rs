//! What a session puts into a link that keeps what it carries, such as a ring in shared memory.
//!
//! On such a link messages travel as parts, which have no numbers: they arrive once and in order, and the receiver
//! releases them when they are handled, which is the acknowledgement. Everything else stays with the frames.

/// Which part of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// A message.
    Whole,
    /// The first part of a longer message; its length is known from here.
    First,
    /// Neither the first part nor the last.
    Middle,
    /// The last part of a longer message.
    Last,
    /// The end of the direction.
    End,
}

impl PartKind {
    /// The number that stands for it in a record.
    pub fn to_bits(self) -> u8 {
        match self {
            Self::Whole => 1,
            Self::First => 2,
            Self::Middle => 3,
            Self::Last => 4,
            Self::End => 5,
        }
    }

    /// What a number stands for.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Whole,
            2 => Self::First,
            3 => Self::Middle,
            4 => Self::Last,
            5 => Self::End,
            _ => return None,
        })
    }

    /// Whether a message or the direction is complete with it: one such part stands for each sequence number.
    pub fn completes(self) -> bool {
        matches!(self, Self::Whole | Self::Last | Self::End)
    }
}

/// What goes into the store next; from [`Session::next_part`](crate::Session::next_part).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which part it is.
    pub kind: PartKind,
    /// An earlier host may have handled the message already.
    pub redelivered: bool,
    /// It is several messages in one [`Pack`](crate::Pack).
    pub packed: bool,
    /// Length of the whole message or pack in bytes.
    pub total: usize,
    /// The part's bytes.
    pub payload: &'a [u8],
}

/// What came out of the store, without its bytes; for [`Session::receive_part`](crate::Session::receive_part).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which part it is.
    pub kind: PartKind,
    /// An earlier host may have handled the message already.
    pub redelivered: bool,
    /// It is of several messages in one [`Pack`](crate::Pack); counts with a whole and with a first part.
    pub packed: bool,
    /// Length of the whole message or pack in bytes, as a first part announces it.
    pub total: u64,
    /// Length of this part in bytes.
    pub len: usize,
    /// Where it ends in the store: above 0, and growing.
    pub end: u64,
}

/// What a store still held when it was given up; for [`Session::reclaim`](crate::Session::reclaim).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it ends in the store.
    pub end: u64,
    /// The other side may have seen it.
    pub claimed: bool,
    /// Its bytes.
    pub payload: bytes::Bytes,
}
