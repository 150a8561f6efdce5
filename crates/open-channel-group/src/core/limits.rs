//! How much a group holds, and for how long it waits.

use std::time::Duration;

/// Bytes that each message, job, write or request counts on top of its payload.
pub const OVERHEAD: usize = 64;

/// Default of [`Limits::window`]: 1 MiB.
pub const DEFAULT_WINDOW: usize = 1 << 20;
/// Default of [`Limits::max_payload`]: 16 MiB.
pub const DEFAULT_MAX_PAYLOAD: usize = 16 << 20;
/// Default of [`Limits::map_bytes`]: 64 MiB.
pub const DEFAULT_MAP_BYTES: usize = 64 << 20;
/// Default of [`Limits::max_members`].
pub const DEFAULT_MAX_MEMBERS: usize = 1024;
/// Default of [`Limits::host_timeout`]: 3 s.
pub const DEFAULT_HOST_TIMEOUT: Duration = Duration::from_secs(3);
/// Default of [`Limits::stall_timeout`]: 10 s.
pub const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest name, in bytes of UTF-8.
pub const MAX_NAME: usize = 1024;

/// How many subscriptions, locks, workers and services each member may have; of each.
pub const MAX_ITEMS: usize = 1 << 16;

/// The longest that a member's program, language and labels may be together, in bytes.
pub const MAX_INFO: usize = 64 << 10;

/// Limits of a member and of a switchboard. All members of a group should have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes that one member may have under way in each face, and that one subscription holds;
    /// each piece counts its payload and [`OVERHEAD`]. One piece always fits.
    pub window: usize,
    /// Longest payload, value or answer, in bytes.
    pub max_payload: usize,
    /// The keys and values of the map together, in bytes, with [`OVERHEAD`] for each.
    pub map_bytes: usize,
    /// How many members the view has at most.
    pub max_members: usize,
    /// For how long a new switchboard waits for the members that it knows of.
    pub host_timeout: Duration,
    /// How long a member that holds others up may make no progress.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: DEFAULT_WINDOW,
            max_payload: DEFAULT_MAX_PAYLOAD,
            map_bytes: DEFAULT_MAP_BYTES,
            max_members: DEFAULT_MAX_MEMBERS,
            host_timeout: DEFAULT_HOST_TIMEOUT,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
        }
    }
}

/// The bytes that a payload of this length counts.
pub(crate) fn cost(len: usize) -> usize {
    len.saturating_add(OVERHEAD)
}

/// Bytes in use out of a limit. One piece always fits, however large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    used: usize,
    size: usize,
}

impl Window {
    pub(crate) fn new(size: usize) -> Self {
        Self { used: 0, size }
    }

    pub(crate) fn has_room(&self, cost: usize) -> bool {
        self.used == 0 || self.used.saturating_add(cost) <= self.size
    }

    pub(crate) fn add(&mut self, cost: usize) {
        self.used = self.used.saturating_add(cost);
    }

    pub(crate) fn free(&mut self, cost: usize) {
        debug_assert!(self.used >= cost, "more is freed than was used");
        self.used = self.used.saturating_sub(cost);
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// At least half of it is in use.
    pub(crate) fn is_pressed(&self) -> bool {
        self.used > 0 && self.used >= self.size / 2
    }
}
