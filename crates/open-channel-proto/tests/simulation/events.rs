//! A step of the world: hosts come and go, links break.

use crate::endpoint::Habits;
use crate::link::Link;
use open_channel_proto::Frame;
use std::collections::BTreeMap;

use crate::world::{Host, Life, Side, World, note};

/// A step with faults.
impl World {
    pub fn step(&mut self) {
        match self.random.below(100) {
            0..4 => self.fault(),
            4..17 => self.read_hellos(),
            17..25 => {
                let socket = self.random.below(self.sockets.len());
                self.connect(socket);
                if self.random.chance(15)
                    && self.sockets[socket].end.session.generation() < self.newest()
                {
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
                    .flat_map(|host| {
                        self.hosts[host].sockets.keys().map(move |&s| Side::Host(host, s))
                    })
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

    pub fn elect(&mut self) {
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
            unanswered: Vec::new(),
            sockets: BTreeMap::new(),
        });
    }

    fn fault(&mut self) {
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
                    for end in
                        self.hosts[host].sockets.values_mut().filter(|end| end.link.is_some())
                    {
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
    pub fn die(&mut self, host: usize) {
        if self.hosts[host].life != Life::Asleep {
            for socket in self.hosts[host].sockets.keys().copied().collect::<Vec<_>>() {
                let side = Side::Host(host, socket);
                let half_handled = self.end(side).has_half_handled_pack();
                self.tally.packs_half_handled_at_the_end_of_a_host += u64::from(half_handled);
                self.die_while_claiming(side);
            }
        }
        self.hosts[host].life = Life::Dead;
        self.hosts[host].unanswered.clear();
        if self.current == Some(host) {
            self.current = None;
        }
        for link in
            (0..self.links.len()).filter(|&link| self.links[link].host == host).collect::<Vec<_>>()
        {
            self.tear(link);
        }
    }

    /// Breaks a link between any two bytes, in each direction elsewhere, noticed on each side at
    /// another time.
    fn tear(&mut self, link: usize) {
        note!(self, "link {link} breaks");
        self.tally.broken_links += 1;
        let (now, random) = (self.now, &mut self.random);
        let Link { up, down, .. } = &mut self.links[link];
        for pipe in [up, down] {
            let arriving =
                if random.chance(30) { usize::MAX } else { random.below(pipe.len() + 1) };
            pipe.tear(arriving);
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
                7..9 if life == Life::Running && self.random.chance(gives_back) => {
                    self.give_back_some(side)
                }
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
                16 if life == Life::Running && self.random.chance(takes_back) => {
                    self.take_back(side)
                }
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

    pub fn measure(&mut self) -> usize {
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
            Side::Host(..) if self.end(side).is_closed() && self.end(side).out.is_empty() => {
                self.lose(side)
            }
            Side::Peer(_) => self.links[link].down.stall(until),
            Side::Host(..) => self.links[link].up.stall(until),
        }
    }
}
