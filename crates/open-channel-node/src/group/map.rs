//! A shared map: JavaScript reads it at once, writes it in operations, and polls its changes.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Change, Changes, Entry, Expect, Map};

use super::{failure::thrown, group::NativeGroup, operations::Done};
use crate::hub::reason;

/// One map.
#[napi]
pub struct NativeMap {
    map: Map,
}

/// A key with its value.
#[napi(object)]
pub struct NativeEntry {
    /// The key.
    pub key: String,
    /// The bytes of its value.
    pub data: Buffer,
    /// The revision that it was written at.
    pub revision: f64,
}

impl NativeEntry {
    fn new(key: String, entry: &Entry) -> Self {
        Self { key, data: entry.value.to_vec().into(), revision: entry.revision as f64 }
    }
}

#[napi]
impl NativeMap {
    /// Nothing happens yet.
    #[napi(constructor)]
    pub fn new(group: &NativeGroup, name: String) -> napi::Result<Self> {
        let map = group.joined()?.map(&name).map_err(thrown)?;
        Ok(Self { map })
    }

    /// The value of a key.
    #[napi]
    pub fn entry(&self, key: String) -> napi::Result<Option<NativeEntry>> {
        let entry = self.map.entry(&key).map_err(thrown)?;
        Ok(entry.map(|entry| NativeEntry::new(key, &entry)))
    }

    /// All keys and values, in the order of the keys, at one moment.
    #[napi]
    pub fn entries(&self) -> napi::Result<Vec<NativeEntry>> {
        let entries = self.map.entries().map_err(thrown)?;
        Ok(entries.into_iter().map(|(key, entry)| NativeEntry::new(key, &entry)).collect())
    }
}

/// Writes.
#[napi]
impl NativeGroup {
    /// Completes with the revision when every member has it.
    #[napi]
    pub fn set(
        &mut self,
        request: u32,
        map: &NativeMap,
        key: String,
        value: &[u8],
        ttl: Option<u32>,
    ) {
        let (map, value) = (map.map.clone(), Bytes::copy_from_slice(value));
        self.begin(request, async move |_| {
            let revision = map.set_for(&key, value, duration(ttl)).await?;
            Ok(Done::Number(revision as f64))
        });
    }

    /// Completes with whether it was there.
    #[napi]
    pub fn delete(&mut self, request: u32, map: &NativeMap, key: String) {
        let map = map.map.clone();
        self.begin(request, async move |_| map.delete(&key).await.map(Done::Flag));
    }

    /// Completes with whether it was as expected: of this revision, or absent without one. The key
    /// is deleted if there is no value.
    #[napi]
    pub fn compare_and_set(
        &mut self,
        request: u32,
        map: &NativeMap,
        key: String,
        revision: Option<f64>,
        value: Option<&[u8]>,
        ttl: Option<u32>,
    ) {
        let (map, value) = (map.map.clone(), value.map(Bytes::copy_from_slice));
        let expect = revision
            .map_or(Expect::Absent, |revision| Expect::Revision { revision: revision as u64 });
        self.begin(request, async move |_| {
            map.compare_and_set(&key, expect, value, duration(ttl)).await.map(Done::Flag)
        });
    }

    /// Completes with the sum.
    #[napi]
    pub fn increment(
        &mut self,
        request: u32,
        map: &NativeMap,
        key: String,
        by: f64,
        ttl: Option<u32>,
    ) {
        let map = map.map.clone();
        self.begin(request, async move |_| {
            let sum = map.increment_for(&key, by as i64, duration(ttl)).await?;
            Ok(Done::Number(sum as f64))
        });
    }
}

fn duration(ms: Option<u32>) -> Option<Duration> {
    ms.map(|ms| Duration::from_millis(ms.into()))
}

/// The changes of one map.
#[napi]
pub struct NativeWatch {
    changes: Option<Changes>,
    waker: Waker,
}

/// A change of a map.
#[napi(object)]
#[derive(Default)]
pub struct NativeChange {
    /// A key that has changed.
    pub key: Option<String>,
    /// So many changes were not kept.
    pub missed: Option<f64>,
}

#[napi]
impl NativeWatch {
    /// Raises `READABLE` when `take` has something new.
    #[napi(constructor)]
    pub fn new(group: &NativeGroup, token: u32, map: &NativeMap, prefix: String) -> Self {
        let waker = group.signal_like(token).waker(reason::READABLE);
        Self { changes: Some(map.map.watch(&prefix)), waker }
    }

    /// The next changes, at most so many; raises `READABLE` after there were fewer.
    #[napi]
    pub fn take(&mut self, most: u32) -> Vec<NativeChange> {
        let mut taken = Vec::new();
        let Some(changes) = &mut self.changes else { return taken };
        let mut cx = Context::from_waker(&self.waker);
        while taken.len() < most as usize
            && let Poll::Ready(Some(change)) = changes.poll_recv(&mut cx)
        {
            taken.push(match change {
                Change::Key(key) => NativeChange { key: Some(key), missed: None },
                Change::Missed(count) => NativeChange { key: None, missed: Some(count as f64) },
                _ => continue,
            });
        }
        taken
    }

    /// Nothing more comes.
    #[napi]
    pub fn close(&mut self) {
        self.changes = None;
    }
}
