use super::*;

const NO_LIMIT: Duration = Duration::MAX;

#[test]
fn one_core_looks_once() {
    let mut looks = 0;
    assert!(!Spin::with_cores(1).until(NO_LIMIT, || {
        looks += 1;
        false
    }));
    assert_eq!(looks, 1);
}

/// A spin that may run however many tests spin at once.
fn spin() -> Spin {
    Spin::with_cores(64)
}

/// The indices of the longer spins among three thousand in vain.
fn long_ones(slept_briefly: bool) -> Vec<u32> {
    let mut spin = Spin { slept_briefly, ..spin() };
    let is_long = |_: &u32| {
        let long = spin.budget() != SHORT_SPIN;
        assert!(!spin.until_or(NO_LIMIT, || false, || true));
        long
    };
    (0..3000).filter(is_long).collect()
}

#[test]
fn long_spins_are_ever_fewer_when_they_do_not_pay() {
    assert_eq!(long_ones(true), [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]);
    assert_eq!(long_ones(false), [0, 1, 1024, 2048]);
}

#[test]
fn no_spin_is_longer_than_its_caller_can_wait() {
    let mut spin = Spin { failures: PROBE_EVERY, ..spin() };
    // A spin asks whether to stop as long as there is time.
    let mut asked = 0;
    let mut stop = || {
        asked += 1;
        asked == 2
    };
    assert!(!spin.until_or(Duration::ZERO, || false, &mut stop));
    assert_eq!(spin.failures, PROBE_EVERY + 1);
    assert_eq!(asked, 0);
}

#[test]
fn a_short_sleep_is_a_reason_to_spin() {
    let mut spin = Spin { asleep_since: Some(Instant::now() - 2 * PROBE), ..spin() };
    spin.woken();
    assert!(!spin.slept_briefly);
    spin.asleep_since = Some(Instant::now() + Duration::from_secs(3600));
    spin.woken();
    assert!(spin.slept_briefly);
    // A wait that did not sleep teaches nothing.
    spin.woken();
    assert!(spin.slept_briefly);
}

#[test]
fn one_spin_that_pays_is_enough() {
    let mut spin = Spin { failures: 3, ..spin() };
    let mut looks = 0;
    assert!(spin.until(NO_LIMIT, || {
        looks += 1;
        looks == 20
    }));
    assert_eq!((spin.failures, spin.budget()), (0, LONG_SPIN));
}

#[test]
fn what_is_found_late_did_not_pay() {
    let mut spin = Spin { failures: 4, slept_briefly: true, ..spin() };
    let mut looks = 0;
    assert!(spin.until(NO_LIMIT, || {
        looks += 1;
        if looks == 2 * LOOKS_PER_ROUND {
            std::thread::sleep(2 * LONG_SPIN);
        }
        looks == 2 * LOOKS_PER_ROUND
    }));
    assert_eq!((spin.failures, spin.budget()), (5, SHORT_SPIN));
}

#[test]
fn a_side_that_was_found_awake_is_waited_for() {
    let mut spin = Spin { failures: 5, slept_briefly: true, ..spin() };
    let mut budget = |awake| {
        spin.expect_soon(awake);
        spin.budget()
    };
    assert_eq!([budget(true), budget(false)], [LONG_SPIN, SHORT_SPIN]);
    // Ever more seldom, if it does not answer.
    let long = (2..1000).filter(|_| budget(true) == LONG_SPIN).count();
    assert_eq!(long, 9, "the 2nd, 4th, … 512th");
    // Answers take too long anyway.
    let mut patient = Spin { slept_briefly: false, ..spin };
    patient.expect_soon(true);
    assert_eq!(patient.budget(), SHORT_SPIN);
}
