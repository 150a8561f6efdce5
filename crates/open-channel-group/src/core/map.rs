//! The map: keys with values, some of which expire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::limits::cost;
use super::name::Name;

/// A value in the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// The position of the write that it comes from. It grows with each write, of any key.
    pub revision: u64,
    /// When it expires, in this replica's time.
    pub(crate) expires: Option<Duration>,
}

/// The map of one replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Map {
    values: BTreeMap<Name, Value>,
    expiry: BTreeSet<(Duration, Name)>,
    bytes: usize,
}

impl Map {
    /// Sets a value. Its bytes are copied, so that they hold no larger message in memory.
    pub(crate) fn put(
        &mut self,
        key: Name,
        bytes: &[u8],
        revision: u64,
        expires: Option<Duration>,
    ) {
        self.remove(&key);
        self.bytes += cost(key.as_str().len() + bytes.len());
        if let Some(at) = expires {
            self.expiry.insert((at, key.clone()));
        }
        let bytes = Bytes::copy_from_slice(bytes);
        self.values.insert(key, Value { bytes, revision, expires });
    }

    pub(crate) fn remove(&mut self, key: &Name) {
        if let Some(value) = self.values.remove(key) {
            self.bytes -= cost(key.as_str().len() + value.bytes.len());
            if let Some(at) = value.expires {
                self.expiry.remove(&(at, key.clone()));
            }
        }
    }

    pub(crate) fn get(&self, key: &Name) -> Option<&Value> {
        self.values.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Value)> {
        self.values.iter()
    }

    /// Keys and values together, in bytes, with what each counts beyond its length.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key that expires next, and when.
    pub(crate) fn next_expiry(&self) -> Option<&(Duration, Name)> {
        self.expiry.first()
    }
}
