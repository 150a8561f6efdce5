//! The world: who lives in it, what can happen in it at each step, and what must be true then.

use crate::endpoint::{Endpoint, Habits};
use crate::link::{Link, Rings};
use crate::tally::Tally;
use bytes::BytesMut;
use open_channel_proto::{Closed, Limits, MAX_CHUNK, ResetCode, Session, SocketId};
use open_channel_simulation::Random;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

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
    pub peer: usize,
    /// The newest version that it speaks.
    pub version: u16,
    /// The latest link, to recognize overtaken hellos.
    pub latest: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// Hands over: takes nobody new and gives its application nothing new, acknowledges what is
    /// handled, then goes. Another host may be there already, so that what it gave out now would be
    /// given out twice.
    Leaving,
    /// Stopped; another host took over.
    Asleep,
    /// Awake again and about to find out: its application is given nothing more.
    Outdated,
    Dead,
}

pub struct Host {
    pub generation: u64,
    pub life: Life,
    /// The newest version that it speaks.
    pub version: u16,
    pub limits: Limits,
    /// Links that have not said hello yet.
    pub unanswered: Vec<(usize, BytesMut)>,
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
    pub current: Option<usize>,
    pub max_message: usize,
    pub big: bool,
    /// How many in a hundred links are offered with a store, and how many of those are taken.
    pub offers: usize,
    pub takes: usize,
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

    pub fn limits(&mut self) -> Limits {
        let sizes: &[usize] = if self.big {
            &[100, 100_000, 270_000, 1 << 20]
        } else {
            &[1, 64, 65, 129, 200, 500, 1000, 4000, 100_000]
        };
        let (outbox, window) = (self.random.pick(sizes), self.random.pick(sizes));
        Limits::new(outbox, window, self.max_message)
    }

    pub fn version(&mut self) -> u16 {
        if self.random.chance(self.old) { 1 } else { 2 }
    }

    pub fn habits(&mut self) -> Habits {
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

    pub fn plan(&mut self, most: usize) -> VecDeque<usize> {
        (0..self.random.below(most + 1)).map(|_| self.length()).collect()
    }

    pub fn length(&mut self) -> usize {
        let max = self.max_message;
        match self.random.below(10) {
            0 => 0,
            1 => max,
            2 => max + 1,
            3 if self.big => self.random.pick(&[
                MAX_CHUNK - 1,
                MAX_CHUNK,
                MAX_CHUNK + 1,
                2 * MAX_CHUNK,
                5 * MAX_CHUNK,
            ]),
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
        let states: Vec<_> =
            open.iter().map(|socket| format!("{:?}", socket.end.session)).collect();
        panic!("not over after {PATIENCE} rounds without faults; open sockets: {states:#?}");
    }

    fn is_over(&self) -> bool {
        let at_host = |socket: usize| self.hosts[self.current?].sockets.get(&socket);
        self.sockets.iter().enumerate().all(|(number, socket)| {
            socket.end.is_closed() && at_host(number).is_none_or(Endpoint::is_closed)
        })
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
            assert!(
                end.slots.is_empty(),
                "socket {number} is finished and has not handled everything"
            );
            let lost = end.sent.entries.iter().position(|entry| !entry.handled);
            assert_eq!(lost, None, "socket {number}: a message was never handled by any host");
            self.tally.finished += 1;
            let Some(at_host) = self.current.and_then(|host| self.hosts[host].sockets.get(&number))
            else {
                continue;
            };
            // The peer had finished, with an earlier host or before this one heard of it.
            let closed = at_host.session.closed();
            if let Some(Closed::Remotely { code: ResetCode::Closed, .. } | Closed::Locally) = closed
            {
                self.tally.finished_before += 1;
                continue;
            }
            assert_eq!(closed, Some(&Closed::Finished), "socket {number} at its host");
            let lost = at_host.sent.entries.iter().position(|entry| !entry.handled);
            assert_eq!(lost, None, "socket {number}: a message of the host was never handled");
        }
    }
}

impl World {
    pub fn check(&mut self, side: Side) {
        self.end(side).check();
    }
}

pub fn end_of<'a>(
    sockets: &'a mut [Socket],
    hosts: &'a mut [Host],
    side: Side,
) -> &'a mut Endpoint {
    match side {
        Side::Peer(socket) => &mut sockets[socket].end,
        Side::Host(host, socket) => {
            hosts[host].sockets.get_mut(&socket).expect("a socket it knows")
        }
    }
}
