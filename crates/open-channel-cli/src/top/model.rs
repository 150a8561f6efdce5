//! What is shown, apart from how: the latest survey, what went before it, and where the user is.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use open_channel::SocketId;
use open_channel::inspect::SocketStatus;
use open_channel_group::inspect::MemberStatus;

use crate::survey::{Health, Rate, Surveyed, rate};

/// Looks that a sparkline shows.
const HISTORY: usize = 60;
/// Events that are remembered.
const EVENTS: usize = 100;

/// The columns of the list of channels that it can be sorted by.
pub(super) const SORTS: [&str; 6] = ["NAME", "MSG/S", "BYTES/S", "WAITING", "OLDEST", "SOCKETS"];

pub(super) struct Model {
    pub(super) colourful: bool,
    pub(super) channels: Vec<Surveyed>,
    /// Messages in a second, the latest last, by label.
    history: HashMap<String, VecDeque<u64>>,
    /// Of the channel that is opened.
    pub(super) socket_rates: HashMap<SocketId, Rate>,
    pub(super) events: VecDeque<(Instant, String)>,
    pub(super) place: Place,
    pub(super) stopped_at: Option<Instant>,
}

/// Where the user is.
#[derive(Default)]
pub(super) struct Place {
    /// The row of the list that is shown.
    pub(super) row: usize,
    /// The channel whose sockets are shown.
    pub(super) opened: Option<String>,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    pub(super) sort: usize,
    pub(super) inverted: bool,
}

