//! Peers that keep to the rules, and never stop or never read.

use std::sync::atomic::{AtomicBool, Ordering};

use super::footprint::Footprint;
use super::memory::WHOLE;
use super::peer::{Hostile, SHORT};
use crate::failover::traffic_flows;
use crate::isolation::{busy_pair, check_unharmed};
use crate::stage::Stage;

pub(crate) fn a_peer_that_rings_without_end_holds_nobody_up(stage: &mut Stage) {
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let peer = Hostile::attach(&path, 9000);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                peer.call();
            }
        });
        for _ in 0..100 {
            traffic_flows([&bystander]);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(peer);
    check_unharmed(&host, &bystander);
}

pub(crate) fn a_peer_that_never_empties_its_ring_costs_bounded_memory(stage: &mut Stage) {
    const MIB: u64 = 1 << 20;
    let (host, bystander) = busy_pair(stage, SHORT);
    let (_, path) = stage.published();
    let before = Footprint::of(&host);
    let peers: Vec<_> = (0..4)
        .map(|n| {
            let mut peer = Hostile::attach(&path, 9100 + n);
            peer.push(WHOLE, b"flood");
            peer
        })
        .collect();
    host.until("four full outboxes", |lines| {
        (lines.iter().filter(|line| line.is("full flood")).count() == 4).then_some(())
    });
    traffic_flows([&bystander]);
    before.check_growth(&host, 4 * 2 * MIB);
    drop(peers);
    check_unharmed(&host, &bystander);
}
