//! Shared maps.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::handle::{Face, Handle};
use crate::core::{Expect, MapChange, Name, Refused, WatchId, Write, WriteEnd};
use crate::error::Error;

/// Stands between a map's name and a key; no map's name has it.
const SEPARATOR: char = '\0';

/// A map that all members share, from [`Group::map`](crate::Group::map); cheap to clone.
///
/// Every member has all of it in memory. A write returns when every member has it. The map lives
/// while one member does.
#[derive(Debug, Clone)]
pub struct Map {
    handle: Arc<Handle>,
    prefix: Arc<str>,
}

/// A value of a [`Map`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its bytes.
    pub value: Bytes,
    /// The revision that it was written at. It grows with each write, of any key.
    pub revision: u64,
}

impl Map {
    pub(crate) fn new(handle: &Arc<Handle>, name: &str) -> Result<Self, Error> {
        // As long as the shortest key of it, at least.
        let prefix = Name::new(&format!("{name}{SEPARATOR}"))?;
        if name.is_empty() || name.contains(SEPARATOR) {
            return Err(Refused::InvalidName { len: name.len() }.into());
        }
        Ok(Self { handle: Arc::clone(handle), prefix: prefix.as_str().into() })
    }

    fn key(&self, key: &str) -> Result<Name, Error> {
        Ok(Name::new(&format!("{}{key}", self.prefix))?)
    }

    /// The value of a key, from this member's own memory. Never older than what a write of this
    /// member has returned for.
    ///
    /// # Errors
    /// A key that is too long; [`Error::Out`] while this member is out of the view; why the group
    /// is over.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// The value of a key and its revision.
    ///
    /// # Errors
    /// A key that is too long; [`Error::Out`] while this member is out of the view; why the group
    /// is over.
    pub fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        let value = self.handle.engine().get(&self.key(key)?)?;
        Ok(value.map(|value| Entry { value: value.bytes, revision: value.revision }))
    }

    /// All keys and values, in the order of the keys, at one moment.
    ///
    /// # Errors
    /// [`Error::Out`] while this member is out of the view; why the group is over.
    pub fn entries(&self) -> Result<Vec<(String, Entry)>, Error> {
        let entries = self.handle.engine().entries(&self.prefix)?;
        let own = entries.into_iter().filter_map(|(key, value)| {
            let key = key.as_str().strip_prefix(&*self.prefix)?.to_owned();
            Some((key, Entry { value: value.bytes, revision: value.revision }))
        });
        Ok(own.collect())
    }

    async fn write(&self, write: Write) -> Result<WriteEnd, Error> {
        let ending = self.handle.begin(Face::Writes, |engine| engine.write(write.clone())).await?;
        match self.handle.end(ending).await? {
            WriteEnd::NotANumber => Err(Error::NotANumber),
            WriteEnd::Overflow => Err(Error::Overflow),
            WriteEnd::MapFull => Err(Error::MapFull),
            WriteEnd::Unknown => Err(Error::Unknown),
            end => Ok(end),
        }
    }

    /// Sets a key. Returns when every member has it, with its revision.
    ///
    /// # Errors
    /// [`Error::MapFull`], [`Error::Unknown`], a key or value that is too long, and why the group
    /// is over.
    ///
    /// # Cancel safety
    /// When dropped, it may be written or not.
    pub async fn set(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, Error> {
        self.set_for(key, value, None).await
    }

    /// [`set`](Self::set) for a while: the key is deleted `ttl` later.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn set_for(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<u64, Error> {
        let (key, value, ttl) = (self.key(key)?, value.into(), ttl.into());
        match self.write(Write::Set { key, value, ttl }).await? {
            WriteEnd::Done { revision } => Ok(revision),
            _ => Err(Error::Unknown),
        }
    }

    /// Deletes a key; whether it was there.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn delete(&self, key: &str) -> Result<bool, Error> {
        let end = self.write(Write::Delete { key: self.key(key)? }).await?;
        Ok(matches!(end, WriteEnd::Done { .. }))
    }

    /// Sets a key if it is as expected, or deletes it without a new `value`; whether it was as
    /// expected.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn compare_and_set(
        &self,
        key: &str,
        expect: Expect,
        value: Option<Bytes>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<bool, Error> {
        let (key, ttl) = (self.key(key)?, ttl.into());
        let end = self.write(Write::CompareAndSet { key, expect, value, ttl }).await?;
        Ok(!matches!(end, WriteEnd::Conflict))
    }

    /// Adds to a number, written in decimal digits; an absent one is 0. Returns the sum.
    ///
    /// # Errors
    /// [`Error::NotANumber`] and [`Error::Overflow`]; else as [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        self.increment_for(key, by, None).await
    }

    /// [`increment`](Self::increment), with the key deleted `ttl` after the last one.
    ///
    /// # Errors
    /// As [`increment`](Self::increment).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn increment_for(
        &self,
        key: &str,
        by: i64,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<i64, Error> {
        let (key, ttl) = (self.key(key)?, ttl.into());
        match self.write(Write::Increment { key, by, ttl }).await? {
            WriteEnd::Counted { number, .. } => Ok(number),
            _ => Err(Error::Unknown),
        }
    }

    /// Watches the keys that begin with `prefix`; all of them if it is empty.
    pub fn watch(&self, prefix: &str) -> Changes {
        let id = self.handle.engine().watch(&format!("{}{prefix}", self.prefix));
        Changes { map: self.clone(), id }
    }
}

/// A change of a [`Map`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// This key was written, deleted, or has expired. [`Map::get`] has its value.
    Key(String),
    /// So many changes were not kept before those that follow: look at the whole map. The member
    /// was out of the view, or nobody read for long.
    Missed(u64),
}

/// The changes of a map, from [`Map::watch`]; a [`Stream`]. A key that changes again before its
/// change is read comes once.
#[derive(Debug)]
pub struct Changes {
    map: Map,
    id: WatchId,
}

impl Changes {
    /// The next change; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no change is lost.
    pub async fn recv(&mut self) -> Option<Change> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) as a poll function, for one task at a time.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let next = self.map.handle.engine().poll_change(self.id, cx);
        next.map(|change| {
            Some(match change? {
                MapChange::Missed(count) => Change::Missed(count),
                MapChange::Key(key) => {
                    let prefix = self.map.prefix.len();
                    Change::Key(key.as_str().get(prefix..).unwrap_or_default().to_owned())
                }
            })
        })
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.get_mut().poll_recv(cx)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.map.handle.engine().unwatch(self.id);
    }
}
