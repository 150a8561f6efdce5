//! Deciding that a host is stuck.

use std::time::Duration;

/// An interval longer than this many intervals means that this process was not running. It says
/// nothing about the host.
const OWN_SLEEP: u32 = 2;

/// The thing to do at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Send this ping.
    Ping {
        /// Nonce for the frame.
        nonce: u64,
    },
    /// The host has not answered for the whole timeout, while this process was running.
    Stuck,
}

/// The peer's side of a lifeline: it pings at each tick and counts the silence.
///
/// Silence is counted in ticks that really ran, and has to last for the whole timeout, too. So a
/// suspended machine, a stopped peer or a late one does not take its own absence for the host's.
#[derive(Debug)]
pub struct Heartbeat {
    interval: Duration,
    patience: u32,
    unanswered: u32,
    /// When the first of the unanswered pings was sent.
    silent_since: Duration,
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
            silent_since: Duration::ZERO,
            last_tick: None,
            nonce: 0,
        }
    }

    /// How often [`tick`](Self::tick) is to be called.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The host has sent something, so it lives.
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
        if self.unanswered == 0 {
            self.silent_since = now;
        }
        // Ticks are as late as the timers of the machine. An eighth of an interval is not worth
        // another.
        let enough = self.interval * self.patience - self.interval / 8;
        if self.unanswered >= self.patience && now.saturating_sub(self.silent_since) >= enough {
            return Beat::Stuck;
        }
        // A timer that makes up for missed ticks must not add silence.
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
            assert!(
                !ticks(&mut heartbeat, from, Heartbeat::PINGS_PER_TIMEOUT).contains(&Beat::Stuck)
            );
            heartbeat.heard();
        }
    }

    #[test]
    fn late_ticks_do_not_shorten_the_timeout() {
        // Each is on the grid of the intervals, or so much of an interval late.
        for late in [[49, 0, 0, 0, 0, 0], [99, 99, 99, 0, 0, 0], [0, 90, 0, 90, 0, 0]] {
            let mut heartbeat = Heartbeat::new(TIMEOUT);
            let at =
                |n: u32| heartbeat_interval() * n + heartbeat_interval() * late[n as usize] / 100;
            let stuck = (0..6)
                .map(at)
                .find(|now| heartbeat.tick(*now) == Beat::Stuck)
                .expect("it is stuck");
            let silence = stuck - at(0);
            assert!(silence >= TIMEOUT - heartbeat_interval() / 8, "{silence:?} with {late:?}");
        }
    }

    fn heartbeat_interval() -> Duration {
        Heartbeat::new(TIMEOUT).interval()
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
