//! The world: who lives in it, and what happens at each step.

use std::time::Duration;

use open_channel_group::core::{Limits, Member, MemberId, MemberInfo};
use open_channel_simulation::Random;

use crate::kernel::{Kernel, Report};
use crate::ledger::Ledger;
use crate::process::{App, Habits, Hosting, Life, Process, Socket};
use crate::tally::Tally;

/// Rounds without faults after which everything must be over.
const PATIENCE: usize = 400;
pub const HOST_TIMEOUT: u64 = 200;
pub const STALL_TIMEOUT: u64 = 300;
/// The longest payload that is published, pushed or written.
pub const LONGEST: usize = 150;

pub struct World {
    pub random: Random,
    pub trace: bool,
    /// In milliseconds.
    pub now: u64,
    pub calm: bool,
    pub limits: Limits,
    pub processes: Vec<Process>,
    /// The process that hosts.
    pub host: Option<usize>,
    pub generation: u64,
    pub links: u64,
    /// How many messages fit into a socket in each direction.
    pub room: usize,
    pub faults: usize,
    pub most: usize,
    pub kernel: Kernel,
    pub ledger: Ledger,
    pub tally: Tally,
}

macro_rules! note {
    ($world:expr, $($text:tt)*) => {
        if $world.trace {
            println!("{:>6}  {}", $world.now, format_args!($($text)*));
        }
    };
}

