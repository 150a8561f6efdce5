//! The other processes: driven by lines on stdin, answering with lines on stdout, each with the
//! time of the monotonic clock in front. A message is printed before it is acknowledged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use open_channel::{
    Builder, Channel, ConnectOptions, Error, Event, LinkKind, Message, Scope, Socket, Stall,
    TryRecvError, UserId,
};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::sync::{Notify, mpsc};

use crate::stage::now;
use crate::{calls, control_group, fork, lifetime, mixture};

/// `commands`, or the name of a scene in [`lifetime`].
pub(crate) const VARIABLE: &str = "OPEN_CHANNEL_TEST_ACTOR";
/// `current` for a runtime of one thread.
pub(crate) const RUNTIME: &str = "OPEN_CHANNEL_TEST_RUNTIME";
/// The user to run as.
pub(crate) const USER: &str = "OPEN_CHANNEL_TEST_USER";
/// Options of a small file system to mount on `OPEN_CHANNEL_TEST_DISK_AT`, seen by this process
/// only.
pub(crate) const DISK: &str = "OPEN_CHANNEL_TEST_DISK";
pub(crate) const DISK_AT: &str = "OPEN_CHANNEL_TEST_DISK_AT";
/// A process whose file systems this one sees.
pub(crate) const NEIGHBOUR: &str = "OPEN_CHANNEL_TEST_NEIGHBOUR";

/// The control group to run in.
pub(crate) const GROUP: &str = "OPEN_CHANNEL_TEST_GROUP";
/// Its umask, in octal digits.
pub(crate) const UMASK: &str = "OPEN_CHANNEL_TEST_UMASK";
/// Set for a process that SIGPIPE ends, as it does in programs that are not written in Rust.
pub(crate) const SIGPIPE: &str = "OPEN_CHANNEL_TEST_SIGPIPE";
/// The system calls that the kernel denies this process, see [`denial`].
pub(crate) const DENIED: &str = "OPEN_CHANNEL_TEST_DENIED";

/// Set for a process that prints the library's log.
pub(crate) const LOG: &str = "OPEN_CHANNEL_TEST_LOG";

/// One message of a flood.
const FLOOD: usize = 64 * 1024;
/// A stream asks for acknowledgement of everything after this many messages.
const FLUSH_EVERY: u64 = 100;

/// Prints a line for the test; in one write, so that it arrives whole or not at all.
macro_rules! say {
    ($($words:tt)*) => { $crate::actor::write_line(format_args!($($words)*)) };
}
pub(crate) use say;

pub(crate) fn write_line(words: std::fmt::Arguments<'_>) {
    let line = format!("{} {}\n", now(), words.to_string().replace('\n', " "));
    // A test that is over reads no more.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(4);
    }
}

/// Prints an event of the library as `log <event>`.
struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        say!("log {}", String::from_utf8_lossy(event).trim());
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A panic that a test asks for.
pub(crate) struct AskedTo;

/// A requested panic is not printed: with `RUST_BACKTRACE` set it would be long.
fn keep_quiet_about_what_was_asked_for() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<AskedTo>() {
            usual(panic);
        }
    }));
}

pub(crate) fn main() -> ! {
    keep_quiet_about_what_was_asked_for();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    set_the_scene();
    if std::env::var_os(LOG).is_some() {
        let level = tracing_subscriber::filter::LevelFilter::DEBUG;
        tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(|| Log)
            .init();
    }
    let task = std::env::var(VARIABLE).unwrap();
    if task != "commands" {
        if !fork::perform(&task) {
            lifetime::perform(&task);
        }
        std::process::exit(0);
    }
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let _ = sender.send(line);
        }
        // The test is over, or wants this.
        std::process::exit(3);
    });
    let runtime = match std::env::var(RUNTIME).as_deref() {
        Ok("current") => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    runtime.unwrap().block_on(Actor::default().obey(commands));
    std::process::exit(0);
}

