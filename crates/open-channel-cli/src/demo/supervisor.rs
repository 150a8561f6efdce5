//! Starts the workers, kills the one that hosts, starts it again, and records their reports.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::display::Display;
use super::ledger::{Ledger, Life, Verdict};
use super::plan::Plan;
use super::process::{self, Ended, Launch, Notice, Process, What};
use super::record::Record;

/// With all messages acknowledged, leaving is a matter of milliseconds.
const LEAVING: Duration = Duration::from_secs(10);

/// Time without a handled message after which the channel counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Time without a report after which a worker counts as silent: a busy worker reports many times a
/// second. It is longer than a change of host takes, during which no worker reports.
const SILENT: Duration = Duration::from_secs(5);

pub(super) struct Supervisor {
    plan: Plan,
    launch: Launch,
    kills: u64,
    kills_done: u64,
    workers: Vec<Process>,
    lives: Life,
    ledger: Ledger,
    display: Display,
    host: Option<Host>,
    failover: Option<Failover>,
    leaving: bool,
    notices: (mpsc::Sender<Notice>, mpsc::Receiver<Notice>),
}

#[derive(Clone, Copy)]
struct Host {
    life: Life,
    generation: u64,
    /// It has handled a message: the channel works again.
    handled: bool,
}

struct Failover {
    killed_at: Instant,
    killed_generation: u64,
}

impl Supervisor {
    pub(super) fn new(plan: Plan, launch: Launch, kills: u64) -> Supervisor {
        Supervisor {
            plan,
            launch,
            kills,
            kills_done: 0,
            workers: Vec::new(),
            lives: 0,
            ledger: Ledger::new(plan),
            display: Display::new(plan.pieces()),
            host: None,
            failover: None,
            leaving: false,
            notices: process::notices(),
        }
    }

    /// Runs from the first start to the last exit.
    pub(super) async fn run(&mut self) -> Result<()> {
        for number in 0..self.plan.workers {
            let worker = self.start(number)?;
            self.workers.push(worker);
        }
        self.flow().await?;
        self.display.finish();
        ensure!(
            self.kills_done == self.kills,
            "all messages were handled after {} of {} kills: give it more time with --seconds",
            self.kills_done,
            self.kills
        );
        self.leave().await
    }

    /// Runs until every worker's share is acknowledged.
    async fn flow(&mut self) -> Result<()> {
        let mut frames = interval(self.display.interval());
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        frames.tick().await;
        let mut moved_to = 0;
        // Counted in frames: a blocked output stops the messages and this clock alike.
        let mut still = Duration::ZERO;
        while !self.workers.iter().all(|worker| worker.finished) {
            tokio::select! {
                notice = self.notices.1.recv() => {
                    let notice = notice.context("the demo's own queue cannot close")?;
                    self.take(notice)?;
                }
                _ = frames.tick() => {
                    let covered = self.ledger.covered();
                    let host = match self.host {
                        Some(host) if self.failover.is_none() => self.name(host.life),
                        _ => "nobody yet".to_owned(),
                    };
                    self.display.progress(covered, &host)?;
                    self.name_the_silent()?;
                    still = if covered > moved_to { Duration::ZERO } else { still + self.display.interval() };
                    moved_to = covered;
                    ensure!(still < STUCK, "no message was handled for {STUCK:?}: {}", self.why_stuck());
                }
            }
        }
        Ok(())
    }

    /// Ends the workers and reads their last reports.
    async fn leave(&mut self) -> Result<()> {
        self.leaving = true;
        for worker in &mut self.workers {
            worker.ask_to_leave();
        }
        let ends = async {
            while !self.workers.iter().all(|worker| worker.gone) {
                let notice =
                    self.notices.1.recv().await.context("the demo's own queue cannot close")?;
                self.take(notice)?;
            }
            Ok(())
        };
        let left = timeout(LEAVING, ends).await;
        left.unwrap_or_else(|_| {
            let staying = self.names(|worker| !worker.gone);
            bail!(
                "{staying} did not leave the channel within {LEAVING:?} of being asked: suspended?"
            )
        })
    }

    /// To be called at every frame: reports each silent worker once.
    fn name_the_silent(&mut self) -> Result<()> {
        let frame = self.display.interval();
        for worker in self.workers.iter_mut().filter(|worker| !worker.finished) {
            let was_silent = worker.silence >= SILENT;
            worker.silence += frame;
            if worker.silence >= SILENT && !was_silent {
                self.display.event(&format!(
                    "{} has said nothing for {SILENT:?}; if it is suspended, `kill -CONT {}` wakes it up",
                    worker.name(),
                    worker.pid()
                ))?;
            }
        }
        Ok(())
    }

    fn why_stuck(&self) -> String {
        match self.names(|worker| !worker.finished && worker.silence >= SILENT) {
            silent if silent.is_empty() => "the channel is stuck".to_owned(),
            silent => format!("{silent} said nothing: suspended?"),
        }
    }

