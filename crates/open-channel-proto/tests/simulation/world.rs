//! The world: who lives in it, what can happen in it at each step, and what must be true then.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use bytes::{Buf, BytesMut};
use open_channel_proto::{
    Attachment, Closed, Features, Frame, HANDSHAKE_MAX_BODY, HEADER_LEN, Hello, Limits, MAX_BODY, MAX_CHUNK,
    Reject, RejectCode, ResetCode, Session, SocketId, TransmitBuffer, Welcome, decode,
};

use crate::endpoint::{CHANNEL, Content, Endpoint, Habits, Slot};
use crate::link::{Link, Rings};
use crate::random::Random;
use crate::tally::Tally;

/// Rounds of service without faults after which everything must be over.
const PATIENCE: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Socket number.
    Peer(usize),
    /// Host number, socket number.
    Host(usize, usize),
}

pub struct Socket {
    pub end: Endpoint,
    peer: usize,
    /// The newest version that it speaks.
    pub version: u16,
    /// The latest link, to tell overtaken hellos.
    latest: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    /// Hands over: takes nobody new and gives its application nothing new, acknowledges what is handled, then
    /// goes. Another host may be there already, so that what it gave out now would be given out twice.
    Leaving,
    /// Stopped; another host took over.
    Asleep,
    /// Awake again and about to find out: its application is given nothing more.
    Outdated,
    Dead,
}

pub struct Host {
    generation: u64,
    life: Life,
    /// The newest version that it speaks.
    pub version: u16,
    limits: Limits,
    /// Links that have not said hello yet.
    greeting: Vec<(usize, BytesMut)>,
    pub sockets: BTreeMap<usize, Endpoint>,
}

pub struct World {
    pub random: Random,
    pub trace: bool,
    pub now: u64,
    pub calm: bool,
    pub sockets: Vec<Socket>,
    pub hosts: Vec<Host>,
    pub links: Vec<Link>,
    /// The host that the rendezvous names.
    current: Option<usize>,
    pub max_message: usize,
    pub big: bool,
    /// How many in a hundred links are offered with a store, and how many of those are taken.
    offers: usize,
    takes: usize,
    /// How many in a hundred speak the first version only.
    old: usize,
    pub written: u64,
    pub tally: Tally,
}

macro_rules! note {
    ($world:expr, $($text:tt)*) => {
        if $world.trace {
            println!("{:>5}  {}", $world.now, format_args!($($text)*));
        }
    };
}

pub(crate) use note;