/// While there is one thread only.
fn set_the_scene() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, setns, unshare};

    if let Ok(group) = std::env::var(GROUP) {
        control_group::enter(&group);
    }
    if let Ok(options) = std::env::var(DISK) {
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).unwrap();
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
        std::fs::write("/proc/self/setgroups", "deny").unwrap();
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
        let at = std::env::var(DISK_AT).unwrap();
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("small"), at.as_str(), Some("tmpfs"), flags, Some(options.as_str())).unwrap();
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    }
    if let Ok(neighbour) = std::env::var(NEIGHBOUR) {
        // Entering the first one could hide the path of the second.
        let open = |kind| File::open(format!("/proc/{neighbour}/ns/{kind}")).unwrap();
        let (user, mounts) = (open("user"), open("mnt"));
        setns(user, CloneFlags::CLONE_NEWUSER).unwrap();
        setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    }
    if let Ok(user) = std::env::var(USER) {
        let id: u32 = user.parse().unwrap();
        nix::unistd::setgroups(&[]).unwrap();
        nix::unistd::setgid(id.into()).unwrap();
        nix::unistd::setuid(id.into()).unwrap();
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    }
    if let Ok(mask) = std::env::var(UMASK) {
        rustix::process::umask(Mode::from_raw_mode(u32::from_str_radix(&mask, 8).unwrap()));
    }
    if std::env::var_os(SIGPIPE).is_some() {
        use nix::sys::signal::{SigHandler, Signal, signal};
        // SAFETY: no handler runs in place of the default.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
    }
    if let Ok(denied) = std::env::var(DENIED) {
        denial::enforce(&denied);
    }
}

/// State that the listeners of this process share with its commands.
#[derive(Default)]
struct Backstage {
    /// Messages that a listener took and does not acknowledge.
    held: Mutex<Vec<Message>>,
    /// Answers may be given.
    cue: Notify,
}

#[derive(Default)]
struct Actor {
    channel: Option<Channel>,
    sockets: HashMap<String, Line>,
    muted: Arc<Mutex<HashMap<String, Arc<Socket>>>>,
    backstage: Arc<Backstage>,
    eaten: Vec<File>,
}

/// A socket of this process.
struct Line {
    socket: Arc<Socket>,
    stop: Arc<AtomicBool>,
}

