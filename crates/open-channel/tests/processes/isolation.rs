//! No peer, handler or frame harms another process.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::actor::variables::{GROUP, LOG, TASK};
use crate::control_group::ControlGroup;
use crate::failover::{connected, traffic_flows};
use crate::fork;
use crate::ledger::Ledger;
use crate::raw::{self, DATA, Hello, MAGIC, REJECT, RESET, WHOLE, frame};
use crate::stage::{Actor, Stage, hex};

/// Memory that a process may use beyond its queues: allocator, stacks, buffers, an unoptimised
/// build.
pub(crate) const SLACK: u64 = 24 << 20;
const MIB: u64 = 1 << 20;

/// A host, and a peer whose numbered messages get through all the time.
pub(crate) fn busy_pair(stage: &Stage, settings: &str) -> (Actor, Actor) {
    let host = stage.joined("host", settings);
    (host, busy_peer(stage, settings))
}

/// The peer of such a pair.
pub(crate) fn busy_peer(stage: &Stage, settings: &str) -> Actor {
    let peer = stage.joined("bystander", &format!("{settings} role=peer outbox=16384"));
    peer.tell("connect s");
    peer.tell("stream s");
    traffic_flows([&peer]);
    peer
}

/// Its listeners run on threads of their own.
pub(crate) fn a_host_that_can_start_no_thread_puts_newcomers_off(stage: &mut Stage) {
    let group = ControlGroup::of_threads().unwrap();
    let host = stage.actor_with("host", &[(TASK, fork::HOST), (GROUP, group.path())]);
    host.wait("hosting");
    let open = |label: &str, timeout: u64| {
        let peer = stage.actor_with(label, &[(LOG, "yes")]);
        let name = hex(fork::NAME);
        peer.ask(&format!("open name={name} role=peer connect_timeout={timeout}"), "opened");
        peer.ask("join", "joined");
        peer.ask("connect s", "socket s");
        peer.tell("send s dddddddd");
        peer
    };
    let bystander = open("bystander", 20_000);
    bystander.wait("reply s 1 dddddddd");
    group.allow_no_more_threads();
    let newcomer = open("newcomer", 20_000);
    newcomer
        .find(0, "why it is put off", |line| line.text.contains("its host cannot start a thread"));
    let hasty = open("hasty", 1000);
    let error = hasty.wait("error recv s");
    assert!(
        error.text.contains("was not reached within 1s: its host cannot start a thread"),
        "{error:?}"
    );
    assert_eq!(newcomer.count("end s") + newcomer.count("error"), 0);
    bystander.tell("send s dddddddd");
    bystander.wait("reply s 2 dddddddd");
    group.allow_more_threads();
    newcomer.wait("reply s 1 dddddddd");
    newcomer.ask("flush s", "flush s");
    // Connections that the host could not take left nothing behind.
    hasty.ask("connect again", "socket again");
    hasty.tell("send again dddddddd");
    hasty.wait("reply again 1 dddddddd");
}

/// The bystander has noticed nothing.
pub(crate) fn check_unharmed(host: &Actor, bystander: &Actor) {
    traffic_flows([bystander]);
    bystander.tell("stop s");
    let accepted = bystander.wait("streamed s").number(2);
    let ledger = Ledger::of([host]);
    let socket = bystander.wait("socket s").word(2).to_owned();
    ledger.check_complete(&socket, accepted);
    assert_eq!(ledger.of_socket(&socket).len() as u64, accepted);
    assert_eq!(bystander.count("event host-lost") + bystander.count("error"), 0);
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
}

pub(crate) fn a_panicking_listener_takes_down_its_connection_only(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    for round in 0..30 {
        let victim = stage.joined(format!("victim {round}"), "role=peer");
        let socket = victim.ask("connect s", "socket s").word(2).to_owned();
        victim.ask("send s fine", "sent s");
        victim.ask("flush s", "flush s");
        victim.ask("send s panic", "sent s");
        victim.tell("flush s");
        let error = victim.find(0, "the end of its socket", |line| line.is("error flush s"));
        assert!(error.text.contains("ended the socket"), "{error:?}");
        host.catch_up();
        let of_socket = |line: &&crate::stage::Line| line.is("handled") && line.word(2) == socket;
        assert_eq!(
            host.lines().iter().filter(of_socket).count(),
            2,
            "given again to the same host"
        );
        // The process itself goes on with another socket.
        victim.ask("connect again", "socket again");
        victim.ask("send again fine", "sent again");
        victim.ask("flush again", "flush again");
        assert_eq!(victim.count("event host-lost"), 0);
    }
    check_unharmed(&host, &bystander);
}

