//! Messages that JavaScript has, and has not dealt with.

use std::collections::VecDeque;

use open_channel::Message;

/// In the order in which JavaScript got them; `None` was dealt with out of turn.
#[derive(Default)]
pub(crate) struct Lent(VecDeque<(u64, Option<Message>)>);

impl Lent {
    pub(crate) fn push(&mut self, seq: u64, message: Message) {
        self.0.push_back((seq, Some(message)));
    }

    /// Acknowledges the `count` oldest messages.
    pub(crate) fn acknowledge_oldest(&mut self, count: u32) {
        let mut left = count;
        // Messages that were dealt with by their numbers do not count.
        while let Some((_, message)) = self.0.front_mut()
            && (left > 0 || message.is_none())
        {
            if let Some(message) = message.take() {
                message.ack();
                left -= 1;
            }
            self.0.pop_front();
        }
    }

    /// Takes out the message `seq`, if it is there.
    pub(crate) fn take(&mut self, seq: u64) -> Option<Message> {
        let is_it = |(lent, message): &(u64, Option<Message>)| *lent == seq && message.is_some();
        // A message that was given back is lent again, behind what came after it.
        let index = match self.0.binary_search_by_key(&seq, |(seq, _)| *seq) {
            Ok(index) if is_it(&self.0[index]) => Some(index),
            _ => self.0.iter().position(is_it),
        };
        let message = index.and_then(|index| self.0[index].1.take());
        while let Some((_, None)) = self.0.front() {
            self.0.pop_front();
        }
        message
    }

    /// Drops the last `count`, which are not handled here.
    pub(crate) fn drop_last(&mut self, count: u32) {
        self.0.truncate(self.0.len().saturating_sub(count as usize));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