impl Actor {
    async fn obey(mut self, mut commands: mpsc::UnboundedReceiver<String>) {
        say!("ready");
        while let Some(command) = commands.recv().await {
            let words: Vec<&str> = command.split(' ').collect();
            match words[..] {
                ["ping"] => say!("pong"),
                ["exit"] => std::process::exit(0),
                ["return"] => return,
                ["open", ..] => self.open(&words[1..]),
                ["join"] => self.join(),
                ["join-at", at] => {
                    // A timer comes later than the race that this is for.
                    while now() < at.parse().unwrap() {
                        std::hint::spin_loop();
                    }
                    self.join();
                }
                ["status"] => self.status(),
                ["totals"] => self.totals(),
                ["come-and-go", times, count] => {
                    self.come_and_go(times.parse().unwrap(), count.parse().unwrap());
                }
                ["hold-names", count] => self.hold_names(count.parse().unwrap()),
                ["names", count] => self.names(count.parse().unwrap()),
                ["directory"] => say!("directory {}", self.channel().directory().display()),
                ["chdir", path] => {
                    std::env::set_current_dir(path).unwrap();
                    say!("changed {path}");
                }
                ["chroot", path] => {
                    rustix::process::chroot(path).unwrap();
                    say!("changed {path}");
                }
                ["user", id] => {
                    nix::unistd::setuid(id.parse::<u32>().unwrap().into()).unwrap();
                    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
                    say!("changed {id}");
                }
                ["make", path, mode] => make(path, mode),
                ["remove", path] => {
                    std::fs::remove_dir_all(path).unwrap();
                    say!("removed {path}");
                }
                ["mount", at, options] => mount_over(at, options),
                ["unmount", at] => unmount(at),
                ["shut"] => self.shut(),
                ["drop-channel"] => drop(self.channel.take()),
                ["connect", name, ..] => self.connect(name, words.get(2).copied()),
                ["connect-many", count] => self.connect_many(count.parse().unwrap()),
                ["send", name, ..] => self.send(name, words[2..].join(" ")),
                ["numbers", name, count] => self.stream(name, count.parse().unwrap(), 0),
                ["stream", name] => self.stream(name, u64::MAX, 0),
                ["bulk", name, count, size] => {
                    self.stream(name, count.parse().unwrap(), size.parse().unwrap());
                }
                ["mix", name] => self.mix(name),
                ["link", name] => self.link(name),
                ["stop", name] => self.sockets[name].stop.store(true, Ordering::Relaxed),
                ["fill", name, size] => self.fill(name, size.parse().unwrap()),
                ["flush", name] => self.flush(name),
                ["close", name] => self.close(name),
                ["drop", name] => drop(self.sockets.remove(name)),
                ["finish", name] => self.finish(name),
                ["destroy", name] => self.sockets[name].socket.destroy(),
                ["take", name] => take(name, &self.sockets[name].socket),
                ["answer"] => self.backstage.cue.notify_one(),
                ["release"] => self.release(),
                ["block", millis] => block(millis.parse().unwrap()),
                ["fork"] => fork_and_wait(),
                ["descriptors", limit] => limit_descriptors(limit),
                ["eat", spare] => self.eat(spare.parse().unwrap()),
                ["spit"] => self.eaten.clear(),
                ["little-memory", spare] => {
                    limit(Resource::As, mapped() + spare.parse::<u64>().unwrap())
                }
                ["small-files", most] => limit(Resource::Fsize, most.parse().unwrap()),
                ["connect-and-close", times] => self.connect_and_close(times.parse().unwrap()),
                ["count-calls"] => drop(std::thread::spawn(calls::count_in_a_busy_pair)),
                ["stuff", path] => stuff(path),
                ["glut", path] => glut(path),
                _ => panic!("no such command: {command:?}"),
            }
        }
    }