/// A new world and its whole life.
impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let big = random.chance(6);
        let mut world = Self {
            trace,
            now: 0,
            calm: false,
            sockets: Vec::new(),
            hosts: Vec::new(),
            links: Vec::new(),
            current: None,
            max_message: if big { 6 * MAX_CHUNK + 10 } else { random.pick(&[40, 300, 2000]) },
            big,
            offers: random.pick(&[0, 50, 90]),
            takes: random.pick(&[60, 100]),
            old: random.pick(&[0, 0, 40, 50]),
            written: 0,
            tally: Tally::default(),
            random,
        };
        for peer in 0..1 + world.random.below(4) {
            for _ in 0..1 + world.random.below(2) {
                let version = world.version();
                let mut limits = world.limits();
                if version > 1 {
                    limits.max_attempts = NonZeroU32::new(world.random.pick(&[0, 0, 1, 2, 3]));
                }
                let session = Session::new(SocketId(world.sockets.len() as u128 + 1), limits);
                let most = if world.big { 6 } else { 14 };
                let habits = Habits { replies: 0, ..world.habits() };
                let plan = world.plan(most);
                note!(world, "socket {} of peer {peer}: {limits:?}", world.sockets.len());
                let end = Endpoint::new(session, limits, habits, plan);
                world.sockets.push(Socket { end, peer, version, latest: None });
            }
        }
        world
    }

    fn limits(&mut self) -> Limits {
        let sizes: &[usize] = if self.big {
            &[100, 100_000, 270_000, 1 << 20]
        } else {
            &[1, 64, 65, 129, 200, 500, 1000, 4000, 100_000]
        };
        let (outbox, window) = (self.random.pick(sizes), self.random.pick(sizes));
        Limits::new(outbox, window, self.max_message)
    }

    fn version(&mut self) -> u16 {
        if self.random.chance(self.old) { 1 } else { 2 }
    }

    fn habits(&mut self) -> Habits {
        Habits {
            reads_late: self.random.chance(12),
            out_of_order: self.random.chance(50),
            packs: self.random.pick(&[0, 0, 30, 80]),
            takes_many: self.random.pick(&[0, 50, 100]),
            handles_many: self.random.pick(&[0, 50, 100]),
            replies: self.random.pick(&[0, 20, 100]),
            takes_back: self.random.pick(&[0, 0, 20, 50]),
            gives_back: self.random.pick(&[0, 0, 20, 50]),
            ends_early: if self.random.chance(25) { 4 } else { 0 },
            resets: if self.random.chance(6) { 5 } else { 0 },
        }
    }

    fn plan(&mut self, most: usize) -> VecDeque<usize> {
        (0..self.random.below(most + 1)).map(|_| self.length()).collect()
    }

    pub fn length(&mut self) -> usize {
        let max = self.max_message;
        match self.random.below(10) {
            0 => 0,
            1 => max,
            2 => max + 1,
            3 if self.big => {
                self.random.pick(&[MAX_CHUNK - 1, MAX_CHUNK, MAX_CHUNK + 1, 2 * MAX_CHUNK, 5 * MAX_CHUNK])
            }
            4..6 => self.random.below(max + 1),
            _ => self.random.below(max.min(150) + 1),
        }
    }

    /// Faults first, then peace, in which everything must come to a good end.
    pub fn live(mut self) -> Tally {
        for _ in 0..50 + self.random.below(750) {
            self.now += 1;
            self.step();
        }
        self.make_peace();
        for _ in 0..PATIENCE {
            self.now += 1;
            if self.is_over() {
                self.audit();
                return self.tally;
            }
            self.round();
        }
        let open: Vec<_> = self.sockets.iter().filter(|socket| !socket.end.is_closed()).collect();
        let states: Vec<_> = open.iter().map(|socket| format!("{:?}", socket.end.session)).collect();
        panic!("not over after {PATIENCE} rounds without faults; open sockets: {states:#?}");
    }

    fn is_over(&self) -> bool {
        let at_host = |socket: usize| self.hosts[self.current?].sockets.get(&socket);
        self.sockets
            .iter()
            .enumerate()
            .all(|(number, socket)| socket.end.is_closed() && at_host(number).is_none_or(Endpoint::is_closed))
    }

    /// The end of the world: nothing accepted is lost.
    fn audit(&mut self) {
        for Rings { up, down } in self.links.iter().filter_map(|link| link.rings.as_ref()) {
            up.check();
            down.check();
        }
        for number in 0..self.sockets.len() {
            self.deliver(Side::Peer(number));
            let end = &self.sockets[number].end;
            let closed = end.session.closed();
            if end.given_up {
                assert!(closed.is_some(), "socket {number} was given up and is still open");
                self.tally.reset += 1;
                continue;
            }
            assert_eq!(closed, Some(&Closed::Finished), "socket {number}");
            assert!(end.session.is_flushed(), "socket {number} is finished and not flushed");
            assert!(end.slots.is_empty(), "socket {number} is finished and has not handled everything");
            let lost = end.sent.entries.iter().position(|entry| !entry.handled);
            assert_eq!(lost, None, "socket {number}: a message was never handled by any host");
            self.tally.finished += 1;
            let Some(at_host) = self.current.and_then(|host| self.hosts[host].sockets.get(&number)) else {
                continue;
            };
            // The peer had finished, with an earlier host or before this one heard of it.
            let closed = at_host.session.closed();
            if let Some(Closed::Remotely { code: ResetCode::Closed, .. } | Closed::Locally) = closed {
                self.tally.finished_before += 1;
                continue;
            }
            assert_eq!(closed, Some(&Closed::Finished), "socket {number} at its host");
            let lost = at_host.sent.entries.iter().position(|entry| !entry.handled);
            assert_eq!(lost, None, "socket {number}: a message of the host was never handled");
        }
    }
}

/// What happens in a step of trouble.
impl World {
    fn step(&mut self) {
        match self.random.below(100) {
            0..4 => self.trouble(),
            4..17 => self.greet_some(),
            17..25 => {
                let socket = self.random.below(self.sockets.len());
                self.connect(socket);
                if self.random.chance(15) && self.sockets[socket].end.session.generation() < self.newest() {
                    // It thinks better of it and tries again: two hellos are under way.
                    self.write(Side::Peer(socket), usize::MAX);
                    self.lose(Side::Peer(socket));
                    self.connect(socket);
                }
            }
            25..62 => {
                let socket = self.random.below(self.sockets.len());
                self.serve(Side::Peer(socket));
            }
            _ => {
                let ends: Vec<Side> = (0..self.hosts.len())
                    .filter(|&host| self.is_awake(host))
                    .flat_map(|host| self.hosts[host].sockets.keys().map(move |&s| Side::Host(host, s)))
                    .collect();
                if !ends.is_empty() {
                    let side = self.random.pick(&ends);
                    self.serve(side);
                }
            }
        }
        if self.current.is_none() && self.random.chance(20) {
            self.elect();
        }
    }

    pub fn is_awake(&self, host: usize) -> bool {
        !matches!(self.hosts[host].life, Life::Asleep | Life::Dead)
    }

