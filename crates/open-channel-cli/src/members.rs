//! A group's members as rows, for `ls` and `top`.

use open_channel::inspect::printable;
use open_channel_group::MemberId;
use open_channel_group::inspect::MemberStatus;

use crate::quantity;

/// The titles of the [cells].
pub(crate) const CELLS: [&str; 8] =
    ["MEMBER", "LANGUAGE", "LABELS", "SERVICES", "SUBSCRIBED", "UNHANDLED", "LOCKS", "JOBS"];

/// A member's id, as the other commands print it.
pub(crate) fn id(member: MemberId) -> String {
    format!("{:016x}", member.0)
}

pub(crate) fn cells(member: &MemberStatus) -> Vec<String> {
    let info = &member.view.info;
    let labels = info.labels.iter();
    let labels = labels.map(|(name, value)| format!("{}={}", printable(name), printable(value)));
    let services = member.view.services.iter().map(|service| printable(service.as_str()));
    let patterns = member.subscriptions.iter().map(|pattern| printable(pattern.as_str()));
    let more = member.subscription_count.saturating_sub(member.subscriptions.len() as u64);
    let more = (more > 0).then(|| format!("and {more} more"));
    vec![
        format!("{} ({})", printable(&info.program), info.pid),
        printable(&info.language),
        listed(labels),
        listed(services),
        listed(patterns.chain(more)),
        quantity::bytes(member.unhandled as f64),
        counted(&[(member.locks_held, "held"), (member.locks_waited_for, "waited for")]),
        counted(&[
            (member.workers, "workers"),
            (member.jobs_running, "running"),
            (member.jobs_waiting, "waiting"),
        ]),
    ]
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "-".into() } else { parts.join(" ") }
}

/// Those that are not zero.
fn counted(numbers: &[(u64, &str)]) -> String {
    let some = numbers.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = some.map(|(number, what)| format!("{number} {what}")).collect();
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}