    fn open(&mut self, settings: &[&str]) {
        let settings: HashMap<&str, &str> =
            settings.iter().filter_map(|word| word.split_once('=')).collect();
        let name: Vec<u8> = settings["name"]
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        let builder = configured(Channel::builder(String::from_utf8(name).unwrap()), &settings);
        let backstage = Arc::clone(&self.backstage);
        let built = match settings.get("role") {
            Some(&"peer") => builder.build_peer(),
            _ => builder.build(move |socket| listen(socket, Arc::clone(&backstage))),
        };
        let channel = match built {
            Ok(channel) => channel,
            Err(error) => return say!("error open {error}"),
        };
        let mut events = channel.events();
        let muted = Arc::clone(&self.muted);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::HostLost { .. } | Event::HandedOver { .. } = event {
                    for (name, socket) in muted.lock().unwrap().iter() {
                        take(name, socket);
                    }
                }
                say_event(event);
            }
        });
        self.channel = Some(channel);
        say!("opened");
    }

    /// Opens the channel again and again, sends numbered messages and closes it.
    fn come_and_go(&self, times: u64, count: u64) {
        let backstage = Arc::clone(&self.backstage);
        tokio::spawn(async move {
            for _ in 0..times {
                if let Err(error) = come_and_go(&backstage, "test".into(), count).await {
                    return say!("error come-and-go {error}");
                }
            }
            say!("went");
        });
    }

    /// Does the same once on each of many channels.
    fn names(&self, count: u64) {
        let backstage = Arc::clone(&self.backstage);
        tokio::spawn(async move {
            for name in 0..count {
                if let Err(error) = come_and_go(&backstage, format!("name {name}"), 1).await {
                    return say!("error names {error}");
                }
            }
            say!("named {count}");
        });
    }

    /// Joins many channels, and stays.
    fn hold_names(&self, count: u64) {
        let backstage = Arc::clone(&self.backstage);
        tokio::spawn(async move {
            let mut channels = Vec::new();
            for name in 0..count {
                let backstage = Arc::clone(&backstage);
                let builder = configured(Channel::builder(format!("held {name}")), &HashMap::new());
                let built = builder.build(move |socket| listen(socket, Arc::clone(&backstage)));
                let channel = built.unwrap();
                channel.join().await.unwrap();
                channels.push(channel);
            }
            say!("held {count}");
            std::future::pending::<()>().await;
        });
    }

    fn channel(&self) -> &Channel {
        self.channel.as_ref().unwrap()
    }

    fn join(&self) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            match channel.join().await {
                Ok(role) => say!("joined {role} {}", channel.generation()),
                Err(error) => say!("error join {error}"),
            }
        });
    }

    fn status(&self) {
        let channel = self.channel();
        say!("status {} {} {}", channel.role(), channel.generation(), channel.state());
    }

    fn totals(&self) {
        let sums = self.channel().stats().totals();
        let age = |age: Option<Duration>| age.map_or(-1, |age| age.as_millis().cast_signed());
        say!(
            "totals {} {} {} {} {} {}",
            sums.stalled,
            sums.unacknowledged,
            age(sums.oldest_unacknowledged),
            sums.held,
            age(sums.oldest_unhandled),
            sums.redelivered
        );
    }

    fn shut(&self) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            match channel.close().await {
                Ok(()) => say!("shut"),
                Err(error) => say!("error shut {error}"),
            }
        });
    }

    /// `mute`: messages are taken in when the host is lost. `once`: it does not reconnect.
    fn connect(&mut self, name: &str, how: Option<&str>) {
        let options = ConnectOptions::new().reconnect(how != Some("once"));
        let socket = Arc::new(self.channel().connect_with(options));
        say!("socket {name} {}", socket.id());
        if how == Some("mute") {
            self.muted.lock().unwrap().insert(name.into(), Arc::clone(&socket));
        } else {
            tokio::spawn(hear(name.to_owned(), Arc::clone(&socket)));
        }
        self.sockets.insert(name.into(), Line { socket, stop: Arc::default() });
    }

    /// Sockets of which each gets ten messages through.
    fn connect_many(&self, count: usize) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            let sockets: Vec<_> = (0..count).map(|_| channel.connect()).collect();
            for number in 1..=10 {
                for socket in &sockets {
                    if let Err(error) = socket.send(format!("n {number}")).await {
                        return say!("error many {error}");
                    }
                }
            }
            for socket in &sockets {
                if let Err(error) = socket.flush().await {
                    return say!("error many {error}");
                }
            }
            say!("many {count}");
            std::future::pending::<()>().await;
            drop(sockets);
        });
    }

    fn send(&self, name: &str, text: String) {
        let (name, socket) = (name.to_owned(), Arc::clone(&self.sockets[name].socket));
        tokio::spawn(async move {
            match socket.send(text).await {
                Ok(id) => say!("sent {name} {}", id.seq),
                Err(error) => say!("error send {name} {error}"),
            }
        });
    }

    /// Numbered messages, with ballast if need be, until enough or stopped. They are flushed now
    /// and then and at the end.
    fn stream(&self, name: &str, count: u64, size: usize) {
        let Line { socket, stop } = &self.sockets[name];
        let (name, socket, stop) = (name.to_owned(), Arc::clone(socket), Arc::clone(stop));
        stop.store(false, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut accepted = 0;
            while accepted < count && !stop.load(Ordering::Relaxed) {
                match socket.send(numbered(accepted + 1, size)).await {
                    Ok(id) => accepted = id.seq,
                    Err(error) => return say!("error stream {name} {error}"),
                }
                if accepted % FLUSH_EVERY == 0 {
                    if let Err(error) = socket.flush().await {
                        return say!("error stream {name} {error}");
                    }
                    say!("flushed {name} {accepted}");
                }
            }
            match socket.flush().await {
                Ok(()) => say!("streamed {name} {accepted}"),
                Err(error) => say!("error stream {name} {error}"),
            }
        });
    }

    /// A new socket with messages of all sizes in both directions.
    fn mix(&mut self, name: &str) {
        let socket = Arc::new(self.channel().connect());
        say!("socket {name} {}", socket.id());
        let line = Line { socket, stop: Arc::default() };
        tokio::spawn(mixture::send_and_check(
            name.to_owned(),
            Arc::clone(&line.socket),
            Arc::clone(&line.stop),
        ));
        self.sockets.insert(name.into(), line);
    }

    fn link(&self, name: &str) {
        match self.sockets[name].socket.link() {
            Some(link) => say!("link {name} {link}"),
            None => say!("link {name} none"),
        }
    }

    /// One socket after the other that gets a message and an answer through, and is closed.
    fn connect_and_close(&self, times: usize) {
        let channel = self.channel().clone();
        tokio::spawn(async move {
            for _ in 0..times {
                let socket = channel.connect();
                let sent = socket.send(mixture::message(1)).await.map(drop);
                let answered = socket.recv().await.map(|answer| answer.map(Message::ack));
                if let (Ok(()), Ok(Some(())), Ok(())) = (sent, answered, socket.close().await) {
                    continue;
                }
                say!("error close");
            }
            say!("closed {times}");
        });
    }

    /// Sends without end; reports when the outbox was full for the first time.
    fn fill(&self, name: &str, size: usize) {
        let (name, socket) = (name.to_owned(), Arc::clone(&self.sockets[name].socket));
        tokio::spawn(fill(name, socket, size));
    }

    fn flush(&self, name: &str) {
        let (name, socket) = (name.to_owned(), Arc::clone(&self.sockets[name].socket));
        tokio::spawn(async move {
            match socket.flush().await {
                Ok(()) => say!("flush {name}"),
                Err(error) => say!("error flush {name} {error}"),
            }
        });
    }

    fn finish(&self, name: &str) {
        match self.sockets[name].socket.finish() {
            Ok(()) => say!("finished {name}"),
            Err(error) => say!("error finish {name} {error}"),
        }
    }

    fn close(&self, name: &str) {
        let (name, socket) = (name.to_owned(), Arc::clone(&self.sockets[name].socket));
        tokio::spawn(async move {
            match socket.close().await {
                Ok(()) => say!("closed {name}"),
                Err(error) => say!("error close {name} {error}"),
            }
        });
    }

    fn release(&self) {
        let held = std::mem::take(&mut *self.backstage.held.lock().unwrap());
        let count = held.len();
        held.into_iter().for_each(Message::ack);
        say!("released {count}");
    }

    /// Takes all descriptors but `spare` of them.
    fn eat(&mut self, spare: usize) {
        while let Ok(file) = File::open("/dev/null") {
            self.eaten.push(file);
        }
        self.eaten.truncate(self.eaten.len().saturating_sub(spare));
        say!("eaten {}", self.eaten.len());
    }
}