    fn elect(&mut self) {
        let limits = self.limits();
        let version = if self.calm { 2 } else { self.version() };
        let generation = self.hosts.len() as u64 + 1;
        note!(self, "host {} is elected, generation {generation}, {limits:?}", self.hosts.len());
        self.current = Some(self.hosts.len());
        self.hosts.push(Host {
            generation,
            life: Life::Running,
            version,
            limits,
            greeting: Vec::new(),
            sockets: BTreeMap::new(),
        });
    }

    fn trouble(&mut self) {
        match self.random.below(16) {
            0..10 => {
                let first = self.links.len().saturating_sub(5);
                if first < self.links.len() {
                    let link = first + self.random.below(self.links.len() - first);
                    self.tear(link);
                }
            }
            10 if self.random.chance(60) => {
                if let Some(host) = self.current {
                    note!(self, "host {host} crashes");
                    self.tally.crashes += 1;
                    self.die(host);
                }
            }
            11 if self.random.chance(60) => {
                if let Some(host) = self.current.take() {
                    note!(self, "host {host} hands over");
                    self.tally.handovers += 1;
                    self.hosts[host].life = Life::Leaving;
                    for end in self.hosts[host].sockets.values_mut().filter(|end| end.link.is_some()) {
                        Frame::GoAway.encode(&mut end.out);
                    }
                }
            }
            12 if self.random.chance(60) => {
                if let Some(host) = self.current.take() {
                    note!(self, "host {host} stops running and is fenced off");
                    self.tally.fenced += 1;
                    self.hosts[host].life = Life::Asleep;
                }
            }
            13 => {
                let awake = |life| if life == Life::Asleep { Life::Outdated } else { life };
                for host in &mut self.hosts {
                    host.life = awake(host.life);
                }
                note!(self, "stopped hosts run again");
            }
            _ => {
                for host in 0..self.hosts.len() {
                    if matches!(self.hosts[host].life, Life::Leaving | Life::Outdated)
                        && self.random.chance(50)
                    {
                        note!(self, "host {host} is gone");
                        self.die(host);
                    }
                }
            }
        }
    }

    /// A host's state is lost, and so is what is under way to it; what it said may still arrive.
    fn die(&mut self, host: usize) {
        if self.hosts[host].life != Life::Asleep {
            for socket in self.hosts[host].sockets.keys().copied().collect::<Vec<_>>() {
                let side = Side::Host(host, socket);
                let half_handled = self.end(side).has_half_handled_pack();
                self.tally.packs_half_handled_at_the_end_of_a_host += u64::from(half_handled);
                self.die_while_claiming(side);
            }
        }
        self.hosts[host].life = Life::Dead;
        self.hosts[host].greeting.clear();
        if self.current == Some(host) {
            self.current = None;
        }
        for link in (0..self.links.len()).filter(|&link| self.links[link].host == host).collect::<Vec<_>>() {
            self.tear(link);
        }
    }

    /// Breaks a link between any two bytes, in each direction elsewhere, noticed on each side at another time.
    fn tear(&mut self, link: usize) {
        note!(self, "link {link} breaks");
        self.tally.broken_links += 1;
        let (now, random) = (self.now, &mut self.random);
        let Link { up, down, .. } = &mut self.links[link];
        for pipe in [up, down] {
            let survive = if random.chance(30) { usize::MAX } else { random.below(pipe.len() + 1) };
            pipe.tear(survive);
            pipe.stall(now + random.below(30) as u64);
        }
    }

    /// One side does some of what it can do, in any order and measure.
    fn serve(&mut self, side: Side) {
        for _ in 0..1 + self.random.below(4) {
            let Habits { reads_late: late, gives_back, takes_back, .. } = self.end(side).habits;
            let life = match side {
                Side::Peer(_) => Life::Running,
                Side::Host(host, _) => self.hosts[host].life,
            };
            match self.random.below(20) {
                0..4 => self.send(side),
                4..7 if !late && life == Life::Running => self.deliver_some(side),
                7..9 if life == Life::Running && self.random.chance(gives_back) => self.give_back_some(side),
                7..9 if life != Life::Outdated => self.handle_some(side),
                9..12 => {
                    let most = self.measure();
                    self.write(side, most);
                }
                12..15 => {
                    let most = self.measure();
                    self.read(side, most);
                }
                15 => self.acknowledge(side),
                16 if self.random.chance(30) => self.repeat(side),
                16 if life == Life::Running && self.random.chance(takes_back) => self.take_back(side),
                16 => self.end(side).session.request_ack(),
                17 => self.mood(side),
                18 if self.random.chance(40) => self.stall_or_leave(side),
                _ => {
                    self.read(side, usize::MAX);
                    self.write(side, usize::MAX);
                }
            }
            self.check(side);
        }
    }

