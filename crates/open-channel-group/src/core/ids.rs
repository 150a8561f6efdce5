//! Numbers that name things. Each is a type of its own, so that none is taken for another.

use std::fmt;

use super::error::FrameError;
use super::wire::{Reader, Wire, wire_struct};
use bytes::BytesMut;

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident,)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl Wire for $name {
            fn put(&self, out: &mut BytesMut) {
                self.0.put(out);
            }

            fn take(input: &mut Reader) -> Result<Self, FrameError> {
                Ok(Self(u64::take(input)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

id! {
    /// A member, from its joining until it leaves the view. Drawn at random by the driver; a
    /// member that was put out comes back with a new one.
    MemberId,
    /// A socket at the switchboard, numbered by the driver.
    LinkId,
    /// A publication of one member.
    PublishId,
    /// A subscription of one member.
    SubscriptionId,
    /// A message in a subscription of one member.
    DeliveryId,
    /// A call, or a call to all, of one member.
    CallId,
    /// A request that a member serves.
    RequestId,
    /// A request from one member to another, numbered by who asks.
    ExchangeId,
    /// A lock that a member has asked for.
    LockId,
    /// A job of the member that pushed it.
    JobId,
    /// A worker of one member.
    WorkerId,
    /// One attempt of a job at a worker.
    RunId,
    /// A write of one member.
    OpId,
    /// A watch of one member on the map.
    WatchId,
    /// A question of one member who holds locks and who waits for them.
    LockQueryId,
}

wire_struct! {
    /// Where a replica stands: the tenure of its last entry, and that entry's position. Compared
    /// in this order.
    #[derive(Copy, Hash, PartialOrd, Ord, Default)]
    pub struct Mark {
        /// Number of the host that wrote the last entry.
        pub tenure: u64,
        /// Position of the last entry; the first is 1.
        pub position: u64,
    }
}

wire_struct! {
    /// The fencing token of a lock: whoever has the lock later has a greater one.
    ///
    /// It grows for as long as the channel's generation does, so it begins anew where that does.
    #[derive(Copy, Hash, PartialOrd, Ord, Default)]
    pub struct Token {
        /// The generation of the host that gave the turn.
        pub tenure: u64,
        /// Which turn of this host's it was.
        pub number: u64,
    }
}

impl Token {
    /// The token as one number that grows, for a resource that compares numbers.
    pub fn number(self) -> u128 {
        (u128::from(self.tenure) << 64) | u128::from(self.number)
    }
}

wire_struct! {
    /// A place in a lock's line: the smallest is next.
    #[derive(Copy, Hash, PartialOrd, Ord)]
    pub struct Ticket {
        /// The generation of the host that gave the place.
        pub tenure: u64,
        /// Which place of this host's it was.
        pub number: u64,
    }
}
