//! The plots of a report, as SVG.

use super::tables::rows;
use crate::plan::Plan;
use crate::results::{Column, Measure, Metric, Results};
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const WIDTH: u32 = 900;
const BAR: u32 = 34;
const HEIGHT: u32 = 480;
const OURS: RGBColor = RGBColor(214, 90, 24);
const OURS_BLOCKING: RGBColor = RGBColor(240, 160, 60);
/// To the right of the last column, in columns.
const LEGEND: f64 = 0.75;
const OTHERS: RGBColor = RGBColor(96, 125, 160);

/// Draws what there is to draw for a measure; returns the file names.
pub(crate) fn draw(
    plan: &Plan,
    measure: Measure,
    results: &Results,
    directory: &Path,
) -> Result<Vec<String>> {
    let columns = results.columns(measure);
    let mut files = Vec::new();
    let mut file = |name: &str| {
        let name = format!("{}-{name}.svg", format!("{measure:?}").to_lowercase());
        let path = directory.join(&name);
        files.push(name);
        path
    };
    match measure {
        // Bars: one plot for each column that compares subjects.
        Measure::Rtt | Measure::Asleep | Measure::Syscalls | Measure::Connect | Measure::Memory => {
            let main = [Metric::P50, Metric::CallsPerTrip, Metric::Nanos, Metric::HostPss];
            for column in columns.iter().filter(|column| main.contains(&column.metric)) {
                let path = file(&column.case.replace(' ', "-"));
                bars(&path, measure, column, &medians(plan, measure, column, results))?;
            }
        }
        Measure::OneWay => {
            let rates = rates(&columns);
            lines(
                &file("rates"),
                measure,
                Metric::BytesPerSecond,
                &rates,
                &series(plan, measure, &rates, results),
            )?;
            let cpu: Vec<_> =
                columns.into_iter().filter(|c| c.metric == Metric::CpuPerMillion).take(1).collect();
            for column in &cpu {
                bars(&file("cpu"), measure, column, &medians(plan, measure, column, results))?;
            }
        }
        Measure::FanIn => {
            let rates = rates(&columns);
            let all = series(plan, measure, &rates, results);
            lines(&file("rates"), measure, Metric::MessagesPerSecond, &rates, &all)?;
        }
        Measure::Failover => {
            let of = |metric: Metric| -> Vec<Column> {
                columns.iter().filter(|column| column.metric == metric).cloned().collect()
            };
            let metrics = [Metric::FirstAck, Metric::FirstRemoteAck, Metric::SlowestAck];
            let all: Vec<_> = metrics
                .into_iter()
                .filter_map(|metric| {
                    let (_, points) =
                        series(plan, measure, &of(metric), results).into_iter().next()?;
                    Some((metric.title().to_owned(), points))
                })
                .collect();
            lines(&file("times"), measure, Metric::Nanos, &of(Metric::FirstAck), &all)?;
        }
        Measure::Limits | Measure::Idle => {}
    }
    Ok(files)
}

type Series = (String, Vec<f64>);

fn rates(columns: &[Column]) -> Vec<Column> {
    let rate = |c: &&Column| matches!(c.metric, Metric::MessagesPerSecond | Metric::BytesPerSecond);
    columns.iter().filter(rate).cloned().collect()
}

fn medians(
    plan: &Plan,
    measure: Measure,
    column: &Column,
    results: &Results,
) -> Vec<(String, f64)> {
    let median = |row: String| Some((row.clone(), results.median(measure, column, &row)?));
    rows(plan, measure, results).into_iter().filter_map(median).collect()
}

/// For each row its values over the columns; one-way rates are brought to bytes.
fn series(plan: &Plan, measure: Measure, columns: &[Column], results: &Results) -> Vec<Series> {
    let value = |row: &str, column: &Column| {
        let median = results.median(measure, column, row)?;
        let small = measure == Measure::OneWay && column.metric == Metric::MessagesPerSecond;
        Some(if small { median * bytes(&column.case) } else { median })
    };
    let of_row = |row: String| {
        let values: Option<Vec<f64>> = columns.iter().map(|column| value(&row, column)).collect();
        Some((row, values?))
    };
    rows(plan, measure, results).into_iter().filter_map(of_row).collect()
}

