//! Deciding that a host is stuck.

use std::time::Duration;

/// A silent interval longer than this many intervals means that *we* were not running, which says nothing about
/// the host.
const OWN_SLEEP: u32 = 2;

/// What to do at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Send this ping.
    Ping {
        /// Nonce for the frame.
        nonce: u64,
    },
    /// The host has not answered for the whole timeout, while we were awake.
    Stuck,
}

/// The peer's side of a lifeline: pings at each tick and counts the silence.
///
/// Silence is counted in ticks that really ran on time, so that a suspended machine or a stopped peer does not
/// take its own absence for the host's.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    patience: u32,
    unanswered: u32,
    last_tick: Option<Duration>,
    nonce: u64,
}

impl Heartbeat {
    /// Pings per timeout: a host is given up after this many unanswered ones.
    pub const PINGS_PER_TIMEOUT: u32 = 3;

    /// A heartbeat that gives a host up after `timeout` of silence.
    pub fn new(timeout: Duration) -> Self {
        Self {
            interval: timeout / Self::PINGS_PER_TIMEOUT,
            patience: Self::PINGS_PER_TIMEOUT,
            unanswered: 0,
            last_tick: None,
            nonce: 0,
        }
    }

    /// How often [`tick`](Self::tick) is to be called.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The host has sent something: it is alive.
    pub fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// An interval has passed; `now` is any monotonic time.
    pub fn tick(&mut self, now: Duration) -> Beat {
        let since = self.last_tick.map(|last| now.saturating_sub(last));
        let slept = since.is_some_and(|since| since > self.interval * OWN_SLEEP);
        let hurried = since.is_some_and(|since| since < self.interval / 2);
        self.last_tick = Some(now);
        if slept {
            self.unanswered = 0;
        }
        if self.unanswered >= self.patience {
            return Beat::Stuck;
        }
        // A timer that makes up for missed ticks must not make up silence.
        self.unanswered += u32::from(!hurried);
        self.nonce += 1;
        Beat::Ping { nonce: self.nonce }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);

    fn ticks(heartbeat: &mut Heartbeat, from: Duration, count: u32) -> Vec<Beat> {
        (0..count).map(|n| heartbeat.tick(from + heartbeat.interval() * n)).collect()
    }

    #[test]
    fn a_silent_host_is_stuck_after_the_timeout_and_not_before() {
        let mut heartbeat = Heartbeat::new(TIMEOUT);
        let beats = ticks(&mut heartbeat, Duration::ZERO, Heartbeat::PINGS_PER_TIMEOUT + 1);
        let (last, before) = beats.split_last().expect("some");
        assert!(before.iter().all(|beat| matches!(beat, Beat::Ping { .. })));
        assert_eq!(*last, Beat::Stuck);
    }

    #[test]
    fn a_host_that_answers_now_and_then_is_not_stuck() {
        let mut heartbeat = Heartbeat::new(TIMEOUT);
        for round in 0..20 {
            let from = heartbeat.interval() * Heartbeat::PINGS_PER_TIMEOUT * round;
            assert!(!ticks(&mut heartbeat, from, Heartbeat::PINGS_PER_TIMEOUT).contains(&Beat::Stuck));
            heartbeat.heard();
        }
    }

    #[test]
    fn a_burst_of_late_ticks_is_no_silence() {
        let mut heartbeat = Heartbeat::new(TIMEOUT);
        heartbeat.tick(Duration::ZERO);
        for _ in 0..100 {
            assert!(matches!(heartbeat.tick(Duration::from_secs(3600)), Beat::Ping { .. }));
        }
    }

    #[test]
    fn our_own_sleep_is_not_the_hosts_silence() {
        let mut heartbeat = Heartbeat::new(TIMEOUT);
        ticks(&mut heartbeat, Duration::ZERO, Heartbeat::PINGS_PER_TIMEOUT);
        assert!(matches!(heartbeat.tick(Duration::from_secs(3600)), Beat::Ping { .. }));
    }
}