pub(crate) fn raw_nonsense_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let hello = Hello::default().encode();
    let mut mangled_magic = hello.clone();
    mangled_magic[8] = b'O';
    let mut endless = vec![0xff, 0xff, 0xff, 0xff];
    endless.extend(&hello[4..]);
    let mut reserved = hello.clone();
    reserved[6] = 1;
    let impossible = |first, recv_next, handled| {
        Hello { first, recv_next, handled, ..Hello::default() }.encode()
    };
    let closed_at_once: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", vec![0; 4096]),
        ("all ones", vec![0xff; 4096]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("text", b"{\"hello\":\"world\"}\n".repeat(200)),
        ("a length of 4 GiB", endless),
        ("reserved bits", reserved),
        ("another magic", mangled_magic),
        ("data before a hello", raw::data(1, b"n 1")),
        ("a hello that numbers from 0", impossible(0, 1, 0)),
        ("a hello beyond all numbers", impossible(u64::MAX, 1, 0)),
        ("a hello that handled the future", impossible(1, 1, 5)),
        ("a hello from the future", Hello { generation: 99, ..Hello::default() }.encode()),
        ("a hello cut short by its own length", frame(raw::HELLO, 0, &hello[8..60])),
    ];
    for (what, bytes) in &closed_at_once {
        let mut stream = raw::connect(&path);
        // It may have closed before everything was written.
        let _ = stream.write_all(bytes);
        let answer = raw::read_to_the_end(&mut stream);
        assert!(answer.is_empty() || answer[4] == REJECT, "{what} was answered with {answer:?}");
    }
    // Half a frame and the end; half a frame and no end; nothing at all; by the hundred.
    let mut lingering = Vec::new();
    for n in 0..100 {
        let mut stream = raw::connect(&path);
        match n % 4 {
            0 => stream.write_all(&hello[..3]).unwrap(),
            1 => stream.write_all(&hello[..40]).unwrap(),
            2 => {}
            _ => {
                stream.write_all(&hello[..hello.len() - 1]).unwrap();
                drop(stream);
                continue;
            }
        }
        lingering.push(stream);
    }
    traffic_flows([&bystander]);
    // Connections without a hello are closed after a while.
    for mut stream in lingering {
        raw::read_to_the_end(&mut stream);
    }
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

pub(crate) fn nonsense_after_a_good_handshake_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "window=65536");
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let first_of_endless = {
        let mut body = 1_u64.to_le_bytes().to_vec();
        body.extend(u64::MAX.to_le_bytes());
        body.extend([b'x'; 1000]);
        frame(DATA, 1, &body)
    };
    let mut four_gib = vec![0xff, 0xff, 0xff, 0xff, DATA, WHOLE, 0, 0];
    four_gib.extend([0; 4096]);
    let faults: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", vec![0; 4096]),
        ("a length of 4 GiB", four_gib),
        ("a message without end", first_of_endless),
        ("a gap", raw::data(2, b"n 2")),
        ("an acknowledgement of what was never sent", frame(6, 0, &77_u64.to_le_bytes())),
        ("a second hello", Hello::default().encode()),
        ("a ping", frame(10, 0, &1_u64.to_le_bytes())),
        ("a welcome", frame(raw::WELCOME, 0, &[0; 67])),
        ("a gap that version 1 does not know", frame(12, 0, &1_u64.to_le_bytes())),
        ("what was never sent, given back", frame(13, 0, &[7, 0, 0, 0, 0, 0, 0, 0, 1, 1])),
        ("what never came, withdrawn", frame(15, 0, &7_u64.to_le_bytes())),
        ("an unknown kind", frame(99, 0, b"")),
        ("unknown flags", frame(DATA, 0x80, &[0; 64])),
    ];
    for (n, (what, bytes)) in faults.iter().enumerate() {
        let hello = Hello { socket: 1000 + n as u128, ..Hello::default() };
        let (mut stream, _) = raw::exchange_hello(&path, &hello);
        let _ = stream.write_all(bytes);
        let answer = raw::read_to_the_end(&mut stream);
        if let Some(kind) = answer.get(4) {
            assert_eq!(*kind, RESET, "{what} was answered with {answer:?}");
        }
    }
    // More than the window it was given, with a handler that makes no progress.
    let (mut stream, _) = raw::exchange_hello(&path, &Hello { socket: 2000, ..Hello::default() });
    let mut excess = raw::data(1, b"stall");
    for seq in 2..=200 {
        excess.extend(raw::data(seq, &[b'x'; 1024]));
    }
    let _ = stream.write_all(&excess);
    raw::read_to_the_end(&mut stream);
    // Goes away in the middle of a message.
    let (mut stream, _) = raw::exchange_hello(&path, &Hello { socket: 2001, ..Hello::default() });
    let half = raw::data(1, &[b'x'; 1000]);
    stream.write_all(&half[..500]).unwrap();
    drop(stream);
    // Valid messages of a foreign program are as good as any.
    let (mut stream, _) = raw::exchange_hello(&path, &Hello { socket: 2002, ..Hello::default() });
    stream.write_all(&raw::data(1, b"fine stranger")).unwrap();
    host.find(0, "the stranger's message", |line| {
        line.is("handled") && line.text.ends_with("fine stranger")
    });
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

