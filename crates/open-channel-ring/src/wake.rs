//! How a side that found nothing goes to sleep without missing what comes next.
//!
//! One word in shared memory says what the sleeper waits for; it is zero while nobody sleeps.
//!
//! ```text
//!    the sleeper                          the other side
//!    1  waiting = what it waits for       1  publish (a header, or the released index)
//!    2  fence                             2  fence
//!    3  look once more: is it there?      3  look: does anybody wait for this?
//!    4  no: sleep on the doorbell         4  yes: waiting = 0, ring the doorbell
//! ```
//!
//! Because of the two fences, at least one of the two looks (3) sees the other side's step 1
//! (Dekker's algorithm). A busy pair never gets to step 4 and makes no system call.
//!
//! `docs/waiting.md` has the rest: silencing a doorbell, waiting for more room than is needed, and
//! why the fence on the right stays.
use crate::atomics::{AcqRel, AtomicU64, Relaxed, SeqCst, fence};

/// Wakes the other side of a ring. Called only when that side has announced that it sleeps.
pub trait Wake {
    /// Wakes the other side. Must not block, and cannot fail: a side that is gone needs no waking.
    fn wake(&self);
}

/// The sleeper's steps 1 and 2. `what` must not be zero. Returns the announcement before this one;
/// zero if it was used up, or there was none.
pub(crate) fn announce(waiting: &AtomicU64, what: u64) -> u64 {
    let before = waiting.swap(what, Relaxed);
    fence(SeqCst);
    before
}

/// The other side's steps 2 to 4, after publishing. `true`: the caller must ring. `due` is asked
/// only when somebody waits.
#[inline]
pub(crate) fn must_wake(waiting: &AtomicU64, due: impl FnOnce(u64) -> bool) -> bool {
    fence(SeqCst);
    let what = waiting.load(Relaxed);
    // The swap makes it one ring per sleep, however many messages follow before the sleeper runs.
    what != 0 && due(what) && waiting.swap(0, AcqRel) != 0
}
