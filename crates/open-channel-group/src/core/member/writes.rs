//! Writes that are not in every replica yet.

use std::collections::{BTreeMap, VecDeque};

use super::out::Out;
use crate::core::entry::Change;
use crate::core::error::Refused;
use crate::core::event::Event;
use crate::core::frame::ToHost;
use crate::core::ids::OpId;
use crate::core::limits::{Window, cost};
use crate::core::write::{Write, WriteEnd, number};

#[derive(Debug)]
struct Pending {
    write: Write,
    cost: usize,
    /// How it ends once it is stable, if it is in the log.
    decided: Option<WriteEnd>,
}

/// The writer's side of the map and of services.
#[derive(Debug)]
pub(crate) struct Writes {
    last: u64,
    pending: BTreeMap<OpId, Pending>,
    /// Those that are in the log, by their positions.
    decided: BTreeMap<u64, OpId>,
    window: Window,
}

impl Writes {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            last: 0,
            pending: BTreeMap::new(),
            decided: BTreeMap::new(),
            window: Window::new(window),
        }
    }

    pub(crate) fn write(&mut self, write: Write, out: &mut Out) -> Result<OpId, Refused> {
        if !self.window.has_room(cost(write.len())) {
            return Err(Refused::Full);
        }
        Ok(self.begin(write, out))
    }

    /// A write that is due whether or not there is room for it.
    pub(crate) fn begin(&mut self, write: Write, out: &mut Out) -> OpId {
        let cost = cost(write.len());
        self.window.add(cost);
        self.last += 1;
        let op = OpId(self.last);
        out.send(ToHost::Write { op, write: write.clone() });
        self.pending.insert(op, Pending { write, cost, decided: None });
        op
    }

    /// An entry of the log is this write.
    pub(crate) fn decided(&mut self, op: OpId, position: u64, change: &Change) {
        if let Some(pending) = self.pending.get_mut(&op) {
            let end = match (&pending.write, change) {
                (Write::Increment { .. }, Change::Put { value, .. }) => {
                    number(value).map(|number| WriteEnd::Counted { revision: position, number })
                }
                _ => None,
            };
            let end = end.unwrap_or(WriteEnd::Done { revision: position });
            pending.decided = Some(end);
            self.decided.insert(position, op);
        }
    }

    /// Every replica has the entries up to this position.
    pub(crate) fn stable(&mut self, position: u64, events: &mut VecDeque<Event>) {
        while let Some(first) = self.decided.first_entry()
            && *first.key() <= position
        {
            let op = first.remove();
            if let Some(end) = self.pending.get(&op).and_then(|pending| pending.decided) {
                self.end(op, end, events);
            }
        }
    }

    /// It has changed nothing.
    pub(crate) fn unchanged(&mut self, op: OpId, end: WriteEnd, events: &mut VecDeque<Event>) {
        if self.pending.get(&op).is_some_and(|pending| pending.decided.is_none()) {
            self.end(op, end, events);
        }
    }

    fn end(&mut self, op: OpId, end: WriteEnd, events: &mut VecDeque<Event>) {
        if let Some(pending) = self.pending.remove(&op) {
            self.window.free(pending.cost);
            events.push_back(Event::Wrote { op, end });
        }
    }

    /// Another host serves, and this replica has all that any replica had: what is not decided
    /// there was never applied.
    pub(crate) fn send_again(&self, out: &mut Out) {
        for (&op, pending) in &self.pending {
            if pending.decided.is_none() {
                out.send(ToHost::Write { op, write: pending.write.clone() });
            }
        }
    }

    /// The next replica may have them or not, and nobody knows.
    pub(crate) fn put_out(&mut self, events: &mut VecDeque<Event>) {
        self.decided.clear();
        let ops: Vec<OpId> = self.pending.keys().copied().collect();
        for op in ops {
            self.end(op, WriteEnd::Unknown, events);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.window.used()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}
