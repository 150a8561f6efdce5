//! Each finding of `doctor` is provoked by its cause.
#![cfg(target_os = "linux")] // it looks into /proc

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use open_channel::Builder;
use open_channel::blocking::Channel;
use rustix::process::Signal;
use serde_json::Value;

use crate::ls::host;
use crate::program::{Place, Program};

/// The exit status of `doctor`, and what it found.
pub(crate) struct Findings {
    status: Option<i32>,
    all: Vec<Value>,
}

impl Findings {
    pub(crate) fn of(program: Program) -> Findings {
        let (status, output, errors) = program.finish();
        assert_eq!(errors, "", "{output}");
        let report: Value = serde_json::from_str(&output).expect(&output);
        let all = report["findings"].as_array().expect("findings").clone();
        Findings { status: status.code(), all }
    }

    /// The text and the remedy of the finding with this code, which has to be the cause of the exit
    /// status.
    #[track_caller]
    pub(crate) fn worst(&self, code: &str, level: &str) -> (String, String) {
        let expected = match level {
            "problem" => Some(1),
            "warning" => Some(3),
            _ => Some(0),
        };
        assert_eq!(self.status, expected, "{:?}", self.all);
        self.find(code, level)
    }

    #[track_caller]
    pub(crate) fn find(&self, code: &str, level: &str) -> (String, String) {
        let found = self.all.iter().find(|finding| finding["code"] == code);
        let found = found.unwrap_or_else(|| panic!("no {code} in {:?}", self.all));
        assert_eq!(found["level"], level, "{found}");
        let text = |field: &str| found[field].as_str().expect("a text").to_owned();
        (text("what"), text("remedy"))
    }

    fn has(&self, code: &str) -> bool {
        self.all.iter().any(|finding| finding["code"] == code)
    }
}

pub(crate) fn doctor(place: &Place, args: &[&str]) -> Findings {
    Findings::of(place.start(&[&["doctor", "--json"], args].concat()))
}

