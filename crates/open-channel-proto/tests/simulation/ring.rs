//! How a session is driven on a link with a store, as the real library does it.

use open_channel_proto::{Pack, Part, PartFlags, PartKind, RingSizes, StoredPart};
use open_channel_simulation::Random;

use crate::ledger::{Content, Entry};
use crate::link::{Link, Rings};
use crate::store::{Fenced, Store};
use crate::world::{Side, World, end_of};

impl Rings {
    /// Small ones, through which the longest message has to go in pieces, and large ones.
    pub fn new(random: &mut Random, max_message: usize) -> Self {
        let mut store =
            || Store::new((max_message / 8).next_power_of_two().max(64) << random.below(6));
        Self { up: store(), down: store() }
    }

    pub fn sizes(&self) -> RingSizes {
        RingSizes { up: self.up.capacity() as u64, down: self.down.capacity() as u64 }
    }
}

impl Link {
    /// The store that this side fills.
    pub fn own_store(&mut self, side: Side) -> &mut Store {
        let Rings { up, down } = self.rings.as_mut().expect("a link with a store");
        if matches!(side, Side::Peer(_)) { up } else { down }
    }

    /// The store that this side empties.
    fn others_store(&mut self, side: Side) -> &mut Store {
        let Rings { up, down } = self.rings.as_mut().expect("a link with a store");
        if matches!(side, Side::Peer(_)) { down } else { up }
    }
}

/// Sending.
impl World {
    fn store_link(&mut self, side: Side) -> Option<usize> {
        let end = self.end(side);
        end.link.filter(|_| end.has_store)
    }

    /// The link that was just attached has a store.
    pub fn use_store(&mut self, side: Side) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        end.session.use_store();
        end.has_store = true;
        self.tally.stores += 1;
    }

    /// Puts as many parts into the store as may and will go there.
    pub fn put(&mut self, side: Side, most: usize) {
        let Some(link) = self.store_link(side) else { return };
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let store = self.links[link].own_store(side);
        for _ in 0..most {
            let Some(part) = end.session.next_part(store.longest()) else { break };
            let (kind, len, packed) = (part.kind, part.payload.len(), part.flags.is_packed());
            let exceeds = kind == PartKind::First && part.total > store.capacity();
            self.tally.larger_than_store += u64::from(exceeds);
            self.tally.packs_larger_than_store += u64::from(exceeds && packed);
            let Some(at) = store.push(&part) else { break };
            let seq = end.session.first_unacknowledged() + end.session.messages_in_flight() as u64;
            end.session.part_stored(len, at);
            end.half_stored = Some(seq).filter(|_| !kind.completes());
            let unit = end.sent.unit(seq);
            assert_eq!((unit.start, packed), (seq, unit.end - seq > 1), "a record of a pack");
            let entries = end.sent.all_of(unit);
            if !matches!(kind, PartKind::Middle | PartKind::Last) {
                entries.iter_mut().for_each(Entry::is_being_stored);
            }
            self.tally.gaps_in_stores += u64::from(kind == PartKind::Skip);
            if kind.completes() {
                entries.iter_mut().for_each(|entry| entry.stored_at = Some(at));
                self.tally.stored += 1;
                self.tally.packs_stored += u64::from(packed);
            }
            end.remember_what_was_sent();
        }
    }

    /// Writes a message or a pack to the store before it is accepted, if it may and will go there.
    pub fn store_first(&mut self, side: Side, pack: &Pack) -> bool {
        let Some(link) = self.store_link(side) else { return false };
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        let store = self.links[link].own_store(side);
        let (len, count, cost) = (pack.bytes().len(), pack.count(), pack.cost());
        let may =
            end.session.has_room_for(cost) && end.session.may_store_pack(pack.longest(), cost);
        if count == 1 {
            assert_eq!(
                may,
                end.session.has_room(len) && end.session.may_store(len),
                "a pack of one"
            );
        }
        if !may || len > store.longest() {
            return false;
        }
        assert!(end.session.next_part(1).is_none(), "something has to go first");
        let (packed, payload) = (count > 1, &pack.bytes()[..]);
        let flags = if packed { PartFlags::PACKED } else { PartFlags::NONE };
        let part = Part { kind: PartKind::Whole, flags, total: len, payload };
        let Some(at) = store.push(&part) else { return false };
        let seq = end.session.pack_stored(len, count, at);
        assert_eq!(seq, end.sent.next(), "the number of a stored message");
        end.sent.push_pack(pack);
        let unit = end.sent.unit(seq);
        end.sent.all_of(unit).iter_mut().for_each(|entry| entry.stored_at = Some(at));
        end.remember_what_was_sent();
        self.tally.stored_first += 1;
        self.tally.packs_stored_first += u64::from(packed);
        true
    }

    /// Takes in what the other side has released.
    pub fn look(&mut self, side: Side) {
        let Some(link) = self.store_link(side) else { return };
        let upto = self.links[link].own_store(side).released();
        if let Err(error) = self.end(side).session.released(upto) {
            panic!("{side:?} takes an honest release for a lie: {error}");
        }
        self.acknowledged(side);
    }
}

