//! Messages: from members to whoever hosts, and back. The channel's promises, and not more.

use open_channel_group::core::{LinkId, Switchboard};

use crate::process::{Life, Process};
use crate::world::{HOST_TIMEOUT, World, note};

impl World {
    /// A process connects to the host, if it is not with it.
    pub fn connect(&mut self, number: usize) {
        let Some(host) = self.host else { return };
        let generation = self.processes[host].generation;
        let process = &self.processes[number];
        let with = process.socket.host.map(|(_, generation, _)| generation);
        if with == Some(generation) || !self.is_running(host) || process.app.left {
            return;
        }
        // Messages of the last host that had arrived come first. The core does not need that.
        if self.random.chance(60) {
            self.down(number, usize::MAX);
        }
        self.links += 1;
        let link = LinkId(self.links);
        note!(self, "process {number} connects to host {host} of generation {generation}");
        let now = self.time();
        let process = &mut self.processes[number];
        if !process.socket.outbox.is_empty() {
            self.tally.repeated_messages += 1;
        }
        if !process.socket.inbox.is_empty() {
            self.tally.late_messages += 1;
        }
        process.app.outdated = false;
        process.socket.taken = 0;
        process.socket.host = Some((host, generation, link));
        process.member.connected(generation, now);
        self.attend(number);
        // All that it presents itself with, whatever the room.
        let socket = &mut self.processes[number].socket;
        socket.presenting = 0;
        while let Some(message) = self.processes[number].member.poll_send() {
            self.processes[number].socket.outbox.push_back(message);
        }
        let socket = &mut self.processes[number].socket;
        socket.presenting = socket.outbox.len();
        socket.back = None;
    }

    /// When a host begins to serve, nobody is forgotten without a cause.
    pub fn watch_service(&mut self, host: usize) {
        let process = &mut self.processes[host];
        let serves = process.switchboard.as_ref().is_some_and(Switchboard::is_serving);
        if !serves || process.hosting.serves {
            return;
        }
        process.hosting.serves = true;
        let (hosting, generation) = (process.hosting, process.generation);
        let now = self.now;
        let waited = now - hosting.since >= HOST_TIMEOUT;
        let back = |process: &Process| {
            let back = process.socket.back.filter(|(of, _)| *of == generation);
            Some((process.member.mark()?, back?.1))
        };
        let marks = self.processes.iter().filter_map(back).map(|(mark, _)| mark);
        let newest = marks.chain(hosting.mark).max();
        assert!(!hosting.newcomer || waited || newest.is_some(), "a newcomer waits for nobody");
        for process in &mut self.processes {
            // One that was asked for its replica may have been stopped, and is put out then.
            let in_time = |at: u64| now < at + HOST_TIMEOUT;
            if back(process).is_some_and(|(mark, at)| Some(mark) == newest && in_time(at)) {
                process.socket.must_stay = Some(generation);
            }
        }
    }

    /// Some of what a process and its socket can do.
    pub fn serve(&mut self, number: usize) {
        let most = if self.calm { 20 } else { 1 + self.random.below(6) };
        if self.calm || self.random.chance(50) {
            self.down(number, most);
        }
        if self.calm || self.random.chance(60) {
            self.send(number);
        }
        if self.calm || self.random.chance(60) {
            self.up(number, most);
        }
        if self.calm || self.random.chance(60) {
            self.host_send(number, most);
        }
    }

    /// The member gives its socket what it has room for.
    pub fn send(&mut self, number: usize) {
        let room = self.room;
        let process = &mut self.processes[number];
        if process.socket.host.is_none() {
            return;
        }
        while process.socket.outbox.len() < process.socket.taken + room
            && let Some(message) = process.member.poll_send()
        {
            process.socket.outbox.push_back(message);
        }
    }

    /// The host takes messages of a process.
    pub fn up(&mut self, number: usize, most: usize) {
        let Some((host, generation, link)) = self.processes[number].socket.host else { return };
        for _ in 0..most {
            let current = self.processes[host].generation == generation;
            if !current || !self.is_running(host) || self.processes[host].switchboard.is_none() {
                return;
            }
            let socket = &mut self.processes[number].socket;
            let Some(message) = socket.outbox.get(socket.taken).cloned() else { break };
            socket.taken += 1;
            let now = self.time();
            if let Some(switchboard) = &mut self.processes[host].switchboard {
                let taken = switchboard.receive(link, message, now);
                assert_eq!(taken, Ok(()), "process {number} broke the protocol");
            }
            let socket = &mut self.processes[number].socket;
            socket.presenting = socket.presenting.saturating_sub(1);
            if socket.presenting == 0 && socket.back.is_none() {
                socket.back = Some((generation, self.now));
            }
            self.watch_service(host);
        }
        // The channel acknowledges when it likes.
        let socket = &mut self.processes[number].socket;
        let acked = if self.calm { socket.taken } else { self.random.below(socket.taken + 1) };
        socket.outbox.drain(..acked);
        socket.taken -= acked;
    }

    /// The host gives a socket what it has room for.
    pub fn host_send(&mut self, number: usize, most: usize) {
        let Some((host, generation, link)) = self.processes[number].socket.host else { return };
        if !self.is_running(host) || self.processes[host].generation != generation {
            return;
        }
        let room = self.room;
        for _ in 0..most {
            if self.processes[number].socket.inbox.len() >= room {
                return;
            }
            let Some(switchboard) = &mut self.processes[host].switchboard else { return };
            let announced = switchboard.has_output(link);
            let Some(message) = switchboard.poll_send(link) else {
                assert!(!announced, "output is announced and not there");
                return;
            };
            assert!(announced, "output is there and not announced");
            self.processes[number].socket.inbox.push_back(message);
        }
    }

    /// The member takes messages of the host.
    pub fn down(&mut self, number: usize, most: usize) {
        for _ in 0..most {
            if self.processes[number].life != Life::Running {
                return;
            }
            let now = self.time();
            let process = &mut self.processes[number];
            let Some(message) = process.socket.inbox.pop_front() else { return };
            let taken = process.member.receive(message, now);
            assert_eq!(taken, Ok(()), "the host of process {number} broke the protocol");
            self.attend(number);
        }
    }

    /// Nothing lies ready or is under way at the host.
    pub fn is_settled(&self, host: usize) -> bool {
        let process = &self.processes[host];
        let Some(switchboard) = &process.switchboard else { return false };
        let idle = self.running().into_iter().all(|number| {
            let link = self.processes[number].socket.host;
            link.is_some_and(|(_, generation, link)| {
                generation == process.generation && !switchboard.has_output(link)
            }) || self.processes[number].app.left
        });
        switchboard.is_serving() && idle
    }
}
