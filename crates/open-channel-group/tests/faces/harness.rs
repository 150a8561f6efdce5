//! A group of some members, one of whose processes hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use open_channel_group::core::{
    Event, KernelRequest, Limits, LinkId, LockId, LockMode, LockName, LockSpace, Member, MemberId,
    MemberInfo, Name, Pattern, Start, SubscriptionId, Switchboard, Topic,
};

pub struct Group {
    pub now: Duration,
    pub limits: Limits,
    pub members: Vec<Member>,
    /// Processes that do not run: stopped or dead.
    pub asleep: Vec<bool>,
    pub switchboard: Switchboard,
    pub generation: u64,
    events: Vec<Vec<Event>>,
    kernel: BTreeMap<LockName, Vec<(usize, LockId, LockMode)>>,
    waiting: Vec<(usize, KernelRequest)>,
}

pub fn info(pid: u32) -> MemberInfo {
    MemberInfo { pid, program: "test".into(), language: "rust".into(), labels: Vec::new() }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

pub fn lock_name(text: &str) -> LockName {
    LockName { space: LockSpace::Lock, name: name(text) }
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl Group {
    /// So many members, the first of whose processes hosts.
    pub fn of(count: usize) -> Self {
        Self::with(count, Limits::default())
    }

    pub fn with(count: usize, limits: Limits) -> Self {
        let now = Duration::from_secs(1);
        let mut group = Self {
            now,
            limits,
            members: Vec::new(),
            asleep: Vec::new(),
            switchboard: Switchboard::new(1, Start::First, limits, now),
            generation: 1,
            events: Vec::new(),
            kernel: BTreeMap::new(),
            waiting: Vec::new(),
        };
        for _ in 0..count {
            group.add();
        }
        group.settle();
        for number in 0..count {
            group.events(number);
        }
        group
    }

    pub fn add(&mut self) -> usize {
        let number = self.members.len();
        let id = MemberId(100 + number as u64);
        let mut member = Member::new(id, info(number as u32), self.limits, self.now);
        member.connected(self.generation, self.now);
        self.members.push(member);
        self.asleep.push(false);
        self.events.push(Vec::new());
        number
    }

    pub fn id(&self, number: usize) -> MemberId {
        self.members[number].id()
    }

    fn link(&self, number: usize) -> LinkId {
        LinkId(self.generation * 1000 + number as u64)
    }

    /// Carries messages until there are none.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for number in 0..self.members.len() {
                moved |= self.carry(number);
            }
            if !moved {
                return;
            }
        }
    }

    fn carry(&mut self, number: usize) -> bool {
        let link = self.link(number);
        let mut moved = self.serve_kernel();
        if self.asleep[number] {
            return moved;
        }
        let member = &mut self.members[number];
        while let Some(message) = member.poll_send() {
            moved = true;
            self.switchboard.receive(link, message, self.now).unwrap();
        }
        while let Some(message) = self.switchboard.poll_send(link) {
            moved = true;
            member.receive(message, self.now).unwrap();
        }
        while let Some(event) = member.poll_event() {
            self.events[number].push(event);
        }
        while let Some(request) = self.members[number].poll_kernel() {
            moved = true;
            if let KernelRequest::Release { lock } = request {
                self.release(|holder| holder == (number, lock));
            } else {
                self.waiting.push((number, request));
            }
        }
        moved
    }

    fn release(&mut self, which: impl Fn((usize, LockId)) -> bool) {
        for holders in self.kernel.values_mut() {
            holders.retain(|(process, lock, _)| !which((*process, *lock)));
        }
        self.waiting.retain(|(process, request)| match request {
            KernelRequest::Take { lock, .. } => !which((*process, *lock)),
            KernelRequest::Release { .. } => true,
        });
    }

    fn serve_kernel(&mut self) -> bool {
        let mut moved = false;
        for (number, request) in std::mem::take(&mut self.waiting) {
            let KernelRequest::Take { lock, name, mode, wait, .. } = request.clone() else {
                continue;
            };
            let holders = self.kernel.entry(name).or_default();
            let shared = |mode| mode == LockMode::Shared;
            let free = holders.is_empty()
                || (shared(mode) && holders.iter().all(|(.., mode)| shared(*mode)));
            if free {
                moved = true;
                holders.push((number, lock, mode));
                self.members[number].kernel_lock_taken(lock, false, self.now);
            } else if wait {
                self.waiting.push((number, request));
            } else {
                moved = true;
                self.members[number].kernel_lock_busy(lock, self.now);
            }
        }
        moved
    }

    /// Time goes by, in steps that a running process would make.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(100));
            self.switchboard.handle_timeout(self.now);
            for number in 0..self.members.len() {
                if !self.asleep[number] {
                    self.members[number].handle_timeout(self.now);
                }
            }
            self.settle();
        }
    }

    /// The events of a member since this was asked last.
    pub fn events(&mut self, number: usize) -> Vec<Event> {
        std::mem::take(&mut self.events[number])
    }

    /// A process dies, and the host learns so.
    pub fn kill(&mut self, number: usize) {
        self.asleep[number] = true;
        self.release(|(process, _)| process == number);
        self.switchboard.lost(self.link(number), self.now);
        self.settle();
    }

    /// The host is gone with all that was on its way; another process hosts. Without a
    /// [`settle`](Self::settle) nobody has come to it yet.
    pub fn change_host(&mut self, next: usize) {
        let start = self.members[next].known().map_or(Start::Newcomer, Start::Successor);
        self.generation += 1;
        self.switchboard = Switchboard::new(self.generation, start, self.limits, self.now);
        for number in 0..self.members.len() {
            if !self.asleep[number] {
                self.members[number].connected(self.generation, self.now);
            }
        }
    }

    pub fn subscribe(&mut self, number: usize, text: &str, latest: bool) -> SubscriptionId {
        let subscription = self.members[number].subscribe(pattern(text), latest).unwrap();
        self.settle();
        assert!(self.events(number).contains(&Event::Subscribed(subscription)));
        subscription
    }

    /// Takes and handles everything; the payloads.
    pub fn read(&mut self, number: usize, subscription: SubscriptionId) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        loop {
            while let Some(delivery) = self.members[number].next_delivery(subscription) {
                self.members[number].handled(subscription, delivery.id).unwrap();
                payloads.push(delivery.payload);
            }
            let before = payloads.len();
            self.settle();
            let Some(delivery) = self.members[number].next_delivery(subscription) else {
                return payloads;
            };
            self.members[number].handled(subscription, delivery.id).unwrap();
            payloads.push(delivery.payload);
            assert!(payloads.len() > before);
        }
    }
}
