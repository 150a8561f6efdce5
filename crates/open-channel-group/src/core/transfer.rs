//! How a log gets from one place to another: the entries that are missing there, or all of it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::entry::Logged;
use super::ids::Mark;
use super::limits::cost;
use super::log::Log;
use super::map::Map;
use super::name::Name;
use super::replica::Replica;
use super::view::MemberView;
use super::wire::{wire_enum, wire_struct};

/// Bytes after which a piece of a transfer is full.
const PIECE: usize = 64 << 10;

wire_struct! {
    /// A key of a snapshot.
    pub(crate) struct Pair {
        pub(crate) key: Name,
        pub(crate) value: Bytes,
        pub(crate) revision: u64,
        /// For how long it is still valid.
        pub(crate) ttl: Option<Duration>,
    }
}

wire_enum! {
    /// A piece of a log on its way.
    pub(crate) enum Transfer {
        /// Entries that follow; `first` is the position of the first.
        1 => Entries { first: u64, entries: Vec<Logged> },
        /// A snapshot begins.
        2 => Head { mark: Mark, stable: Mark, view_number: u64, members: Vec<MemberView> },
        /// Some of its keys.
        3 => Pairs { pairs: Vec<Pair> },
        /// Some of the entries between its stable mark and its mark, which it has applied.
        4 => History { entries: Vec<Logged> },
        /// A snapshot is complete.
        5 => End,
    }
}

impl Transfer {
    /// The bytes that it counts in memory.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Entries { entries, .. } | Self::History { entries } => {
                entries.iter().map(|logged| logged.entry.cost()).sum()
            }
            Self::Head { members, .. } => {
                members.iter().map(|member| cost(member.info.cost())).sum()
            }
            Self::Pairs { pairs } => {
                pairs.iter().map(|pair| cost(pair.key.as_str().len() + pair.value.len())).sum()
            }
            Self::End => 0,
        }
    }
}

/// The entries after a mark that the log contains.
pub(crate) fn entries(log: &Log, after: Mark) -> Vec<Transfer> {
    let mut next = after.position + 1;
    let mut transfer = Vec::new();
    for entries in pieces(log.after(after).cloned(), |logged| logged.entry.cost()) {
        let first = next;
        next += entries.len() as u64;
        transfer.push(Transfer::Entries { first, entries });
    }
    transfer
}

/// The whole log as it is now.
pub(crate) fn snapshot(log: &Log, now: Duration) -> Vec<Transfer> {
    let replica = log.replica();
    let mut transfer = vec![Transfer::Head {
        mark: log.mark(),
        stable: log.stable(),
        view_number: replica.view_number,
        members: replica.members.clone(),
    }];
    let pairs = replica.map.iter().map(|(key, value)| Pair {
        key: key.clone(),
        value: value.bytes.clone(),
        revision: value.revision,
        ttl: value.expires.map(|at| at.saturating_sub(now)),
    });
    let pairs = pieces(pairs, |pair| cost(pair.key.as_str().len() + pair.value.len()));
    transfer.extend(pairs.into_iter().map(|pairs| Transfer::Pairs { pairs }));
    let history = pieces(log.held().iter().cloned(), |logged| logged.entry.cost());
    transfer.extend(history.into_iter().map(|entries| Transfer::History { entries }));
    transfer.push(Transfer::End);
    transfer
}

/// Items in pieces of a size that is good to send.
pub(crate) fn pieces<T>(items: impl Iterator<Item = T>, cost: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut bytes = 0;
    for item in items {
        let more = cost(&item);
        if bytes + more > PIECE && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += more;
        piece.push(item);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// A snapshot that is arriving.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    replica: Option<(Replica, Mark)>,
    history: VecDeque<Logged>,
}

impl Arriving {
    /// Takes a piece; the log when it was the last one.
    ///
    /// # Errors
    /// When the piece has no place here.
    pub(crate) fn take(
        &mut self,
        piece: Transfer,
        now: Duration,
    ) -> Result<Option<Log>, &'static str> {
        match (piece, &mut self.replica) {
            (Transfer::Head { mark, stable, view_number, members }, _) => {
                let map = Map::default();
                self.replica = Some((Replica { mark, members, view_number, map }, stable));
                self.history.clear();
            }
            (Transfer::Pairs { pairs }, Some((replica, _))) => {
                for Pair { key, value, revision, ttl } in pairs {
                    let expires = ttl.map(|ttl| now.saturating_add(ttl));
                    replica.map.put(key, &value, revision, expires);
                }
            }
            (Transfer::History { entries }, Some(_)) => self.history.extend(entries),
            (Transfer::End, replica) => {
                let (replica, stable) = replica.take().ok_or("the end of no snapshot")?;
                let history = std::mem::take(&mut self.history);
                return Log::restore(replica, stable, history).map(Some);
            }
            _ => return Err("a piece of no snapshot"),
        }
        Ok(None)
    }
}

/// The replica of a member, for the switchboard of its own process:
/// [`Member::known`](super::Member::known).
#[derive(Debug, Clone)]
pub struct Known(pub(crate) Log);
