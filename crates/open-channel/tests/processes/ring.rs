//! Tests of rings in shared memory, which the other tests use too: kills in the middle of reads and
//! writes, by the thousand.
//!
//! `OPEN_CHANNEL_KILLS` is the number of processes that each of the two tests kills inside of a
//! call; 500 by default. A quarter of them has to be in a call that writes, reads in place or
//! acknowledges.

use std::path::PathBuf;
use std::time::Duration;

use crate::actor::variables::{DENIED, GROUP, RUNTIME};
use crate::control_group::ControlGroup;
use crate::failover::{connected, host_of, traffic_flows};
use crate::ledger::Ledger;
use crate::stage::{Actor, Stage, now, opening};
use crate::whereabouts::{self, Place, Whereabouts};

const KILLS: u64 = 500;
/// The longest time for which a process works before it is killed.
const LONGEST_LIFE: u64 = 3_000;
/// The longest time for which it goes on after it was stopped outside of a call.
const NEXT_TRY: u64 = 300;

/// Stops of a process in search of a moment inside of a call. A stop is cheaper than another
/// process.
const TRIES: usize = 12;

fn kills() -> u64 {
    std::env::var("OPEN_CHANNEL_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Sleeps for a random number of microseconds.
fn a_moment(random: &mut u64, longest: u64) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    std::thread::sleep(Duration::from_micros(*random % longest));
}

/// A process of one thread, which does not say when it has joined.
fn joining(stage: &Stage, label: String, settings: &str) -> Actor {
    let whereabouts = whereabouts_of_all(stage);
    std::fs::create_dir_all(&whereabouts).unwrap();
    let environment =
        [(RUNTIME, "current"), (whereabouts::VARIABLE, whereabouts.to_str().unwrap())];
    let actor = stage.actor_with(label, &environment);
    actor.tell(&opening(settings));
    actor.tell("join");
    actor
}

fn whereabouts_of_all(stage: &Stage) -> PathBuf {
    stage.path().join("whereabouts")
}

/// Kills a process inside of a call: stopped at a random moment, it stays there. Returns the place.
fn kill_at_work(stage: &Stage, victim: &Actor, random: &mut u64) -> Place {
    let pid = victim.pid.as_raw_nonzero().get().unsigned_abs();
    let whereabouts = Whereabouts::of(&whereabouts_of_all(stage), pid);
    for tries in 1..=TRIES {
        a_moment(random, if tries == 1 { LONGEST_LIFE } else { NEXT_TRY });
        victim.stop();
        match whereabouts.place() {
            Place::AtWork => break,
            // It waits most of the time, so the first tries are for other calls.
            Place::Waiting if tries > TRIES / 2 => break,
            _ => victim.resume(),
        }
    }
    victim.kill();
    whereabouts.place()
}

/// Counts the kills by their place, until enough of them were inside of a call.
#[derive(Default)]
struct Kills {
    all: u64,
    at_work: u64,
    waiting: u64,
}

impl Kills {
    fn are_enough(&self) -> bool {
        let enough = self.at_work + self.waiting >= kills() && self.at_work >= kills() / 4;
        assert!(enough || self.all < 5 * kills(), "hardly any kill hits: {self}");
        enough
    }

    fn count(&mut self, place: Place) {
        self.all += 1;
        match place {
            Place::Outside => {}
            Place::AtWork => self.at_work += 1,
            Place::Waiting => self.waiting += 1,
        }
    }
}

impl std::fmt::Display for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all, at_work, waiting } = self;
        write!(
            f,
            "{all} kills, {at_work} inside of calls that write, read in place or acknowledge, {waiting} inside of those that wait, or read"
        )
    }
}

/// The messages that these received were whole and in order.
fn check_content(actors: &[Actor]) {
    for actor in actors {
        for line in actor.lines() {
            let bad = line.is("corrupt") || line.is("disorder") || line.is("error");
            assert!(!bad, "{}: {}", actor.label, line.text);
        }
    }
}