    fn measure(&mut self) -> usize {
        let all = if self.big { 100_000 } else { 400 };
        match self.random.below(4) {
            0 => 1 + self.random.below(12),
            1 => 1 + self.random.below(all),
            _ => usize::MAX,
        }
    }

    fn mood(&mut self, side: Side) {
        let habits = self.end(side).habits;
        if self.random.chance(habits.resets) {
            self.reset(side);
        } else if self.random.chance(habits.ends_early) {
            self.finish(side);
        } else if matches!(side, Side::Host(..)) && self.random.chance(20) {
            let length = self.length();
            self.end(side).plan.push_back(length);
        } else if !self.end(side).has_more_to_send() && self.random.chance(20) {
            self.finish(side);
        }
    }

    fn stall_or_leave(&mut self, side: Side) {
        let Some(link) = self.end(side).link else { return };
        let until = self.now + self.random.below(25) as u64;
        let gives_up = self.random.chance(15);
        let asleep = !self.is_awake(self.links[link].host);
        match side {
            Side::Peer(_) if self.end(side).session.is_going_away() || gives_up || asleep => {
                note!(self, "{side:?} lets go of link {link}");
                self.lose(side);
            }
            Side::Host(..) if self.end(side).is_closed() && self.end(side).out.is_empty() => self.lose(side),
            Side::Peer(_) => self.links[link].down.stall(until),
            Side::Host(..) => self.links[link].up.stall(until),
        }
    }
}

/// Peace: no faults, eager applications.
impl World {
    fn make_peace(&mut self) {
        note!(self, "peace");
        self.calm = true;
        for host in 0..self.hosts.len() {
            if self.hosts[host].life != Life::Running && self.hosts[host].life != Life::Dead {
                self.die(host);
            }
        }
        // Whom nobody can tell of a gap would wait for a newer host for ever.
        if let Some(host) = self.current.filter(|host| self.hosts[*host].version < 2)
            && self.sockets.iter().any(|socket| socket.version > 1)
        {
            self.die(host);
        }
        if self.current.is_none() {
            self.elect();
        }
        for link in &mut self.links {
            link.up.stall(0);
            link.down.stall(0);
        }
    }

    fn round(&mut self) {
        for socket in 0..self.sockets.len() {
            self.connect(socket);
            self.serve_in_peace(Side::Peer(socket));
        }
        let Some(host) = self.current else { return };
        self.greet(host);
        for socket in self.hosts[host].sockets.keys().copied().collect::<Vec<_>>() {
            self.serve_in_peace(Side::Host(host, socket));
        }
    }

    fn serve_in_peace(&mut self, side: Side) {
        self.read(side, usize::MAX);
        self.release_held(side);
        self.deliver(side);
        while !self.end(side).unhandled().is_empty() {
            self.handle_some(side);
        }
        while self.end(side).has_more_to_send() {
            self.send(side);
            if self.end(side).waiting.is_some() {
                break;
            }
        }
        let end = self.end(side);
        if !end.has_more_to_send() && (matches!(side, Side::Peer(_)) || end.session.is_remote_finished()) {
            self.finish(side);
        }
        self.write(side, usize::MAX);
        self.acknowledge(side);
        self.write(side, usize::MAX);
        self.check(side);
    }
}

