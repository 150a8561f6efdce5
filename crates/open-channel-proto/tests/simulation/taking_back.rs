//! Senders that want back what nobody has taken.

use open_channel_proto::TakeBack;

use crate::ledger::Content;
use crate::world::{Side, World, end_of, note};

impl World {
    /// Asks for one of the messages that are not acknowledged, or for one that is none of them.
    pub fn take_back(&mut self, side: Side) {
        let newest = match side {
            Side::Peer(socket) => self.sockets[socket].version,
            Side::Host(host, _) => self.hosts[host].version,
        };
        if newest < 2 {
            return;
        }
        let (first, next) = (self.end(side).acknowledged, self.end(side).sent.next());
        let seq = first + self.random.below((next - first) as usize + 1) as u64;
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let before = end.sent.entry(seq).map(|entry| (entry.is_withdrawn(), entry.was_ever_sent()));
        let answer = end.session.take_back(seq);
        note!(self, "{side:?} wants {seq} back: {answer:?}");
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        match answer {
            TakeBack::Taken(bytes) => {
                let (packed, back) = (end.sent.unit(seq).count() > 1, (seq, bytes));
                end.is_back_at_once(seq, &back);
                self.tally.taken_back_at_once += 1;
                self.tally.taken_back_out_of_a_pack += u64::from(packed);
            }
            TakeBack::Asked => assert!(end.session.is_recalling(seq), "{seq} was asked for"),
            _ => {
                let is_end = end.sent.entry(seq).is_some_and(|entry| entry.content == Content::End);
                let old = end.session.generation() > 0 && end.version < 2;
                let late = before.is_none_or(|(withdrawn, sent)| withdrawn || sent);
                assert!(late || old || is_end || end.is_closed(), "nobody can have {seq}");
            }
        }
        self.check(side);
    }

    /// The other side wants a message back, which this side's application may have taken.
    pub fn wants_back(&mut self, side: Side, seq: u64) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let Some(slot) = end.slots.iter_mut().find(|slot| slot.seq == seq) else { return };
        let is_message = matches!(slot.content, Content::Message(_));
        if is_message && !slot.delivered && !slot.given_back {
            (slot.delivered, slot.given_up, slot.recalled) = (true, true, true);
            self.tally.recalled_out_of_a_pack += u64::from(slot.is_packed());
        } else if !slot.recalled {
            self.tally.recalled_too_late += 1;
        }
    }
}
