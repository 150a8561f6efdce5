//! Tables of what was measured: medians over the rounds.

use std::collections::HashMap;

use crate::row::{Row, Subject};

/// One row of one subject, measured once.
pub(crate) struct Outcome {
    /// Per second.
    pub(crate) rate: f64,
    /// Processor time of all processes for each of them, in nanoseconds, servers included.
    pub(crate) cpu: f64,
    /// Sorted, in nanoseconds.
    pub(crate) latencies: Vec<u32>,
}

impl Outcome {
    /// The value below which this share of the latencies lies (nearest rank).
    fn percentile(&self, share: f64) -> f64 {
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.latencies.len().max(1)) - 1;
        self.latencies.get(at).copied().map_or(f64::NAN, f64::from)
    }
}

#[derive(Default)]
pub(crate) struct Table {
    cells: HashMap<(Row, Subject), Vec<Outcome>>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row, subject: Subject, outcome: Outcome) {
        self.cells.entry((row, subject)).or_default().push(outcome);
    }

    fn median(&self, row: Row, subject: Subject, of: impl Fn(&Outcome) -> f64) -> Option<f64> {
        let mut values: Vec<_> = self.cells.get(&(row, subject))?.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        match values.len() {
            0 => None,
            n if n % 2 == 1 => Some(values[half]),
            _ => Some(f64::midpoint(values[half - 1], values[half])),
        }
    }

    /// The rate, or the median time, and how many times better a group is.
    fn cell(&self, row: Row, subject: Subject) -> String {
        let value = |subject| {
            let of = |outcome: &Outcome| {
                if row.is_time() { outcome.percentile(0.5) } else { outcome.rate }
            };
            self.median(row, subject, of)
        };
        let Some(own) = value(subject) else { return String::new() };
        let mut cell = if row.is_time() {
            let late = self.median(row, subject, |outcome| outcome.percentile(0.99));
            format!("{}, p99 {}", time(own), time(late.unwrap_or(f64::NAN)))
        } else {
            count(own)
        };
        if let (Some(group), true) = (value(Subject::Group), subject != Subject::Group) {
            let better = if row.is_time() { own / group } else { group / own };
            cell += &format!(" ({better:.2}×)");
        }
        let cpu = self.median(row, subject, |outcome| outcome.cpu);
        cell + &format!(", CPU {}", time(cpu.unwrap_or(f64::NAN)))
    }

    fn rows(&self) -> Vec<Row> {
        let measured = |row: &Row| self.cells.keys().any(|(of, _)| of == row);
        Row::ALL.into_iter().filter(measured).collect()
    }

    fn subjects(&self) -> Vec<Subject> {
        let measured = |subject: &Subject| self.cells.keys().any(|(_, of)| of == subject);
        Subject::ALL.into_iter().filter(measured).collect()
    }

    fn head(&self) -> Vec<String> {
        let names = self.subjects().into_iter().map(|subject| subject.name().to_owned());
        std::iter::once(String::new()).chain(names).collect()
    }

    fn line(&self, row: Row) -> Vec<String> {
        let cells = self.subjects().into_iter().map(|subject| self.cell(row, subject));
        std::iter::once(row.title().to_owned()).chain(cells).collect()
    }
}

const NOTE: &str = "In brackets: how many times better the group is than this one. CPU is the \
processor time of all processes, servers included, for each delivery, call, holder, job or \
increment.";

pub(crate) fn text(table: &Table, rounds: usize) -> String {
    let mut text = comfy_table::Table::new();
    text.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(table.head());
    for row in table.rows() {
        text.add_row(table.line(row));
    }
    format!("{text}\nMedians of {rounds} rounds. {NOTE}")
}

pub(crate) fn markdown(table: &Table, rounds: usize) -> String {
    let mut lines = vec![format!("| {} |", table.head().join(" | "))];
    lines.push(format!("|{}", " --- |".repeat(table.head().len())));
    lines
        .extend(table.rows().into_iter().map(|row| format!("| {} |", table.line(row).join(" | "))));
    format!(
        "# Groups beside servers\n\nMedians of {rounds} rounds. {NOTE}\n\n{}\n",
        lines.join("\n")
    )
}

fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e3.. => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{:.2} ms", nanoseconds / 1e6),
        1e3.. => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{nanoseconds:.0} ns"),
    }
}
