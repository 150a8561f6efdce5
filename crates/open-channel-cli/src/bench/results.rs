//! Numbers, and how they are shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::kind::Measure;
use crate::ls::table::{line, widths};
use crate::output::Style;
use crate::quantity;

/// A measurement, over a channel and over a plain socket.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) measure: Measure,
    /// Length of each message in bytes.
    pub(super) len: Option<usize>,
    pub(super) channel: Numbers,
    pub(super) plain: Option<Numbers>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Numbers {
    /// Nanoseconds: the median, and what 99 and 99.9 of a hundred are below; and how many.
    Times { p50: f64, p99: f64, p999: f64, count: usize },
    /// Messages in a second.
    Rate(f64),
}

impl Numbers {
    pub(super) fn of_times(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: f64| {
            let place = (times.len() as f64 * part).ceil().max(1.0) as usize - 1;
            times.get(place).map_or(0.0, |time| time.as_nanos() as f64)
        };
        Self::Times { p50: at(0.5), p99: at(0.99), p999: at(0.999), count: times.len() }
    }

    pub(super) fn of_rate(rate: f64) -> Self {
        Self::Rate(rate)
    }

    /// The more the better: how often in a second.
    fn speed(self) -> f64 {
        match self {
            Self::Times { p50, .. } => 1e9 / p50.max(1.0),
            Self::Rate(rate) => rate,
        }
    }

    /// The number that stands for all of them.
    pub(super) fn main(self) -> String {
        match self {
            Self::Times { p50, .. } => micros(p50),
            Self::Rate(rate) => format!("{}/s", quantity::count(rate)),
        }
    }

    fn cells(self) -> [String; 3] {
        match self {
            Self::Times { p50, p99, p999, .. } => [p50, p99, p999].map(micros),
            Self::Rate(_) => [self.main(), "-".into(), "-".into()],
        }
    }

    fn object(self) -> Value {
        match self {
            Self::Times { p50, p99, p999, count } => {
                json!({ "p50_ns": p50, "p99_ns": p99, "p999_ns": p999, "count": count })
            }
            Self::Rate(rate) => json!({ "messages_per_second": rate }),
        }
    }
}

impl Row {
    /// The kind of measurement, in words.
    pub(super) fn title(&self) -> String {
        match self.len {
            Some(len) => format!("{}, {}", self.measure.word(), quantity::bytes(len as f64)),
            None => self.measure.word().into(),
        }
    }

    /// How many times as fast as the plain socket.
    pub(super) fn ratio(&self) -> Option<f64> {
        let plain = self.plain?;
        Some(self.channel.speed() / plain.speed().max(f64::MIN_POSITIVE))
    }

    pub(super) fn object(&self) -> Value {
        json!({
            "measure": self.measure.word(),
            "bytes": self.len,
            "open_channel": self.channel.object(),
            "plain_socket": self.plain.map(Numbers::object),
            "ratio": self.ratio(),
        })
    }
}

const HEAD: [&str; 8] =
    ["MEASURE", "OPEN-CHANNEL", "P99", "P99.9", "PLAIN SOCKET", "P99", "P99.9", "RATIO"];

pub(super) fn table(rows: &[Row], style: Style) -> String {
    let dashes = || ["-", "-", "-"].map(str::to_owned);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let plain = row.plain.map_or_else(dashes, Numbers::cells);
            let ratio = row.ratio().map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
            [vec![row.title()], row.channel.cells().into(), plain.into(), vec![ratio]].concat()
        })
        .collect();
    let head: Vec<String> = HEAD.iter().map(|&title| title.into()).collect();
    let widths = widths(&cells, &head);
    let mut text = format!("{}\n", style.dim(&line(&head, &widths)));
    for row in &cells {
        text += &line(row, &widths);
        text.push('\n');
    }
    text
}

/// `12.3 µs`, `4.56 ms`.
fn micros(nanos: f64) -> String {
    let (number, unit) = match nanos {
        ..1e6 => (nanos / 1e3, "µs"),
        1e6..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times = (1..=1000).rev().map(Duration::from_micros).collect();
        let numbers = Numbers::of_times(times);
        let (p50, p99, p999) = (500_000.0, 990_000.0, 999_000.0);
        assert_eq!(numbers, Numbers::Times { p50, p99, p999, count: 1000 });
        assert_eq!(numbers.cells(), ["500 µs", "990 µs", "999 µs"]);
        let one = Numbers::of_times(vec![Duration::from_millis(4)]);
        assert_eq!(one.cells(), ["4.00 ms", "4.00 ms", "4.00 ms"]);
    }

    #[test]
    fn twice_as_fast_is_two_for_times_and_for_rates() {
        let times = |micros| Numbers::of_times(vec![Duration::from_micros(micros)]);
        let (measure, len) = (Measure::RoundTrip, Some(64));
        let row = Row { measure, len, channel: times(5), plain: Some(times(10)) };
        assert_eq!(row.ratio(), Some(2.0));
        let (channel, plain) = (Numbers::of_rate(200.0), Some(Numbers::of_rate(100.0)));
        assert_eq!(Row { channel, plain, ..row }.ratio(), Some(2.0));
    }
}