fn configured(mut builder: Builder, settings: &HashMap<&str, &str>) -> Builder {
    let number = |key: &str| settings.get(key).map(|value| value.parse::<u64>().unwrap());
    let millis = |key: &str| number(key).map(Duration::from_millis);
    let size = |key: &str| number(key).map(|value| usize::try_from(value).unwrap());
    // Ample by default, so that a busy machine is no reason to fail.
    builder = builder.connect_timeout(millis("connect_timeout").unwrap_or(Duration::from_secs(25)));
    builder = builder.host_timeout(millis("host_timeout").unwrap_or(Duration::from_secs(20)));
    if let Some(app) = settings.get("app") {
        builder = builder.scope(Scope::App((*app).to_owned()));
    }
    if let Some(timeout) = millis("resume_timeout") {
        builder = builder.resume_timeout(timeout);
    }
    if let Some(time) = millis("stall_after") {
        builder = builder.stall_after(time);
    }
    if let Some(bytes) = size("outbox") {
        builder = builder.outbox_bytes(bytes);
    }
    if let Some(bytes) = size("window") {
        builder = builder.receive_window(bytes);
    }
    if let Some(bytes) = size("ring") {
        builder = builder.ring_bytes(bytes);
    }
    if let Some(bytes) = size("ring_memory") {
        builder = builder.ring_memory(bytes);
    }
    builder = match settings.get("link") {
        Some(&"unix") => builder.link(LinkKind::Unix),
        Some(&"ring") => builder.link(LinkKind::Ring),
        other => {
            assert_eq!(other, None);
            builder
        }
    };
    if let Some(connections) = size("max_connections") {
        builder = builder.max_connections(connections);
    }
    if let Some(uid) = number("allow") {
        builder = builder.allow_user(UserId::from_uid(u32::try_from(uid).unwrap()));
    }
    if let Some(path) = settings.get("generation_file") {
        builder = builder.generation_file(path);
    }
    match settings.get("dir") {
        Some(dir) => builder.runtime_dir(dir),
        None => builder,
    }
}

