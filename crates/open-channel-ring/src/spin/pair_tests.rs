//! A model of two sides that answer each other, in a time of its own. Each has a spin, and what one
//! spin learns is what the other made of what it had learnt. The rules are those that ship; only
//! "spin for the budget, then sleep" is written again here.

use super::*;

/// From one side's store to the other's look.
const TRANSFER: Duration = Duration::from_nanos(200);
/// The cost of ringing.
const RING: Duration = Duration::from_micros(5);
/// The longest spin of a task.
const TASK: Duration = Duration::from_micros(200);

struct Side {
    spin: Spin,
    waits_since: Duration,
    budget: Duration,
}

impl Side {
    fn new() -> Self {
        Side { spin: Spin::with_cores(64), waits_since: Duration::ZERO, budget: LONG_SPIN }
    }

    fn wait(&mut self, now: Duration, other_was_awake: bool, at_most: Duration) {
        self.spin.expect_soon(other_was_awake);
        (self.waits_since, self.budget) = (now, self.spin.budget().min(at_most));
    }
}

struct Pair {
    /// The one that is to send, and the one that waits for it.
    sides: [Side; 2],
    now: Duration,
    /// From ringing until the side that slept looks.
    wake: Duration,
    at_most: Duration,
}

impl Pair {
    fn new(wake: Duration, at_most: Duration) -> Self {
        Pair { sides: [Side::new(), Side::new()], now: Duration::ZERO, wake, at_most }
    }

    /// One message, for which the sender needs so long. Answers whether the receiver slept.
    fn message(&mut self, takes: Duration) -> bool {
        self.now += takes;
        let (wake, at_most) = (self.wake, self.at_most);
        let [sender, receiver] = &mut self.sides;
        let spun_until = receiver.waits_since + receiver.budget;
        let asleep = self.now + TRANSFER > spun_until;
        let resumes = if asleep {
            receiver.spin.fail();
            let resumes = self.now + wake;
            receiver.spin.slept(resumes - spun_until.min(resumes));
            sender.wait(self.now + RING, false, at_most);
            resumes
        } else {
            let resumes = self.now + TRANSFER;
            receiver.spin.found_after(resumes - receiver.waits_since.min(resumes));
            sender.wait(self.now, true, at_most);
            resumes
        };
        self.now = resumes;
        self.sides.reverse();
        asleep
    }

    /// How many of so many messages found their receiver asleep.
    fn sleeps(&mut self, messages: usize, takes: Duration) -> usize {
        (0..messages).filter(|_| self.message(takes)).count()
    }
}

const AT_ONCE: Duration = Duration::from_nanos(100);

/// A core that was taken away for a moment costs a handful of sleeps, however long a wake-up takes.
/// It does not begin a state in which each sleep causes the next.
#[test]
fn a_pair_that_is_held_up_once_spins_again() {
    for wake in [20, 50, 75, 100, 150, 190].map(Duration::from_micros) {
        for at_most in [TASK, Duration::MAX] {
            for held_up in [150, 500, 2_000, 20_000].map(Duration::from_micros) {
                let mut pair = Pair::new(wake, at_most);
                assert_eq!(pair.sleeps(1000, AT_ONCE), 0);
                pair.message(held_up);
                let sleeps = pair.sleeps(10_000, AT_ONCE);
                assert!(
                    sleeps <= 12,
                    "{sleeps} sleeps, wake-up {wake:?}, at most {at_most:?}, held up {held_up:?}"
                );
            }
        }
    }
}

/// Held up over and over, they still spin for most of the time.
#[test]
fn a_pair_that_is_held_up_now_and_then_spins_in_between() {
    let mut pair = Pair::new(Duration::from_micros(150), TASK);
    let mut sleeps = 0;
    for _ in 0..100 {
        sleeps += usize::from(pair.message(Duration::from_millis(2)));
        sleeps += pair.sleeps(10_000, AT_ONCE);
    }
    assert!(sleeps <= 100 * 12, "{sleeps} sleeps in a million messages");
}

/// A side whose waits are long spends next to nothing on spins.
#[test]
fn a_pair_that_answers_slowly_sleeps() {
    let mut pair = Pair::new(Duration::from_micros(75), Duration::MAX);
    pair.sleeps(100, 2 * PROBE);
    let (mut spun, mut messages) = (Duration::ZERO, 0);
    while messages < 10_000 {
        assert!(pair.message(2 * PROBE), "nobody waits awake for that long");
        spun += pair.sides[1].budget;
        messages += 1;
    }
    let share = spun.as_secs_f64() / (2.0 * PROBE.as_secs_f64() * f64::from(messages));
    assert!(share < 0.01, "{share} of the time spun in vain");
}
