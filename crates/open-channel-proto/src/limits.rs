//! Limits and costs: how much one side holds, and how much of that a message counts for.

use std::num::NonZeroU32;

/// Bytes that a message costs in windows and outboxes on top of its payload. So limits bound the
/// memory of empty messages, too.
pub const MESSAGE_OVERHEAD: usize = 64;

/// Most bytes that the messages of one pack cost together. A message that alone costs more is a
/// pack of its own.
pub const MAX_PACK_COST: usize = 32 * 1024;

/// The largest [limit](Limits::max_attempts) of attempts: links distinguish no more of them.
pub const MAX_ATTEMPTS: u32 = 64;

/// How much one side holds at most, in bytes. A message costs its length plus [`MESSAGE_OVERHEAD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of messages accepted from the application and not acknowledged.
    pub outbox: usize,
    /// Bytes of messages received and not handled.
    pub window: usize,
    /// Longest message in bytes, in either direction, without the overhead.
    pub max_message: usize,
    /// How often a message that this side sends is delivered at most, up to [`MAX_ATTEMPTS`].
    /// `None` sets no limit.
    pub max_attempts: Option<NonZeroU32>,
}

impl Limits {
    /// These limits, in bytes, and any number of attempts.
    pub const fn new(outbox: usize, window: usize, max_message: usize) -> Self {
        Self { outbox, window, max_message, max_attempts: None }
    }

    /// The same with another [`outbox`](Self::outbox).
    pub const fn with_outbox(self, outbox: usize) -> Self {
        Self { outbox, ..self }
    }

    /// The same with another [`window`](Self::window).
    pub const fn with_window(self, window: usize) -> Self {
        Self { window, ..self }
    }

    /// The same with another [`max_message`](Self::max_message).
    pub const fn with_max_message(self, max_message: usize) -> Self {
        Self { max_message, ..self }
    }

    /// The same with another number of [attempts](Self::max_attempts).
    pub const fn with_max_attempts(self, max_attempts: Option<NonZeroU32>) -> Self {
        Self { max_attempts, ..self }
    }
}

pub(crate) fn message_cost(len: usize) -> usize {
    len.saturating_add(MESSAGE_OVERHEAD)
}
