//! CMD of `lock` on every system, where there may be no shell: the program runs itself.

use crate::program::Place;

const PROGRAM: &str = env!("CARGO_BIN_EXE_open-channel");

/// Elsewhere nothing tells CMD.
#[cfg(any(target_os = "linux", windows))]
#[test]
fn a_command_ends_with_its_program_and_the_next_one_has_the_lock() {
    let place = Place::new();
    let mut holder = place.start(&["lock", "door", "--", PROGRAM, "join", "room", "--stay"]);
    place.start(&["send", "room", "knock", "--timeout", "30"]).succeed();
    holder.wait_for_line("knock");
    let (status, ..) = place.start(&["lock", "door", "-n", "--", PROGRAM, "--version"]).finish();
    assert_eq!(status.code(), Some(1), "two have the lock");
    let next = place.start(&["lock", "door", "--", PROGRAM, "--version"]);
    holder.kill();
    // CMD has the same output, which would stay open.
    holder.finish();
    assert!(next.succeed().starts_with("open-channel"));
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let place = Place::new();
    for (command, expected) in
        [(&[PROGRAM, "--version"][..], 0), (&[PROGRAM, "no"], 2), (&["no-such-command"], 127)]
    {
        let (status, output, errors) =
            place.start(&[&["lock", "door", "--"], command].concat()).finish();
        assert_eq!(status.code(), Some(expected), "{command:?}: {output}{errors}");
    }
}
