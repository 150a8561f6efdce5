//! Peers that write anything at all.

use super::footprint::Footprint;
use super::memory::{BYTES, UP_DATA, WHOLE};
use super::peer::{Hostile, SHORT};
use crate::isolation::{busy_pair, check_unharmed};
use crate::mixture;
use crate::stage::Stage;

pub(crate) fn a_peer_that_scribbles_in_the_shared_memory_hurts_nobody(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = Footprint::of(&host);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    };
    for round in 0..300 {
        let mut peer = Hostile::attach(&path, 8000 + round);
        for seq in 1..200 {
            // Its own ends notice some of it too.
            match below(8) {
                0..4 => drop(peer.ring.producer.push(WHOLE, 0, &mixture::message(seq))),
                4 => drop(peer.ring.producer.push(below(7) as u8, 0, &[b'x'; 64])),
                5 => drop(peer.ring.consumer.claim()),
                6 => {
                    // A single wrong bit is closer to a valid value than noise.
                    let (offset, bit) = (below(9) * 128, below(64));
                    let mut word = [0; 8];
                    rustix::io::pread(&peer.memory, &mut word, offset).unwrap();
                    peer.write(offset, u64::from_ne_bytes(word) ^ 1 << bit);
                }
                _ => peer.write(UP_DATA + below((BYTES - UP_DATA) / 8) * 8, below(u64::MAX)),
            }
            peer.call();
            if peer.is_closed() {
                break;
            }
        }
    }
    before.wait_until_restored(&host);
    check_unharmed(&host, &bystander);
    before.check_growth(&host, 0);
}
