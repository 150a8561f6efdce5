//! How a side that found nothing goes to sleep without missing what comes next.
//!
//! One word in shared memory says what the sleeper waits for; zero when nobody sleeps.
//!
//! ```text
//!    the sleeper                          the other side
//!    1  waiting = what it waits for       1  publish (a header, or the released index)
//!    2  fence                             2  fence
//!    3  look once more: is it there?      3  look: is anyone waiting for this?
//!    4  no: sleep on the eventfd          4  yes: waiting = 0, write to the eventfd
//! ```
//!
//! A sleeper whose eventfd goes on ringing until it is silenced (poll(2), an event loop) silences it before 1: the other side's 4 may
//! belong to something that was found long ago, and takes the word back all the same.
//!
//! A writer may wait for more room than it needs, to be woken less often. For that, a reader that has nothing more to read takes
//! whatever it releases for enough, and when it finds nothing more, what it had released before: it may keep the rest until it is
//! given something new.
//!
//! Because of the two fences at least one of the two looks (3) sees the other side's step 1 (Dekker). A
//! busy pair never gets to step 4 and makes no system call.
//!
//! The fence on the right runs for every message. Moving its cost to the sleeper with `membarrier` was
//! tried, in turns with this in one run on a virtual machine of two cores: it took 0 to 3 % off a busy
//! round trip and nothing measurable off the one-way rate, for a second protocol that loom cannot check.
//! (Where each side sleeps every time it looked a third faster. Counted, only 29 to 40 % of its waits
//! slept at all: the system call takes long enough for the answer to come. That is a spin, and spinning
//! is `spin.rs`'s business.)
use crate::shim::{AcqRel, AtomicU64, Relaxed, SeqCst, fence};

/// The sleeper's steps 1 and 2. `what` must not be zero. Returns what was announced before and not used up.
pub(crate) fn announce(waiting: &AtomicU64, what: u64) -> u64 {
    let before = waiting.swap(what, Relaxed);
    fence(SeqCst);
    before
}

/// The other side's steps 2 to 4, after publishing. True: the caller must ring. `due` is asked only when
/// someone waits.
#[inline]
pub(crate) fn must_wake(waiting: &AtomicU64, due: impl FnOnce(u64) -> bool) -> bool {
    fence(SeqCst);
    let what = waiting.load(Relaxed);
    // The swap makes it one ring per sleep, however many messages follow before the sleeper runs.
    what != 0 && due(what) && waiting.swap(0, AcqRel) != 0
}
