//! Messages from somebody who means harm: they end the membership they came from, and nothing else.
//! No panic, and no memory beyond the limits.
//!
//! `SEED=17 cargo test -p open-channel-group --test hostile` repeats one attack.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::alloc::System;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cap::Cap;
use open_channel_group::core::{
    CallOptions, Limits, LinkId, LockMode, LockName, LockSpace, LockWait, Member, MemberId,
    MemberInfo, Name, Pattern, Start, Switchboard, Target, Topic, Write,
};
use open_channel_simulation::Random;

/// Counts what is allocated; there is one test in this file, so that it counts one attack.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const ATTACKS: u64 = 6_000;
/// Everything that an attack may make the core hold. One message is at most `LONGEST`.
const MOST_MEMORY: usize = 2 << 20;
const LONGEST: usize = 600;

struct Attack {
    random: Random,
    now: Duration,
    switchboard: Switchboard,
    members: Vec<Member>,
    /// Good messages that were seen in each direction, to make bad ones of.
    up: Vec<Bytes>,
    down: Vec<Bytes>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Attack {
    fn new(seed: u64) -> Self {
        let mut limits = Limits::default();
        limits.window = 4000;
        limits.max_payload = 1000;
        limits.map_bytes = 10_000;
        limits.max_members = 8;
        let now = Duration::ZERO;
        let start = if seed & 1 == 0 { Start::First } else { Start::Newcomer };
        let info = |pid| MemberInfo {
            pid,
            program: String::new(),
            language: String::new(),
            labels: Vec::new(),
        };
        let members = (0..3).map(|n| Member::new(MemberId(n), info(n as u32), limits, now));
        Self {
            random: Random::new(seed),
            now,
            switchboard: Switchboard::new(1, start, limits, now),
            members: members.collect(),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn run(mut self) {
        let before = MEMORY.allocated();
        for member in &mut self.members {
            member.connected(1, self.now);
        }
        for _ in 0..20 + self.random.below(100) {
            self.now += Duration::from_millis(self.random.below(500) as u64);
            match self.random.below(10) {
                0..3 => self.work(),
                3..6 => self.exchange(),
                6 => self.times(),
                7..9 => self.strike_up(),
                _ => self.strike_down(),
            }
            let held = MEMORY.allocated().saturating_sub(before);
            assert!(held < MOST_MEMORY, "{held} bytes are held");
        }
    }

    /// An honest member does something.
    fn work(&mut self) {
        let now = self.now;
        let place = self.random.below(3);
        let other = self.members[(place + 1) % 3].id();
        let member = &mut self.members[place];
        let payload = Bytes::from(vec![0; self.random.below(300)]);
        // The window may be full, or the member out.
        let _ = match self.random.below(9) {
            0 => member.subscribe(Pattern::new("a.*").unwrap(), false).map(|_| ()),
            1 => member.publish(Topic::new("a.b").unwrap(), payload).map(|_| ()),
            2 => {
                let lock = LockName { space: LockSpace::Lock, name: name("l") };
                member.lock(lock, LockMode::Shared, LockWait::Wait).map(|_| ())
            }
            3 => member.work(name("q"), 2).map(|_| ()),
            4 => member.push(name("q"), payload, None).map(|_| ()),
            5 => member.serve(name("s")).map(|_| ()),
            6 => {
                let target = Target::Member(other, name("s"));
                member.call(target, payload, CallOptions::default(), now).map(|_| ())
            }
            7 => member.query_locks().map(|_| ()),
            _ => {
                let write = Write::Set { key: name("k"), value: payload, ttl: None };
                member.write(write).map(|_| ())
            }
        };
    }

    /// Honest messages go both ways.
    fn exchange(&mut self) {
        for (place, member) in self.members.iter_mut().enumerate() {
            let link = LinkId(place as u64);
            while let Some(message) = member.poll_send() {
                self.up.push(message.clone());
                let _ = self.switchboard.receive(link, message, self.now);
            }
            while let Some(message) = self.switchboard.poll_send(link) {
                self.down.push(message.clone());
                let _ = member.receive(message, self.now);
            }
            while member.poll_event().is_some() {}
            while member.poll_kernel().is_some() {}
        }
        let (up, down) = (self.up.len(), self.down.len());
        self.up.drain(..up.saturating_sub(50));
        self.down.drain(..down.saturating_sub(50));
    }

    fn times(&mut self) {
        self.switchboard.handle_timeout(self.now);
        for member in &mut self.members {
            member.handle_timeout(self.now);
        }
        if self.random.chance(50) {
            return;
        }
        match self.random.below(3) {
            0 => self.switchboard.lost(LinkId(self.random.below(5) as u64), self.now),
            1 => self.switchboard.gone(MemberId(self.random.below(5) as u64), self.now),
            _ => {
                let place = self.random.below(3);
                self.members[place].rejoin(MemberId(self.random.number()), self.now);
            }
        }
    }

    /// Bad messages for the switchboard, in the name of a member or of a stranger.
    fn strike_up(&mut self) {
        for _ in 0..1 + self.random.below(30) {
            let message = self.forge(true);
            let link = LinkId(self.random.below(5) as u64);
            let _ = self.switchboard.receive(link, message, self.now);
        }
        for stranger in 3..5 {
            while self.switchboard.poll_send(LinkId(stranger)).is_some() {}
        }
    }

    /// Bad messages for a member, in the name of the host.
    fn strike_down(&mut self) {
        let place = self.random.below(3);
        for _ in 0..1 + self.random.below(30) {
            let message = self.forge(false);
            let _ = self.members[place].receive(message, self.now);
        }
        while self.members[place].poll_event().is_some() {}
    }

    fn forge(&mut self, up: bool) -> Bytes {
        let good = if up { &self.up } else { &self.down };
        let mut bytes = BytesMut::new();
        match good.len() {
            0 => bytes.put_slice(&[1, 1]),
            count => bytes.put_slice(&good[self.random.below(count)]),
        }
        match self.random.below(8) {
            // As it was, at the wrong moment.
            0 | 1 => {}
            2 => bytes.truncate(self.random.below(bytes.len() + 1)),
            3 => {
                let more = self.random.below(20);
                bytes.extend((0..more).map(|_| self.random.number() as u8));
            }
            // The largest number in the place of a small one.
            4 if bytes.len() > 3 && self.random.chance(70) => {
                let place = 2 + self.random.below(bytes.len() - 2);
                let rest = bytes.split_off(place);
                bytes.put_slice(&[0xff; 9]);
                bytes.put_u8(1);
                bytes.put_slice(&rest[1..]);
            }
            4 if bytes.len() > 3 => bytes[2] = self.random.below(24) as u8,
            5 => {
                bytes.truncate(2);
                bytes.put_u8(self.random.below(24) as u8);
                let more = self.random.below(40);
                let choice = [0, 1, 2, 3, 7, 0x7f, 0x80, 0xff];
                bytes.extend((0..more).map(|_| self.random.pick(&choice)));
            }
            _ => {
                for _ in 0..1 + self.random.below(4) {
                    let place = self.random.below(bytes.len().max(1));
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = self.random.number() as u8;
                    }
                }
            }
        }
        bytes.truncate(LONGEST);
        bytes.freeze()
    }
}

#[test]
fn messages_that_mean_harm_do_none() {
    let only: Option<u64> = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..ATTACKS, |seed| seed..seed + 1);
    for seed in seeds {
        let attack = panic::catch_unwind(AssertUnwindSafe(|| Attack::new(seed).run()));
        assert!(attack.is_ok(), "attack {seed}");
    }
}
