//! How much memory this process may still take.

use rustix::process::{Resource, getrlimit};

pub(crate) use super::cgroup::memory_left;

/// Bytes, where the address space of this process is limited.
pub(crate) fn address_space_left() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(rustix::param::page_size() as u64)))
}

/// Bytes of the machine's memory, where that can be known.
pub(crate) fn machine_memory() -> Option<u64> {
    let machine = rustix::system::sysinfo();
    Some((machine.totalram as u64).saturating_mul(machine.mem_unit.into()))
}
