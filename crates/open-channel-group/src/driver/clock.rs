//! Time as the core counts it, the same for all groups of a process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static BEGINNING: OnceLock<Instant> = OnceLock::new();

pub(super) fn now() -> Duration {
    BEGINNING.get_or_init(Instant::now).elapsed()
}

/// Waits until `now` is `due`.
pub(super) async fn sleep_until(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep_until(instant(due)).await,
        None => std::future::pending().await,
    }
}

/// The moment at which `now` will be `time`.
fn instant(time: Duration) -> tokio::time::Instant {
    let beginning = *BEGINNING.get_or_init(Instant::now);
    // Further away than any timer goes is never.
    let far = Duration::from_secs(365 * 24 * 3600);
    (beginning + time.min(beginning.elapsed() + far)).into()
}
