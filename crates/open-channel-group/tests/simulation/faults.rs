//! Faults: crashes, stops, hand-overs, departures; and who hosts next.

use open_channel_group::core::{Start, Switchboard};

use crate::process::{Hosting, Life, Process};
use crate::world::{STALL_TIMEOUT, World, note};

impl World {
    pub fn fault(&mut self) {
        let alive = self.with(|process| process.life != Life::Dead);
        if alive.is_empty() || (alive.len() < self.most && self.random.chance(35)) {
            return self.spawn();
        }
        let number = self.random.pick(&alive);
        match self.random.below(100) {
            0..12 => self.crash(number),
            12..24 => {
                if let Some(host) = self.host {
                    self.crash(host);
                }
            }
            24..34 => {
                // Best in the middle of something.
                let busy =
                    |one: &Process| one.life == Life::Running && !one.socket.inbox.is_empty();
                let busy = self.with(busy);
                let any = busy.is_empty() || self.random.chance(30);
                let number = if any { number } else { self.random.pick(&busy) };
                self.stop(number);
            }
            34..44 => {
                if let Some(host) = self.host {
                    self.stop(host);
                }
            }
            44..64 => {
                let stopped = self.with(|process| process.life == Life::Stopped);
                if !stopped.is_empty() {
                    let number = self.random.pick(&stopped);
                    self.wake(number);
                }
            }
            64..72 => {
                // Time goes by, and nobody does anything.
                self.now += self.random.pick(&[50, 150, STALL_TIMEOUT]);
            }
            72..80 => self.hand_over(),
            80..86 if self.is_running(number) => {
                note!(self, "process {number} leaves");
                self.tally.leaves += 1;
                self.processes[number].member.leave();
                self.attend(number);
            }
            86..90 => {
                let stopped = self.with(|process| process.life == Life::Stopped);
                if !stopped.is_empty() {
                    let number = self.random.pick(&stopped);
                    self.silence(number);
                }
            }
            _ => self.report_gone(),
        }
    }

    fn crash(&mut self, number: usize) {
        if self.processes[number].life == Life::Dead {
            return;
        }
        note!(self, "process {number} crashes");
        self.tally.crashes += 1;
        self.end(number);
    }

    /// A process ends, however.
    pub fn end(&mut self, number: usize) {
        // The host reads what had reached it before it learns of the end.
        let socket = &self.processes[number].socket;
        let arrived = self.random.below(socket.outbox.len() - socket.taken + 1);
        if self.processes[number].life == Life::Running {
            self.up(number, arrived);
        }
        self.processes[number].life = Life::Dead;
        self.ledger.death(number);
        self.kernel.death(number);
        if self.host == Some(number) {
            self.tally.host_crashes += 1;
            let recovering = self.processes[number].switchboard.as_ref();
            if recovering.is_some_and(|switchboard| !switchboard.is_serving()) {
                self.tally.host_crashes_while_recovering += 1;
            }
            self.unhost();
        }
        self.processes[number].switchboard = None;
        if let Some((of_host, generation, link)) = self.processes[number].socket.host.take() {
            let now = self.time();
            let host = &mut self.processes[of_host];
            if host.generation == generation
                && let Some(switchboard) = &mut host.switchboard
            {
                switchboard.lost(link, now);
            }
            self.watch_service(of_host);
        }
        self.processes[number].socket.inbox.clear();
    }

    /// Nobody hosts any more: what the host had sent and had not arrived is lost.
    fn unhost(&mut self) {
        let Some(host) = self.host.take() else { return };
        let generation = self.processes[host].generation;
        for (number, process) in self.processes.iter_mut().enumerate() {
            let with_it = process.socket.host.is_some_and(|(_, of, _)| of == generation);
            // A stopped host goes on with its own member, until it learns that it hosts no more.
            if with_it && (number != host || process.life == Life::Running) {
                let arrived = self.random.below(process.socket.inbox.len() + 1);
                process.socket.inbox.truncate(arrived);
                process.socket.host = None;
            }
        }
    }

