//! All about one channel.

use std::fmt::Write;

use open_channel::inspect::{Direction, SocketStatus, Status};

use super::group;
use super::table::{line, scope, widths};
use crate::output::Style;
use crate::quantity;
use crate::survey::Surveyed;
use crate::traffic::{again, oldest, waiting};

const HEAD: [&str; 9] =
    ["PROCESS", "LINK", "STATE", "RECEIVED", "HANDLED", "SENT", "WAITING", "OLDEST", "AGAIN"];

pub(super) fn all(listed: &[Surveyed], style: Style) -> String {
    listed.iter().map(|surveyed| one(surveyed, style)).collect::<Vec<_>>().join("\n")
}

fn one(surveyed: &Surveyed, style: Style) -> String {
    let health = surveyed.health();
    let state = if health.is_bad() { style.alarm(health.word()) } else { health.word().into() };
    let mut rows = vec![("state", state)];
    if let Err(unanswered) = &surveyed.answer {
        rows.push(("reason", unanswered.to_string()));
        rows.extend(surveyed.pid().map(|pid| ("process", pid.to_string())));
    }
    if let Ok(status) = &surveyed.answer {
        rows.insert(0, ("kind", surveyed.kind().to_owned()));
        rows.extend(host(status));
    }
    if let Some(group) = &surveyed.group {
        rows.extend(group::rows(group));
    }
    rows.extend(surveyed.rate.map(|rate| {
        let (messages, bytes) = (quantity::count(rate.messages), quantity::bytes(rate.bytes));
        ("rate", format!("{messages} messages/s, {bytes}/s"))
    }));
    if surveyed.answer.is_err() {
        rows.extend(surveyed.generation().map(|last| ("last generation", last.to_string())));
    }
    let versions: Vec<String> = surveyed
        .found
        .versions()
        .iter()
        .map(|range| format!("{} to {}", range.start(), range.end()))
        .collect();
    if !versions.is_empty() {
        rows.push(("protocol", format!("versions {}", versions.join(" and "))));
    }
    rows.push(("directory", surveyed.found.directory().display().to_string()));
    if surveyed.found.leftovers() > 0 {
        rows.push(("leftovers", format!("{} files of dead processes", surveyed.found.leftovers())));
    }
    let mut text = format!("{}\n", surveyed.name());
    for (title, value) in rows {
        // A `String` takes whatever is written to it.
        let _ = writeln!(text, "  {title:<18}{value}");
    }
    if let Some(group) = &surveyed.group {
        return text + &group::tables(group, style);
    }
    if let Ok(status) = &surveyed.answer
        && !status.sockets.is_empty()
    {
        text += &sockets(status, style);
    }
    text
}

fn host(status: &Status) -> Vec<(&'static str, String)> {
    let host = &status.host;
    let totals = &host.totals;
    let process = &host.process;
    let mut rows = vec![
        ("scope", scope(host.app.as_deref())),
        ("host", format!("{} (pid {})", process.program, process.pid)),
        ("library", host.library.clone()),
        ("generation", host.generation.to_string()),
        ("hosting for", quantity::time(host.hosting)),
        ("sockets", format!("{} of at most {}", host.sockets, host.max_sockets)),
        ("to the host", direction(&totals.received, "handled")),
        ("from the host", direction(&totals.sent, "acknowledged")),
        ("held by handlers", format!("{} messages", totals.held)),
        ("redelivered", again(totals)),
    ];
    if host.stalled > 0 {
        let limit = quantity::time(host.stall_after);
        rows.push(("stalled", format!("{} sockets, without progress for {limit}", host.stalled)));
    }
    rows
}

fn direction(direction: &Direction, finished: &str) -> String {
    let mut text = format!(
        "{} messages ({}), {} {finished}",
        direction.messages,
        quantity::bytes(direction.bytes as f64),
        direction.finished
    );
    if direction.open > 0 {
        let bytes = quantity::bytes(direction.open_bytes as f64);
        let _ = write!(text, ", {} wait ({bytes})", direction.open);
    }
    if let Some(oldest) = direction.oldest {
        let _ = write!(text, ", the oldest for {}", quantity::time(oldest));
    }
    text
}

fn sockets(status: &Status, style: Style) -> String {
    let rows: Vec<Vec<String>> = status.sockets.iter().map(row).collect();
    let head: Vec<String> = HEAD.iter().map(|&title| title.into()).collect();
    let widths = widths(&rows, &head);
    let mut text = format!("  {}\n", style.dim(&line(&head, &widths)));
    for (row, socket) in rows.iter().zip(&status.sockets) {
        let line = line(row, &widths);
        let line = if socket.stalled.is_some() { style.alarm(&line) } else { line };
        let _ = writeln!(text, "  {line}");
    }
    let more =
        status.host.sockets as usize - status.sockets.len().min(status.host.sockets as usize);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

fn row(socket: &SocketStatus) -> Vec<String> {
    let traffic = &socket.traffic;
    let dash = || "-".to_owned();
    vec![
        match (&socket.process.program, socket.process.pid) {
            (_, 0) => dash(),
            (program, pid) if program.is_empty() => format!("pid {pid}"),
            (program, pid) => format!("{program} ({pid})"),
        },
        if socket.link.is_empty() { dash() } else { socket.link.clone() },
        match socket.stalled {
            Some(stalled) => format!("stalled {}", quantity::time(stalled)),
            None if socket.link.is_empty() => "away".into(),
            None => "ok".into(),
        },
        traffic.received.messages.to_string(),
        traffic.received.finished.to_string(),
        traffic.sent.messages.to_string(),
        waiting(traffic),
        oldest(traffic).map_or_else(dash, quantity::time),
        again(traffic),
    ]
}