/// With these variables set, or with an empty value unset.
fn doctor_with(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> Findings {
    let mut command = place.command(&[&["doctor", "--json"], args].concat());
    for (name, value) in variables {
        match *value {
            "" => command.env_remove(name),
            value => command.env(name, value),
        };
    }
    Findings::of(Program::watch(command.spawn().expect("starting the program")))
}

/// A shell that prepares something, and then becomes the program: `"$0"` with arguments.
pub(crate) fn shell(place: &Place, shell: &[&str], script: &str) -> Command {
    let program = place.command(&[]);
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script]).arg(program.get_program());
    command.env("OPEN_CHANNEL_DIR", place.path().join("run"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn start(mut command: Command) -> Program {
    Program::watch(command.spawn().expect("starting a shell"))
}

/// A name that no other test on this machine has.
pub(crate) fn name(of: &str) -> String {
    format!("{of} {}", std::process::id())
}

/// A channel in this process.
fn builder(place: &Place, name: &str) -> Builder {
    let builder = Channel::builder(name).runtime_dir(place.path().join("run"));
    builder.stall_after(Duration::from_millis(100))
}

/// The directory of the only channel there.
fn channel_dir(place: &Place) -> PathBuf {
    let entries = std::fs::read_dir(place.path().join("run")).expect("the runtime directory");
    let mut dirs = entries.map(|entry| entry.expect("an entry").path());
    dirs.find(|dir| !dir.ends_with("generations")).expect("a channel")
}

#[test]
fn where_all_is_well_there_is_no_problem() {
    let (place, name) = (Place::new(), name("well"));
    let _host = host(&place, &[], &name);
    let found = doctor(&place, &[&name]);
    assert!(found.all.iter().all(|finding| finding["level"] != "problem"), "{:?}", found.all);
    // The text has the same, with the command that mends it.
    let text = place.start(&["doctor", "nobody knows this name"]).finish().1;
    assert!(text.contains("problem nobody\n") && text.contains("\n    => open-channel join"));
}

#[test]
fn a_directory_that_is_not_there_yet_is_looked_at_without_making_it() {
    let place = Place::new();
    let root = place.path().join("run/deeper");
    let found = doctor(&place, &["--dir", root.to_str().expect("UTF-8")]);
    assert!(!found.has("directory"), "{:?}", found.all);
    assert!(!place.path().join("run").exists(), "it was made");
}

#[test]
fn nobody_on_a_channel_is_a_problem() {
    let place = Place::new();
    let (what, remedy) = doctor(&place, &["it's nobody"]).worst("nobody", "problem");
    assert!(what.contains("no process is on \"it's nobody\""), "{what}");
    assert_eq!(remedy, r"open-channel join 'it'\''s nobody'");
}

#[test]
fn a_process_with_another_directory_in_its_environment_is_found() {
    let (place, name) = (Place::new(), name("apart"));
    let other = place.path().join("other dir");
    let mut command = place.command(&["join", &name, "--stay"]);
    let child = command.env("OPEN_CHANNEL_DIR", &other).spawn().expect("starting the program");
    let _there = Program::watch(child);
    let dir = other.to_str().expect("UTF-8");
    place.start(&["--dir", dir, "send", &name, "hello", "--timeout", "30"]).succeed();
    let (what, remedy) = doctor(&place, &[&name]).worst("other-directory", "problem");
    assert!(what.contains("is hosted in another runtime directory"), "{what}");
    assert!(what.contains("OPEN_CHANNEL_DIR="), "{what}");
    assert_eq!(remedy, format!("export OPEN_CHANNEL_DIR='{dir}'"));
    let _here = host(&place, &[], &name);
    let (what, _) = doctor(&place, &[&name]).worst("other-directory", "problem");
    assert!(what.contains("is also hosted in another runtime directory"), "{what}");
    // Where no channel is named, it may be meant so.
    let (what, _) = doctor(&place, &[]).find("other-directories", "note");
    assert!(what.contains("live in another runtime directory"), "{what}");
}

#[test]
fn a_process_whose_directory_only_its_program_names_is_found_by_its_socket() {
    let (place, name) = (Place::new(), name("by option"));
    let other = place.path().join("o");
    let dir = other.to_str().expect("UTF-8");
    let _there = host(&place, &["--dir", dir], &name);
    let (what, remedy) = doctor(&place, &[&name]).worst("other-directory", "problem");
    assert!(what.contains("listens there"), "{what}");
    assert_eq!(remedy, format!("export OPEN_CHANNEL_DIR={dir}"));
}

/// As systemd's PrivateTmp has it, and containers.
#[test]
#[ignore = "needs mounts of its own; `cargo xtask test` runs it where it can"]
fn a_process_with_mounts_of_its_own_is_found() {
    let (place, name) = (Place::new(), name("private"));
    let unshare = unshare();
    let shared = place.path().join("run");
    std::fs::create_dir(&shared).expect("a directory");
    std::fs::set_permissions(&shared, Permissions::from_mode(0o700)).expect("its mode");
    let script = format!(
        "mount -t tmpfs -o mode=0700 tmpfs '{}' && exec \"$0\" join '{name}' --stay -v",
        shared.display()
    );
    let mut there = start(shell(&place, &[unshare, &["sh"]].concat(), &script));
    there.type_line("nobody hears this");
    there.wait_for_error("this process hosts");
    let (what, remedy) = doctor(&place, &[&name]).worst("other-directory", "problem");
    assert!(what.contains("PrivateTmp") && what.contains("/root/"), "{what}");
    assert!(remedy.contains("OPEN_CHANNEL_DIR=<a path that both see>"), "{remedy}");
    // With the directory shared, it is none.
    drop(there);
    let script = format!("exec \"$0\" join '{name}' --stay -v");
    let mut there = start(shell(&place, &[unshare, &["sh"]].concat(), &script));
    there.wait_for_error("this process hosts");
    let found = doctor(&place, &[&name]);
    found.find("container", "note");
    assert!(!found.has("other-directory"), "{:?}", found.all);
}

/// A command that gives a shell mounts of its own.
fn unshare() -> &'static [&'static str] {
    let root: &[&str] = &["unshare", "--mount"];
    let user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount"];
    let found = [root, user].into_iter().find(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    found.expect("this user may have mounts of its own")
}

#[test]
fn a_session_directory_that_is_not_ones_own_is_a_warning() {
    let place = Place::new();
    let gone = place.path().join("gone");
    let session = gone.to_str().expect("UTF-8");
    let set = [("OPEN_CHANNEL_DIR", ""), ("XDG_RUNTIME_DIR", session)];
    let (what, remedy) = doctor_with(&place, &[], &set).find("session-directory", "warning");
    assert!(what.contains(session) && what.contains("does not exist"), "{what}");
    assert!(remedy.starts_with("export XDG_RUNTIME_DIR=/run/user/"), "{remedy}");
    let set = [("OPEN_CHANNEL_DIR", ""), ("XDG_RUNTIME_DIR", "relative")];
    let (what, _) = doctor_with(&place, &[], &set).find("session-directory", "warning");
    assert!(what.contains("no absolute path"), "{what}");
}

#[test]
fn sudo_is_a_warning() {
    let place = Place::new();
    let (what, remedy) = doctor_with(&place, &[], &[("SUDO_UID", "4711")]).worst("sudo", "warning");
    assert!(what.contains("user 4711 called it by sudo"), "{what}");
    assert_eq!(remedy, "sudo -u '#4711' open-channel doctor");
}

#[test]
fn a_directory_that_lets_others_in_is_a_link_or_is_none_is_a_problem() {
    let place = Place::new();
    let [open, link, file] = ["open", "link", "file"].map(|name| place.path().join(name));
    std::fs::create_dir(&open).expect("a directory");
    std::fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("its mode");
    symlink(&open, &link).expect("a link");
    std::fs::write(&file, "").expect("a file");
    for (path, words, begins) in [
        (&open, "lets other users in", "chmod 700 "),
        (&link, "symbolic link", "rm "),
        (&file, "not a directory", "rm "),
    ] {
        let dir = path.to_str().expect("UTF-8");
        let (what, remedy) = doctor(&place, &["--dir", dir]).worst("directory", "problem");
        assert!(what.contains(words) && what.contains(dir), "{what}");
        assert!(remedy.starts_with(&format!("{begins}{dir}")), "{remedy}");
    }
    // One that serves others, too, is not to be closed to them.
    std::fs::write(open.join("of others"), "").expect("a file");
    let (_, remedy) =
        doctor(&place, &["--dir", open.to_str().expect("UTF-8")]).worst("directory", "problem");
    assert!(remedy.starts_with("export OPEN_CHANNEL_DIR=/tmp/open-channel-"), "{remedy}");
    std::fs::set_permissions(&open, Permissions::from_mode(0o700)).expect("its mode");
    assert!(!doctor(&place, &["--dir", open.to_str().expect("UTF-8")]).has("directory"));
}

#[test]
#[ignore = "needs mounts of its own; `cargo xtask test` runs it where it can"]
fn a_file_system_on_which_nobody_can_host_is_a_problem() {
    let place = Place::new();
    let unshare = unshare();
    let dir = place.path().join("run");
    std::fs::create_dir(&dir).expect("a directory");
    for (options, words) in
        [("mode=0700,ro", "Read-only"), ("mode=0700,nr_inodes=2", "No space left")]
    {
        let script = format!(
            "mount -t tmpfs -o {options} tmpfs '{}' && exec \"$0\" doctor --json",
            dir.display()
        );
        let found = Findings::of(start(shell(&place, &[unshare, &["sh"]].concat(), &script)));
        let (what, remedy) = found.worst("directory", "problem");
        assert!(what.contains(words), "{what}");
        assert!(remedy.starts_with("export OPEN_CHANNEL_DIR=/tmp/open-channel-"), "{remedy}");
    }
}

#[test]
fn the_same_name_in_another_scope_is_a_problem() {
    let (place, name) = (Place::new(), name("scoped"));
    let _shop = host(&place, &["--scope-app", "/srv/shop app.js"], &name);
    let (what, remedy) = doctor(&place, &[&name]).worst("other-scope", "problem");
    assert!(what.contains("for the application \"/srv/shop app.js\""), "{what}");
    assert_eq!(remedy, "export OPEN_CHANNEL_APP='/srv/shop app.js'");
    let found = doctor(&place, &["--scope-app", "/srv/shop app.js", &name]);
    assert!(!found.has("other-scope"), "{:?}", found.all);
    let found = doctor(&place, &["--scope-app", "/srv/other.js", &name]);
    found.worst("other-scope", "problem");
}

#[test]
fn processes_of_versions_that_do_not_meet_are_a_problem() {
    let (place, name) = (Place::new(), name("versions"));
    let _host = host(&place, &[], &name);
    let newer = std::fs::File::create(channel_dir(&place).join("versions-9-9")).expect("a file");
    newer.lock_shared().expect("locked");
    let (what, _) = doctor(&place, &[&name]).worst("versions", "problem");
    assert!(what.contains("9 to 9"), "{what}");
}

#[test]
fn a_host_that_is_stopped_is_a_problem() {
    let (place, name) = (Place::new(), name("stopped"));
    let host = host(&place, &[], &name);
    host.signal(Signal::STOP);
    let (what, remedy) = doctor(&place, &[]).worst("stopped", "problem");
    assert!(what.contains("is stopped"), "{what}");
    assert_eq!(remedy, format!("kill -CONT {}", host.pid()));
}

/// A place for a host that the test plays itself.
fn played_host(place: &Place) -> UnixListener {
    let run = place.path().join("run");
    let dir = run.join("played-0123456789abcdef");
    std::fs::create_dir_all(&dir).expect("a directory");
    for dir in [&run, &dir] {
        std::fs::set_permissions(dir, Permissions::from_mode(0o700)).expect("its mode");
    }
    symlink("00000000deadbeef", dir.join(format!("{:020}", 7))).expect("a link");
    UnixListener::bind(dir.join("00000000deadbeef.sock")).expect("a socket")
}

#[test]
fn a_host_that_does_not_answer_is_a_problem() {
    let place = Place::new();
    let _silent = played_host(&place);
    let (what, remedy) = doctor(&place, &[]).worst("silent", "problem");
    assert!(what.contains("does not answer: no answer within 700ms"), "{what}");
    assert_eq!(remedy, format!("kill {}", std::process::id()));
}

#[test]
fn a_host_of_an_older_library_is_a_note() {
    use std::io::Write;

    let place = Place::new();
    let listener = played_host(&place);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let words = b"hello: unknown purpose";
            let body = [&b"openchan"[..], &[1, 0, 2, 0, 6, 0], words].concat();
            let header = [body.len() as u8, 0, 0, 0, 3, 0, 0, 0];
            let _ = stream.write_all(&[&header[..], &body].concat());
        }
    });
    let (what, _) = doctor(&place, &[]).find("older-library", "note");
    assert!(what.contains(&format!("pid {}", std::process::id())), "{what}");
}

