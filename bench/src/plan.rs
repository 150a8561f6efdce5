//! How much is measured, and under which conditions.

use crate::job::Subject;
use crate::measure::distance::{Distance, Patience, SHORTER};
use crate::results::Measure;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct Options {
    /// Measure only these (comma-separated)
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Measure>,
    /// Measure only these subjects (comma-separated); the plain tokio socket is always among them
    #[arg(long, value_delimiter = ',', value_enum)]
    subjects: Vec<Subject>,
    /// How often everything is measured; medians are reported [default: 7, or 3 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Shorter measurements
    #[arg(long)]
    quick: bool,
    /// Keep host and peer of the two-process measurements on these cores; "0,0" shares one
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "HOST,PEER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0,1"
    )]
    pin: Vec<usize>,
    /// Write a report with plots into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}

/// How much of everything.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Length of a measured phase.
    pub(crate) millis: u64,
    /// Length of a warm-up that precedes something counted.
    pub(crate) warm_up: u64,
    /// Round trips whose system calls are counted.
    pub(crate) trips: u64,
    /// Fresh processes in each round.
    pub(crate) connects: usize,
    /// Killed hosts in each round.
    pub(crate) kills: usize,
    /// Length of the silence.
    pub(crate) idle: Duration,
    /// Cores of host and peer.
    pub(crate) pin: Option<(usize, usize)>,
    /// Between those cores, if they are two.
    pub(crate) distance: Option<Distance>,
    measures: Vec<Measure>,
    subjects: Vec<Subject>,
}

impl Plan {
    pub(crate) fn new(options: &Options) -> Plan {
        let (quick, seconds) = (options.quick, Duration::from_secs);
        let baselines = [Subject::Tokio, Subject::TokioBuffered];
        let wanted = |subject: &Subject| {
            options.subjects.is_empty()
                || options.subjects.contains(subject)
                || baselines.contains(subject)
        };
        let all = Subject::value_variants().iter().copied();
        let measures = if options.only.is_empty() {
            Measure::value_variants().to_vec()
        } else {
            options.only.clone()
        };
        let pin = match options.pin[..] {
            [] => None,
            [both] => Some((both, both)),
            [host, peer, ..] => Some((host, peer)),
        };
        let patience = match quick {
            true => Patience { first_look: seconds(5), each: seconds(5), all: seconds(60) },
            false => Patience { first_look: seconds(40), each: seconds(30), all: seconds(15 * 60) },
        };
        Plan {
            rounds: options.rounds.unwrap_or(if quick { 3 } else { 7 }).max(1),
            millis: if quick { 100 } else { 400 },
            warm_up: 100,
            trips: if quick { 50_000 } else { 100_000 },
            connects: if quick { 3 } else { 5 },
            kills: if quick { 3 } else { 5 },
            idle: seconds(if quick { 2 } else { 5 }),
            pin,
            distance: pin
                .filter(|(host, peer)| host != peer)
                .map(|cores| Distance::new(cores, patience)),
            measures,
            subjects: all.filter(wanted).collect(),
        }
    }

    /// One line that says under which conditions the numbers came about.
    pub(crate) fn conditions(&self) -> String {
        let pinned = match self.pin {
            None => "not pinned".into(),
            Some((host, peer)) => format!("host on core {host}, peer on core {peer}"),
        };
        let distance =
            self.distance.as_ref().and_then(|distance| distance.describe(self.millis / SHORTER));
        let distance = distance.map_or(String::new(), |distance| format!("; {distance}"));
        format!("{} rounds of {} ms, {pinned}{distance}", self.rounds, self.millis)
    }

    pub(crate) fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The order of rows.
    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }
}
