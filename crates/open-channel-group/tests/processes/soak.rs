//! Everything at once, while processes are killed, stopped and closed at random.
//!
//! `OPEN_CHANNEL_GROUP_SOAK` is for how many seconds, and `OPEN_CHANNEL_GROUP_SEED` repeats the
//! choices of a run, though not its timing.

use std::time::{Duration, Instant};

use crate::stage::{Actor, Stage};
use crate::topics::QUICK;
use crate::{calls, locks, map, queue, topics};

const PROCESSES: usize = 8;
/// Longer than the timeouts.
const LONG_STOP: Duration = Duration::from_millis(4000);
const SHORT_STOP: Duration = Duration::from_millis(150);

pub(crate) fn duration() -> Duration {
    let seconds = std::env::var("OPEN_CHANNEL_GROUP_SOAK").ok();
    Duration::from_secs(seconds.map_or(8, |seconds| seconds.parse().unwrap()))
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most
    }
}

struct Soak<'a> {
    stage: &'a Stage,
    random: Random,
    living: Vec<Actor>,
    gone: Vec<Actor>,
    /// Each with the time at which it goes on.
    stopped: Vec<(Actor, Instant)>,
    count: usize,
    kills: usize,
    stops: usize,
    closes: usize,
}

impl Soak<'_> {
    fn spawn(&mut self) {
        let actor = self.stage.joined(format!("process-{}", self.count), QUICK);
        self.count += 1;
        for command in ["subscribe news.>", "serve s", "work q 3"] {
            actor.tell(command);
        }
        for command in ["publish news.local", "calls s", "locks l", "pushes q", "counts n"] {
            actor.tell(command);
        }
        self.living.push(actor);
    }

    fn host(&self) -> Option<usize> {
        // It may be stopped.
        (0..self.living.len()).find(|&index| self.living[index].is_host())
    }

    fn any(&mut self) -> usize {
        let most = self.living.len();
        let any = self.random.below(most);
        if self.random.below(2) == 0 { self.host().unwrap_or(any) } else { any }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..4 => {
                let index = self.any();
                let killed = self.living.swap_remove(index);
                killed.kill();
                self.kills += 1;
                self.gone.push(killed);
                self.spawn();
            }
            4..7 if self.stopped.len() < 2 => {
                let index = self.any();
                let long = self.random.below(2) == 0;
                let stopped = self.living.swap_remove(index);
                stopped.stop();
                self.stops += 1;
                let time = if long { LONG_STOP } else { SHORT_STOP };
                self.stopped.push((stopped, Instant::now() + time));
            }
            7..9 => {
                let index = self.any();
                let closed = self.living.swap_remove(index);
                closed.close();
                self.closes += 1;
                self.gone.push(closed);
                self.spawn();
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(self.random.below(400) as u64));
        let now = Instant::now();
        for (stopped, until) in std::mem::take(&mut self.stopped) {
            if until <= now {
                stopped.resume();
                self.living.push(stopped);
            } else {
                self.stopped.push((stopped, until));
            }
        }
    }
}

pub(crate) fn everything_at_once(stage: &mut Stage) {
    let seed = std::env::var("OPEN_CHANNEL_GROUP_SEED").ok();
    let seed = seed.map_or_else(|| crate::system::now() | 1, |seed| seed.parse().unwrap());
    eprintln!("seed {seed}");
    let mut soak = Soak {
        stage,
        random: Random(seed),
        living: Vec::new(),
        gone: Vec::new(),
        stopped: Vec::new(),
        count: 0,
        kills: 0,
        stops: 0,
        closes: 0,
    };
    for _ in 0..PROCESSES {
        soak.spawn();
    }
    let end = Instant::now() + duration();
    while Instant::now() < end {
        soak.step();
    }
    for (stopped, _) in std::mem::take(&mut soak.stopped) {
        stopped.resume();
        soak.living.push(stopped);
    }
    let Soak { living, gone, kills, stops, closes, .. } = soak;
    for actor in &living {
        for word in ["published", "held l", "done", "counted"] {
            let mark = actor.mark();
            actor.wait_since(mark, word);
        }
    }
    queue::stop_pushing(&living);
    let values: Vec<u64> =
        living.iter().map(|actor| actor.ask("get n", "value").number(2)).collect();
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    let all: Vec<&Actor> = living.iter().chain(&gone).collect();
    for actor in &all {
        assert_eq!(actor.count("panicked"), 0, "{}", actor.label);
    }
    let deliveries = topics::check_all(&all);
    let calls = calls::check(&all);
    let held = locks::check(&all, "l");
    let jobs = queue::check(&all);
    map::check(&all, values[0]);
    eprintln!(
        "{kills} kills, {stops} stops, {closes} closes; {deliveries} deliveries, {calls} calls, \
         {held} locks, {jobs} jobs, {} increments",
        values[0]
    );
}
