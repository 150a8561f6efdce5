//! How it is shown.

use std::time::Instant;

use open_channel::inspect::SocketStatus;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Row, Sparkline, Table, TableState};

use super::model::{Model, SORTS};
use crate::members;
use crate::quantity;
use crate::survey::{Health, Surveyed};
use crate::traffic::{again, oldest, waiting, window};

const EVENT_ROWS: u16 = 7;
const SPARK_ROWS: u16 = 4;

const CHANNELS: [&str; 12] = [
    "NAME", "KIND", "SCOPE", "STATE", "HOST", "GEN", "SOCKETS", "MSG/S", "BYTES/S", "WAITING",
    "OLDEST", "UP",
];
const SOCKETS: [&str; 11] = [
    "PROCESS", "LINK", "STATE", "MSG/S", "BYTES/S", "RECEIVED", "SENT", "WAITING", "WINDOW",
    "OLDEST", "AGAIN",
];

const HELP: &str = "\
 arrows, j, k, PgUp, PgDn, Home, End   move
 Enter, Right                          the sockets of a channel, the members of a group
 Esc, Left                             back; clears the filter
 /, F4                                 filter by name (Enter keeps it, Esc clears it)
 <, >, F6                              sort by another column
 I                                     the other way round
 Z, Space                              stop, and go on
 q, F10                                end

 MSG/S and BYTES/S: both directions, since the last look
 WAITING: not acknowledged yet; WINDOW: how much of the window that takes
 AGAIN: redelivered messages, with the highest attempt";

pub(super) fn draw(model: &mut Model, frame: &mut Frame<'_>) {
    let [head, spark, list, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(SPARK_ROWS),
        Constraint::Fill(1),
        Constraint::Length(EVENT_ROWS),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title(model)).style(bold()), head);
    draw_rates(model, frame, spark);
    match model.opened_channel() {
        Some(opened) if opened.group.is_some() => draw_members(model, frame, list),
        Some(_) => draw_sockets(model, frame, list),
        None => draw_channels(model, frame, list),
    }
    draw_events(model, frame, events);
    frame.render_widget(Paragraph::new(prompt(model)), foot);
    if model.place.help {
        let area = frame.area().centered(Constraint::Length(78), Constraint::Length(15));
        frame.render_widget(Clear, area);
        let help = Paragraph::new(HELP).block(Block::bordered().title(" Help: any key closes it "));
        frame.render_widget(help, area);
    }
}

fn bold() -> Style {
    Style::default().add_modifier(Modifier::BOLD)
}

fn colour(model: &Model, colour: Color) -> Style {
    if model.colourful { Style::default().fg(colour) } else { Style::default() }
}

fn title(model: &Model) -> String {
    let state = if model.is_stopped() { ", stopped (Z goes on)" } else { "" };
    match model.opened_channel() {
        Some(opened) => {
            let generation = opened.generation().unwrap_or(0);
            let kind = if opened.is_group() { "group " } else { "" };
            format!(
                "{kind}{}, hosted by {}, generation {generation}{state}",
                opened.name(),
                opened.host()
            )
        }
        None => {
            let alive = model.channels.iter().filter(|channel| channel.is_alive()).count();
            format!("{alive} channels, sorted by {}{state}", SORTS[model.place.sort])
        }
    }
}

fn prompt(model: &Model) -> String {
    if model.place.typing {
        return format!("Filter: {}_", model.place.filter);
    }
    let filter = match model.place.filter.as_str() {
        "" => String::new(),
        filter => format!("   filtered by {filter:?}"),
    };
    format!("F1 Help  Enter Sockets  Esc Back  F4 Filter  F6 Sort  Z Stop  F10 Quit{filter}")
}

/// The rates of the channel that is opened or chosen, the latest at the right.
fn draw_rates(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let chosen = model.opened_channel().or_else(|| model.shown().get(model.place.row).copied());
    let Some(chosen) = chosen else { return };
    let data = model.history(chosen.found.label());
    let title = match chosen.rate {
        Some(rate) => format!(
            " {}: {} messages/s, {}/s ",
            chosen.name(),
            quantity::count(rate.messages),
            quantity::bytes(rate.bytes)
        ),
        None => format!(" {} ", chosen.name()),
    };
    let width = usize::from(area.width.saturating_sub(2));
    let latest = &data[data.len().saturating_sub(width)..];
    let spark = Sparkline::default().data(latest.iter().copied());
    frame.render_widget(
        spark.style(colour(model, Color::Green)).block(Block::bordered().title(title)),
        area,
    );
}