/// One channel with a sender that lives and hosts that do not.
struct World {
    settings: String,
    sender: Actor,
    living: Vec<Actor>,
    dead: Vec<Actor>,
}

impl World {
    fn new(stage: &Stage, n: usize, ring: usize) -> Self {
        let dir = stage.path().join(format!("world-{n}"));
        let settings = format!("dir={} ring={ring}", dir.display());
        let living = (0..3).map(|n| joining(stage, format!("host {n}"), &settings)).collect();
        let sender = stage.actor(format!("sender {n}"));
        sender.open(&format!("{settings} role=peer"));
        sender.tell("mix s");
        Self { settings, sender, living, dead: Vec::new() }
    }

    /// Kills the present host when it is at work, and starts the one after the next.
    fn kill_host(&mut self, stage: &Stage, random: &mut u64) -> Place {
        let generation = self.dead.len() as u64 + 1;
        let host = self.living.swap_remove(host_of(&self.living, generation));
        host.wait("handled");
        let place = kill_at_work(stage, &host, random);
        self.dead.push(host);
        self.living.push(joining(
            stage,
            format!("host of {} or later", generation + 2),
            &self.settings,
        ));
        place
    }

    fn check(self) {
        let Self { sender, living, mut dead, .. } = self;
        traffic_flows([&sender]);
        assert_eq!(sender.ask("link s", "link s").text, "link s shared memory");
        sender.tell("stop s");
        let accepted = sender.wait("streamed s").number(2);
        let socket = sender.wait("socket s").word(2).to_owned();
        connected(&sender, dead.len() as u64 + 1);
        let jumps = sender.count("jump");
        assert!(jumps <= dead.len(), "{jumps} gaps in the answers of {} hosts", dead.len());
        let ledger = Ledger::of(living.iter().chain(&dead));
        ledger.check_order_and_marks();
        ledger.check_complete(&socket, accepted);
        ledger.check_acknowledged_for_good(&sender, "s", &socket);
        println!(
            "{} hosts killed, {accepted} messages, {} delivered again, {jumps} gaps in the answers",
            dead.len(),
            ledger.repeated()
        );
        dead.push(sender);
        check_content(&dead);
        check_content(&living);
    }
}

pub(crate) fn hosts_killed_while_they_read_and_write_lose_and_tear_nothing(stage: &mut Stage) {
    let mut random = 0x2545_f491_4f6c_dd1d;
    // The default; and so small that longer messages pass in many parts.
    let mut worlds: Vec<_> = [256 << 10, 16 << 10, 4 << 10]
        .iter()
        .enumerate()
        .map(|(n, ring)| World::new(stage, n, *ring))
        .collect();
    let mut killed = Kills::default();
    while !killed.are_enough() {
        // While one of them recovers from its loss, the next loses its own.
        worlds.iter_mut().for_each(|world| killed.count(world.kill_host(stage, &mut random)));
    }
    println!("hosts: {killed}");
    worlds.into_iter().for_each(World::check);
}