pub(crate) fn a_peer_of_another_version_is_rejected_with_the_versions(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    let (_, path) = stage.published();
    for versions in [(3, 3), (7, 9), (0, 0), (u16::MAX, u16::MAX)] {
        let mut stream = raw::connect(&path);
        stream.write_all(&Hello { versions, ..Hello::default() }.encode()).unwrap();
        let (kind, body) = raw::read_frame(&mut stream).expect("a reject");
        assert_eq!((kind, &body[..8]), (REJECT, &MAGIC[..]));
        assert_eq!(body[8..12], [1, 0, 2, 0], "its own range");
        assert_eq!(body[12..14], [1, 0], "the code of versions");
        assert!(!body[14..].is_empty(), "no words for people");
    }
    // A range that overlaps is fine.
    drop(raw::exchange_hello(&path, &Hello { versions: (1, 9), ..Hello::default() }));
    check_unharmed(&host, &bystander);
}

/// Takes the place of a killed host, like a program of another version.
pub(crate) fn impostor(stage: &Stage) -> UnixListener {
    let host = stage.joined("host", "");
    let (generation, _) = stage.published();
    host.kill();
    let dir = stage.channel_dir();
    let token = "00000000deadbeef";
    let listener = UnixListener::bind(dir.join(format!("{token}.sock"))).unwrap();
    symlink(token, dir.join(format!("{:020}", generation + 1))).unwrap();
    listener
}

pub(crate) fn answer_everybody(
    listener: UnixListener,
    answer: impl Fn(UnixStream) + Send + 'static,
) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream);
        }
    });
}

pub(crate) fn a_host_of_another_version_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    answer_everybody(listener, |mut stream| {
        raw::read_frame(&mut stream);
        let mut body = MAGIC.to_vec();
        body.extend([7, 0, 9, 0, 1, 0]);
        body.extend(b"this host speaks 7 to 9");
        let _ = stream.write_all(&frame(REJECT, 0, &body));
    });
    for settings in ["role=peer", ""] {
        let peer = stage.actor("peer");
        peer.open(&format!("connect_timeout=1000 {settings}"));
        peer.ask("connect s", "socket s");
        peer.tell("send s lost?");
        let error = peer.wait("error recv s");
        // In this program's own words.
        let words = "no common protocol version: the host speaks 7 to 9, this process 1 to ";
        assert!(error.text.contains(words), "{error:?}");
        let error = peer.ask("join", "error join");
        assert!(error.text.contains("version"), "{error:?}");
    }
}

