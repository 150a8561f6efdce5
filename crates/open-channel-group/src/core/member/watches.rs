//! Watches on keys of the map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::core::event::{Event, MapChange};
use crate::core::ids::WatchId;
use crate::core::limits::cost;
use crate::core::name::Name;

#[derive(Debug)]
struct Watch {
    prefix: String,
    /// Keys that have changed, each once, in the order in which they did first.
    keys: VecDeque<Name>,
    known: BTreeSet<Name>,
    bytes: usize,
    missed: u64,
}

/// All watches of a member.
#[derive(Debug)]
pub(crate) struct Watches {
    last: u64,
    window: usize,
    open: BTreeMap<WatchId, Watch>,
}

impl Watches {
    pub(crate) fn new(window: usize) -> Self {
        Self { last: 0, window, open: BTreeMap::new() }
    }

    pub(crate) fn watch(&mut self, prefix: &str) -> WatchId {
        self.last += 1;
        let id = WatchId(self.last);
        self.open.insert(
            id,
            Watch {
                prefix: prefix.into(),
                keys: VecDeque::new(),
                known: BTreeSet::new(),
                bytes: 0,
                missed: 0,
            },
        );
        id
    }

    pub(crate) fn unwatch(&mut self, id: WatchId) -> bool {
        self.open.remove(&id).is_some()
    }

    pub(crate) fn changed(&mut self, key: &Name, events: &mut VecDeque<Event>) {
        for (&id, watch) in &mut self.open {
            if !key.as_str().starts_with(&watch.prefix) || watch.known.contains(key) {
                continue;
            }
            watch.announce(id, events);
            watch.bytes += cost(key.as_str().len());
            watch.keys.push_back(key.clone());
            watch.known.insert(key.clone());
            while watch.bytes > self.window && watch.keys.len() > 1 {
                watch.pop();
                watch.missed += 1;
            }
        }
    }

    /// The map was replaced by another one.
    pub(crate) fn replaced(&mut self, events: &mut VecDeque<Event>) {
        for (&id, watch) in &mut self.open {
            watch.announce(id, events);
            watch.missed += 1;
        }
    }

    pub(crate) fn next_change(&mut self, id: WatchId) -> Option<MapChange> {
        let watch = self.open.get_mut(&id)?;
        if watch.missed > 0 {
            return Some(MapChange::Missed(std::mem::take(&mut watch.missed)));
        }
        watch.pop().map(MapChange::Key)
    }

    pub(crate) fn memory(&self) -> usize {
        self.open.values().map(|watch| watch.bytes).sum()
    }
}

impl Watch {
    fn announce(&self, id: WatchId, events: &mut VecDeque<Event>) {
        if self.keys.is_empty() && self.missed == 0 {
            events.push_back(Event::Changed(id));
        }
    }

    fn pop(&mut self) -> Option<Name> {
        let key = self.keys.pop_front()?;
        self.known.remove(&key);
        self.bytes -= cost(key.as_str().len());
        Some(key)
    }
}
