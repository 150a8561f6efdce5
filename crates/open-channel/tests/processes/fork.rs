//! Forks without an exec: the child has everything of its parent, and harms none of it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use open_channel::blocking::{Channel, Socket};
use open_channel::{Batch, Error, Event, LinkKind, Role, State, TryRecvError};

use crate::actor::report::say;
use crate::actor::variables::TASK;
use crate::calls::counted;
use crate::portable;
use crate::stage::Stage;

/// A process that answers with what it gets, on a thread for each socket.
pub(crate) const HOST: &str = "fork: the host over ring";
/// The channel.
pub(crate) const NAME: &str = "fork";
/// Round trips of the parent after its child is gone.
const TRIPS: u64 = 1000;
/// Answered late enough for the waiting call to be asleep.
const LATE: u64 = 1 << 32;
/// Asks the host to report when its answer is acknowledged.
const REPORT: u64 = 1 << 33;
const LATENESS: Duration = Duration::from_millis(20);

const THE_HOST: &str = "fork: the host";

const LINK: &str = "OPEN_CHANNEL_LINK";

type Scene = fn(LinkKind);

/// The scenes that a process of its own performs, on each kind of link.
const SCENES: &[(&str, Scene)] = &[
    (THE_HOST, |_| host()),
    ("fork: a child that closes", |link| parent(link, a_child_that_closes)),
    ("fork: a child that drops", |link| parent(link, a_child_that_drops)),
    ("fork: a child that drops a message", a_child_that_drops_a_message),
    ("fork: a child that calls", |link| parent(link, a_child_that_calls)),
    ("fork: a child that makes a stream", a_child_that_makes_a_stream),
    ("fork: a child that connects", |link| parent(link, a_child_that_connects)),
    ("fork: a child that exits", |link| parent(link, |_| {})),
    ("fork: a child with a channel of its own", |link| {
        parent(link, a_child_with_a_channel_of_its_own)
    }),
    ("fork: a child of a child", |link| parent(link, a_child_of_a_child)),
    ("fork: a child inside a runtime", a_child_inside_a_runtime),
    ("fork: a child of the host", a_child_of_the_host),
];

/// Whether there is such a scene.
pub(crate) fn perform(task: &str) -> bool {
    let Some((scene, link)) = task.split_once(" over ") else { return false };
    let Some((_, perform)) = SCENES.iter().find(|(name, _)| *name == scene) else { return false };
    perform(LinkKind::from_name(link).unwrap());
    say!("done");
    true
}

/// A test of each scene.
pub(crate) fn scenes() -> impl Iterator<Item = (String, impl FnOnce(&mut Stage) + Send)> {
    SCENES.iter().filter(|(scene, _)| *scene != THE_HOST).map(|(scene, _)| {
        let name = scene.replace("fork: ", "fork::").replace(' ', "_");
        (format!("{name}_harms_nothing"), |stage: &mut Stage| play(stage, scene))
    })
}

fn play(stage: &Stage, scene: &str) {
    for (link, _) in portable::LINKS {
        let dir = stage.path().join(link);
        let act = |label: &str, scene: &str| {
            let task = format!("{scene} over {link}");
            // A host on a socket serves peers with rings and without.
            let forced = if *link == "tcp" { link } else { "" };
            let dir = dir.to_str().unwrap();
            stage.actor_with(label, &[(TASK, &task), ("OPEN_CHANNEL_DIR", dir), (LINK, forced)])
        };
        let other = (!scene.ends_with("of the host")).then(|| act("host", THE_HOST));
        if let Some(host) = &other {
            host.wait("hosting");
        }
        let actor = act(link, scene);
        if other.is_none() {
            // The other way round: it hosts, and the peer is another.
            actor.wait("hosting");
            let peer = act("peer", "fork: a child that exits");
            peer.wait("done");
            actor.wait("forked");
            let late = act("late peer", "fork: a child that exits");
            late.wait("done");
            actor.tell("go on");
        }
        if scene.ends_with("a message") {
            let host = other.as_ref().unwrap();
            actor.wait("held");
            assert!(!host.lines().iter().any(|line| line.is("acknowledged")), "by the child");
            actor.tell("go on");
            host.wait("acknowledged");
        }
        actor.wait("done");
        assert!(actor.exit_status().success(), "{link}");
    }
}