/// The number of bytes in a case's name, such as "64 B" or "1 KiB".
fn bytes(case: &str) -> f64 {
    let (number, unit) = case.split_once(' ').unwrap_or((case, ""));
    let factor = match unit {
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        _ => 1.0,
    };
    number.parse::<f64>().unwrap_or(f64::NAN) * factor
}

fn stroke(row: &str, index: usize) -> ShapeStyle {
    let (r, g, b) = Palette99::pick(index + 2).to_rgba().rgb();
    match row {
        "open-channel" | "open-channel-buffered" => OURS.stroke_width(4),
        "open-channel-blocking" | "open-channel-blocking-buffered" => OURS_BLOCKING.stroke_width(4),
        "open-channel-unix" | "open-channel-unix-buffered" => OURS.stroke_width(1),
        "open-channel-blocking-unix" | "open-channel-blocking-unix-buffered" => {
            OURS_BLOCKING.stroke_width(1)
        }
        _ => RGBColor(r, g, b).stroke_width(2),
    }
}

fn bars(path: &Path, measure: Measure, column: &Column, values: &[(String, f64)]) -> Result<()> {
    let height = 60 + BAR * values.len() as u32;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let caption = format!("{}: {} {}", measure.title(), column.case, column.metric.title());
    paint(|| {
        root.fill(&WHITE)?;
        root.draw(&Text::new(caption.clone(), (10, 10), ("sans-serif", 18)))?;
        let most = values.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
        let (left, right) = (190, WIDTH as i32 - 140);
        for (index, (row, value)) in values.iter().enumerate() {
            let top = 45 + BAR as i32 * index as i32;
            let end = left + ((value / most) * f64::from(right - left)).max(1.0) as i32;
            let fill = if row.starts_with("open-channel") { OURS } else { OTHERS };
            root.draw(&Text::new(row.clone(), (10, top + 4), ("sans-serif", 15)))?;
            root.draw(&Rectangle::new([(left, top), (end, top + 22)], fill.filled()))?;
            let label = column.metric.format(*value);
            root.draw(&Text::new(label, (end + 6, top + 4), ("sans-serif", 15)))?;
        }
        root.present()
    })
}

fn lines(
    path: &Path,
    measure: Measure,
    unit: Metric,
    columns: &[Column],
    all: &[Series],
) -> Result<()> {
    let values = || all.iter().flat_map(|(_, points)| points).copied();
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if columns.is_empty() || least > most {
        return Ok(());
    }
    let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    let last = columns.len() - 1;
    paint(|| {
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(measure.title(), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(80)
            .build_cartesian_2d(
                -0.2..last as f64 + LEGEND,
                (least * 0.8..most * 1.25).log_scale(),
            )?;
        let name = |x: &f64| {
            let whole = (x - x.round()).abs() < 0.01;
            let column = whole.then(|| columns.get(x.round().max(0.0) as usize)).flatten();
            column.map_or_else(String::new, |column| column.case.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(columns.len() * 5)
            .x_label_formatter(&name)
            .y_desc(unit.title())
            .y_label_formatter(&|value: &f64| unit.format(*value))
            .light_line_style(WHITE)
            .draw()?;
        for (index, (row, points)) in all.iter().enumerate() {
            let style = stroke(row, index);
            let points: Vec<_> = points.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            chart
                .draw_series(LineSeries::new(points, style).point_size(3))?
                .label(row)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(OTHERS)
            .draw()?;
        root.present()
    })
}

type Drawing<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// The drawing library's errors borrow from the path: only their text leaves.
fn paint<'a>(draw: impl FnOnce() -> Result<(), Drawing<'a>>) -> Result<()> {
    draw().map_err(|error| anyhow!("cannot draw: {error}"))
}