#[test]
fn a_host_that_has_as_many_connections_as_it_may_is_a_problem() {
    let (place, name) = (Place::new(), name("full"));
    let channel =
        Channel::build(builder(&place, &name).max_connections(1), |_| {}).expect("a channel");
    channel.join().expect("hosting");
    let peers: Vec<_> = (0..2)
        .map(|_| Channel::build_peer(builder(&place, &name)).expect("a channel"))
        .inspect(|peer| {
            peer.join().expect("joined");
        })
        .collect();
    let (what, remedy) = doctor(&place, &[]).worst("refused", "problem");
    assert!(what.contains("raise max_connections"), "{what}");
    assert!(remedy.contains("max_connections"), "{remedy}");
    drop(peers);
}

#[test]
fn a_host_that_will_soon_have_as_many_is_a_warning() {
    let (place, name) = (Place::new(), name("nearly full"));
    let channel = builder(&place, &name).max_connections(1);
    let channel = Channel::build(channel, |socket| while let Ok(Some(_)) = socket.recv() {});
    let channel = channel.expect("a channel");
    let socket = channel.connect();
    socket.send("here").expect("accepted");
    channel.join().expect("hosting");
    until(|| channel.stats().hosted.len() == 1);
    let (what, _) = doctor(&place, &[]).find("nearly-full", "warning");
    assert!(what.contains("1 of at most 1"), "{what}");
}