async fn come_and_go(backstage: &Arc<Backstage>, name: String, count: u64) -> Result<(), Error> {
    let backstage = Arc::clone(backstage);
    let builder = configured(Channel::builder(name), &HashMap::new());
    let channel = builder.build(move |socket| listen(socket, Arc::clone(&backstage)))?;
    let mut events = channel.events();
    let reporting = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            say_event(event);
        }
    });
    let socket = channel.connect();
    say!("socket s {}", socket.id());
    for number in 1..=count {
        socket.send(numbered(number, 0)).await?;
    }
    socket.flush().await?;
    say!("flushed {} {count}", socket.id());
    channel.close().await?;
    reporting.await.unwrap();
    Ok(())
}

fn say_event(event: Event) {
    match event {
        Event::Connected { role, generation } => say!("event connected {role} {generation}"),
        Event::BecameHost { generation } => say!("event became-host {generation}"),
        Event::HostLost { generation } => say!("event host-lost {generation}"),
        Event::HandedOver { generation } => say!("event handed-over {generation}"),
        Event::Fenced { generation } => say!("event fenced {generation}"),
        Event::Stalled(stall) => {
            let Stall { socket, generation, oldest, messages, .. } = stall;
            say!("event stalled {socket} {generation} {messages} {}", oldest.as_millis());
        }
        Event::StallEnded(end) => {
            say!(
                "event stall-ended {} {} {}",
                end.socket,
                end.acknowledged,
                end.lasted.as_millis()
            );
        }
        Event::Closed { error: None } => say!("event closed"),
        Event::Closed { error: Some(error) } => say!("event closed {error}"),
        other => say!("event unknown {other:?}"),
    }
}

/// A message of at least `size` bytes: its words, a zero, and ballast that can be checked.
fn numbered(number: u64, size: usize) -> Vec<u8> {
    let mut message = format!("n {number}").into_bytes();
    if message.len() < size {
        message.push(0);
        message.extend((message.len()..size).map(|at| ballast(number, at)));
    }
    message
}

