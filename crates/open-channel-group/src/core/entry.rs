//! The entries of the log, by which the view, the services and the map change.

use std::time::Duration;

use bytes::Bytes;

use super::ids::{MemberId, OpId};
use super::limits::OVERHEAD;
use super::name::Name;
use super::view::MemberInfo;
use super::wire::{wire_enum, wire_struct};

wire_enum! {
    /// Why a member is no longer in the view.
    #[derive(Copy)]
    #[non_exhaustive]
    pub enum LeaveReason {
        /// It said so itself.
        1 => Left,
        /// Its process has ended, or its socket is over.
        2 => Died,
        /// It made no progress for `stall_timeout` while others waited for it.
        3 => Stalled,
        /// It was not back in time after a change of host, or its replica went another way.
        4 => NotBack,
        /// It broke the protocol.
        5 => Violation,
        /// The view has as many members as it may.
        6 => TooMany,
    }
}

wire_enum! {
    /// The effect of a write, worked out by the switchboard, the same at every replica.
    pub(crate) enum Change {
        /// A key has a value, for as long as `ttl` if that is set.
        1 => Put { key: Name, value: Bytes, ttl: Option<Duration> },
        /// A key is gone.
        2 => Remove { key: Name },
        /// The writer serves a service.
        3 => Serve { service: Name },
        /// The writer serves it no more.
        4 => Unserve { service: Name },
    }
}

wire_enum! {
    /// One step of the log.
    pub(crate) enum Entry {
        /// A host begins to serve, without these members of the view before.
        1 => Begin { gone: Vec<MemberId> },
        /// A member is added at the end of the view.
        2 => Join { id: MemberId, info: MemberInfo },
        /// A member is taken out of the view.
        3 => Leave { id: MemberId, reason: LeaveReason },
        /// A member's write.
        4 => Write { origin: MemberId, op: OpId, change: Change },
        /// A key has expired.
        5 => Expire { key: Name },
    }
}

impl Entry {
    /// The bytes that it counts in memory.
    pub(crate) fn cost(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Begin { gone } => gone.len() * size_of::<MemberId>(),
                Self::Join { info, .. } => info.cost(),
                Self::Write { change: Change::Put { key, value, .. }, .. } => {
                    key.as_str().len() + value.len()
                }
                Self::Write { change: Change::Remove { key }, .. } | Self::Expire { key } => {
                    key.as_str().len()
                }
                Self::Write { change: Change::Serve { service }, .. }
                | Self::Write { change: Change::Unserve { service }, .. } => service.as_str().len(),
                Self::Leave { .. } => 0,
            }
    }
}

wire_struct! {
    /// An entry, and the tenure in which it was written.
    pub(crate) struct Logged {
        pub(crate) tenure: u64,
        pub(crate) entry: Entry,
    }
}
