//! `top` in a real terminal: tmux shows what a user would see.
#![cfg(unix)]

use std::process::Command;
use std::time::{Duration, Instant};

use crate::join::{join_and_be_heard, open_room};
use crate::ls::host;
use crate::program::{Place, Program};

/// Only against hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal with `top` in it; ended when dropped.
struct Screen<'a> {
    place: &'a Place,
}

impl<'a> Screen<'a> {
    fn open(place: &'a Place, args: &str) -> Screen<'a> {
        let screen = Screen { place };
        let program = place.command(&[]);
        let command = format!(
            "OPEN_CHANNEL_DIR='{}' '{}' {args}; echo ended with $?; sleep 60",
            place.path().join("run").display(),
            program.get_program().display(),
        );
        screen.tmux(&["new-session", "-d", "-x", "160", "-y", "40", "sh", "-c", &command]);
        screen
    }

    /// On a server of this test's own, without the user's settings.
    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.place.path().join("tmux");
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(socket).args(["-f", "/dev/null"]).args(args);
        let output = tmux.output().expect("this test needs tmux: install it");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {args:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn shows(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is so.
    #[track_caller]
    fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shows();
            if wanted(&shown) {
                return shown;
            }
            assert!(started.elapsed() < LIMIT, "waited in vain for {what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |shown| shown.contains(text))
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let socket = self.place.path().join("tmux");
        let mut tmux = Command::new("tmux");
        let _ = tmux.arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// The line of the list with this name.
fn row<'a>(shown: &'a str, name: &str) -> &'a str {
    shown.lines().find(|line| line.starts_with(name)).unwrap_or("")
}

#[test]
fn channels_their_sockets_and_a_failover_are_shown_as_they_happen() {
    let place = Place::new();
    let mut room = open_room(&place, &["--stay"]);
    let mut ben = join_and_be_heard(&place, "I am Ben", &mut room);
    let _shop = host(&place, &["--scope-app", "shop.js"], "orders");
    let screen = Screen::open(&place, "top --delay 0.1");
    let shown = screen.wait("both channels", |shown| {
        row(shown, "room").contains("ok") && row(shown, "orders").contains("shop.js")
    });
    assert!(shown.contains("2 channels, sorted by NAME"), "{shown}");
    assert!(row(&shown, "room").contains(&format!("(pid {})", room.pid())), "{shown}");
    // The first is `orders`.
    screen.press(&["Down"]);
    screen.press(&["Enter"]);
    let shown = screen.wait_for("PROCESS");
    assert!(shown.contains("room, hosted by") && shown.contains("generation 1"), "{shown}");
    screen.wait_for(&format!("open-channel ({})", ben.pid()));
    ben.type_line("hello");
    room.wait_for_line("hello");
    screen.wait("the count of messages", |shown| {
        let ben = format!("open-channel ({})", ben.pid());
        let row = shown.lines().find(|line| line.starts_with(&ben)).unwrap_or("");
        row.split_whitespace().any(|word| word == "2")
    });
    room.kill();
    let shown = screen.wait_for("failover, generation 1 to 2");
    assert!(shown.contains(&format!("(pid {})", ben.pid())), "{shown}");
    screen.press(&["Escape"]);
    let shown = screen.wait_for("channels, sorted by NAME");
    assert!(row(&shown, "room").contains(&ben.pid().to_string()), "{shown}");
    screen.press(&["q"]);
    screen.wait_for("ended with 0");
}

#[test]
fn a_group_is_opened_to_its_members() {
    let place = Place::new();
    let mut reader = place.start(&["-v", "sub", "log.>", "--group", "shop"]);
    reader.wait_for_error("subscribed");
    let screen = Screen::open(&place, "top --delay 0.1");
    screen.wait("the group", |shown| row(shown, "shop").contains("group"));
    screen.press(&["Enter"]);
    let shown = screen.wait_for("MEMBER");
    assert!(shown.contains("group shop, hosted by"), "{shown}");
    screen.wait("its member", |shown| {
        row(shown, &format!("open-channel ({})", reader.pid())).contains("log.>")
    });
    screen.press(&["q"]);
    screen.wait_for("ended with 0");
}

#[test]
fn the_keys_do_what_they_do_in_htop() {
    let place = Place::new();
    let _rooms: Vec<Program> =
        ["alpha", "beta", "gamma"].map(|name| host(&place, &[], name)).into();
    let screen = Screen::open(&place, "top -d 0.1");
    screen.wait_for("3 channels, sorted by NAME");
    screen.press(&["?"]);
    screen.wait_for("any key closes it");
    screen.press(&["x"]);
    screen.wait("the end of the help", |shown| !shown.contains("any key closes it"));
    screen.press(&[">"]);
    screen.wait_for("sorted by MSG/S");
    screen.press(&["<", "I"]);
    screen.wait("the other way round", |shown| {
        let names = ["alpha", "gamma"].map(|name| shown.find(&format!("\n{name}")));
        shown.contains("sorted by NAME") && names[0] > names[1]
    });
    screen.press(&["/"]);
    screen.press(&["b", "e", "t"]);
    screen.wait("beta alone", |shown| {
        shown.contains("Filter: bet_") && !shown.contains("\ngamma") && shown.contains("\nbeta")
    });
    screen.press(&["Enter"]);
    screen.wait_for("filtered by \"bet\"");
    screen.press(&["Escape"]);
    screen.wait("all of them", |shown| shown.contains("\ngamma"));
    screen.press(&["Z"]);
    screen.wait_for("stopped (Z goes on)");
    screen.press(&["Z"]);
    screen.wait("it to go on", |shown| !shown.contains("stopped (Z goes on)"));
    screen.press(&["C-c"]);
    screen.wait_for("ended with 130");
}

#[test]
fn no_channel_at_all_is_shown_as_such_and_a_signal_gives_the_terminal_back() {
    let place = Place::new();
    let screen = Screen::open(&place, "top -d 0.1");
    screen.wait_for("0 channels");
    let pid = screen.tmux(&["list-panes", "-F", "#{pane_pid}"]);
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", pid.trim()));
    // Where /proc does not show it, the key is the signal.
    match children.ok().and_then(|children| children.trim().parse().ok()) {
        Some(top) => crate::program::signal_process(top, rustix::process::Signal::TERM),
        None => screen.press(&["q"]),
    }
    let shown = screen.wait_for("ended with");
    assert!(!shown.contains("0 channels"), "the terminal was not given back:\n{shown}");
}

#[test]
fn without_a_terminal_it_names_the_way_without_one() {
    let place = Place::new();
    let error = place.start(&["top"]).fail();
    assert!(error.contains("needs a terminal") && error.contains("ls --json"), "{error}");
}
