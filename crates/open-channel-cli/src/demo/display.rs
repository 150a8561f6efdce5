//! The display of a running demo: a bar that moves on a terminal, plain lines anywhere else.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Time between two moves of the bar.
const FRAME: Duration = Duration::from_millis(100);

/// Time between two plain lines of progress.
const LINE: Duration = Duration::from_secs(1);

pub(crate) struct Display {
    started: Instant,
    bar: Option<ProgressBar>,
    pieces: u64,
    shown: (Instant, u64),
    rate: u64,
}

impl Display {
    pub(crate) fn new(pieces: u64) -> Display {
        let bar = output::is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(pieces), ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("  {bar:30} {percent:>3}%  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Display { started: now, bar, pieces, shown: (now, 0), rate: 0 }
    }

    /// Since the display was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn interval(&self) -> Duration {
        if self.bar.is_some() { FRAME } else { LINE }
    }

    /// Something happened.
    pub(crate) fn event(&self, text: &str) -> Result<()> {
        self.print(&format!("{:>7.3}s  {text}", self.elapsed().as_secs_f64()))
    }

    /// Shows the progress; to be called at every interval.
    pub(crate) fn progress(&mut self, covered: u64, host: &str) -> Result<()> {
        let now = Instant::now();
        let (before, covered_before) = self.shown;
        let seconds = now.duration_since(before).as_secs_f64();
        if seconds >= LINE.as_secs_f64() / 2.0 || self.rate == 0 {
            self.rate = ((covered - covered_before) as f64 / seconds.max(f64::EPSILON)) as u64;
            self.shown = (now, covered);
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(covered);
                bar.set_message(format!("{} messages/s   host: {host}", grouped(self.rate)));
                Ok(())
            }
            None => {
                let percent = covered * 100 / self.pieces.max(1);
                self.event(&format!(
                    "{percent:>3} %   {} messages/s   host: {host}",
                    grouped(self.rate)
                ))
            }
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn print(&self, line: &str) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::line(line.as_bytes())),
            None => output::line(line.as_bytes()),
        }
    }
}

/// 1234567 as `1 234 567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1 000"), (12_345, "12 345"), (1_234_567, "1 234 567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