pub(crate) fn words_of_the_other_side_cannot_steer_a_terminal(stage: &mut Stage) {
    let words = "\u{1b}]0;owned\u{7}\u{1b}[2Jcome \u{202e}in\n";
    let shown = r"\u{1b}]0;owned\u{7}\u{1b}[2Jcome \u{202e}in\n";
    let (host, bystander) = busy_pair(stage, "");
    let (_, path) = stage.published();
    let (mut peer, _) = raw::exchange_hello(&path, &Hello::default());
    let mut body = vec![9, 0];
    body.extend(words.bytes());
    peer.write_all(&frame(RESET, 0, &body)).unwrap();
    host.find(0, "the words of the peer", |line| line.is("failed") && line.text.ends_with(shown));
    check_unharmed(&host, &bystander);
    drop((host, bystander));
    let listener = impostor(stage);
    answer_everybody(listener, move |mut stream| {
        raw::read_frame(&mut stream);
        let mut body = MAGIC.to_vec();
        body.extend([1, 0, 1, 0, 4, 0]);
        body.extend(words.bytes());
        let _ = stream.write_all(&frame(REJECT, 0, &body));
    });
    let refused = stage.actor_with("refused", &[(LOG, "yes")]);
    refused.open("role=peer");
    refused.ask("connect s", "socket s");
    for failed in ["error recv s", "error join"] {
        if failed == "error join" {
            refused.tell("join");
        }
        let error = refused.wait(failed);
        assert!(
            error.text.ends_with(&format!("the host refused the connection: {shown}")),
            "{error:?}"
        );
    }
    assert!(refused.lines().iter().all(|line| !line.text.contains(char::is_control)));
}

