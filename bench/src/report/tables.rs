//! Results as rows of text.

use super::targets;
use crate::plan::Plan;
use crate::results::{Column, Measure, Results};

pub(crate) struct Section {
    /// The measure to be drawn for it.
    pub(crate) measure: Option<Measure>,
    pub(crate) title: &'static str,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

pub(crate) fn sections(plan: &Plan, results: &Results) -> Vec<Section> {
    let measured = plan.measures().iter().filter_map(|&measure| section(plan, measure, results));
    aims(plan, results).into_iter().chain(measured).collect()
}

fn aims(plan: &Plan, results: &Results) -> Option<Section> {
    let rows = targets::judge(plan.measures(), results);
    let header = targets::HEADER.map(str::to_owned).to_vec();
    (!rows.is_empty()).then_some(Section { measure: None, title: "Targets", header, rows })
}

fn section(plan: &Plan, measure: Measure, results: &Results) -> Option<Section> {
    let columns = results.columns(measure);
    let rows = rows(plan, measure, results);
    let heading = |column: &Column| format!("{} {}", column.case, column.metric.title());
    let header = std::iter::once(String::new()).chain(columns.iter().map(heading)).collect();
    let cells = |row: &String| {
        let cells = columns.iter().map(|column| cell(measure, column, row, results));
        std::iter::once(row.clone()).chain(cells).collect()
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    (!rows.is_empty()).then_some(Section {
        measure: Some(measure),
        title: measure.title(),
        header,
        rows,
    })
}

/// Subjects in their declared order, then whatever else was measured.
pub(crate) fn rows(plan: &Plan, measure: Measure, results: &Results) -> Vec<String> {
    let mut rows = results.rows(measure);
    let place =
        |row: &String| plan.subjects().iter().position(|subject| subject.to_string() == *row);
    rows.sort_by_key(|row| place(row).unwrap_or(usize::MAX));
    rows
}

fn cell(measure: Measure, column: &Column, row: &str, results: &Results) -> String {
    let Some(value) = results.median(measure, column, row) else {
        return "–".into();
    };
    let value = column.metric.format(value);
    match results.ratio(measure, column, row) {
        Some(ratio) => format!("{value} ({ratio:.2}×)"),
        None => value,
    }
}