/// Receiving.
impl World {
    /// Claims so many records; a fence is the end of the link.
    pub fn claim(&mut self, side: Side, most: usize) {
        self.release(side);
        for _ in 0..most {
            match self.claim_one(side) {
                Ok(true) => {}
                Ok(false) => return,
                Err(Fenced) => {
                    self.tally.claims_refused += 1;
                    return self.lose(side);
                }
            }
        }
    }

    /// Claims everything that is left.
    pub fn drain(&mut self, side: Side) {
        while self.claim_one(side) == Ok(true) {
            self.tally.drained += 1;
        }
    }

    fn claim_one(&mut self, side: Side) -> Result<bool, Fenced> {
        let Some(link) = self.store_link(side) else { return Ok(false) };
        let Some((arrival, payload)) = self.links[link].others_store(side).claim()? else {
            return Ok(false);
        };
        let may_go_apart = arrival.kind == PartKind::Whole
            && arrival.flags == PartFlags::NONE
            && self.end(side).session.may_receive_apart(arrival.len);
        let apart = may_go_apart && self.random.chance(50);
        let session = &mut self.end(side).session;
        let taken = apart.then(|| session.receive_apart(arrival.len, arrival.end));
        if taken.is_none()
            && let Err(error) =
                session.receive_part(arrival, |bytes| bytes.extend_from_slice(&payload))
        {
            panic!("{side:?} takes its honest other side for a liar: {error}");
        }
        let in_parts = arrival.kind == PartKind::Last;
        self.tally.stored_in_parts += u64::from(in_parts);
        self.tally.packs_stored_in_parts += u64::from(in_parts && arrival.flags.is_packed());
        self.arrived(side, link);
        if let Some(seq) = taken {
            self.tally.taken_apart += 1;
            self.delivered(side, seq, Content::Message(payload), 1);
        }
        self.release(side);
        self.check(side);
        Ok(true)
    }

    /// Tells the other side what is handled.
    pub fn release(&mut self, side: Side) {
        let Some(link) = self.store_link(side) else { return };
        let upto = self.end(side).session.releasable();
        self.links[link].others_store(side).release(upto);
    }
}

/// The end of a store.
impl World {
    /// Takes back what is not released, before the link is dropped.
    pub fn give_up_store(&mut self, side: Side) {
        let Some(link) = self.store_link(side) else { return };
        self.look(side);
        // What a dead host had put there is delivered before the change of host. A host may leave
        // what it has not seen to the peer, which is alive and will send it again.
        if matches!(side, Side::Peer(_)) || self.random.chance(50) {
            self.drain(side);
        }
        self.links[link].own_store(side).fence();
        self.meanwhile(side, link);
        let parts = self.links[link].own_store(side).unreleased();
        self.meanwhile(side, link);
        self.look(side);
        for part in &parts {
            let counter = if part.claimed {
                &mut self.tally.stored_claimed
            } else {
                &mut self.tally.stored_unseen
            };
            *counter += 1;
        }
        self.count_stored_packs(side, &parts);
        let end = self.end(side);
        end.remember_what_was_stored(&parts);
        if let Err(error) = end.session.reclaim(parts) {
            panic!("{side:?} cannot take back what it had stored: {error}");
        }
        (end.has_store, end.left_a_store) = (false, true);
    }

    fn count_stored_packs(&mut self, side: Side, parts: &[StoredPart]) {
        let end = end_of(&mut self.sockets, &mut self.hosts, side);
        if let Some(unit) = end.half_stored.map(|seq| end.sent.unit(seq)) {
            self.tally.half_stored += 1;
            self.tally.packs_half_stored += u64::from(unit.end - unit.start > 1);
        }
        for part in parts {
            let entries = end.sent.entries.iter().filter(|entry| entry.stored_at == Some(part.end));
            let packed = u64::from(entries.count() > 1);
            self.tally.packs_stored_claimed += packed * u64::from(part.claimed);
            self.tally.packs_stored_unseen += packed * u64::from(!part.claimed);
        }
    }

    /// The other side goes on: it may still release what it has claimed.
    fn meanwhile(&mut self, side: Side, link: usize) {
        let other = self.other(side, link);
        let runs = match other {
            Side::Peer(_) => true,
            Side::Host(host, socket) => {
                self.is_awake(host) && self.hosts[host].sockets.contains_key(&socket)
            }
        };
        if !self.calm && runs && self.store_link(other) == Some(link) && self.random.chance(30) {
            let before = self.links[link].own_store(side).released();
            self.handle_some(other);
            let after = self.links[link].own_store(side).released();
            self.tally.released_meanwhile += u64::from(after > before);
        }
    }

    /// A host dies between claiming something and seeing it.
    pub fn die_while_claiming(&mut self, side: Side) {
        let Some(link) = self.store_link(side) else { return };
        for _ in 0..self.random.below(3) {
            let claimed = self.links[link].others_store(side).claim();
            self.tally.claimed_unseen += u64::from(matches!(claimed, Ok(Some(_))));
        }
    }
}