pub(crate) fn peers_killed_while_they_read_and_write_tear_nothing(stage: &mut Stage) {
    // With more, victims and killer wait for a processor most of the time.
    const AT_ONCE: usize = 2;
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let host = stage.joined("host", "");
    let bystander = stage.joined("bystander", "role=peer");
    bystander.tell("connect s");
    let peer = |n: u64| {
        let ring = [256 << 10, 16 << 10, 4 << 10][usize::try_from(n % 3).unwrap()];
        let peer = joining(stage, format!("peer {n}"), &format!("role=peer ring={ring}"));
        peer.tell("mix s");
        peer
    };
    let mut living: std::collections::VecDeque<_> = (0..AT_ONCE as u64).map(peer).collect();
    let mut dead = Vec::new();
    let mut killed = Kills::default();
    while !killed.are_enough() {
        let victim = living.pop_front().unwrap();
        victim.wait("mixing s");
        killed.count(kill_at_work(stage, &victim, &mut random));
        dead.push(victim);
        living.push_back(peer(killed.all + AT_ONCE as u64));
    }
    let survivors: Vec<_> = living.into_iter().collect();
    traffic_flows(&survivors);
    survivors.iter().for_each(|peer| peer.tell("stop s"));
    let accepted: Vec<_> = survivors.iter().map(|peer| peer.wait("streamed s").number(2)).collect();
    bystander.ask("numbers s 10", "streamed s");

    let ledger = Ledger::of([&host]);
    ledger.check_order_and_marks();
    assert_eq!(ledger.redelivered(), 0, "the host never changed");
    for (peer, accepted) in survivors.iter().zip(accepted) {
        ledger.check_complete(peer.wait("socket s").word(2), accepted);
    }
    for peer in &dead {
        // An acknowledged message had been handled.
        let socket = peer.wait("socket s").word(2).to_owned();
        let handled = ledger.of_socket(&socket).len() as u64;
        let flushed = peer
            .lines()
            .iter()
            .rev()
            .find(|line| line.is("flushed s"))
            .map_or(0, |line| line.number(2));
        assert!(handled >= flushed.max(1), "{}: {handled} of {flushed} handled", peer.label);
        assert_eq!(peer.count("jump"), 0, "{}: answers were skipped", peer.label);
    }
    println!("peers: {killed}, {} messages", ledger.total());
    host.until("the ends of their sockets", |lines| {
        let ended = lines.iter().filter(|line| line.is("failed") || line.is("ended")).count();
        (ended == dead.len()).then_some(())
    });
    let lines = host.lines();
    assert!(!lines.iter().any(|line| line.is("corrupt")), "torn");
    check_content(&dead);
    check_content(&survivors);
}

/// A process whose kernel denies it something.
fn denied(stage: &Stage, what: &str, settings: &str) -> Actor {
    let actor = stage.actor_with(format!("denied {what}"), &[(DENIED, what)]);
    actor.open(settings);
    actor.ask("join", "joined");
    actor
}

/// Messages flow from this peer, and this carries them.
pub(crate) fn link_of(peer: &Actor) -> String {
    peer.tell("connect s");
    peer.ask("numbers s 100", "streamed s");
    let line = peer.ask("link s", "link s").text;
    line.trim_start_matches("link s ").to_owned()
}

pub(crate) fn a_peer_that_cannot_share_memory_stays_with_the_socket(stage: &mut Stage) {
    let _host = stage.joined("host", "");
    assert_eq!(link_of(&stage.joined("able", "role=peer")), "shared memory");
    // A container's filter, no memory for the pages, none to map.
    for what in ["memfd", "memory", "sharing"] {
        assert_eq!(link_of(&denied(stage, what, "role=peer")), "unix socket", "{what}");
    }
    assert_eq!(link_of(&stage.joined("unwilling", "role=peer link=unix")), "unix socket");
}

pub(crate) fn a_host_that_cannot_share_memory_stays_with_the_socket(stage: &mut Stage) {
    let _host = denied(stage, "sharing", "");
    assert_eq!(link_of(&stage.joined("able", "role=peer")), "unix socket");
    let forced = stage.joined("forced", "role=peer link=ring");
    forced.tell("connect s");
    forced.tell("numbers s 1");
    let problem = forced.wait("error").text;
    assert!(problem.contains("memory"), "{problem}");
}

/// Rings of this size need twice as much address space.
const LARGE: &str = "ring=16777216";
const LITTLE: &str = "little-memory 16777216";
/// Not even enough for small rings.
const LEAST: &str = "little-memory 1048576";
/// 64 messages of 1 MiB.
const BULK: &str = "bulk b 64 1048576";