/// Links and handshakes.
impl World {
    pub fn end(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Peer(socket) => &mut self.sockets[socket].end,
            Side::Host(host, socket) => self.hosts[host].sockets.get_mut(&socket).expect("a socket it knows"),
        }
    }

    pub fn other(&self, side: Side, link: usize) -> Side {
        match side {
            Side::Peer(socket) => Side::Host(self.links[link].host, socket),
            Side::Host(_, socket) => Side::Peer(socket),
        }
    }

    /// A socket without a link looks for one. One that is closed only returns to a host that may not know yet.
    fn connect(&mut self, socket: usize) {
        let end = &self.sockets[socket].end;
        if end.link.is_some() {
            return;
        }
        let outdated = |host: &Host| matches!(host.life, Life::Asleep | Life::Outdated);
        let old: Vec<usize> = (0..self.hosts.len()).filter(|&host| outdated(&self.hosts[host])).collect();
        let host = if !old.is_empty() && self.random.chance(25) {
            self.random.pick(&old)
        } else {
            let Some(current) = self.current else { return };
            current
        };
        if end.is_closed() {
            let knows = self.hosts[host].sockets.get(&socket).is_some_and(|end| !end.is_closed());
            if !knows {
                return;
            }
        }
        let link = self.links.len();
        note!(
            self,
            "socket {socket} of peer {} connects to host {host}: link {link}",
            self.sockets[socket].peer
        );
        self.links.push(Link::new(socket, host));
        self.hosts[host].greeting.push((link, BytesMut::new()));
        let offer = self.random.chance(self.offers);
        let rings = offer.then(|| Rings::new(&mut self.random, self.max_message));
        let socket = &mut self.sockets[socket];
        socket.latest = Some(link);
        socket.end.link = Some(link);
        let features = if offer { Features::RING } else { Features::default() };
        let mut hello = socket.end.session.hello(CHANNEL, features);
        hello.ring = rings.as_ref().map(Rings::sizes).unwrap_or_default();
        hello.version_max = socket.version;
        self.links[link].rings = rings;
        Frame::Hello(hello).encode(&mut socket.end.out);
    }

    fn newest(&self) -> u64 {
        self.hosts.len() as u64
    }

    fn greet_some(&mut self) {
        let hosts: Vec<usize> = (0..self.hosts.len()).filter(|&host| self.is_awake(host)).collect();
        if !hosts.is_empty() {
            let host = self.random.pick(&hosts);
            self.greet(host);
        }
    }

    /// A host reads on links that have not said hello, in any order.
    fn greet(&mut self, host: usize) {
        for mut index in (0..self.hosts[host].greeting.len()).rev() {
            if !self.calm && self.random.chance(30) {
                index = self.random.below(self.hosts[host].greeting.len());
            }
            let most = if self.calm { usize::MAX } else { self.measure() };
            let (link, buf) = &mut self.hosts[host].greeting[index];
            let link = *link;
            buf.extend_from_slice(&self.links[link].up.read(self.now, most));
            let frame = decode(buf, HANDSHAKE_MAX_BODY).expect("a whole handshake");
            let (frame, len) = frame.map(|(frame, len)| (frame.into_owned(), len)).unzip();
            buf.advance(len.unwrap_or(0));
            match frame {
                Some(Frame::Hello(hello)) => {
                    let (_, rest) = self.hosts[host].greeting.swap_remove(index);
                    self.welcome(host, link, &hello, rest);
                }
                Some(other) => panic!("a link began with {other:?}"),
                None if self.links[link].up.is_at_end(self.now) => {
                    self.links[link].hang_up();
                    self.hosts[host].greeting.swap_remove(index);
                }
                None => {}
            }
            if self.hosts[host].greeting.is_empty() {
                return;
            }
        }
    }

    fn welcome(&mut self, host: usize, link: usize, hello: &Hello, rest: BytesMut) {
        let version = hello.negotiate(&CHANNEL).expect("a common version, and the same channel");
        let version = version.min(self.hosts[host].version);
        let socket = self.links[link].socket;
        assert_eq!(hello.socket, self.sockets[socket].end.session.id());
        if version < hello.version_min {
            self.tally.gaps_that_version_1_cannot_tell += 1;
            return self.refuse(link, RejectCode::Version, "it cannot be told of a gap");
        }
        if self.hosts[host].life == Life::Leaving {
            return self.refuse(link, RejectCode::GoingAway, "handing over");
        }
        if self.hosts[host].sockets.get(&socket).is_some_and(|end| end.has_store) {
            // Before anything is said of where to go on, what the old link holds has to come back.
            self.lose(Side::Host(host, socket));
        }
        let Host { generation, limits, .. } = self.hosts[host];
        if let Some(end) = self.hosts[host].sockets.get_mut(&socket) {
            let welcome = match end.session.resume(hello, version) {
                Ok(welcome) => welcome,
                Err(error) => {
                    note!(self, "host {host} refuses link {link}: {error}");
                    let overtaken = self.sockets[socket].latest != Some(link);
                    let outdated = hello.generation > generation;
                    assert!(overtaken || outdated, "host {host} refuses to resume: {error}");
                    self.tally.overtaken_hellos += u64::from(overtaken);
                    self.tally.outdated_hosts += u64::from(outdated);
                    return self.refuse(link, RejectCode::Protocol, "outdated");
                }
            };
            note!(self, "host {host} resumes socket {socket} on link {link}: {welcome:?}");
            assert_eq!(welcome.resumed, hello.generation == generation, "resumed or not");
            if !welcome.resumed {
                self.tally.lost_welcomes += 1;
                assert!(end.slots.is_empty(), "nothing can have been received");
                end.sent.first = hello.recv_next;
                end.acknowledged = hello.recv_next;
                end.received_next = hello.first;
                end.handled_through = hello.first - 1;
                if hello.ended {
                    end.sent.entries.clear();
                }
                end.carried = Some((hello.recv_next - 1, hello.unhandled as usize)).filter(|c| c.1 > 0);
            }
            end.take_back_what_was_not_seen(&mut self.tally);
            end.out.clear();
            end.buf.clear();
            if let Some(old) = end.link.replace(link) {
                self.links[old].hang_up();
            }
            self.acknowledged(Side::Host(host, socket));
            self.greeted(host, socket, link, welcome, hello, rest);
        } else {
            let (session, welcome) =
                Session::accept(hello, version, generation, limits).expect("an honest hello");
            note!(self, "host {host} accepts socket {socket} on link {link}: {welcome:?}");
            assert!(!welcome.resumed);
            self.tally.ended_before += u64::from(hello.ended);
            let habits = self.habits();
            let plan = if hello.ended { VecDeque::new() } else { self.plan(2) };
            let mut end = Endpoint::new(session, limits, habits, plan);
            end.link = Some(link);
            end.carried = Some((hello.recv_next - 1, hello.unhandled as usize)).filter(|c| c.1 > 0);
            self.tally.carried += u64::from(end.carried.is_some());
            self.hosts[host].sockets.insert(socket, end);
            self.greeted(host, socket, link, welcome, hello, rest);
        }
    }

    fn greeted(
        &mut self,
        host: usize,
        socket: usize,
        link: usize,
        mut welcome: Welcome,
        hello: &Hello,
        rest: BytesMut,
    ) {
        let window = self.sockets[socket].end.limits.window;
        assert_eq!(hello.window, window as u64);
        let side = Side::Host(host, socket);
        let end = self.end(side);
        end.remote_window = window;
        end.version = welcome.version;
        end.buf = rest;
        end.link = Some(link);
        if hello.features.contains(Features::RING) && self.random.chance(self.takes) {
            welcome.features = Features::RING;
            self.use_store(side);
        }
        Frame::Welcome(welcome).encode(&mut self.end(side).out);
        self.check(side);
    }

    fn refuse(&mut self, link: usize, code: RejectCode, reason: &str) {
        let mut out = TransmitBuffer::default();
        Frame::Reject(Reject::new(code, reason)).encode(&mut out);
        self.links[link].down.write(&all_bytes(&out));
        self.links[link].hang_up();
    }

    fn attach(&mut self, socket: usize, link: usize, welcome: &Welcome) {
        let host = self.links[link].host;
        let window = self.hosts[host].limits.window;
        let end = &mut self.sockets[socket].end;
        let before = end.session.generation();
        match end.session.attach(welcome) {
            Ok(attachment) => {
                end.version = welcome.version;
                let versions = [&mut self.tally.links_of_version_1, &mut self.tally.links_of_version_2];
                *versions[usize::from(welcome.version) - 1] += 1;
                note!(self, "socket {socket} is attached to host {host} by link {link}: {attachment:?}");
                let same = before == welcome.generation;
                let expected = if same { Attachment::Resumed } else { Attachment::Fresh };
                assert_eq!(attachment, expected, "resumed if and only if the host is the same");
                end.remote_window = window;
                match attachment {
                    Attachment::Resumed => self.tally.resumed += 1,
                    Attachment::Fresh => {
                        self.tally.moved += u64::from(before > 0);
                        // Nobody is left to take back what was given up.
                        end.first_of_sender = end.received_next;
                        for slot in end.slots.iter_mut().filter(|slot| slot.given_up) {
                            slot.handled = true;
                        }
                        end.drop_whole_units();
                        end.take_apart_and_back(welcome, &mut self.tally);
                        // An acknowledged end, and nothing else, goes out again.
                        let first = end.session.first_unacknowledged();
                        if first < end.acknowledged {
                            assert_eq!((first, end.sent.next()), (end.acknowledged - 1, end.acknowledged));
                            assert_eq!(end.sent.entry(first).map(|last| &last.content), Some(&Content::End));
                            end.acknowledged = first;
                        }
                    }
                }
                self.acknowledged(Side::Peer(socket));
                let end = &mut self.sockets[socket].end;
                end.take_back_what_was_not_seen(&mut self.tally);
                let resumed_from_one = u64::from(end.left_a_store && attachment == Attachment::Resumed);
                end.left_a_store = false;
                if welcome.features.contains(Features::RING) {
                    self.tally.from_store_to_store += resumed_from_one;
                    self.use_store(Side::Peer(socket));
                } else {
                    self.tally.from_store_to_frames += resumed_from_one;
                    self.links[link].rings = None;
                }
            }
            Err(error) => {
                note!(self, "socket {socket} does not want host {host}: {error}");
                // What it has taken back since its hello, nobody can tell this host.
                let cannot_be_told = welcome.version < 2;
                assert!(
                    welcome.generation < before || cannot_be_told,
                    "socket {socket} cannot attach: {error}"
                );
                self.tally.outdated_hosts += 1;
                self.lose(Side::Peer(socket));
            }
        }
        self.check(Side::Peer(socket));
    }

    /// A side drops its link or has seen its end.
    pub fn lose(&mut self, side: Side) {
        self.give_up_store(side);
        if let Some(link) = self.end(side).unlink() {
            end_of(&mut self.sockets, &mut self.hosts, side).take_back_what_was_not_seen(&mut self.tally);
            let half_handled = self.end(side).has_half_handled_pack();
            self.tally.packs_half_handled_at_the_end_of_a_link += u64::from(half_handled);
            note!(self, "{side:?} is without link {link}");
            self.links[link].hang_up();
        }
    }
}

