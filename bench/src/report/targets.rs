//! The targets of this project, each judged by the numbers of the run itself.

use crate::results::{Column, Measure, Metric, Results};

const ON_UNIX: &str = "open-channel-unix";
const ON_UNIX_IN_BATCHES: &str = "open-channel-unix-buffered";
const ON_TCP: &str = "open-channel-tcp";

/// A face of the library on whatever link it picks by itself; the same sending and receiving in
/// batches; and writing and reading in place, as iceoryx2 does.
struct Face {
    row: &'static str,
    in_batches: &'static str,
    in_place: &'static str,
}

const FACES: [Face; 2] = [
    Face {
        row: "open-channel",
        in_batches: "open-channel-buffered",
        in_place: "open-channel-in-place",
    },
    Face {
        row: "open-channel-blocking",
        in_batches: "open-channel-blocking-buffered",
        in_place: "open-channel-blocking-in-place",
    },
];

const PLAIN: &[&str] = &["tokio"];
const PLAIN_BUFFERED: &[&str] = &["tokio-buffered"];
const PLAIN_TCP: &[&str] = &["tokio-tcp"];
const BLOCKING: &[&str] = &["std"];
const BUFFERED: &[&str] = &["tokio-buffered", "std-buffered"];
const RAW: &[&str] = &["raw-ring", "raw-ring-buffered"];
const SPINNING: &[&str] = &["iceoryx2-poll"];
const ICEORYX2: &[&str] = &["iceoryx2-poll", "iceoryx2-event"];
const UNBUFFERED_PEERS: &[&str] =
    &["tokio", "std", "zeromq", "ipc-channel", "iceoryx2-poll", "iceoryx2-event"];
const PEERS: &[&str] = &[
    "tokio",
    "tokio-buffered",
    "std",
    "std-buffered",
    "zeromq",
    "ipc-channel",
    "iceoryx2-poll",
    "iceoryx2-event",
];

/// A wish, as a line of a table.
pub(super) const HEADER: [&str; 5] = ["", "target", "measured", "ratio", "reached?"];

/// One number that is to stand in a relation to others of the same run.
struct Target {
    row: &'static str,
    measure: Measure,
    case: &'static str,
    metric: Metric,
    against: Against,
    wanted: Wanted,
}

