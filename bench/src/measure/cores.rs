//! Two cores at work together: they hand a cache line over, wake each other, work at the same time.

use crate::clock;
use anyhow::{Result, anyhow};
use rustix::thread::futex::{self, Flags};
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ScopedJoinHandle;

/// Round trips between two looks at the clock.
const BATCH: u32 = 64;

/// Notifies the partner that the turn changes, and waits until it has changed again.
pub(super) struct Handing {
    wake: fn(&AtomicU32),
    /// Returns the new value once it is no longer the given one.
    wait: fn(&AtomicU32, u32) -> u32,
}

const SPINNING: Handing = Handing {
    wake: |_| {},
    wait: |turn, old| loop {
        match turn.load(Ordering::Acquire) {
            value if value != old => return value,
            _ => spin_loop(),
        }
    },
};

pub(super) const SLEEPING: Handing = Handing {
    wake: |turn| {
        // It fails for a bad address only, and this is a reference.
        let _ = futex::wake(turn, Flags::empty(), 1);
    },
    wait: |turn, old| loop {
        match turn.load(Ordering::Acquire) {
            value if value != old => return value,
            // An error means that the value had changed, or a signal: look again.
            _ => drop(futex::wait(turn, Flags::empty(), old, None)),
        }
    },
};

/// A cache line there and back between two cores, in nanoseconds.
pub(super) fn cache_line(millis: u64, cores: (usize, usize)) -> Result<f64> {
    ping_pong(millis, &SPINNING, cores)
}

/// Two threads on two cores count one word up in turn; nanoseconds for a round.
pub(super) fn ping_pong(
    millis: u64,
    handing: &'static Handing,
    cores: (usize, usize),
) -> Result<f64> {
    const STOP: u32 = u32::MAX;
    // First apart: a partner that could not be pinned would be waited for for ever.
    let pinned = || clock::pin(cores.0).and_then(|()| clock::pin(cores.1));
    std::thread::scope(|scope| scope.spawn(pinned).join())
        .map_err(|_| anyhow!("a thread panicked"))??;
    let turn = AtomicU32::new(0);
    let answer = || -> Result<()> {
        clock::pin(cores.1)?;
        let mut written = 0;
        loop {
            match (handing.wait)(&turn, written) {
                STOP => return Ok(()),
                value => written = value + 1,
            }
            turn.store(written, Ordering::Release);
            (handing.wake)(&turn);
        }
    };
    let ask = || -> Result<f64> {
        clock::pin(cores.0)?;
        let (start, mut rounds, mut value) = (clock::now(), 0_u32, 0);
        loop {
            for _ in 0..BATCH {
                turn.store(value + 1, Ordering::Release);
                (handing.wake)(&turn);
                value = (handing.wait)(&turn, value + 1);
            }
            rounds += BATCH;
            let elapsed = clock::now() - start;
            if elapsed >= millis * 1_000_000 {
                turn.store(STOP, Ordering::Release);
                (handing.wake)(&turn);
                return Ok(elapsed as f64 / f64::from(rounds));
            }
        }
    };
    std::thread::scope(|scope| {
        let answering = scope.spawn(answer);
        let asked = scope.spawn(ask).join().map_err(|_| anyhow!("a thread panicked"))?;
        answering.join().map_err(|_| anyhow!("a thread panicked"))??;
        asked
    })
}

/// The share of a core's speed that is left while the other works. All of it is left, unless they
/// are two threads of one core, which share what computes.
pub(super) fn share(millis: u64, (one, two): (usize, usize)) -> Result<f64> {
    std::thread::scope(|scope| {
        let start = |core| scope.spawn(move || clock::pin(core).map(|()| additions(millis)));
        let join = |rate: ScopedJoinHandle<'_, Result<f64>>| {
            rate.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        let alone = [join(start(one))?, join(start(two))?];
        let both = [start(one), start(two)].map(join);
        let [one, two] = both;
        Ok((one? / alone[0]).min(two? / alone[1]))
    })
}

/// Thousands of steps in a second of eight chains that do not wait for each other.
fn additions(millis: u64) -> f64 {
    let (start, mut thousands, mut words) = (clock::now(), 0_u64, [1_u64; 8]);
    loop {
        for step in 0..1000 {
            words
                .iter_mut()
                .for_each(|word| *word = (*word ^ step).rotate_left(7).wrapping_add(1 << 40));
        }
        black_box(&mut words);
        thousands += 1;
        let elapsed = clock::now() - start;
        if elapsed >= millis * 1_000_000 {
            return thousands as f64 * 1e9 / elapsed as f64;
        }
    }
}