/// Bytes in and out.
impl World {
    fn write(&mut self, side: Side, most: usize) {
        self.look(side);
        let parts = self.parts(most);
        self.put(side, parts);
        let end = self.end(side);
        let Some(link) = end.link else { return };
        let mut most = most;
        loop {
            end_of(&mut self.sockets, &mut self.hosts, side).transmit();
            let end = end_of(&mut self.sockets, &mut self.hosts, side);
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let used = end.out.slices(&mut slices);
            let pipe = match side {
                Side::Peer(_) => &mut self.links[link].up,
                Side::Host(..) => &mut self.links[link].down,
            };
            let mut written = 0;
            for slice in &slices[..used] {
                let take = slice.len().min(most - written);
                pipe.write(&slice[..take]);
                written += take;
            }
            end.out.advance(written);
            most -= written;
            if written == 0 {
                return;
            }
        }
    }

    fn acknowledge(&mut self, side: Side) {
        let end = self.end(side);
        if end.link.is_some() && end.out.len() < TransmitBuffer::HIGH_WATER {
            end.session.transmit_ack(&mut end.out);
        }
    }

    /// How many parts correspond to so many bytes: a few, or all.
    fn parts(&mut self, bytes: usize) -> usize {
        if bytes == usize::MAX { usize::MAX } else { self.random.below(4) }
    }