pub(crate) fn a_host_that_lies_about_its_generation_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    answer_everybody(listener, |mut stream| {
        raw::read_frame(&mut stream);
        let mut body = MAGIC.to_vec();
        body.extend([1, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        body.extend([0; 48]);
        let _ = stream.write_all(&frame(raw::WELCOME, 0, &body));
    });
    for settings in ["role=peer", ""] {
        let peer = stage.actor("peer");
        peer.open(settings);
        peer.ask("connect s", "socket s");
        let error = peer.wait("error recv s");
        assert!(error.text.contains("broke the protocol"), "{error:?}");
    }
}

pub(crate) fn a_peer_that_never_reads_costs_bounded_memory(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    let mute = stage.joined("mute", "role=peer window=1048576");
    let (before_host, before_mute) = (host.memory("VmHWM"), mute.memory("VmHWM"));
    mute.ask("connect s mute", "socket s");
    mute.ask("send s flood", "sent s");
    host.wait("full flood");
    traffic_flows([&bystander]);
    // Its own direction is not held up by what it does not read.
    for _ in 0..200 {
        mute.ask("send s fine", "sent s");
    }
    mute.ask("flush s", "flush s");
    let (grown_host, grown_mute) =
        (host.memory("VmHWM") - before_host, mute.memory("VmHWM") - before_mute);
    assert!(grown_host < 2 * 4 * MIB + SLACK, "the host grew by {} KiB", grown_host / 1024);
    assert!(grown_mute < 2 * MIB + SLACK, "the peer grew by {} KiB", grown_mute / 1024);
    // It reads at last, and everything is there, in order.
    mute.tell("take s");
    mute.wait("taken s");
    assert!(mute.count("reply s") > 0);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_hostile_peer_that_claims_an_endless_window_costs_bounded_memory(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let streams: Vec<_> = (0..4)
        .map(|n| {
            let hello = Hello { window: u64::MAX, socket: 3000 + n, ..Hello::default() };
            let (mut stream, _) = raw::exchange_hello(&path, &hello);
            stream.write_all(&raw::data(1, b"flood")).unwrap();
            stream
        })
        .collect();
    host.until("four full outboxes", |lines| {
        (lines.iter().filter(|line| line.is("full flood")).count() == 4).then_some(())
    });
    traffic_flows([&bystander]);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < 4 * 2 * 4 * MIB + SLACK, "the host grew by {} KiB", grown / 1024);
    drop(streams);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_listener_that_never_reads_makes_its_sender_wait(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "window=1048576");
    let sender = stage.joined("sender", "role=peer outbox=1048576");
    let (before_host, before_sender) = (host.memory("VmHWM"), sender.memory("VmHWM"));
    sender.ask("connect s", "socket s");
    sender.ask("send s stall", "sent s");
    sender.tell("fill s 65536");
    sender.wait("full s");
    traffic_flows([&bystander]);
    let (grown_host, grown_sender) =
        (host.memory("VmHWM") - before_host, sender.memory("VmHWM") - before_sender);
    assert!(grown_host < 2 * MIB + SLACK, "the host grew by {} KiB", grown_host / 1024);
    assert!(grown_sender < 2 * MIB + SLACK, "the sender grew by {} KiB", grown_sender / 1024);
    // Closing does not wait for a handler that will never come back.
    sender.ask("destroy s", "error fill s");
    check_unharmed(&host, &bystander);
}

pub(crate) fn five_hundred_connections_are_all_served(stage: &mut Stage) {
    let host = stage.joined("host", "");
    host.ask("descriptors max", "descriptors");
    let peers: Vec<_> = (0..5).map(|n| stage.joined(format!("peer {n}"), "role=peer")).collect();
    peers.iter().for_each(|peer| peer.tell("connect-many 100"));
    peers.iter().for_each(|peer| drop(peer.wait("many")));
    assert_eq!(host.count("accepted"), 500);
    let ledger = Ledger::of([&host]);
    ledger.check_order_and_marks();
    assert_eq!((ledger.total(), ledger.redelivered()), (5000, 0));
    // And when they all go at once, the host is as good as new.
    peers.iter().for_each(Actor::kill);
    host.until("500 ended sockets", |lines| {
        (lines.iter().filter(|line| line.is("failed") || line.is("ended")).count() == 500)
            .then_some(())
    });
    let peer = stage.joined("peer", "role=peer");
    peer.ask("connect s", "socket s");
    peer.ask("numbers s 10", "streamed s");
}

pub(crate) fn a_host_out_of_descriptors_waits_without_spinning(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    bystander.tell("stop s");
    bystander.wait("streamed s");
    host.ask("descriptors 4", "descriptors");
    host.ask("eat 0", "eaten");
    let newcomer = stage.actor("newcomer");
    newcomer.open("role=peer connect_timeout=3000");
    let before = host.cpu();
    newcomer.tell("join");
    // Connecting meets no error and no answer: only the timeout ends it.
    let error = newcomer.wait("error join");
    assert!(error.text.contains("was not reached within 3s"), "{error:?}");
    let used = host.cpu() - before;
    assert!(used < Duration::from_millis(600), "the starved host used {used:?} in 3 s");
    // Those it has are served on.
    bystander.ask("send s fine", "sent s");
    bystander.ask("flush s", "flush s");
    host.tell("spit");
    host.ask("descriptors max", "descriptors");
    newcomer.ask("join", "joined");
    newcomer.ask("connect s", "socket s");
    newcomer.ask("numbers s 10", "streamed s");
    assert_eq!(host.ask("status", "status").text, "status host 1 connected");
    assert_eq!(bystander.count("event host-lost"), 0);
}

pub(crate) fn a_socket_that_its_host_cannot_take_says_so_in_time(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "connect_timeout=2000");
    host.ask("descriptors 4", "descriptors");
    host.ask("eat 0", "eaten");
    bystander.tell("connect late");
    let error = bystander.wait("error recv late");
    assert!(error.text.contains("was not reached within 2s: "), "{error:?}");
    traffic_flows([&bystander]);
    host.tell("spit");
    host.ask("descriptors max", "descriptors");
    bystander.ask("connect again", "socket again");
    bystander.ask("numbers again 10", "streamed again");
}

pub(crate) fn a_host_out_of_descriptors_is_never_one_of_two(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "host_timeout=1000");
    host.ask("descriptors 4", "descriptors");
    host.ask("eat 0", "eaten");
    let newcomer = stage.actor("newcomer");
    newcomer.open("host_timeout=1000 connect_timeout=4000");
    newcomer.tell("join");
    let outcome = newcomer.find(0, "an outcome", |line| line.is("joined") || line.is("error join"));
    if outcome.is("error join") {
        assert_eq!(bystander.count("event host-lost"), 0);
        return check_unharmed(&host, &bystander);
    }
    assert_eq!(outcome.text, "joined host 2");
    // It took over, which is only right if the starved one stops handling.
    connected(&bystander, 2);
    host.wait("event fenced 1");
    traffic_flows([&bystander]);
    bystander.tell("stop s");
    let accepted = bystander.wait("streamed s").number(2);
    let ledger = Ledger::of([&host, &newcomer]);
    ledger.check_order_and_marks();
    ledger.check_complete(bystander.wait("socket s").word(2), accepted);
    let late = ledger.after(1, newcomer.wait("event became-host 2").at);
    assert!(late.len() <= 2, "two hosts at a time: {} messages, {:?} …", late.len(), late.first());
}