impl Model {
    pub(super) fn new(colourful: bool) -> Self {
        Self {
            colourful,
            channels: Vec::new(),
            history: HashMap::new(),
            socket_rates: HashMap::new(),
            events: VecDeque::new(),
            place: Place::default(),
            stopped_at: None,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// The label of the channel whose sockets are shown.
    pub(super) fn opened(&self) -> Option<&str> {
        self.place.opened.as_deref()
    }

    /// A new survey: compared with the last one.
    pub(super) fn take(&mut self, mut now: Vec<Surveyed>) {
        let mut before: HashMap<String, Surveyed> = std::mem::take(&mut self.channels)
            .into_iter()
            .map(|surveyed| (surveyed.found.label().to_owned(), surveyed))
            .collect();
        let is_first = before.is_empty() && self.history.is_empty();
        for surveyed in &mut now {
            let label = surveyed.found.label().to_owned();
            let earlier = before.remove(&label);
            if let Some(earlier) = &earlier {
                surveyed.rate = surveyed.rate_since(earlier);
                if self.place.opened.as_deref() == Some(&label) {
                    self.socket_rates = socket_rates(surveyed, earlier);
                }
            }
            if !is_first {
                self.events.extend(change(earlier.as_ref(), surveyed).map(|it| (surveyed.at, it)));
            }
            let history = self.history.entry(label).or_default();
            history.push_back(surveyed.rate.map_or(0, |rate| rate.messages.round() as u64));
            let excess = history.len().saturating_sub(HISTORY);
            history.drain(..excess);
        }
        for (label, gone) in before {
            self.history.remove(&label);
            let text = format!("{}: all processes have left", gone.name());
            self.events.push_back((Instant::now(), text));
        }
        let excess = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..excess);
        self.channels = now;
        let rows = self.rows();
        self.place.row = self.place.row.min(rows.saturating_sub(1));
    }

    pub(super) fn history(&self, label: &str) -> Vec<u64> {
        self.history.get(label).map(|history| history.iter().copied().collect()).unwrap_or_default()
    }

    /// The channels that the filter lets through, sorted.
    pub(super) fn shown(&self) -> Vec<&Surveyed> {
        let wanted = |surveyed: &&Surveyed| surveyed.name().contains(&self.place.filter);
        let mut shown: Vec<&Surveyed> = self.channels.iter().filter(wanted).collect();
        shown.sort_by(|a, b| {
            let order = order(self.place.sort, a, b);
            if self.place.inverted { order.reverse() } else { order }
        });
        shown
    }

    /// The sockets of the channel that is opened; the one with the oldest message first.
    pub(super) fn sockets(&self) -> Vec<&SocketStatus> {
        let opened = self.opened_channel().and_then(|surveyed| surveyed.answer.as_ref().ok());
        opened.map(|status| status.sockets.iter().collect()).unwrap_or_default()
    }

    /// The members of the group that is opened.
    pub(super) fn members(&self) -> &[MemberStatus] {
        let group = self.opened_channel().and_then(|opened| opened.group.as_ref());
        group.map(|group| &*group.members).unwrap_or_default()
    }

    pub(super) fn opened_channel(&self) -> Option<&Surveyed> {
        let opened = self.place.opened.as_deref()?;
        self.channels.iter().find(|surveyed| surveyed.found.label() == opened)
    }

    /// Rows of the list that is shown.
    pub(super) fn rows(&self) -> usize {
        match self.opened_channel() {
            Some(opened) if opened.group.is_some() => self.members().len(),
            _ if self.place.opened.is_some() => self.sockets().len(),
            _ => self.shown().len(),
        }
    }
}

/// The largest first, but for names.
fn order(sort: usize, a: &Surveyed, b: &Surveyed) -> Ordering {
    let totals = |surveyed: &Surveyed| {
        surveyed.answer.as_ref().map(|status| (status.host.totals, status.host.sockets)).ok()
    };
    let waiting = |surveyed: &Surveyed| {
        totals(surveyed).map(|(sums, _)| sums.sent.open.saturating_add(sums.received.open))
    };
    let oldest = |surveyed: &Surveyed| {
        totals(surveyed).and_then(|(sums, _)| sums.sent.oldest.max(sums.received.oldest))
    };
    let rate = |surveyed: &Surveyed| surveyed.rate.unwrap_or(Rate { messages: 0.0, bytes: 0.0 });
    match SORTS[sort] {
        "MSG/S" => rate(b).messages.total_cmp(&rate(a).messages),
        "BYTES/S" => rate(b).bytes.total_cmp(&rate(a).bytes),
        "WAITING" => waiting(b).cmp(&waiting(a)),
        "OLDEST" => oldest(b).cmp(&oldest(a)),
        "SOCKETS" => {
            totals(b).map(|(_, sockets)| sockets).cmp(&totals(a).map(|(_, sockets)| sockets))
        }
        _ => a.name().cmp(&b.name()),
    }
}

fn socket_rates(now: &Surveyed, before: &Surveyed) -> HashMap<SocketId, Rate> {
    let (Ok(now_status), Ok(before_status)) = (&now.answer, &before.answer) else {
        return HashMap::new();
    };
    let time = now.at.duration_since(before.at).max(Duration::from_millis(1));
    let earlier: HashMap<SocketId, &SocketStatus> =
        before_status.sockets.iter().map(|socket| (socket.id, socket)).collect();
    now_status
        .sockets
        .iter()
        .filter_map(|socket| {
            let before = earlier.get(&socket.id)?;
            Some((socket.id, rate(&socket.traffic, &before.traffic, time)))
        })
        .collect()
}

/// What has happened to a channel between two looks, if anything has.
fn change(before: Option<&Surveyed>, now: &Surveyed) -> Option<String> {
    let name = now.name();
    let Some(before) = before else {
        return Some(format!("{name}: hosted by {}", now.host()));
    };
    if let (Ok(_), Some(new), Some(old)) = (&now.answer, now.generation(), before.generation())
        && new != old
    {
        let (old_host, new_host) = (before.host(), now.host());
        return Some(format!(
            "{name}: failover, generation {old} to {new}, {old_host} to {new_host}"
        ));
    }
    let (old, new) = (before.health(), now.health());
    let told = match (old, new) {
        (old, new) if old == new => return None,
        (_, Health::Stale) => "its last process died".to_owned(),
        (_, Health::Stalled) => "a socket is stalled".to_owned(),
        (_, Health::Silent) => format!("{} does not answer", now.host()),
        (_, Health::Well) => "is well again".to_owned(),
        (_, other) => other.word().to_owned(),
    };
    Some(format!("{name}: {told}"))
}