    fn read(&mut self, side: Side, most: usize) {
        let parts = self.parts(most);
        self.claim(side, parts);
        let Some(link) = self.end(side).link else { return };
        let now = self.now;
        let pipe = match side {
            Side::Peer(_) => &mut self.links[link].down,
            Side::Host(..) => &mut self.links[link].up,
        };
        let bytes = pipe.read(now, most);
        let at_end = pipe.is_at_end(now);
        self.end(side).buf.extend_from_slice(&bytes);
        loop {
            let end = self.end(side);
            if end.link != Some(link) {
                return;
            }
            let most = if end.session.is_attached() { MAX_BODY } else { HANDSHAKE_MAX_BODY };
            let Some((frame, len)) = decode(&end.buf, most).expect("frames from an honest side") else {
                break;
            };
            let frame = frame.into_owned();
            end.buf.advance(len);
            self.take(side, link, frame);
        }
        assert!(self.end(side).buf.len() < MAX_BODY + HEADER_LEN, "half a frame is longer than a frame");
        if at_end {
            self.lose(side);
        }
    }

    fn take(&mut self, side: Side, link: usize, frame: Frame) {
        match (side, frame) {
            (Side::Peer(socket), Frame::Welcome(welcome)) => self.attach(socket, link, &welcome),
            (Side::Peer(socket), Frame::Reject(reject)) => {
                note!(self, "socket {socket} is rejected: {reject:?}");
                self.lose(side);
            }
            (_, frame) => self.handle(side, link, frame),
        }
    }

    fn handle(&mut self, side: Side, link: usize, frame: Frame) {
        note!(self, "{side:?} takes {}", brief(&frame));
        if let Frame::Data { flags, .. } = &frame {
            self.tally.in_parts += u64::from(flags.first && !flags.last);
            self.tally.packs_in_frames += u64::from(flags.packed);
            assert_eq!(self.end(side).version < 2, flags.attempt == 0, "only version 2 tells attempts");
        }
        if matches!(frame, Frame::Skip { .. }) {
            assert_eq!(self.end(side).version, 2, "a gap is told to version 1");
            self.tally.gaps_in_frames += 1;
        }
        if self.end(side).has_store {
            let in_the_store = matches!(
                frame,
                Frame::Data { .. } | Frame::Fin { .. } | Frame::Skip { .. } | Frame::AckRequest
            );
            assert!(!in_the_store, "{frame:?} beside a store");
            self.tally.acks_beside_a_store += u64::from(matches!(frame, Frame::Ack { .. }));
        }
        let reset = matches!(frame, Frame::Reset { .. });
        if reset || matches!(frame, Frame::GoAway | Frame::Recall { .. }) {
            // It was said after everything that is in the store.
            self.drain(side);
        }
        let open = !self.end(side).is_closed();
        let told = frame.clone();
        if let Err(error) = self.end(side).session.handle(frame) {
            panic!("{side:?} takes its honest other side for a liar: {error}");
        }
        if open {
            self.heard(side, link, told);
        }
        let socket = self.links[link].socket;
        if reset && open && self.sockets[socket].end.session.closed() != Some(&Closed::Finished) {
            self.sockets[socket].end.given_up = true;
        }
        self.arrived(side, link);
        self.acknowledged(side);
        self.check(side);
    }

