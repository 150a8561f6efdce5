//! All about one group, behind what it has as a channel.

use std::fmt::Write;

use open_channel::inspect::printable;
use open_channel_group::MemberId;
use open_channel_group::inspect::{GroupStatus, MemberStatus};

use super::table::{line, widths};
use crate::members::{CELLS, cells, id};
use crate::output::Style;
use crate::quantity;

/// Titles and values of the group as a whole.
pub(super) fn rows(group: &GroupStatus) -> Vec<(&'static str, String)> {
    let (publications, bytes) = group.publications;
    let (keys, map_bytes) = group.map;
    let mut rows = vec![("members", group.member_count.to_string())];
    if !group.serving {
        rows.push(("service", "not yet: the new host waits for the members".into()));
    }
    rows.push((
        "under way",
        format!("{publications} publications ({})", quantity::bytes(bytes as f64)),
    ));
    rows.push(("maps", format!("{keys} keys ({})", quantity::bytes(map_bytes as f64))));
    rows
}

/// Its members, queues and locks.
pub(super) fn tables(group: &GroupStatus, style: Style) -> String {
    let mut text = members(&group.members, style);
    text += &most_told(group.member_count, group.members.len(), "members");
    let queues = group.queues.iter().map(|queue| {
        let numbers =
            [queue.workers, queue.running, queue.waiting].map(|number| number.to_string());
        [vec![printable(queue.name.as_str())], numbers.into()].concat()
    });
    text += &table(&["QUEUE", "WORKERS", "RUNNING", "WAITING"], queues.collect(), style);
    text += &most_told(group.queue_count, group.queues.len(), "queues");
    let locks = group.locks.iter().map(|lock| {
        let kind = if lock.is_role() { "role" } else { "lock" };
        let holders: Vec<String> =
            lock.holders.iter().map(|&holder| holder_name(group, holder)).collect();
        let holders = if holders.is_empty() { "-".into() } else { holders.join(", ") };
        vec![printable(lock.name.name.as_str()), kind.into(), holders, lock.waiting.to_string()]
    });
    text += &table(&["LOCK", "KIND", "HELD BY", "WAITING"], locks.collect(), style);
    text += &most_told(group.lock_count, group.locks.len(), "locks");
    text
}

fn members(members: &[MemberStatus], style: Style) -> String {
    table(&CELLS, members.iter().map(cells).collect(), style)
}

/// A line for those that are not described.
fn most_told(all: u64, described: usize, what: &str) -> String {
    match all.saturating_sub(described as u64) {
        0 => String::new(),
        more => format!("  and {more} more {what}\n"),
    }
}

fn holder_name(group: &GroupStatus, holder: MemberId) -> String {
    let member = group.members.iter().find(|member| member.view.id == holder);
    match member.map(|member| &member.view.info) {
        Some(info) => format!("{} ({})", printable(&info.program), info.pid),
        None => id(holder),
    }
}

fn table(head: &[&str], rows: Vec<Vec<String>>, style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: Vec<String> = head.iter().map(|&title| title.into()).collect();
    let widths = widths(&rows, &head);
    let mut text = format!("  {}\n", style.dim(&line(&head, &widths)));
    for row in &rows {
        // A `String` takes whatever is written to it.
        let _ = writeln!(text, "  {}", line(row, &widths));
    }
    text
}
