//! Publications that not every subscriber has handled.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::out::Out;
use crate::core::error::Refused;
use crate::core::event::{Event, PublishEnd};
use crate::core::frame::ToHost;
use crate::core::ids::PublishId;
use crate::core::limits::{Window, cost};
use crate::core::pattern::Topic;

/// The publisher's side of topics.
#[derive(Debug)]
pub(crate) struct Publishing {
    last: u64,
    pending: BTreeMap<PublishId, (Topic, Bytes)>,
    window: Window,
}

impl Publishing {
    pub(crate) fn new(window: usize) -> Self {
        Self { last: 0, pending: BTreeMap::new(), window: Window::new(window) }
    }

    pub(crate) fn publish(
        &mut self,
        topic: Topic,
        payload: Bytes,
        out: &mut Out,
    ) -> Result<PublishId, Refused> {
        let cost = cost(payload.len());
        if !self.window.has_room(cost) {
            return Err(Refused::Full);
        }
        self.window.add(cost);
        self.last += 1;
        let number = PublishId(self.last);
        out.send(ToHost::Publish { number, topic: topic.clone(), payload: payload.clone() });
        self.pending.insert(number, (topic, payload));
        Ok(number)
    }

    pub(crate) fn completed(&mut self, id: PublishId, events: &mut VecDeque<Event>) {
        if let Some((_, payload)) = self.pending.remove(&id) {
            self.window.free(cost(payload.len()));
            events.push_back(Event::Published { id, end: PublishEnd::Handled });
        }
    }

    /// Another host serves: it gets everything that is not complete, in order.
    pub(crate) fn send_again(&self, out: &mut Out) {
        for (&number, (topic, payload)) in &self.pending {
            out.send(ToHost::Publish { number, topic: topic.clone(), payload: payload.clone() });
        }
    }

    /// Subscribers know this member by another name from now on, so nothing can be sent again.
    pub(crate) fn put_out(&mut self, events: &mut VecDeque<Event>) {
        for (id, (_, payload)) in std::mem::take(&mut self.pending) {
            self.window.free(cost(payload.len()));
            events.push_back(Event::Published { id, end: PublishEnd::Unknown });
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.window.used()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}