enum Against {
    /// The best of these, in the same column; all of them have to be there.
    Rows(&'static [&'static str]),
    /// The same row in another case.
    Case(&'static str),
    /// A plain number.
    Unit,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

use Against::{Case, Rows, Unit};
use Wanted::{AtLeast, AtMost};

fn targets() -> Vec<Target> {
    let of = |row, measure, case, metric, against, wanted| Target {
        row,
        measure,
        case,
        metric,
        against,
        wanted,
    };
    // On the Unix socket.
    let mut all = vec![
        of(ON_UNIX, Measure::Rtt, "64 B", Metric::P50, Rows(PLAIN), AtMost(1.3)),
        of(
            ON_UNIX_IN_BATCHES,
            Measure::OneWay,
            "64 B",
            Metric::MessagesPerSecond,
            Rows(PLAIN_BUFFERED),
            AtLeast(1.0),
        ),
        of(ON_UNIX, Measure::Connect, "second process", Metric::Nanos, Unit, AtMost(5e6)),
        of(ON_UNIX, Measure::Failover, "8 peers", Metric::FirstRemoteAck, Unit, AtMost(10e6)),
        // "Nil", but for the heartbeats that distinguish a stuck host from a silent one.
        of(ON_UNIX, Measure::Idle, "host", Metric::CpuShare, Unit, AtMost(NEXT_TO_NOTHING)),
        of(ON_UNIX, Measure::Idle, "a peer", Metric::CpuShare, Unit, AtMost(NEXT_TO_NOTHING)),
        of(ON_TCP, Measure::Rtt, "64 B", Metric::P50, Rows(PLAIN_TCP), AtMost(1.3)),
    ];
    // On whatever it picks by itself: shared memory, where there is some.
    for Face { row: face, in_batches, in_place } in FACES {
        let rtt = |metric, against, wanted| of(face, Measure::Rtt, "64 B", metric, against, wanted);
        if face == "open-channel" {
            all.push(rtt(Metric::P50, Rows(PLAIN), AtMost(0.5)));
        }
        all.push(rtt(Metric::P50, Rows(SPINNING), AtMost(0.5)));
        all.push(rtt(Metric::P50, Rows(&RAW[..1]), AtMost(2.5)));
        for case in ["paced", "one core"] {
            all.push(of(face, Measure::Asleep, case, Metric::P50, Rows(BLOCKING), AtMost(1.0)));
        }
        let one_way = |row, case, metric, against, wanted| {
            of(row, Measure::OneWay, case, metric, against, wanted)
        };
        all.push(one_way(
            in_batches,
            "64 B",
            Metric::MessagesPerSecond,
            Rows(BUFFERED),
            AtLeast(1.5),
        ));
        all.push(one_way(in_batches, "64 B", Metric::MessagesPerSecond, Rows(RAW), AtLeast(0.5)));
        for case in ["64 KiB", "1 MiB"] {
            all.push(one_way(in_place, case, Metric::BytesPerSecond, Rows(ICEORYX2), AtLeast(1.0)));
        }
        for case in ["64 B", "1 KiB"] {
            all.push(of(
                face,
                Measure::Rtt,
                case,
                Metric::CpuPerMillion,
                Rows(UNBUFFERED_PEERS),
                AtMost(1.0),
            ));
        }
        for (row, case) in
            [(in_batches, "64 B"), (in_batches, "1 KiB"), (in_place, "64 KiB"), (in_place, "1 MiB")]
        {
            all.push(one_way(row, case, Metric::CpuPerMillion, Rows(PEERS), AtMost(1.0)));
        }
        let rate = Metric::MessagesPerSecond;
        all.push(of(face, Measure::FanIn, "64 peers", rate, Case("1 peer"), AtLeast(0.8)));
        // The cost of starting and stopping the count is in it, too.
        all.push(of(
            face,
            Measure::Syscalls,
            "64 B",
            Metric::CallsPerTrip,
            Unit,
            AtMost(NEXT_TO_NOTHING),
        ));
        all.push(of(face, Measure::Idle, "host", Metric::CpuShare, Unit, AtMost(NEXT_TO_NOTHING)));
    }
    all
}

const NEXT_TO_NOTHING: f64 = 0.001;

/// The targets of the measures that were asked for.
pub(super) fn judge(measures: &[Measure], results: &Results) -> Vec<Vec<String>> {
    targets()
        .iter()
        .filter(|target| measures.contains(&target.measure))
        .map(|target| target.judge(results))
        .collect()
}

impl Target {
    fn judge(&self, results: &Results) -> Vec<String> {
        let ours = self.median(self.case, self.row, results);
        let theirs = self.reference(results);
        let (mut measured, mut ratio, mut reached) = (String::new(), String::new(), "not measured");
        if let (Some(ours), Some((theirs, whose))) = (ours, &theirs) {
            measured = self.metric.format(ours);
            let value = ours / theirs;
            if let Some(whose) = whose {
                measured = format!("{measured} : {} ({whose})", self.metric.format(*theirs));
                ratio = format!("{value:.2}×");
            }
            reached = match (self.wanted.is_met_by(value), results.doubtful) {
                (true, false) => "yes",
                (false, false) => "no",
                (true, true) => "yes?",
                (false, true) => "no?",
            };
        }
        vec![self.row.into(), self.describe(), measured, ratio, reached.into()]
    }

    fn describe(&self) -> String {
        let what = self.measure.noun();
        let case = self.case;
        let metric = self.metric.title();
        let amount = |bound: f64| match self.against {
            Unit => self.metric.format(bound),
            _ => format!("{bound}×"),
        };
        let wanted = match self.wanted {
            AtMost(bound) => format!("at most {}", amount(bound)),
            AtLeast(bound) => format!("at least {}", amount(bound)),
        };
        let whom = match self.against {
            Unit => String::new(),
            Case(case) => format!(" that of {case}"),
            Rows([one]) => format!(" {one}"),
            Rows(RAW) => " the bare ring".into(),
            Rows(BUFFERED) => " the fastest buffered socket".into(),
            Rows(ICEORYX2) => " iceoryx2".into(),
            Rows(_) => " the least of all peers".into(),
        };
        format!("{what}, {case} {metric}: {wanted}{whom}")
    }

    fn median(&self, case: &str, row: &str, results: &Results) -> Option<f64> {
        let column = Column { case: case.into(), metric: self.metric };
        results.median(self.measure, &column, row)
    }

    /// The number to divide by, and whose it is.
    fn reference(&self, results: &Results) -> Option<(f64, Option<&'static str>)> {
        match self.against {
            Unit => Some((1.0, None)),
            Case(case) => Some((self.median(case, self.row, results)?, Some(case))),
            Rows(rows) => {
                let all: Option<Vec<_>> = rows
                    .iter()
                    .map(|row| Some((self.median(self.case, row, results)?, Some(*row))))
                    .collect();
                let by_value = |a: &(f64, _), b: &(f64, _)| a.0.total_cmp(&b.0);
                match self.wanted {
                    AtMost(_) => all?.into_iter().min_by(by_value),
                    AtLeast(_) => all?.into_iter().max_by(by_value),
                }
            }
        }
    }
}

impl Wanted {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            AtMost(bound) => value <= bound,
            AtLeast(bound) => value >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(tokio: f64, ours: f64) -> Results {
        let mut results = Results::default();
        results.add(Measure::Rtt, "64 B", Metric::P50, "tokio", tokio);
        results.add(Measure::Rtt, "64 B", Metric::P50, ON_UNIX, ours);
        results
    }

    fn verdict(results: &Results) -> String {
        judge(&[Measure::Rtt], results).swap_remove(0).pop().unwrap_or_default()
    }

    #[test]
    fn a_target_is_judged_by_the_run() {
        assert_eq!(verdict(&results(100.0, 129.0)), "yes");
        assert_eq!(verdict(&results(100.0, 131.0)), "no");
    }

    #[test]
    fn nothing_is_reached_that_was_not_measured() {
        assert_eq!(verdict(&Results::default()), "not measured");
    }

    #[test]
    fn the_best_of_all_the_others_counts_and_none_may_be_missing() {
        let mut results = Results::default();
        let mut add = |row, value| {
            results.add(Measure::OneWay, "64 B", Metric::MessagesPerSecond, row, value)
        };
        add("tokio-buffered", 10.0);
        add(FACES[0].in_batches, 15.0);
        let rate = |results: &Results| judge(&[Measure::OneWay], results).swap_remove(1);
        assert_eq!(rate(&results)[4], "not measured");
        results.add(Measure::OneWay, "64 B", Metric::MessagesPerSecond, "std-buffered", 20.0);
        assert_eq!(rate(&results)[3..], ["0.75×", "no"]);
    }
}
