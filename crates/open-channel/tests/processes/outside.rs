//! A process that is no member of a channel asks its host how it is, and either side may lie.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use open_channel::hosting;
use open_channel::inspect::{self, Found, Presence, Status, Unanswered, Why};
use open_channel_proto::{Frame, HostStatus, SocketStatus, TapRequest, Tapped, TransmitBuffer};
use rustix::process::Signal;

use crate::actor::variables::{RUNTIME, USER};
use crate::failover::traffic_flows;
use crate::isolation::{SLACK, answer_everybody, busy_pair, busy_peer, check_unharmed, impostor};
use crate::portable::USUAL_LINK;
use crate::raw::{self, MAGIC, REJECT, WELCOME, frame};
use crate::rendezvous::NOBODY;
use crate::stage::Stage;

/// Only against hanging.
const LONG: Duration = Duration::from_secs(30);
const STATUS_REQUEST: u8 = 16;
const TAP_REQUEST: u8 = 21;
const TAP_STATE: u8 = 22;

fn found(runtime_dir: &Path) -> Found {
    let mut channels = inspect::channels(Some(runtime_dir)).unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    channels.remove(0)
}

fn ask(found: &Found, sockets: usize, within: Duration) -> Result<Status, Unanswered> {
    block_on(found.ask(sockets, within))
}

fn block_on<T>(asking: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(asking)
}

pub(crate) fn a_host_whose_application_is_blocked_tells_how_it_is(stage: &mut Stage) {
    let host = stage.actor_with("host", &[(RUNTIME, "current")]);
    host.open("");
    host.ask("join", "joined");
    let peer = stage.joined("peer", "role=peer");
    let id = peer.ask("connect s", "socket s").word(2).to_owned();
    peer.ask("numbers s 10", "streamed s");
    peer.ask("flush s", "flush s");
    peer.ask("send s hold", "sent s");
    host.find(0, "the message that it holds", |line| {
        line.is("handled") && line.text.ends_with("hold")
    });
    host.ask("block 60000", "blocking");

    let found = found(&stage.runtime_dir());
    assert_eq!(found.presence(), Presence::Hosted);
    assert_eq!((found.generation(), found.leftovers()), (Some(1), 0));
    assert_eq!(found.directory(), stage.channel_dir());
    let status = ask(&found, 9, LONG).unwrap();
    let unblocked = host.lines().iter().any(|line| line.is("unblocked"));
    assert!(!unblocked, "it was not blocked any more");

    let Status { host: HostStatus { name, app, process, generation, sockets, totals, .. }, .. } =
        &status;
    assert_eq!((name.as_str(), app, *generation, *sockets), ("test", &None, 1, 1));
    assert_eq!(process.pid, host.pid.as_raw_nonzero().get() as u32);
    assert!(process.program.starts_with("processes-"), "{process:?}");
    let received = totals.received;
    assert_eq!((received.messages, received.finished, received.open), (11, 10, 1));
    assert!(received.bytes > 0 && received.open_bytes > 64, "{received:?}");
    assert_eq!((totals.held, totals.redelivered), (1, 0));
    let [socket] = &status.sockets[..] else { panic!("{:?}", status.sockets) };
    assert_eq!(socket.id.to_string(), id);
    assert_eq!(socket.process.pid, peer.pid.as_raw_nonzero().get() as u32);
    assert_eq!((socket.link.as_str(), socket.links), (&*USUAL_LINK.to_string(), 1));
    assert_eq!(socket.traffic.received, received);
    // Nobody has become a member, and the answer is as short as it was asked for.
    assert_eq!(ask(&found, 0, LONG).unwrap().sockets, []);
    assert_eq!(peer.ask("status", "status").text, "status peer 1 connected");
}

pub(crate) fn an_application_scope_and_redelivered_messages_are_told(stage: &mut Stage) {
    let host = stage.joined("host", "app=/srv/shop.js");
    let peer = stage.joined("peer", "app=/srv/shop.js");
    peer.ask("connect s", "socket s");
    peer.ask("send s hold", "sent s");
    host.find(0, "the message that it holds", |line| line.is("handled"));
    host.kill();
    peer.find(0, "the message again", |line| line.is("handled"));
    let status = ask(&found(&stage.runtime_dir()), 0, LONG).unwrap();
    assert_eq!(status.host.app.as_deref(), Some("/srv/shop.js"));
    assert_eq!((status.host.generation, status.host.sockets), (2, 1));
    assert_eq!((status.host.totals.redelivered, status.host.totals.highest_attempt), (1, 2));
}

pub(crate) fn a_host_that_is_stopped_or_dead_is_known_by_its_number(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let asked = found(&stage.runtime_dir());
    host.signal(Signal::STOP);
    let (within, started) = (Duration::from_millis(300), Instant::now());
    let silent = ask(&asked, 1, within).unwrap_err();
    assert_eq!(silent.why, Why::Silent(within));
    assert_eq!(silent.pid, Some(host.pid.as_raw_nonzero().get() as u32));
    assert!(started.elapsed() >= within);
    assert_eq!(found(&stage.runtime_dir()).presence(), Presence::Hosted);
    host.kill();
    let dead = found(&stage.runtime_dir());
    assert_eq!((dead.presence(), dead.generation()), (Presence::Deserted, Some(1)));
    assert!(dead.leftovers() > 0, "{dead:?}");
    assert!(matches!(ask(&dead, 1, LONG).unwrap_err().why, Why::NoHost(_)));
}

