//! Every number that was measured, and the medians and ratios made from them.

use crate::job::Subject;
use crate::stats::median;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "lower")]
pub(crate) enum Measure {
    /// raw limits of the machine
    Limits,
    /// round trip
    Rtt,
    /// round trip when a side has to be woken
    Asleep,
    /// one-way rate
    OneWay,
    /// one host, 1 to 64 peers
    FanIn,
    /// system calls of a busy pair
    Syscalls,
    /// connect() to the first acknowledgement
    Connect,
    /// SIGKILL of the host to the first acknowledgement by the next
    Failover,
    /// memory for each idle connection
    Memory,
    /// processor time of an idle channel
    Idle,
}

impl Measure {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Measure::Limits => "Limits of this machine",
            Measure::Rtt => "Round trip",
            Measure::Asleep => "Round trip of 64 B when somebody has to be woken",
            Measure::OneWay => "One way, payload written and read",
            Measure::FanIn => "Fan-in to one host, 64 B",
            Measure::Syscalls => "System calls of a busy pair, per round trip of 64 B",
            Measure::Connect => "From connect() to the first acknowledgement",
            Measure::Failover => {
                "From SIGKILL of the host to the first acknowledgement by the next"
            }
            Measure::Memory => "Memory for each idle connection",
            Measure::Idle => "An idle host with 8 peers",
        }
    }

    /// The title in a few words.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Measure::Limits => "limits",
            Measure::Rtt => "round trip",
            Measure::Asleep => "woken round trip",
            Measure::OneWay => "one way",
            Measure::FanIn => "fan-in",
            Measure::Syscalls => "busy pair",
            Measure::Connect => "connect",
            Measure::Failover => "failover",
            Measure::Memory => "memory",
            Measure::Idle => "idle",
        }
    }

    /// The row that ratios are taken against: the plain tokio socket, in its better form for the
    /// question.
    pub(crate) fn baseline(self) -> &'static str {
        match self {
            Measure::OneWay | Measure::FanIn => "tokio-buffered",
            _ => "tokio",
        }
    }
}

/// The meaning of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    Nanos,
    P50,
    P99,
    P999,
    CpuPerMillion,
    CallsPerTrip,
    MessagesPerSecond,
    BytesPerSecond,
    FirstAck,
    FirstRemoteAck,
    SlowestAck,
    HostPss,
    HostRss,
    PeerPss,
    CpuShare,
    WakeupsPerSecond,
    LeastShare,
}

impl Metric {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Metric::Nanos => "time",
            Metric::P50 => "p50",
            Metric::P99 => "p99",
            Metric::P999 => "p99.9",
            Metric::CpuPerMillion => "CPU/1M",
            Metric::CallsPerTrip => "system calls",
            Metric::MessagesPerSecond => "messages/s",
            Metric::BytesPerSecond => "bytes/s",
            Metric::FirstAck => "first",
            Metric::FirstRemoteAck => "first remote",
            Metric::SlowestAck => "slowest",
            Metric::HostPss => "host PSS",
            Metric::HostRss => "host RSS",
            Metric::PeerPss => "peer PSS",
            Metric::CpuShare => "CPU",
            Metric::WakeupsPerSecond => "wake-ups/s",
            Metric::LeastShare => "least share",
        }
    }

    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Metric::MessagesPerSecond | Metric::WakeupsPerSecond => with_prefix(value, ""),
            Metric::BytesPerSecond => with_prefix(value, "B/s"),
            Metric::HostPss | Metric::HostRss | Metric::PeerPss => {
                format!("{:.1} KiB", value / 1024.0)
            }
            Metric::CallsPerTrip => format!("{value:.4}"),
            Metric::CpuShare => format!("{:.3} %", value * 100.0),
            Metric::LeastShare => format!("{:.1} %", value * 100.0),
            _ => duration(value),
        }
    }

    /// Tails and by-products stand without a ratio: they would only crowd the table.
    fn has_ratio(self) -> bool {
        !matches!(
            self,
            Metric::P99
                | Metric::P999
                | Metric::CallsPerTrip
                | Metric::HostRss
                | Metric::CpuShare
                | Metric::WakeupsPerSecond
                | Metric::LeastShare
        )
    }
}

fn duration(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.2} µs", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

fn with_prefix(value: f64, unit: &str) -> String {
    let text = match value {
        v if v >= 1e9 => format!("{:.2} G{unit}", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M{unit}", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k{unit}", v / 1e3),
        v => format!("{v:.1} {unit}"),
    };
    text.trim_end().to_owned()
}

/// One number of one round.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    measure: Measure,
    case: String,
    metric: Metric,
    row: String,
    value: f64,
}

/// A column of a table: a case of a measure and what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) case: String,
    pub(crate) metric: Metric,
}

#[derive(Default, Serialize)]
pub(crate) struct Results {
    samples: Vec<Sample>,
    /// Measurements that failed, with the reason.
    failures: Vec<String>,
    /// Something else had the processors, too.
    pub(crate) doubtful: bool,
    /// Reasons why the numbers say less than they should.
    caveats: Vec<String>,
    /// The links that carried the messages of the subjects that have a choice.
    links: BTreeMap<Subject, BTreeSet<String>>,
}

impl Results {
    pub(crate) fn add(
        &mut self,
        measure: Measure,
        case: impl Into<String>,
        metric: Metric,
        row: impl fmt::Display,
        value: f64,
    ) {
        self.samples.push(Sample {
            measure,
            case: case.into(),
            metric,
            row: row.to_string(),
            value,
        });
    }

    pub(crate) fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn caveat(&mut self, caveat: String) {
        if !self.caveats.contains(&caveat) {
            self.caveats.push(caveat);
        }
    }

    pub(crate) fn caveats(&self) -> &[String] {
        &self.caveats
    }

    pub(crate) fn note_link(&mut self, subject: Subject, link: String) {
        self.links.entry(subject).or_default().insert(link);
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = String> {
        self.links.iter().map(|(subject, links)| {
            let links: Vec<_> = links.iter().map(String::as_str).collect();
            format!("{subject}: {}", links.join(" and "))
        })
    }

    pub(crate) fn columns(&self, measure: Measure) -> Vec<Column> {
        self.distinct(measure, |s| Column { case: s.case.clone(), metric: s.metric })
    }

    pub(crate) fn rows(&self, measure: Measure) -> Vec<String> {
        self.distinct(measure, |sample| sample.row.clone())
    }

    fn distinct<T: PartialEq>(&self, measure: Measure, of: impl Fn(&Sample) -> T) -> Vec<T> {
        let mut found = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.measure == measure) {
            let value = of(sample);
            if !found.contains(&value) {
                found.push(value);
            }
        }
        found
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, measure: Measure, column: &Column, row: &str) -> Option<f64> {
        let of_row = |s: &&Sample| {
            s.measure == measure
                && s.case == column.case
                && s.metric == column.metric
                && s.row == row
        };
        let values: Vec<f64> = self.samples.iter().filter(of_row).map(|s| s.value).collect();
        (!values.is_empty()).then(|| median(&values))
    }

    /// The median against that of the plain tokio socket in the same run.
    pub(crate) fn ratio(&self, measure: Measure, column: &Column, row: &str) -> Option<f64> {
        let baseline = self.median(measure, column, measure.baseline())?;
        let ratio = self.median(measure, column, row)? / baseline;
        (column.metric.has_ratio() && ratio.is_finite()).then_some(ratio)
    }
}