fn ballast(number: u64, at: usize) -> u8 {
    let mixed = (number ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

/// The words of a message, up to the ballast.
pub(crate) fn text(message: &[u8]) -> String {
    let head = &message[..message.len().min(60)];
    let words = head.split(|&byte| byte == 0).next().unwrap();
    String::from_utf8_lossy(words).into_owned()
}

/// Every byte is where it belongs.
fn check(text: &str, message: &[u8]) {
    if let Some(number) = text.strip_prefix("n ").and_then(|number| number.parse::<u64>().ok())
        && message != numbered(number, message.len())
    {
        say!("corrupt {text}, {} bytes", message.len());
    }
}

/// The handler of each socket when this process hosts. A message's first word is its command.
async fn listen(socket: Socket, backstage: Arc<Backstage>) {
    let id = socket.id();
    say!("accepted {id}");
    let socket = Arc::new(socket);
    loop {
        let message = match socket.recv().await {
            Ok(Some(message)) => message,
            Ok(None) => return say!("ended {id}"),
            Err(error) => return say!("failed {id} {error}"),
        };
        let text = text(&message);
        if text.is_empty() || text.starts_with("n ") && text.split(' ').count() == 3 {
            mixture::answer(&socket, message.id().seq, message.redelivered(), &message).await;
            message.ack();
            return mixture::answer_all(&socket).await;
        }
        check(&text, &message);
        let (generation, seq, redelivered) =
            (socket.generation(), message.id().seq, message.redelivered());
        assert_eq!(message.id().socket, id);
        let mut words = text.split(' ');
        let what = words.next();
        let line =
            format!("handled {generation} {id} {seq} {redelivered} {} {text}", message.len());
        if what == Some("hold") {
            // The reader of the line may ask for the release at once.
            let mut held = backstage.held.lock().unwrap();
            say!("{line}");
            held.push(message);
            continue;
        }
        say!("{line}");
        match what {
            Some("panic") => std::panic::panic_any(AskedTo),
            Some("finish") => socket.finish().unwrap(),
            // A fault that only this host has; its other tasks go on elsewhere.
            Some("loop") if !redelivered => tokio::task::block_in_place(|| {
                loop {
                    std::hint::spin_loop();
                }
            }),
            // Never comes back for another one.
            Some("stall") => std::future::pending().await,
            Some("ask") => {
                backstage.cue.notified().await;
                for answer in 1..=words.next().unwrap().parse::<u64>().unwrap() {
                    if let Err(error) = socket.send(format!("answer {answer}")).await {
                        say!("error answer {id} {error}");
                    }
                }
                say!("answered {id}");
            }
            Some("which-link") => match socket.link() {
                Some(link) => say!("link-of {id} {link}"),
                None => say!("link-of {id} none"),
            },
            Some("flood") => drop(tokio::spawn(fill("flood".into(), Arc::clone(&socket), FLOOD))),
            _ => {}
        }
        message.ack();
    }
}

async fn fill(name: String, socket: Arc<Socket>, size: usize) {
    let payload = bytes::Bytes::from(vec![b'x'; size]);
    let mut reported = false;
    loop {
        let sent = match socket.try_send(payload.clone()) {
            Err(refused) if matches!(refused.error, Error::Full) => {
                if !reported {
                    reported = true;
                    say!("full {name}");
                }
                socket.send(payload.clone()).await
            }
            sent => sent,
        };
        if let Err(error) = sent {
            return say!("error fill {name} {error}");
        }
        tokio::task::yield_now().await;
    }
}

/// The undeliverable messages of a socket of this process.
async fn hear(name: String, socket: Arc<Socket>) {
    loop {
        match socket.recv().await {
            Ok(Some(message)) => {
                say!("reply {name} {} {}", message.id().seq, text(&message));
                message.ack();
            }
            Ok(None) => return say!("end {name}"),
            Err(error) => return say!("error recv {name} {error}"),
        }
    }
}

/// Everything that is there already.
fn take(name: &str, socket: &Socket) {
    loop {
        match socket.try_recv() {
            Ok(Some(message)) => {
                say!("reply {name} {} {}", message.id().seq, text(&message));
                message.ack();
            }
            Ok(None) => return say!("end {name}"),
            Err(TryRecvError::Empty) => return say!("taken {name}"),
            Err(error) => return say!("error recv {name} {error}"),
        }
    }
}

/// Computes on the runtime's own thread, which can do nothing else meanwhile.
fn block(millis: u64) {
    say!("blocking");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(millis) {
        std::hint::spin_loop();
    }
    say!("unblocked");
}

fn fork_and_wait() {
    // SAFETY: the child does nothing but wait for signals, which needs neither locks nor memory.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => say!("forked {child}"),
        nix::unistd::ForkResult::Child => loop {
            nix::unistd::pause();
        },
    }
}

fn limit_descriptors(limit: &str) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = match limit {
        "max" => maximum,
        // Numbers beyond the highest one in use.
        spare => {
            let used = std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u64>().ok());
            Some(used.max().unwrap() + 1 + spare.parse::<u64>().unwrap())
        }
    };
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    say!("descriptors {current:?}");
}