    /// What a frame says of messages that were given back.
    fn heard(&mut self, side: Side, link: usize, frame: Frame) {
        while let Some(end) = self.end(side).session.wanted() {
            let stored = self.links[link].own_store(side).at(end);
            assert!(stored.is_some(), "what is wanted back is not in the store");
            self.end(side).session.found(stored).expect("an honest store");
            self.tally.given_up_out_of_a_store += 1;
        }
        match frame {
            Frame::Returned { seq, fate, attempt, reason } => {
                assert_eq!(self.end(side).version, 2, "version 1 is given something back");
                let end = end_of(&mut self.sockets, &mut self.hosts, side);
                end.hears_of(seq, fate, attempt, &reason, &mut self.tally);
            }
            Frame::Recall { seq } => self.wants_back(side, seq),
            Frame::Withdrawn { seq } => {
                self.tally.withdrawn_answers += 1;
                let end = self.end(side);
                if let Some(slot) = end.slots.iter_mut().find(|slot| slot.seq == seq && slot.given_up) {
                    slot.handled = true;
                }
                end.drop_whole_units();
                self.release(side);
            }
            _ => {}
        }
    }

    /// What the session counts as received goes into the model, with the content that the sender's ledger has.
    pub fn arrived(&mut self, side: Side, link: usize) {
        let other = self.other(side, link);
        let host = self.links[link].host;
        let generation = self.hosts[host].generation;
        let next = self.end(side).session.hello(CHANNEL, Features::default()).recv_next;
        self.arrived_whole(side, other, next, generation);
        for seq in self.end(side).received_next..next {
            let sender = self.end(other);
            let entry = sender.sent.entry(seq).expect("nothing arrives that was never accepted");
            assert!(entry.was_ever_sent(), "{seq} arrives and was never sent");
            let mut attempts = if matches!(side, Side::Peer(_)) { 1..=1 } else { entry.attempts(generation) };
            let max = sender.limits.max_attempts.map_or(u32::MAX, NonZeroU32::get);
            let exceeds = *attempts.start() > max && entry.travels_as(generation) != Content::Nothing;
            if self.end(side).version < 2 {
                // A mark is all that it has to say.
                attempts = (*attempts.start()).min(2)..=(*attempts.end()).min(2);
                self.tally.more_attempts_than_allowed_by_version_1 += u64::from(exceeds);
            } else {
                assert!(
                    !exceeds
                        || self.end(other).sent.entry(seq).is_some_and(|entry| entry.content == Content::End),
                    "{seq} comes once too often"
                );
            }
            let slot = Slot::new(seq, &self.end(other).sent, attempts, host, generation);
            let end = self.end(side);
            end.slots.push_back(slot);
            end.received_next = seq + 1;
        }
        self.end(side).drop_whole_units();
    }

    /// A pack arrives as a whole or not at all.
    fn arrived_whole(&mut self, side: Side, other: Side, next: u64, generation: u64) {
        let from = self.end(side).received_next;
        if from < next {
            let window = self.end(side).limits.window;
            let sent = &self.end(other).sent;
            let (first, last) = (sent.unit_for(from, generation), sent.unit_for(next - 1, generation));
            assert_eq!((first.start, last.end), (from, next), "a part of a pack arrives");
            let beyond = next - from > 1 && sent.cost(from, next) > window;
            self.tally.packs_beyond_the_window += u64::from(beyond);
        }
    }

    /// Acknowledged means handled.
    pub fn acknowledged(&mut self, side: Side) {
        let end = self.end(side);
        let through = end.session.first_unacknowledged();
        for seq in end.acknowledged..through {
            let handled = end.sent.entry(seq).is_none_or(|entry| entry.handled);
            assert!(handled, "{side:?}: {seq} is acknowledged and was not handled");
        }
        end.acknowledged = through;
    }
}

impl World {
    pub fn check(&mut self, side: Side) {
        self.end(side).check();
    }
}

pub fn end_of<'a>(sockets: &'a mut [Socket], hosts: &'a mut [Host], side: Side) -> &'a mut Endpoint {
    match side {
        Side::Peer(socket) => &mut sockets[socket].end,
        Side::Host(host, socket) => hosts[host].sockets.get_mut(&socket).expect("a socket it knows"),
    }
}

fn all_bytes(out: &TransmitBuffer) -> Vec<u8> {
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let used = out.slices(&mut slices);
    slices[..used].iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn brief(frame: &Frame) -> String {
    match frame {
        Frame::Data { seq, flags, payload, .. } => {
            format!("data {seq}, {} bytes, {flags:?}", payload.len())
        }
        other => format!("{other:?}"),
    }
}