/// For what no call waits for. The watchdog of the test runner ends it.
fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn processes_of_which_none_may_host_are_a_problem() {
    let (place, name) = (Place::new(), name("hostless"));
    let mut first = host(&place, &[], &name);
    let peer = builder(&place, &name).connect_timeout(Duration::from_secs(600));
    let peer = Channel::build_peer(peer).expect("a channel");
    peer.join().expect("joined");
    first.kill();
    first.finish();
    until(|| !peer.connected());
    let (what, remedy) = doctor(&place, &[]).worst("no-host", "problem");
    assert!(what.contains("none of them may host"), "{what}");
    assert!(remedy.starts_with("open-channel join"), "{remedy}");
}

#[test]
fn a_handler_that_hangs_is_a_problem() {
    let (place, name) = (Place::new(), name("hung"));
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let channel = Channel::build(builder(&place, &name), move |socket| {
        let _taken = socket.recv();
        // Until the test is over.
        let _ = held.lock().expect("the only one").recv();
    });
    let channel = channel.expect("a channel");
    let socket = channel.connect();
    socket.send("never handled").expect("accepted");
    until(|| {
        let oldest = channel.stats().totals().oldest_unhandled;
        oldest.is_some_and(|age| age > Duration::from_millis(300))
    });
    let (what, remedy) = doctor(&place, &[&name]).worst("stalled-handler", "problem");
    assert!(what.contains("a handler of") && what.contains("1 messages wait"), "{what}");
    assert_eq!(remedy, format!("kill {}", std::process::id()));
    drop(hold);
}

