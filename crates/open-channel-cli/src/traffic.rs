//! The traffic of a channel or a socket, in words.

use std::time::Duration;

use open_channel::inspect::{Direction, Traffic};

use crate::quantity;

/// Messages that are not finished yet, with their bytes, both directions together.
pub(crate) fn waiting(traffic: &Traffic) -> String {
    let open = traffic.sent.open.saturating_add(traffic.received.open);
    let bytes = traffic.sent.open_bytes.saturating_add(traffic.received.open_bytes);
    match open {
        0 => "0".into(),
        open => format!("{} ({})", quantity::count(open as f64), quantity::bytes(bytes as f64)),
    }
}

/// The age of the oldest of them.
pub(crate) fn oldest(traffic: &Traffic) -> Option<Duration> {
    traffic.sent.oldest.max(traffic.received.oldest)
}

/// Redelivered messages, with the highest attempt.
pub(crate) fn again(traffic: &Traffic) -> String {
    match traffic.redelivered {
        0 => "0".into(),
        again => format!("{again} (attempt {})", traffic.highest_attempt),
    }
}

/// How much of its window a direction takes.
pub(crate) fn window(direction: &Direction) -> String {
    match direction.limit {
        0 => "-".into(),
        limit => format!("{:.0}%", direction.open_bytes as f64 * 100.0 / limit as f64),
    }
}