/// The link of two processes that are here.
fn usual_link() -> LinkKind {
    let forced = std::env::var(LINK).ok().and_then(|name| LinkKind::from_name(&name));
    forced.unwrap_or(portable::USUAL_LINK)
}

fn host() {
    let _channel = echoing();
    say!("hosting");
    std::thread::park();
}

fn echoing() -> Channel {
    let channel = Channel::new(NAME, |socket| {
        let socket = Arc::new(socket);
        while let Ok(Some(message)) = socket.recv() {
            if number(&message) & LATE != 0 {
                std::thread::sleep(LATENESS);
            }
            if socket.send(message.bytes().clone()).is_err() {
                return;
            }
            if number(&message) & REPORT != 0 {
                let socket = Arc::clone(&socket);
                std::thread::spawn(move || {
                    socket.flush().unwrap();
                    say!("acknowledged");
                });
            }
            message.ack();
        }
    })
    .unwrap();
    channel.join().unwrap();
    channel
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message.try_into().unwrap())
}

/// A peer of the host, with a socket in use.
struct Parent {
    channel: Channel,
    socket: Socket,
    next: u64,
}

impl Parent {
    fn new(link: LinkKind) -> Self {
        let builder = open_channel::Channel::builder(NAME).link(link);
        let channel = Channel::from(builder.build_peer().unwrap());
        let socket = channel.connect();
        let mut parent = Self { channel, socket, next: 0 };
        parent.trips(100);
        assert_eq!(parent.socket.link(), Some(link));
        parent
    }

    fn trip(&mut self, kind: u64) {
        let sent = self.next | kind;
        self.next += 1;
        self.socket.send(sent.to_le_bytes().to_vec()).unwrap();
        let answer = self.socket.recv().unwrap().expect("an answer");
        assert_eq!(number(&answer), sent, "somebody else's answer");
        answer.ack();
    }

    fn trips(&mut self, count: u64) {
        (0..count).for_each(|_| self.trip(0));
        self.trip(LATE);
    }
}

/// Forks, goes on while the child obeys its commands, and after that.
fn parent(link: LinkKind, child: fn(&mut Parent)) {
    let mut parent = Parent::new(link);
    let pid = fork(|| child(&mut parent));
    while !is_reaped(pid) {
        parent.trip(0);
    }
    parent.trips(TRIPS);
    parent.socket.flush().unwrap();
    parent.socket.close().unwrap();
    parent.channel.close().unwrap();
}

/// The child's end is that of an unrelated process.
fn fork(child: impl FnOnce()) -> Pid {
    // SAFETY: both libcs that this runs on give the child of a process with threads a working
    // allocator. Its other locks are those of the tested library, and that of stdout, which no
    // other thread of this process uses.
    match unsafe { nix::unistd::fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .unwrap();
            let went = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            std::process::exit(i32::from(went.is_err()));
        }
    }
}

fn is_reaped(child: Pid) -> bool {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
        WaitStatus::StillAlive => false,
        WaitStatus::Exited(_, 0) => true,
        other => panic!("the child: {other:?}"),
    }
}

fn reap(child: Pid) {
    assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
}

fn assert_forked<T>(result: Result<T, impl Into<Error>>) {
    match result.map_err(Into::into) {
        Err(Error::Forked) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it worked"),
    }
}

fn a_child_that_closes(parent: &mut Parent) {
    assert_forked(parent.socket.finish());
    assert_forked(parent.socket.close());
    parent.socket.destroy();
    assert_forked(parent.channel.close());
}