pub(crate) fn without_address_space_the_socket_carries_on(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let peer = stage.joined("peer", &format!("role=peer {LARGE}"));
    assert_eq!(link_of(&peer), "shared memory");
    // Smaller ones still fit.
    peer.ask(LITTLE, "limited");
    assert_eq!(link_of(&peer), "shared memory");
    peer.ask(LEAST, "limited");
    assert_eq!(link_of(&peer), "unix socket");
    host.ask(LITTLE, "limited");
    assert_eq!(link_of(&stage.joined("able", &format!("role=peer {LARGE}"))), "unix socket");
    assert_eq!(link_of(&stage.joined("modest", "role=peer ring=262144")), "shared memory");
}

/// The kernel would not refuse the pages, but kill a process.
pub(crate) fn where_little_memory_is_left_rings_stay_small(stage: &mut Stage) {
    const LIMIT: u64 = 40 << 20;
    let group = ControlGroup::of_memory(LIMIT).unwrap();
    let poor = |label: &str, settings: &str| {
        let actor = stage.actor_with(label, &[(GROUP, group.path())]);
        actor.open(settings);
        actor.ask("join", "joined");
        actor
    };
    for (label, settings) in [("rich host", ""), ("poor host", "dir=poor")] {
        let settings = settings.replace("dir=", &format!("dir={}/", stage.path().display()));
        let host = match label {
            "rich host" => stage.joined(label, &settings),
            _ => poor(label, &settings),
        };
        let peers = ["one", "two"].map(|peer| poor(peer, &format!("role=peer {LARGE} {settings}")));
        for peer in &peers {
            assert_eq!(link_of(peer), "shared memory");
            peer.tell("connect b");
            peer.tell(BULK);
        }
        for peer in &peers {
            peer.wait("streamed b");
            assert!(shared_memory_of(peer) < LIMIT / 2, "{}", shared_memory_of(peer));
        }
        drop((host, peers));
    }
}