    fn stop(&mut self, number: usize) {
        if !self.is_running(number) {
            return;
        }
        note!(self, "process {number} is stopped");
        self.tally.stops += 1;
        self.processes[number].life = Life::Stopped;
        if self.host == Some(number) && self.random.chance(70) {
            note!(self, "and is not the host any more");
            self.tally.host_stops += 1;
            self.unhost();
        }
    }

    /// A stopped process goes on. One that hosted learns soon that it does not any more.
    pub fn wake(&mut self, number: usize) {
        note!(self, "process {number} goes on");
        self.processes[number].life = Life::Running;
        if self.processes[number].switchboard.is_some() && self.host != Some(number) {
            self.tally.outdated_hosts += 1;
            self.processes[number].app.outdated = true;
            for _ in 0..self.random.below(6) {
                self.serve(number);
                self.timers(number);
            }
            self.processes[number].switchboard = None;
        }
    }

    fn hand_over(&mut self) {
        let Some(host) = self.host.filter(|&host| self.is_running(host)) else { return };
        note!(self, "host {host} hands over");
        self.tally.handovers += 1;
        self.unhost();
        self.processes[host].switchboard = None;
    }

    /// The channel says that a socket takes nothing any more.
    fn silence(&mut self, number: usize) {
        let Some((host, generation, link)) = self.processes[number].socket.host else { return };
        if !self.is_running(host) || self.processes[host].generation != generation {
            return;
        }
        let now = self.time();
        if let Some(switchboard) = &mut self.processes[host].switchboard {
            note!(self, "process {number} is silent");
            self.tally.silent += 1;
            switchboard.silent(link, now);
        }
    }

    /// The host's driver looks which of the members that it waits for live.
    pub fn report_gone(&mut self) {
        let Some(host) = self.host.filter(|&host| self.is_running(host)) else { return };
        let dead: Vec<_> = self.processes[host]
            .switchboard
            .as_ref()
            .map(Switchboard::expected)
            .unwrap_or_default()
            .into_iter()
            .filter(|member| self.processes[member.info.pid as usize].life == Life::Dead)
            .map(|member| member.id)
            .collect();
        let now = self.time();
        for member in dead {
            self.tally.reported_gone += 1;
            if let Some(switchboard) = &mut self.processes[host].switchboard {
                switchboard.gone(member, now);
            }
        }
        self.watch_service(host);
    }

    pub fn elect(&mut self) {
        let candidates = self.with(|process| process.life == Life::Running && !process.app.left);
        if candidates.is_empty() {
            return;
        }
        let number = self.random.pick(&candidates);
        let marks = self.processes.iter().filter(|process| process.life != Life::Dead);
        let newest = marks.filter_map(|process| process.member.mark()).max();
        let process = &self.processes[number];
        let since = self.now;
        let mut is_newcomer = false;
        let start = match process.member.known() {
            Some(known) => {
                self.tally.successor_hosts += 1;
                if process.member.mark() < newest {
                    self.tally.hosts_behind += 1;
                }
                Start::Successor(known)
            }
            None if newest.is_none() => {
                self.tally.first_hosts += 1;
                Start::First
            }
            None => {
                self.tally.newcomer_hosts += 1;
                is_newcomer = true;
                Start::Newcomer
            }
        };
        self.generation += 1;
        self.ledger.hosts += 1;
        note!(self, "process {number} hosts in generation {}", self.generation);
        let switchboard = Switchboard::new(self.generation, start, self.limits, self.time());
        let generation = self.generation;
        let process = &mut self.processes[number];
        process.generation = generation;
        let newcomer = is_newcomer;
        let mark = process.member.mark();
        process.hosting = Hosting { since, mark, newcomer, serves: false };
        process.switchboard = Some(switchboard);
        self.host = Some(number);
        for process in &self.processes {
            if process.app.locks.values().any(|lock| lock.held) && process.life != Life::Dead {
                self.tally.held_over_a_change_of_host += 1;
            }
        }
        self.connect(number);
    }
}
