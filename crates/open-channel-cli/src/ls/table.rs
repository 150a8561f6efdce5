//! The overview: a line for each channel.

use std::collections::BTreeMap;

use open_channel::inspect::{SocketStatus, Status};

use crate::output::Style;
use crate::quantity;
use crate::survey::{Health, Surveyed};
use crate::traffic::{again, oldest, waiting};

const HEAD: [&str; 14] = [
    "NAME", "KIND", "SCOPE", "STATE", "HOST", "GEN", "SOCKETS", "LINKS", "MSG/S", "BYTES/S",
    "WAITING", "OLDEST", "AGAIN", "UP",
];

pub(super) fn all(listed: &[Surveyed], style: Style) -> String {
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    let head: Vec<String> = HEAD.iter().map(|&title| title.into()).collect();
    let widths = widths(&rows, &head);
    let mut text = style.dim(&line(&head, &widths));
    text.push('\n');
    for (row, surveyed) in rows.iter().zip(listed) {
        let line = line(row, &widths);
        text += &match surveyed.health() {
            Health::Well | Health::Leaving => line,
            Health::Stale => style.dim(&line),
            _ => style.alarm(&line),
        };
        text.push('\n');
    }
    text
}

pub(crate) fn widths(rows: &[Vec<String>], head: &[String]) -> Vec<usize> {
    (0..head.len())
        .map(|column| {
            let cells = rows.iter().map(|row| &row[column]).chain([&head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect()
}

pub(crate) fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, &width)| format!("{cell:<width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn row(surveyed: &Surveyed) -> Vec<String> {
    let dash = || "-".to_owned();
    let generation = surveyed.generation().map_or_else(dash, |generation| generation.to_string());
    let state = surveyed.health().word().to_owned();
    let Ok(status) = &surveyed.answer else {
        let host = surveyed.pid().map_or_else(dash, |pid| format!("pid {pid}"));
        let mut row = vec![surveyed.name(), dash(), dash(), state, host, generation];
        row.resize_with(HEAD.len(), dash);
        return row;
    };
    let Status { host, sockets, .. } = status;
    let rate = surveyed.rate;
    vec![
        surveyed.name(),
        surveyed.kind().into(),
        scope(host.app.as_deref()),
        state,
        match host.process.program.as_str() {
            "" => format!("pid {}", host.process.pid),
            program => format!("{program} ({})", host.process.pid),
        },
        generation,
        match (&surveyed.group, host.stalled) {
            (Some(group), 0) => format!("{} members", group.member_count),
            (_, 0) => host.sockets.to_string(),
            (_, stalled) => format!("{} ({stalled} stalled)", host.sockets),
        },
        links(sockets),
        rate.map_or_else(dash, |rate| quantity::count(rate.messages)),
        rate.map_or_else(dash, |rate| quantity::bytes(rate.bytes)),
        waiting(&host.totals),
        oldest(&host.totals).map_or_else(dash, quantity::time),
        again(&host.totals),
        quantity::time(host.hosting),
    ]
}

pub(super) fn scope(app: Option<&str>) -> String {
    app.map_or_else(|| "user".to_owned(), |app| format!("app {app}"))
}

/// What carries how many of the sockets, `-` without any.
fn links(sockets: &[SocketStatus]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for socket in sockets.iter().filter(|socket| !socket.link.is_empty()) {
        *kinds.entry(&socket.link).or_default() += 1;
    }
    if kinds.is_empty() {
        return "-".into();
    }
    kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect::<Vec<_>>().join(", ")
}
