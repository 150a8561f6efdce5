//! Writes: what a member asks for, and what the switchboard makes of it.

use std::time::Duration;

use bytes::Bytes;

use super::entry::Change;
use super::ids::MemberId;
use super::limits::{MAX_ITEMS, cost};
use super::name::Name;
use super::replica::Replica;
use super::wire::wire_enum;

wire_enum! {
    /// The state that a compare-and-set expects.
    pub enum Expect {
        /// No value.
        1 => Absent,
        /// This value.
        2 => Value {
            /// Its bytes.
            bytes: Bytes,
        },
        /// The value that was written at this revision.
        3 => Revision {
            /// That revision.
            revision: u64,
        },
    }
}

wire_enum! {
    /// A change that a member asks for.
    pub enum Write {
        /// Sets a key.
        1 => Set {
            /// The key.
            key: Name,
            /// Its value.
            value: Bytes,
            /// How long it is valid; for ever without it.
            ttl: Option<Duration>,
        },
        /// Deletes a key.
        2 => Delete {
            /// The key.
            key: Name,
        },
        /// Sets or deletes a key if it is as expected.
        3 => CompareAndSet {
            /// The key.
            key: Name,
            /// The state that must be there.
            expect: Expect,
            /// The new value; the key is deleted without it.
            value: Option<Bytes>,
            /// How long the new value is valid; for ever without it.
            ttl: Option<Duration>,
        },
        /// Adds to a number, written in decimal digits; an absent one is 0. The key's expiry, if
        /// it has one, begins anew with `ttl`.
        4 => Increment {
            /// The key.
            key: Name,
            /// How much to add.
            by: i64,
            /// How long the value is valid; for ever without it.
            ttl: Option<Duration>,
        },
        /// The writer serves this service.
        5 => Serve {
            /// Its name.
            service: Name,
        },
        /// The writer serves it no more.
        6 => Unserve {
            /// Its name.
            service: Name,
        },
    }
}

wire_enum! {
    /// How a write ended.
    #[derive(Copy)]
    #[non_exhaustive]
    pub enum WriteEnd {
        /// It is in every replica.
        1 => Done {
            /// The revision that it has.
            revision: u64,
        },
        /// An increment is in every replica.
        2 => Counted {
            /// The revision that it has.
            revision: u64,
            /// The number after it.
            number: i64,
        },
        /// There was nothing to change.
        3 => Unchanged,
        /// The key was not as expected.
        4 => Conflict,
        /// The value is not a number.
        5 => NotANumber,
        /// The number would be too large or too small.
        6 => Overflow,
        /// The map has no room for it, or the member serves as much as it may.
        7 => MapFull,
        /// The member was put out meanwhile: it may be applied, or not.
        8 => Unknown,
    }
}

impl Write {
    /// The bytes of its key and value.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Set { key, value, .. } => key.as_str().len() + value.len(),
            Self::CompareAndSet { key, expect, value, .. } => {
                let expected = match expect {
                    Expect::Value { bytes } => bytes.len(),
                    _ => 0,
                };
                key.as_str().len() + expected + value.as_ref().map_or(0, Bytes::len)
            }
            Self::Delete { key } | Self::Increment { key, .. } => key.as_str().len(),
            Self::Serve { service } | Self::Unserve { service } => service.as_str().len(),
        }
    }

    /// The effect of the write on this replica; or how it ends without one.
    pub(crate) fn evaluate(
        self,
        origin: MemberId,
        replica: &Replica,
        map_bytes: usize,
    ) -> Result<Change, WriteEnd> {
        let change = match self {
            Self::Set { key, value, ttl } => Change::Put { key, value, ttl },
            Self::Delete { key } => remove(key, replica)?,
            Self::CompareAndSet { key, expect, value, ttl } => {
                let found = replica.map.get(&key);
                let fits = match expect {
                    Expect::Absent => found.is_none(),
                    Expect::Value { bytes } => found.is_some_and(|value| value.bytes == bytes),
                    Expect::Revision { revision } => {
                        found.is_some_and(|value| value.revision == revision)
                    }
                };
                match value {
                    _ if !fits => return Err(WriteEnd::Conflict),
                    Some(value) => Change::Put { key, value, ttl },
                    None => remove(key, replica)?,
                }
            }
            Self::Increment { key, by, ttl } => {
                let number = match replica.map.get(&key) {
                    None => 0,
                    Some(value) => number(&value.bytes).ok_or(WriteEnd::NotANumber)?,
                };
                let sum = number.checked_add(by).ok_or(WriteEnd::Overflow)?;
                Change::Put { key, value: sum.to_string().into(), ttl }
            }
            Self::Serve { service } => {
                if serves(origin, &service, replica) {
                    return Err(WriteEnd::Unchanged);
                }
                if replica.member(origin).is_some_and(|one| one.services.len() >= MAX_ITEMS) {
                    return Err(WriteEnd::MapFull);
                }
                Change::Serve { service }
            }
            Self::Unserve { service } => {
                if !serves(origin, &service, replica) {
                    return Err(WriteEnd::Unchanged);
                }
                Change::Unserve { service }
            }
        };
        if let Change::Put { key, value, .. } = &change {
            let old =
                replica.map.get(key).map_or(0, |old| cost(key.as_str().len() + old.bytes.len()));
            let new = cost(key.as_str().len() + value.len());
            if new > old && replica.map.bytes() - old + new > map_bytes {
                return Err(WriteEnd::MapFull);
            }
        }
        Ok(change)
    }
}

fn remove(key: Name, replica: &Replica) -> Result<Change, WriteEnd> {
    if replica.map.get(&key).is_none() {
        return Err(WriteEnd::Unchanged);
    }
    Ok(Change::Remove { key })
}

fn serves(member: MemberId, service: &Name, replica: &Replica) -> bool {
    replica.member(member).is_some_and(|member| member.services.binary_search(service).is_ok())
}

/// A number in decimal digits.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