#[test]
fn a_peer_that_takes_no_answers_is_a_problem() {
    let (place, name) = (Place::new(), name("deaf"));
    let channel = Channel::build(builder(&place, &name), |socket| {
        let _ = socket.send("an answer that nobody takes");
        while let Ok(Some(_)) = socket.recv() {}
    });
    let channel = channel.expect("a channel");
    let socket = channel.connect();
    channel.join().expect("hosting");
    until(|| channel.stats().hosted.iter().any(|socket| socket.stalled.is_some()));
    let (what, _) = doctor(&place, &[&name]).worst("stalled-peer", "problem");
    assert!(what.contains("has acknowledged nothing"), "{what}");
    drop(socket);
}

#[test]
fn what_killed_processes_left_behind_is_a_note() {
    let (place, name) = (Place::new(), name("stale"));
    let mut first = host(&place, &[], &name);
    first.kill();
    first.finish();
    let (what, remedy) = doctor(&place, &[]).find("stale", "note");
    assert!(what.contains("files of dead processes"), "{what}");
    assert_eq!(remedy, format!("rm -r {}", channel_dir(&place).display()));
}

#[test]
fn what_is_no_directory_where_a_channels_should_be_is_a_problem() {
    let place = Place::new();
    let _host = host(&place, &[], &name("beside"));
    let wrong = place.path().join("run/wrong-0123456789abcdef");
    std::fs::write(&wrong, "").expect("a file");
    let (what, remedy) = doctor(&place, &[]).worst("unreadable", "problem");
    assert!(what.contains("not a directory"), "{what}");
    assert_eq!(remedy, format!("rm -r {}", wrong.display()));
}
