//! Descriptors, mappings and memory of a process.

use crate::isolation::SLACK;
use crate::ring::stage_until;
use crate::stage::Actor;

/// The state of a process before hostile peers came.
pub(super) struct Footprint {
    descriptors: usize,
    mappings: usize,
    memory: u64,
}

impl Footprint {
    pub(super) fn of(actor: &Actor) -> Self {
        Self {
            descriptors: descriptors(actor),
            mappings: mappings(actor),
            memory: actor.memory("VmHWM"),
        }
    }

    /// Waits until the process has released the descriptors and rings that it took since.
    pub(super) fn wait_until_restored(&self, actor: &Actor) {
        stage_until(|| descriptors(actor) <= self.descriptors && mappings(actor) <= self.mappings);
    }

    /// Panics if the process has used more than `allowed` bytes, and some slack, since.
    pub(super) fn check_growth(&self, actor: &Actor, allowed: u64) {
        let grown = actor.memory("VmHWM") - self.memory;
        assert!(grown < allowed + SLACK, "the host grew by {} KiB", grown / 1024);
    }
}

fn descriptors(actor: &Actor) -> usize {
    std::fs::read_dir(actor.proc("fd")).unwrap().count()
}

fn mappings(actor: &Actor) -> usize {
    let maps = std::fs::read_to_string(actor.proc("maps")).unwrap();
    maps.lines().filter(|line| line.contains("memfd:")).count()
}