    fn names(&self, of: impl Fn(&Process) -> bool) -> String {
        let names: Vec<String> =
            self.workers.iter().filter(|worker| of(worker)).map(Process::name).collect();
        names.join(", ")
    }

    fn take(&mut self, Notice { life, at, what }: Notice) -> Result<()> {
        let record = match what {
            What::Record(record) => record,
            What::End(end) => return self.ended(life, at, end),
        };
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.life == life) {
            worker.silence = Duration::ZERO;
        }
        self.ledger.enter(life, record);
        if self.leaving {
            // The channel changes hands once more with each worker that leaves.
            return Ok(());
        }
        match record {
            Record::Sent { .. } => {}
            Record::Finished => {
                if let Some(worker) = self.workers.iter_mut().find(|worker| worker.life == life) {
                    // A worker that was killed after this report hosted still. It starts again and
                    // reports again.
                    worker.finished = !worker.killed;
                }
            }
            Record::Hosting { generation } => self.hosting(life, generation)?,
            Record::Handled { generation, .. } => {
                self.hosting(life, generation)?;
                self.first_handled(life, generation, at)?;
                self.kill_when_due()?;
            }
        }
        Ok(())
    }

    /// The figures for the report.
    pub(super) fn verdict(&self) -> Verdict {
        self.ledger.verdict()
    }

    /// Restores the terminal.
    pub(super) fn finish_display(&self) {
        self.display.finish();
    }

    fn hosting(&mut self, life: Life, generation: u64) -> Result<()> {
        if self.host.is_none_or(|host| host.generation < generation) {
            self.host = Some(Host { life, generation, handled: false });
            if self.failover.is_none() {
                self.display
                    .event(&format!("{} hosts (generation {generation})", self.name(life)))?;
            }
        }
        Ok(())
    }

    fn first_handled(&mut self, life: Life, generation: u64, at: Instant) -> Result<()> {
        if let Some(host) = &mut self.host
            && host.generation == generation
        {
            host.handled = true;
        }
        if let Some(failover) = &self.failover
            && generation > failover.killed_generation
        {
            let took = at.saturating_duration_since(failover.killed_at);
            self.failover = None;
            self.display.event(&format!(
                "{} hosts (generation {generation}), first message handled {:.1} ms after the kill",
                self.name(life),
                took.as_secs_f64() * 1000.0
            ))?;
        }
        Ok(())
    }

    /// Kills the host at evenly spaced points of the stream, when all workers are there to take
    /// over.
    fn kill_when_due(&mut self) -> Result<()> {
        let Some(host) = self.host else { return Ok(()) };
        let due = self.plan.pieces() * (self.kills_done + 1) / (self.kills + 1);
        if self.kills_done == self.kills
            || self.failover.is_some()
            || !host.handled
            || self.ledger.covered() < due
            || self.workers.iter().any(|worker| worker.killed)
        {
            return Ok(());
        }
        let name = self.name(host.life);
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.life == host.life) else {
            return Ok(());
        };
        let killed_at = Instant::now();
        worker.kill()?;
        self.ledger.killed(host.life);
        self.kills_done += 1;
        self.failover = Some(Failover { killed_at, killed_generation: host.generation });
        self.display.event(&format!("SIGKILL {name}, which hosts"))
    }

    /// A worker's pipe is at its end, and so is the worker.
    fn ended(&mut self, life: Life, at: Instant, end: io::Result<()>) -> Result<()> {
        end.context("could not read what a worker reports")?;
        let Some(index) = self.workers.iter().position(|worker| worker.life == life) else {
            return Ok(());
        };
        match self.workers[index].ended()? {
            Ended::AsAsked => return Ok(()),
            Ended::KilledByDemo => {}
            Ended::KilledByOthers => self.killed_by_others(life, at)?,
        }
        if self.leaving {
            return Ok(());
        }
        // All of its reports are recorded by now. Pieces that another host has yet to report are
        // sent twice.
        self.workers[index] = self.start(self.workers[index].number)?;
        let name = self.workers[index].name();
        self.display.event(&format!("{name} starts again, where its handled messages end"))
    }

    fn killed_by_others(&mut self, life: Life, at: Instant) -> Result<()> {
        self.ledger.killed(life);
        let hosted = self.host.filter(|host| host.life == life);
        if let Some(Host { generation, .. }) = hosted
            && self.failover.is_none()
        {
            self.failover = Some(Failover { killed_at: at, killed_generation: generation });
        }
        let role = if hosted.is_some() { ", which hosts" } else { "" };
        self.display.event(&format!("somebody killed {}{role}", self.name(life)))
    }

    fn start(&mut self, number: u64) -> Result<Process> {
        self.lives += 1;
        let resume_at = self.ledger.resume_at(number);
        let (life, elapsed, notices) = (self.lives, self.display.elapsed(), self.notices.0.clone());
        Process::start(&self.launch, &self.plan, (number, life), resume_at, elapsed, notices)
    }

    fn name(&self, life: Life) -> String {
        match self.workers.iter().find(|worker| worker.life == life) {
            Some(worker) => worker.name(),
            None => "a worker that was killed".to_owned(),
        }
    }
}