pub(crate) fn a_host_that_does_not_know_the_question_or_lies_is_a_clear_error(stage: &mut Stage) {
    let refuse = |code: u16, words: &str| {
        let versions_and_code = [1, 0, 2, 0, code as u8, 0];
        frame(REJECT, 0, &[&MAGIC[..], &versions_and_code, words.as_bytes()].concat())
    };
    let mut welcome = MAGIC.to_vec();
    welcome.resize(67, 0);
    welcome[8] = 1;
    let welcome = frame(WELCOME, 0, &welcome);
    let welcomed = |rest: Vec<u8>| [welcome.clone(), rest].concat();
    let many = HostStatus { described: u32::MAX, ..HostStatus::default() };
    let few = HostStatus { described: 2, ..HostStatus::default() };
    let socket = || encoded(Frame::SocketStatus(Box::<SocketStatus>::default()));
    let status = |status| encoded(Frame::HostStatus(Box::new(status)));
    let lies: Vec<(&str, Vec<u8>)> = vec![
        ("does not know the question: hello: unknown", refuse(6, "hello: unknown purpose")),
        ("refuses: full", refuse(4, "full")),
        ("answers nonsense", b"HTTP/1.1 200 OK\r\n\r\n".repeat(100)),
        ("answers nonsense", welcomed(encoded(Frame::Ping { nonce: 1 }))),
        ("answers nonsense", welcomed(vec![0xff; 9000])),
        ("answers nonsense: it describes more sockets", welcomed(status(many))),
        ("answers nonsense", welcomed([status(few.clone()), status(few.clone())].concat())),
        ("the connection broke", welcomed([status(few.clone()), socket()].concat())),
        ("the connection broke", welcomed(Vec::new())),
        ("the connection broke", Vec::new()),
    ];
    let detail = |more, len| encoded(Frame::Detail { more, payload: vec![1; len].into() });
    let of_detail: Vec<(&str, Vec<u8>)> = vec![
        ("does not know the question: it closes", welcomed(Vec::new())),
        ("answers nonsense", welcomed(status(few.clone()))),
        ("answers nonsense: it says too much", welcomed(detail(true, 0))),
        ("answers nonsense: it says too much", welcomed(detail(true, 64 << 10).repeat(65))),
        ("the connection broke", welcomed(detail(true, 9))),
    ];
    let begun = |rest: Vec<Frame>| {
        let frames = [vec![Frame::TapState { dropped: 0 }], rest].concat();
        welcomed(frames.into_iter().flat_map(encoded).collect())
    };
    let tapped = |len, carried| Frame::Tapped(Tapped { len, carried, ..Tapped::default() });
    let data = |len| Frame::TapData { payload: vec![1; len].into() };
    let of_tap: Vec<(&str, Vec<u8>)> = vec![
        ("does not know the question: it closes", welcomed(Vec::new())),
        ("answers nonsense", welcomed(status(few.clone()))),
        ("", begun(vec![tapped(9, 3), data(3)])),
        ("", begun(vec![tapped(9, 3), data(2)])),
        ("answers nonsense", begun(vec![tapped(9, 3), data(4)])),
        ("answers nonsense", begun(vec![tapped(9, 3), data(0)])),
        ("answers nonsense", begun(vec![tapped(9, 3), tapped(9, 3)])),
        ("answers nonsense", begun(vec![tapped(3, 4), data(4)])),
        ("more of a message than it was asked", begun(vec![tapped(u64::MAX, u64::MAX)])),
        ("answers nonsense", begun(vec![data(4)])),
    ];
    let listener = impostor(stage);
    let (answers, answer) = std::sync::mpsc::channel::<Vec<u8>>();
    let answer = std::sync::Mutex::new(answer);
    answer_everybody(listener, move |mut stream| {
        raw::read_frame(&mut stream);
        let answer = answer.lock().unwrap().recv().unwrap_or_default();
        let _ = stream.write_all(&answer);
    });
    let found = found(&stage.runtime_dir());
    for (words, lie) in lies {
        answers.send(lie).unwrap();
        let error = ask(&found, 2, LONG).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!(error.pid, Some(std::process::id()), "{words}");
    }
    for (words, lie) in of_tap {
        answers.send(lie).unwrap();
        let request = TapRequest::default();
        let error = block_on(async {
            let mut tap = found.tap(request, LONG).await?;
            while tap.recv().await?.is_some() {}
            Ok::<(), Unanswered>(())
        });
        match (words, error) {
            ("", ended) => ended.unwrap(),
            (words, error) => {
                let error = error.unwrap_err();
                assert!(error.to_string().contains(words), "{words}: {error}");
            }
        }
    }
    for (words, lie) in of_detail {
        answers.send(lie).unwrap();
        let error = block_on(hosting::detail(&found, 2, LONG)).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

fn encoded(frame: Frame) -> Vec<u8> {
    let mut out = TransmitBuffer::default();
    frame.encode(&mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let used = out.slices(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
}

pub(crate) fn taps_that_lie_or_never_read_hurt_nobody(stage: &mut Stage) {
    let host = stage.actor_with("host", &[("OPEN_CHANNEL_TAP", "1")]);
    host.open("");
    host.ask("join", "joined");
    let bystander = busy_peer(stage, "");
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let request = encoded(Frame::TapRequest(TapRequest::default()));
    for nonsense in [&request[..request.len() - 1], &frame(TAP_REQUEST, 1, &[0; 29]), &[0xff; 99]] {
        let mut stream = asker(&path);
        let _ = stream.write_all(nonsense);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(raw::read_to_the_end(&mut stream), [], "{nonsense:?}");
    }
    let begin = || {
        let mut stream = asker(&path);
        stream.write_all(&request).unwrap();
        (raw::read_frame(&mut stream).expect("an answer"), stream)
    };
    let mut taps: Vec<UnixStream> = Vec::new();
    for _ in 0..8 {
        let ((kind, body), stream) = begin();
        assert_eq!((kind, &body[..]), (TAP_STATE, &[0; 8][..]));
        taps.push(stream);
    }
    let ((kind, reason), refused) = begin();
    assert!(kind == REJECT && reason.ends_with(b"the host has all its taps: end one"));
    drop(refused);
    traffic_flows([&bystander]);
    // One that says more ends, and makes room for another.
    let mut chatty = taps.pop().unwrap();
    chatty.write_all(&request).unwrap();
    raw::read_to_the_end(&mut chatty);
    let ((kind, _), _next) = begin();
    assert_eq!(kind, TAP_STATE);
    traffic_flows([&bystander]);
    check_unharmed(&host, &bystander);
    // What waits for each of them is bounded.
    let (grown, waiting) = (host.memory("VmHWM") - before, 8 * (4 << 20));
    assert!(grown < waiting + SLACK, "the host grew by {} KiB", grown / 1024);
    drop(taps);
}

/// The hello of a process that asks; it need not know the channel.
fn asker(path: &Path) -> UnixStream {
    let mut hello = raw::Hello::default().encode();
    hello[8 + 12] = 2;
    hello[8 + 14..8 + 30].fill(0);
    let mut stream = raw::connect(path);
    stream.write_all(&hello).unwrap();
    let (kind, body) = raw::read_frame(&mut stream).expect("an answer");
    assert_eq!(kind, WELCOME, "{}", String::from_utf8_lossy(&body));
    stream
}

pub(crate) fn processes_that_ask_nonsense_or_never_read_hurt_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, "");
    let (_, path) = stage.published();
    let before = host.memory("VmHWM");
    let question = frame(STATUS_REQUEST, 0, &u32::MAX.to_le_bytes());
    for nonsense in [
        vec![0xff; 4096],
        raw::data(1, b"n 1"),
        raw::Hello::default().encode(),
        frame(10, 0, &1_u64.to_le_bytes()),
        frame(STATUS_REQUEST, 0, &[1]),
        frame(STATUS_REQUEST, 1, &[1, 0, 0, 0]),
        frame(17, 0, &[0; 300]),
    ] {
        let mut stream = asker(&path);
        let _ = stream.write_all(&nonsense);
        assert_eq!(raw::read_to_the_end(&mut stream), [], "{nonsense:?}");
    }
    // Its answers fill the socket, and the host waits for it no longer than for any other.
    let mut greedy: Vec<UnixStream> = (0..20).map(|_| asker(&path)).collect();
    for stream in &mut greedy {
        stream.set_nonblocking(true).unwrap();
        while stream.write(&question.repeat(1000)).is_ok() {}
    }
    traffic_flows([&bystander]);
    let status = ask(&found(&stage.runtime_dir()), 5, LONG).unwrap();
    assert_eq!(status.host.sockets, 1);
    for mut stream in greedy {
        stream.set_nonblocking(false).unwrap();
        raw::read_to_the_end(&mut stream);
    }
    check_unharmed(&host, &bystander);
    let grown = host.memory("VmHWM") - before;
    assert!(grown < SLACK, "the host grew by {} KiB", grown / 1024);
}

pub(crate) fn another_user_who_may_join_learns_nothing_of_the_others(stage: &mut Stage) {
    let dir = stage.runtime_dir();
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let _host = stage.joined("host", &format!("allow={NOBODY}"));
    let nobody = NOBODY.to_string();
    let other_user = stage.actor_with("other user", &[(USER, &*nobody)]);
    other_user.open("allow=0");
    other_user.ask("join", "joined");
    let refused = other_user.ask("look", "unanswered");
    assert!(refused.text.contains("only its own user"), "{}", refused.text);
    ask(&found(&dir), 1, LONG).unwrap();
}
