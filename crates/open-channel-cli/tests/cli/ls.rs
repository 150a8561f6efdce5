//! `ls` shows each channel, and what is wrong with it.

use crate::join::{join_and_be_heard, open_room};
use crate::program::{Place, Program};

/// The answer of `ls --json` with these arguments.
pub(crate) fn json(place: &Place, args: &[&str]) -> serde_json::Value {
    let text = place.start(&[&["ls", "--json"], args].concat()).succeed();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A process that hosts a channel of this name, for certain.
pub(crate) fn host(place: &Place, args: &[&str], name: &str) -> Program {
    let mut host = place.start(&[args, &["join", name, "--stay"]].concat());
    place.start(&[args, &["send", name, "knock", "--timeout", "30"]].concat()).succeed();
    host.wait_for_line("knock");
    host
}

#[test]
fn channels_of_all_scopes_are_listed() {
    let place = Place::new();
    let room = open_room(&place, &["--stay"]);
    let mut room = room;
    let _ben = join_and_be_heard(&place, "I am Ben", &mut room);
    let shop =
        host(&place, &["--scope-app", "/srv/shop.js"], "orders of the shop, with a long name");
    let table = place.start(&["ls"]).succeed();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("NAME") && lines[0].ends_with("UP"), "{table}");
    assert!(
        lines[1].starts_with("orders of the shop, with a long name  channel  app /srv/shop.js  ok")
    );
    assert!(lines[1].contains(&format!("open-channel ({})", shop.pid())), "{table}");
    assert!(lines[2].starts_with("room") && lines[2].contains("user"), "{table}");
    assert!(lines[2].contains("in-process") && lines[2].contains(&room.pid().to_string()));
    assert!(!table.contains('\x1b'), "colours in a pipe");
    let shop_only = place.start(&["ls", "--scope-app", "/srv/shop.js"]).succeed();
    assert_eq!(shop_only.lines().count(), 2, "{shop_only}");
}

#[test]
fn json_has_all_of_it() {
    let place = Place::new();
    let mut room = open_room(&place, &["--stay"]);
    let ben = join_and_be_heard(&place, "I am Ben", &mut room);
    let all = json(&place, &["room"]);
    assert_eq!(all["directory"], place.path().join("run").to_str().expect("UTF-8"));
    let channel = &all["channels"][0];
    assert_eq!(channel["name"], "room");
    assert_eq!((&channel["state"], &channel["scope"]), (&"ok".into(), &"user".into()));
    assert_eq!((&channel["pid"], &channel["generation"]), (&room.pid().into(), &1.into()));
    assert_eq!(
        (&channel["host"]["program"], &channel["socket_count"]),
        (&"open-channel".into(), &2.into())
    );
    assert!(channel["hosting"].is_u64() && channel["messages_per_second"].is_number(), "{channel}");
    assert_eq!(channel["totals"]["redelivered"], 0);
    let sockets = channel["sockets"].as_array().expect("its sockets");
    let of_ben = sockets.iter().find(|socket| socket["process"]["pid"] == ben.pid());
    let of_ben = of_ben.expect("the socket of Ben");
    assert_eq!(of_ben["traffic"]["received"]["messages"], 1);
    assert_eq!(of_ben["traffic"]["received"]["bytes"], "I am Ben".len());
    assert_eq!(json(&Place::new(), &[])["channels"], serde_json::json!([]));
}

#[test]
fn details_show_each_socket() {
    let place = Place::new();
    let mut room = open_room(&place, &["--stay"]);
    let ben = join_and_be_heard(&place, "I am Ben", &mut room);
    let text = place.start(&["ls", "room"]).succeed();
    for wanted in [
        "room\n",
        "\n  host              open-channel (pid ",
        "\n  generation        1\n",
        "sockets           2 of at most",
        "PROCESS",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
    assert!(text.contains(&format!("open-channel ({})", ben.pid())), "{text}");
    let error = place.start(&["ls", "elsewhere"]).fail();
    assert!(error.contains("no channel \"elsewhere\"") && error.contains("doctor"), "{error}");
}

#[test]
fn a_channel_that_all_have_left_by_force_is_stale() {
    let place = Place::new();
    let mut room = host(&place, &[], "tea room");
    room.kill();
    room.finish();
    let channel = &json(&place, &[])["channels"][0];
    assert_eq!((&channel["state"], &channel["name"]), (&"stale".into(), &serde_json::Value::Null));
    assert_eq!(channel["generation"], 1);
    assert!(channel["leftovers"].as_u64() > Some(0), "{channel}");
    let table = place.start(&["ls"]).succeed();
    assert!(table.contains("tea-room…") && table.contains("stale"), "{table}");
    assert!(place.start(&["ls", "tea room"]).succeed().contains("leftovers"));
}

#[cfg(unix)]
#[test]
fn a_host_that_does_not_answer_is_said_to_be_silent_within_a_second() {
    use rustix::process::Signal;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let place = Place::new();
    let _others: Vec<Program> =
        (0..3).map(|number| host(&place, &[], &format!("room {number}"))).collect();
    let stopped: Vec<Program> =
        (0..3).map(|number| host(&place, &[], &format!("stopped {number}"))).collect();
    stopped.iter().for_each(|stopped| stopped.signal(Signal::STOP));
    // With a hundred more, asking one after the other would take longer than any test may.
    let hung: Vec<UnixListener> = (0..100)
        .map(|number| {
            let dir = place.path().join(format!("run/hung-{number:016x}"));
            std::fs::create_dir(&dir).expect("a directory");
            symlink("00000000deadbeef", dir.join(format!("{:020}", 1))).expect("a link");
            UnixListener::bind(dir.join("00000000deadbeef.sock")).expect("a socket")
        })
        .collect();
    let all = json(&place, &[]);
    let channels = all["channels"].as_array().expect("channels");
    let silent: Vec<_> = channels.iter().filter(|channel| channel["state"] == "silent").collect();
    assert_eq!((channels.len(), silent.len()), (6 + hung.len(), 3 + hung.len()), "{all}");
    for stopped in &stopped {
        let listed = silent.iter().find(|channel| channel["pid"] == stopped.pid());
        let listed = listed.unwrap_or_else(|| panic!("{} is missing", stopped.pid()));
        assert_eq!(listed["reason"], "no answer within 700ms");
    }
    let text = place.start(&["ls", "stopped 1"]).succeed();
    assert!(text.contains("silent") && text.contains("no answer"), "{text}");
}

#[test]
fn no_channel_at_all_is_no_error_and_a_bad_directory_is_one() {
    let place = Place::new();
    let (status, output, errors) = place.start(&["ls"]).finish();
    assert_eq!((status.code(), output.as_str()), (Some(0), ""));
    assert!(errors.contains("no channels in"), "{errors}");
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error = place.start(&["ls", "--dir", file.to_str().expect("UTF-8")]).fail();
    assert!(error.contains("runtime directory") && error.contains("file"), "{error}");
}

#[test]
fn what_a_channel_is_called_cannot_steer_a_terminal() {
    let place = Place::new();
    let _host = host(&place, &[], "a\x1b[2Jb\nc");
    let table = place.start(&["ls"]).succeed();
    assert!(table.contains(r"a\u{1b}[2Jb\nc") && table.lines().count() == 2, "{table}");
}