pub(crate) use note;

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let mut limits = Limits::default();
        limits.window = random.pick(&[200, 400, 1000, 3000]);
        limits.max_payload = 2 * LONGEST;
        limits.map_bytes = random.pick(&[400, 600, 100_000]);
        limits.host_timeout = Duration::from_millis(HOST_TIMEOUT);
        limits.stall_timeout = Duration::from_millis(STALL_TIMEOUT);
        let mut world = Self {
            trace,
            now: 0,
            calm: false,
            limits,
            processes: Vec::new(),
            host: None,
            generation: 0,
            links: 0,
            room: random.pick(&[2, 5, 20]),
            faults: random.pick(&[0, 1, 2, 4]),
            most: 2 + random.below(5),
            kernel: Kernel::default(),
            ledger: Ledger::default(),
            tally: Tally::default(),
            random,
        };
        for _ in 0..1 + world.random.below(4) {
            world.spawn();
        }
        world
    }

    pub fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    pub fn spawn(&mut self) {
        let number = self.processes.len();
        let id = self.new_id();
        let info = MemberInfo {
            pid: number as u32,
            program: format!("program {number}"),
            language: "rust".into(),
            labels: vec![("role".into(), "test".into())],
        };
        let habits = Habits {
            eager: self.random.chance(70),
            never_reads: self.random.chance(8),
            never_watches: self.random.chance(20),
        };
        note!(self, "process {number} begins as member {id:x?}, {habits:?}");
        let member = Member::new(id, info, self.limits, self.time());
        self.processes.push(Process {
            life: Life::Running,
            member,
            switchboard: None,
            generation: 0,
            hosting: Hosting::default(),
            socket: Socket::default(),
            app: App { habits, ..App::default() },
        });
    }

    /// A new id, in the place of the driver's source of chance.
    pub fn new_id(&mut self) -> MemberId {
        let id = MemberId(self.random.number());
        assert!(self.ledger.members.insert(id), "an id comes twice");
        id
    }

    /// The processes that run.
    pub fn running(&self) -> Vec<usize> {
        self.with(|process| process.life == Life::Running)
    }

    pub fn with(&self, which: impl Fn(&Process) -> bool) -> Vec<usize> {
        (0..self.processes.len()).filter(|&number| which(&self.processes[number])).collect()
    }

    pub fn is_running(&self, number: usize) -> bool {
        self.processes[number].life == Life::Running
    }

    /// Faults first, then peace, in which everything must come to a good end.
    pub fn live(mut self) -> Tally {
        for _ in 0..100 + self.random.below(500) {
            self.now += self.random.below(8) as u64;
            self.step();
        }
        self.make_peace();
        for _ in 0..PATIENCE {
            self.now += 10;
            self.round();
            if self.is_over() {
                self.audit();
                return self.tally;
            }
        }
        panic!("not over after {PATIENCE} rounds without faults: {}", self.state());
    }

    fn step(&mut self) {
        let running = self.running();
        if self.random.below(1000) < 5 * self.faults {
            self.fault();
        }
        if self.host.is_none() && self.random.chance(15) && !running.is_empty() {
            self.elect();
        }
        if running.is_empty() {
            return;
        }
        let number = self.random.pick(&running);
        match self.random.below(100) {
            0..8 => self.connect(number),
            8..30 => self.act(number),
            30..36 => self.kernel(),
            36..40 => self.timers(number),
            _ => self.serve(number),
        }
    }

    /// Somebody who waits for a kernel lock goes on.
    pub fn kernel(&mut self) {
        let waiters = self.kernel.waiters();
        if waiters.is_empty() {
            return;
        }
        let (name, place) = waiters[self.random.below(waiters.len())].clone();
        let runs: Vec<bool> = self.processes.iter().map(|one| one.life == Life::Running).collect();
        let Some((waiter, report)) = self.kernel.advance(&name, place, |one| runs[one]) else {
            return;
        };
        note!(self, "process {}: the kernel says {report:?} of {name:?}", waiter.process);
        let now = self.time();
        let member = &mut self.processes[waiter.process].member;
        match report {
            Report::Taken { outdated } => {
                self.tally.outdated_turns += u64::from(outdated);
                member.kernel_lock_taken(waiter.lock, outdated, now);
            }
            Report::Busy => {
                self.tally.busy += 1;
                member.kernel_lock_busy(waiter.lock, now);
            }
        }
        self.attend(waiter.process);
    }

    pub fn timers(&mut self, number: usize) {
        let now = self.time();
        let process = &mut self.processes[number];
        if process.member.next_timeout().is_some_and(|at| at <= now) {
            process.member.handle_timeout(now);
        }
        if let Some(switchboard) = &mut process.switchboard
            && switchboard.next_timeout().is_some_and(|at| at <= now)
        {
            switchboard.handle_timeout(now);
        }
        self.watch_service(number);
        self.attend(number);
        self.check_memory(number);
    }

    /// Everything that a process can do, once.
    fn round(&mut self) {
        if self.host.is_none() {
            self.elect();
        }
        for number in self.running() {
            self.connect(number);
            self.timers(number);
            for _ in 0..4 {
                self.serve(number);
            }
            self.kernel();
            self.calm_down(number);
        }
        self.report_gone();
    }

    fn make_peace(&mut self) {
        note!(self, "peace");
        self.calm = true;
        self.room = 50;
        for number in self.with(|process| process.life == Life::Stopped) {
            self.wake(number);
        }
        if self.running().is_empty() {
            self.spawn();
        }
        for number in self.running() {
            let habits = &mut self.processes[number].app.habits;
            habits.never_reads = false;
            habits.never_watches = false;
        }
    }

    fn is_over(&self) -> bool {
        let running = self.running();
        running.is_empty()
            || running.iter().all(|&number| {
                let process = &self.processes[number];
                process.app.left
                    || (process.member.is_active()
                        && process.member.is_idle()
                        && process.socket.outbox.is_empty()
                        && process.socket.inbox.is_empty()
                        && process.app.is_idle()
                        && process.member.entries().all(|(key, _)| !key.as_str().starts_with('t')))
            }) && self.host.is_some_and(|host| self.is_settled(host))
    }

    fn state(&self) -> String {
        let of = |number: usize| {
            let process = &self.processes[number];
            format!(
                "\nprocess {number}: {:?}\nsocket {:?}\napp {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                process.member,
                process.socket,
                process.app.publications,
                process.app.calls,
                process.app.locks,
                process.app.jobs,
                process.app.runs,
                process.app.writes,
                process.app.requests,
            )
        };
        let host = self.host.map(|host| format!("{:?}", self.processes[host].switchboard));
        format!("{host:?}{}", self.running().into_iter().map(of).collect::<String>())
    }
}

impl App {
    fn is_idle(&self) -> bool {
        self.publications.is_empty()
            && self.calls.is_empty()
            && self.calls_to_all.is_empty()
            && self.locks.is_empty()
            && self.jobs.is_empty()
            && self.runs.is_empty()
            && self.writes.is_empty()
            && self.requests.is_empty()
            && !self.out
    }
}