fn a_child_that_drops(_: &mut Parent) {
    // One with everything, so that it can be dropped by each.
    let dropped = Parent::new(usual_link());
    let events = dropped.channel.events();
    for sent in 0..3_u64 {
        dropped.socket.send(sent.to_le_bytes().to_vec()).unwrap();
    }
    let message = dropped.socket.recv().unwrap().unwrap();
    let reader = dropped.socket.recv_reader().unwrap().unwrap();
    let messages = dropped.socket.recv_many().unwrap().unwrap();
    let mut reservation = dropped.socket.reserve(8).unwrap();
    reservation.append(&7_u64.to_le_bytes()[..4]);
    let held = (message, reader, messages, reservation, events);
    let mut kept = Some((dropped, held));
    let pid = fork(|| drop(kept.take()));
    reap(pid);
    let (mut dropped, (message, mut reader, messages, mut reservation, _events)) = kept.unwrap();
    assert_eq!((number(&message), number(&messages.iter().next().unwrap())), (0, 2));
    let mut read = [0; 8];
    reader.read_exact(&mut read).unwrap();
    assert_eq!(number(&read), 1);
    message.ack();
    reader.ack();
    messages.ack();
    reservation.append(&7_u64.to_le_bytes()[4..]);
    reservation.commit().unwrap();
    let last = dropped.socket.recv().unwrap().unwrap();
    assert_eq!(number(&last), 7);
    last.ack();
    dropped.trips(100);
}

/// Its parent holds the message, too.
fn a_child_that_drops_a_message(link: LinkKind) {
    let mut parent = Parent::new(link);
    parent.socket.send(REPORT.to_le_bytes().to_vec()).unwrap();
    let mut held = parent.socket.recv().unwrap();
    reap(fork(|| held.take().unwrap().ack()));
    // Every call that acknowledges would do so here.
    parent.trips(TRIPS);
    say!("held");
    wait_for_a_line();
    held.unwrap().ack();
    parent.socket.close().unwrap();
}

fn wait_for_a_line() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn a_child_that_calls(parent: &mut Parent) {
    let socket = &parent.socket;
    assert_forked(socket.send("hello"));
    assert_forked(socket.send_copy(b"hello"));
    assert_forked(socket.try_send("hello"));
    assert_forked(socket.send_many(&mut Batch::from_iter(["hello"])));
    assert_forked(socket.reserve(8));
    assert_forked(socket.flush());
    assert_forked(socket.recv());
    assert_forked(socket.recv_many());
    assert_forked(socket.recv_reader());
    assert!(matches!(socket.try_recv(), Err(TryRecvError::Failed(Error::Forked))));
    assert!(matches!(
        socket.recv_timeout(Duration::from_secs(9)),
        Err(TryRecvError::Failed(Error::Forked))
    ));
    assert_forked(socket.flush_timeout(Duration::from_secs(9)));
    assert_forked(socket.stalled());
    assert_forked(socket.undeliverable());
    assert_eq!((socket.stats().held, parent.channel.stats().state), (0, State::Closed));
    assert!(!socket.connected() && socket.link().is_none());
    begun_before(parent);
}

/// Operations that the parent had begun.
fn begun_before(parent: &Parent) {
    let holder = Parent::new(parent.socket.link().unwrap_or(usual_link()));
    holder.socket.send(1_u64.to_le_bytes().to_vec()).unwrap();
    let mut reader = holder.socket.recv_reader().unwrap().unwrap();
    let mut events = holder.channel.events();
    let mut reservation = Some(holder.socket.reserve(8).unwrap());
    let pid = fork(|| {
        assert_forked(reader.read(&mut [0; 8]).map_err(inner));
        assert_eq!(reader.blocks().count(), 0);
        let mut reservation = reservation.take().unwrap();
        reservation.write_all(&[1; 8]).unwrap();
        assert!(!reservation.is_in_place(), "it writes to its parent's memory");
        let refused = reservation.commit().unwrap_err();
        assert_eq!(refused.message, [1; 8][..]);
        assert_forked::<()>(Err(refused));
        assert!(matches!(
            events.blocking_recv(),
            Some(Event::Closed { error: Some(Error::Forked), .. })
        ));
        assert!(events.blocking_recv().is_none());
        let mut stream = holder.socket.into_stream();
        assert_forked(stream.read(&mut [0; 8]).map_err(inner));
        assert_forked(stream.write(&[0; 8]).map_err(inner));
        assert_forked(stream.flush().map_err(inner));
        assert_forked(stream.shutdown_write());
    });
    reap(pid);
}

/// The library's error in one of `std::io`.
fn inner(error: std::io::Error) -> Error {
    *error.into_inner().unwrap().downcast().unwrap()
}