/// Bytes of shared memory that a process has touched.
fn shared_memory_of(actor: &Actor) -> u64 {
    let path = format!("/proc/{}/status", actor.pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssShmem:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The limit holds for any spread over its sockets.
pub(crate) fn the_rings_of_a_process_take_no_more_than_they_may_together(stage: &mut Stage) {
    // Three pairs of rings with a first lap of 256 KiB, and their control lines.
    const MOST: &str = "ring_memory=2097152";
    for (who, host, peer) in [("host", MOST, ""), ("peer", "", MOST)] {
        let dir = format!("dir={}", stage.path().join(who).display());
        let _host = stage.joined("host", &format!("{dir} {host}"));
        let peer = stage.joined("peer", &format!("{dir} {peer} role=peer"));
        let link_of = |name: &str| {
            peer.ask(&format!("connect {name}"), &format!("socket {name}"));
            peer.ask(&format!("numbers {name} 100"), &format!("streamed {name}"));
            let line = peer.ask(&format!("link {name}"), &format!("link {name}")).text;
            line.trim_start_matches(&format!("link {name} ")).to_owned()
        };
        let links: Vec<_> = (0..6).map(|n| link_of(&format!("s{n}"))).collect();
        let expected = [["shared memory"; 3], ["unix socket"; 3]].concat();
        assert_eq!(links, expected, "{who}");
        // There is room again when one is gone, which both sides notice after a while.
        peer.ask("close s1", "closed s1");
        peer.tell("drop s1");
        let found = (0..1000).any(|n| link_of(&format!("again{n}")) == "shared memory");
        assert!(found, "{who}: the room of a ring that is gone is lost");
    }
}

/// One message does not take the memory that a stream of them needs.
pub(crate) fn rings_grow_with_what_they_carry_as_far_as_they_may(stage: &mut Stage) {
    const MIB: u64 = 1 << 20;
    let _host = stage.joined("host", "");
    for (label, settings, least, most) in
        [("free", "", 4 * MIB, 9 * MIB), ("limited", "ring_memory=2097152", MIB / 2, 2 * MIB)]
    {
        let peer = stage.joined(label, &format!("role=peer {settings}"));
        assert_eq!(link_of(&peer), "shared memory");
        peer.tell("connect b");
        peer.ask("bulk b 1 1048576", "streamed b");
        assert!(shared_memory_of(&peer) < MIB, "{label}: {}", shared_memory_of(&peer));
        peer.ask(BULK, "streamed b");
        let taken = shared_memory_of(&peer);
        assert!((least..most).contains(&taken), "{label}: {taken}");
    }
}

/// Otherwise the kernel would kill it at the first use.
pub(crate) fn many_rings_leave_a_small_group_its_memory(stage: &mut Stage) {
    let group = ControlGroup::of_memory(160 << 20).unwrap();
    let _host = stage.joined("host", "");
    let peer = stage.actor_with("peer", &[(GROUP, group.path())]);
    peer.open("role=peer ring=4194304");
    peer.ask("join", "joined");
    let names: Vec<_> = (0..400).map(|n| format!("s{n}")).collect();
    for name in &names {
        peer.ask(&format!("connect {name}"), &format!("socket {name}"));
        peer.ask(&format!("numbers {name} 1"), &format!("streamed {name}"));
    }
    let links: Vec<_> = names
        .iter()
        .map(|name| peer.ask(&format!("link {name}"), &format!("link {name}")).text)
        .collect();
    let rings = links.iter().filter(|link| link.ends_with("shared memory")).count();
    assert!((50..399).contains(&rings), "{rings} rings of 512 KiB in a group of 160 MiB");
    // As much on each as lets its ring grow.
    for (name, _) in names.iter().zip(&links).filter(|(_, link)| link.ends_with("shared memory")) {
        peer.ask(&format!("bulk {name} 10 65536"), &format!("streamed {name}"));
    }
}

/// To the kernel a piece of memory is a file. A write beyond the limit is a deadly signal.
pub(crate) fn a_limit_to_the_size_of_files_is_respected(stage: &mut Stage) {
    let host = stage.joined("host", "");
    host.ask("small-files 100000", "limited");
    let peer = stage.joined("peer", "role=peer");
    // Rings that other processes made may be used.
    assert_eq!(link_of(&peer), "shared memory");
    peer.ask("small-files 100000", "limited");
    assert_eq!(link_of(&peer), "unix socket");
}

pub(crate) fn with_few_descriptors_left_the_socket_carries_on(stage: &mut Stage) {
    for spare in 1..=6 {
        let settings = format!("dir={}", stage.path().join(format!("spare-{spare}")).display());
        let host = stage.joined(format!("host {spare}"), &settings);
        let peer = stage.joined(format!("peer {spare}"), &format!("role=peer {settings}"));
        peer.ask("descriptors 1", "descriptors");
        peer.ask(&format!("eat {spare}"), "eaten");
        assert_eq!(link_of(&peer), "unix socket", "a peer with {spare} left");
        let able = stage.joined(format!("able {spare}"), &format!("role=peer {settings}"));
        host.ask("descriptors 1", "descriptors");
        host.ask(&format!("eat {spare}"), "eaten");
        assert_eq!(link_of(&able), "unix socket", "a host with {spare} left");
    }
}

pub(crate) fn both_sides_say_which_link_they_use(stage: &mut Stage) {
    let host = stage.joined("host", "");
    for (settings, link) in
        [("", "shared memory"), ("link=unix", "unix socket"), ("link=ring", "shared memory")]
    {
        let peer = stage.joined(format!("peer {settings}"), &format!("role=peer {settings}"));
        assert_eq!(link_of(&peer), link);
        peer.ask("send s which-link", "sent s");
        let socket = peer.wait("socket s").word(2).to_owned();
        let line = host.find(0, "the link", |line| line.is(&format!("link-of {socket}")));
        assert!(line.text.ends_with(link), "{line:?}");
    }
    // A host that shares no memory is an error, if the link is forced to share it.
    let dir = format!("dir={}", stage.path().join("unwilling").display());
    let _unwilling = stage.joined("unwilling", &format!("{dir} link=unix"));
    assert_eq!(link_of(&stage.joined("peer", &format!("{dir} role=peer"))), "unix socket");
    let forced = stage.joined("forced", &format!("{dir} role=peer link=ring"));
    forced.ask("connect s", "socket s");
    let error = forced.wait("error recv s");
    assert!(error.text.contains("no memory can be shared with it"), "{error:?}");
    // A host's own sockets use a ring too if that is forced.
    let dir = format!("dir={}", stage.path().join("alone").display());
    assert_eq!(link_of(&stage.joined("alone", &format!("{dir} link=ring"))), "shared memory");
}

/// The old host's claims end with the change. The mark reports them to the new host.
pub(crate) fn a_stopped_host_takes_nothing_more_from_its_ring(stage: &mut Stage) {
    for round in 0..5 {
        let dir = stage.path().join(format!("round-{round}"));
        let settings = format!("host_timeout=600 dir={}", dir.display());
        let host = stage.joined("host", &settings);
        let successor = stage.joined("successor", &settings);
        let peer = stage.joined("peer", &format!("{settings} role=peer"));
        let socket = peer.ask("connect s", "socket s").word(2).to_owned();
        peer.ask("send s n 1", "sent s");
        peer.ask("flush s", "flush s");
        assert_eq!(peer.ask("link s", "link s").text, "link s shared memory");
        // Claimed, and not acknowledged for as long as its handler lives.
        peer.ask("send s hold", "sent s");
        host.find(0, "the held message", |line| line.is("handled") && line.word(6) == "hold");
        host.stop();
        for number in 3..=100 {
            peer.ask(&format!("send s n {number}"), "sent s");
        }
        assert_eq!(connected(&successor, 2), "host");
        assert_eq!(connected(&peer, 2), "peer");
        successor.find(0, "the last message", |line| line.is("handled") && line.word(3) == "100");
        assert_eq!(peer.ask("link s", "link s").text, "link s shared memory");
        let woken = now();
        host.resume();
        host.wait("event fenced");
        host.wait(&format!("failed {socket}"));
        host.catch_up();
        let late: Vec<_> =
            host.lines().into_iter().filter(|line| line.is("handled") && line.at > woken).collect();
        assert!(late.is_empty(), "handled by a fenced host: {late:?}");
        let handled = successor.lines().into_iter().filter(|line| line.is("handled"));
        let handled: Vec<_> =
            handled.map(|line| (line.number(3), line.word(4) == "true")).collect();
        // Messages in the ring that were not claimed have been seen by nobody.
        let claimed = host
            .lines()
            .iter()
            .filter(|line| line.is("handled"))
            .map(|line| line.number(3))
            .max()
            .unwrap();
        let expected: Vec<_> = (2..=100).map(|seq| (seq, seq <= claimed)).collect();
        assert_eq!(handled, expected, "the old host claimed up to {claimed}");
    }
}

pub(crate) fn a_ring_leaves_nothing_behind(stage: &mut Stage) {
    let host = stage.joined("host", "");
    let peer = stage.joined("peer", "role=peer");
    let open = |actor: &Actor| {
        let fds = format!("/proc/{}/fd", actor.pid.as_raw_nonzero());
        std::fs::read_dir(fds).unwrap().count()
    };
    let mapped = |actor: &Actor| {
        let maps =
            std::fs::read_to_string(format!("/proc/{}/maps", actor.pid.as_raw_nonzero())).unwrap();
        maps.lines().filter(|line| line.contains("memfd:open-channel")).count()
    };
    peer.ask("connect-and-close 1", "closed 1");
    stage_until(|| mapped(&host) == 0 && mapped(&peer) == 0);
    let before = (open(&host), open(&peer));
    let shared = || std::fs::read_dir("/dev/shm").unwrap().count();
    let named = shared();
    peer.ask("connect-and-close 100", "closed 100");
    stage_until(|| {
        (open(&host), open(&peer)) <= before && mapped(&host) == 0 && mapped(&peer) == 0
    });
    stage_until(|| shared() <= named);
}

/// Waits for a state that only the kernel shows; the watchdog ends it.
pub(crate) fn stage_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