fn draw_channels(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = model.shown().into_iter().map(|surveyed| {
        let style = match surveyed.health() {
            Health::Stale => Style::default().add_modifier(Modifier::DIM),
            health if health.is_bad() => colour(model, Color::Red),
            _ => Style::default(),
        };
        Row::new(channel(surveyed)).style(style)
    });
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(7),
        Constraint::Fill(2),
        Constraint::Length(10),
        Constraint::Fill(3),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(16),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    draw_table(model, frame, area, Table::new(rows, widths), &CHANNELS);
}

fn draw_table(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    table: Table<'_>,
    head: &'static [&'static str],
) {
    let reversed = Style::default().add_modifier(Modifier::REVERSED);
    let head = Row::new(head.iter().copied()).style(reversed);
    let mut state = TableState::new().with_selected(Some(model.place.row));
    let table = table.header(head).row_highlight_style(reversed);
    frame.render_stateful_widget(table, area, &mut state);
}

fn channel(surveyed: &Surveyed) -> Vec<String> {
    let dash = || "-".to_owned();
    let generation = surveyed.generation().map_or_else(dash, |generation| generation.to_string());
    let state = surveyed.health().word().to_owned();
    let Ok(status) = &surveyed.answer else {
        return vec![surveyed.name(), dash(), dash(), state, surveyed.host(), generation];
    };
    let host = &status.host;
    let rate = surveyed.rate;
    vec![
        surveyed.name(),
        surveyed.kind().into(),
        host.app.clone().unwrap_or_else(|| "user".into()),
        state,
        surveyed.host(),
        generation,
        surveyed
            .group
            .as_ref()
            .map_or_else(|| host.sockets.to_string(), |group| group.member_count.to_string()),
        rate.map_or_else(dash, |rate| quantity::count(rate.messages)),
        rate.map_or_else(dash, |rate| quantity::bytes(rate.bytes)),
        waiting(&host.totals),
        oldest(&host.totals).map_or_else(dash, quantity::time),
        quantity::time(host.hosting),
    ]
}

fn draw_sockets(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = model.sockets().into_iter().map(|socket| {
        let style = match socket.stalled {
            Some(_) => colour(model, Color::Red),
            None => Style::default(),
        };
        Row::new(socket_cells(model, socket)).style(style)
    });
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(14),
        Constraint::Length(12),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(16),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(14),
    ];
    draw_table(model, frame, area, Table::new(rows, widths), &SOCKETS);
}

fn draw_members(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = model.members().iter().map(|member| Row::new(members::cells(member)));
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(8),
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Length(10),
        Constraint::Fill(2),
        Constraint::Fill(2),
    ];
    draw_table(model, frame, area, Table::new(rows, widths), &members::CELLS);
}

fn socket_cells(model: &Model, socket: &SocketStatus) -> Vec<String> {
    let dash = || "-".to_owned();
    let rate = model.socket_rates.get(&socket.id);
    let traffic = &socket.traffic;
    vec![
        format!("{} ({})", socket.process.program, socket.process.pid),
        if socket.link.is_empty() { dash() } else { socket.link.clone() },
        match socket.stalled {
            Some(stalled) => format!("stalled {}", quantity::time(stalled)),
            None => "ok".into(),
        },
        rate.map_or_else(dash, |rate| quantity::count(rate.messages)),
        rate.map_or_else(dash, |rate| quantity::bytes(rate.bytes)),
        traffic.received.messages.to_string(),
        traffic.sent.messages.to_string(),
        waiting(traffic),
        window(&traffic.received),
        oldest(traffic).map_or_else(dash, quantity::time),
        again(traffic),
    ]
}

fn draw_events(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let now = model.stopped_at.unwrap_or_else(Instant::now);
    let rows = usize::from(area.height.saturating_sub(2));
    let latest = model.events.iter().rev().take(rows);
    let lines: Vec<Line<'_>> = latest
        .map(|(at, text)| {
            let ago = quantity::time(now.saturating_duration_since(*at));
            Line::from(format!("{ago:>7} ago  {text}"))
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Events ")), area);
}
