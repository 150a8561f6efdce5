//! Signals, at whatever moment they come.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::ls::json;
use crate::program::Place;

/// Before it has begun, while it searches, while it works.
const MOMENTS: [u64; 9] = [0, 1, 2, 4, 8, 16, 32, 64, 128];

#[test]
fn an_interrupt_at_any_moment_is_the_end_and_leaves_nothing_behind() {
    for args in [
        &["join", "room", "--stay"][..],
        &["join", "room", "--exec", "cat"],
        &["send", "nobody", "hello"],
        &["demo", "--seconds", "60"],
        &["lock", "room", "--", "sleep", "60"],
        &["lead", "room", "--", "sleep", "60"],
        &["sub", ">"],
        &["serve", "service", "--", "cat"],
        &["queue", "push", "jobs", "job"],
        &["queue", "work", "jobs", "--", "cat"],
        &["map", "watch", "prices"],
    ] {
        let place = Place::new();
        for moment in MOMENTS {
            let program = place.start(args);
            // The moment does not matter: each has the same outcome.
            std::thread::sleep(Duration::from_millis(moment));
            program.signal(Signal::INT);
            let (status, _, errors) = program.finish();
            // Before it watches for signals, it has done nothing.
            let ended = status.code() == Some(130) || status.signal() == Some(2);
            assert!(ended, "{args:?} after {moment} ms: {status} {errors}");
            assert_eq!(errors, "", "{args:?} after {moment} ms");
        }
        assert_eq!(json(&place, &[])["channels"], serde_json::json!([]), "{args:?}");
        assert_eq!(place.left_behind(), Vec::<String>::new(), "{args:?}");
    }
}