/// Bytes of address space in use.
fn mapped() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

fn limit(resource: Resource, most: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(most), maximum }).unwrap();
    say!("limited {most}");
}

/// System calls that fail, as under a container's filter or without memory.
mod denial {
    use std::collections::BTreeMap;

    use rustix::io::Errno;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// Denies `what`: `memfd`, `memory` (none for a memfd) or `sharing` (of mappings). Otherwise it
    /// is one of `flock`, `symlink` and `bind`, with the number of their error. With 0 the call
    /// does nothing and succeeds.
    pub(super) fn enforce(what: &str) {
        use SeccompCmpOp::MaskedEq;
        const MAP_SHARED: u64 = 1;
        let sharing =
            || SeccompCondition::new(3, SeccompCmpArgLen::Dword, MaskedEq(MAP_SHARED), MAP_SHARED);
        let with = |number: &str| number.parse().unwrap();
        let (call, rules, errno) = match what.split(' ').collect::<Vec<_>>()[..] {
            ["memfd"] => {
                (libc::SYS_memfd_create, vec![], Errno::PERM.raw_os_error().unsigned_abs())
            }
            ["memory"] => (libc::SYS_ftruncate, vec![], Errno::NOMEM.raw_os_error().unsigned_abs()),
            ["sharing"] => {
                let rule = SeccompRule::new(vec![sharing().unwrap()]).unwrap();
                (libc::SYS_mmap, vec![rule], Errno::NOMEM.raw_os_error().unsigned_abs())
            }
            ["flock", number] => (libc::SYS_flock, vec![], with(number)),
            ["symlink", number] => (libc::SYS_symlinkat, vec![], with(number)),
            ["bind", number] => (libc::SYS_bind, vec![], with(number)),
            _ => panic!("{what}"),
        };
        let rules = BTreeMap::from([(call, rules)]);
        let error = SeccompAction::Errno(errno);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, error, arch).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    }
}

/// A directory with its parents.
fn make(path: &str, mode: &str) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::create_dir_all(path).unwrap();
    let mode = u32::from_str_radix(mode, 8).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    say!("made {path}");
}

/// Another small file system over `at`, for this process and its neighbours.
fn mount_over(at: &str, options: &str) {
    nix::mount::mount(
        Some("small"),
        at,
        Some("tmpfs"),
        nix::mount::MsFlags::MS_NODEV,
        Some(options),
    )
    .unwrap();
    say!("mounted {at}");
}

/// Also while it is in use.
fn unmount(at: &str) {
    nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH).unwrap();
    say!("unmounted {at}");
}

/// Takes every inode.
fn stuff(path: &str) {
    let files =
        (0..100_000).take_while(|n| File::create(format!("{path}/stuffing-{n}")).is_ok()).count();
    say!("stuffed {files}");
}

/// Takes every block.
fn glut(path: &str) {
    let mut file = File::create(format!("{path}/glut")).unwrap();
    let blocks = (0..100_000).take_while(|_| file.write_all(&[0; 4096]).is_ok()).count();
    say!("glutted {blocks}");
}