/// A stream stays with its host, and its parent's background thread is to be notified of that.
fn a_child_that_makes_a_stream(link: LinkKind) {
    let mut kept = Some(Parent::new(link));
    let mut parent = Parent::new(link);
    let pid = fork(|| {
        let Parent { channel, socket, .. } = kept.take().unwrap();
        // It would wake a task of its parent's.
        let ((), calls) = counted(|| drop((socket.into_stream(), channel)));
        std::process::exit(i32::from(calls > 0));
    });
    while !is_reaped(pid) {
        parent.trip(0);
    }
    kept.unwrap().trips(TRIPS);
}

fn a_child_that_connects(parent: &mut Parent) {
    let socket = parent.channel.connect();
    assert_forked(socket.send("hello"));
    assert_forked(socket.recv());
    assert_forked(parent.channel.connect_within(Duration::from_millis(1)).recv());
    assert_forked(parent.channel.join());
    assert_eq!(parent.channel.state(), State::Closed);
    assert_eq!((parent.channel.role(), parent.channel.generation()), (Role::None, 0));
    assert_eq!(parent.channel.name(), NAME);
    let mut events = parent.channel.events();
    assert!(matches!(
        events.blocking_recv(),
        Some(Event::Closed { error: Some(Error::Forked), .. })
    ));
    assert!(events.blocking_recv().is_none());
}

fn a_child_with_a_channel_of_its_own(parent: &mut Parent) {
    let mut own = Parent::new(usual_link());
    own.trips(TRIPS);
    assert_forked(parent.socket.send("hello"));
    own.socket.close().unwrap();
    own.channel.close().unwrap();
}

fn a_child_of_a_child(parent: &mut Parent) {
    let mut own = Parent::new(usual_link());
    let pid = fork(|| {
        assert_forked(own.socket.close());
        assert_forked(parent.socket.close());
        let mut third = Parent::new(usual_link());
        third.trips(100);
        third.channel.close().unwrap();
    });
    while !is_reaped(pid) {
        own.trip(0);
    }
    own.trips(100);
    own.channel.close().unwrap();
}

/// The child drops everything, registrations with the parent's event loop included.
fn a_child_inside_a_runtime(link: LinkKind) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = runtime();
    let builder = open_channel::Channel::builder(NAME).link(link);
    let channel = builder.build_peer().unwrap();
    let socket = channel.connect();
    started.block_on(async_trips(&socket, 100));
    let mut all = Some((started, channel, socket));
    let pid = fork(|| {
        let (runtime, channel, socket) = all.take().unwrap();
        runtime.block_on(async {
            assert_forked(socket.send("hello").await);
            assert_forked(socket.recv().await);
            assert_forked(socket.flush().await);
            assert_forked(channel.join().await);
            assert_forked(channel.close().await);
        });
        drop((socket, channel, runtime));
    });
    let (runtime, channel, socket) = all.as_ref().unwrap();
    while !is_reaped(pid) {
        runtime.block_on(async_trips(socket, 1));
    }
    runtime.block_on(async {
        async_trips(socket, TRIPS).await;
        socket.close().await.unwrap();
        channel.close().await.unwrap();
    });
}

async fn async_trips(socket: &open_channel::Socket, count: u64) {
    for trip in (0..count).chain([LATE]) {
        socket.send(trip.to_le_bytes().to_vec()).await.unwrap();
        let answer = socket.recv().await.unwrap().expect("an answer");
        assert_eq!(number(&answer), trip, "somebody else's answer");
        answer.ack();
    }
}

/// Its child drops the channel. That removes nothing of the host's: neither its files nor its
/// peers.
fn a_child_of_the_host(_: LinkKind) {
    let mut channel = Some(echoing());
    say!("hosting");
    // The peer is through its first round trips, and goes on.
    let mut events = channel.as_ref().unwrap().events();
    let pid = fork(|| {
        let channel = channel.take().unwrap();
        assert_forked(channel.close());
        drop(channel);
        assert!(matches!(
            events.blocking_recv(),
            Some(Event::Closed { error: Some(Error::Forked), .. })
        ));
    });
    reap(pid);
    say!("forked");
    wait_for_a_line();
    assert_eq!(channel.as_ref().unwrap().role(), Role::Host);
    channel.unwrap().close().unwrap();
}
