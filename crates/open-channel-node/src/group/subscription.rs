//! A subscription as JavaScript polls it.

use std::{
    collections::HashMap,
    task::{Context, Poll, Waker},
};

use napi::bindgen_prelude::{Buffer, Float64Array};
use napi_derive::napi;
use open_channel_group::{MemberId, Published, Subscription};

use super::{failure::GroupFailure, group::NativeGroup, opened::Opened, view::shown};
use crate::hub::reason;

/// One subscription of a group.
#[napi]
pub struct NativeSubscription {
    subscription: Opened<Subscription>,
    waker: Waker,
    /// JavaScript has these, and has not handled them.
    lent: HashMap<u32, Published>,
    last: u32,
}

/// Messages that JavaScript has to handle. One object for each would cost more than the rest.
#[napi(object)]
pub struct Delivered {
    /// The bytes of all, one after the other.
    pub data: Buffer,
    /// For each message the cells that `js/group/native.ts` names.
    pub cells: Float64Array,
    /// The topics, each once.
    pub topics: Vec<String>,
    /// The publishers, each once.
    pub publishers: Vec<String>,
}

/// The messages of one `take`, as they are collected.
#[derive(Default)]
struct Batch {
    data: Vec<u8>,
    cells: Vec<f64>,
    topics: Vec<String>,
    publishers: Vec<MemberId>,
}

impl Batch {
    fn add(&mut self, number: u32, message: &Published) {
        let topic = message.topic();
        let topic = place(&self.topics, |known| known == topic).unwrap_or_else(|| {
            self.topics.push(topic.to_owned());
            self.topics.len() - 1
        });
        let publisher = message.publisher();
        let publisher = place(&self.publishers, |known| *known == publisher).unwrap_or_else(|| {
            self.publishers.push(publisher);
            self.publishers.len() - 1
        });
        self.data.extend_from_slice(message);
        self.cells.extend([
            number.into(),
            message.len() as f64,
            topic as f64,
            publisher as f64,
            message.missed() as f64,
            u8::from(message.interrupted()).into(),
        ]);
    }
}

/// Where something is; mostly it is what came last.
fn place<T>(known: &[T], is_it: impl Fn(&T) -> bool) -> Option<usize> {
    known.iter().rposition(is_it)
}

impl From<Batch> for Delivered {
    fn from(batch: Batch) -> Self {
        Self {
            data: batch.data.into(),
            cells: batch.cells.into(),
            topics: batch.topics,
            publishers: batch.publishers.into_iter().map(shown).collect(),
        }
    }
}

#[napi]
impl NativeSubscription {
    /// Raises `READABLE` when `opened` or `take` has something new.
    #[napi(constructor)]
    pub fn new(
        group: &NativeGroup,
        token: u32,
        pattern: String,
        latest: bool,
    ) -> napi::Result<Self> {
        let signal = group.signal_like(token);
        let group = group.joined()?;
        let opening = async move {
            if latest {
                group.subscribe_latest(&pattern).await
            } else {
                group.subscribe(&pattern).await
            }
        };
        Ok(Self {
            subscription: Opened::new(&signal, opening),
            waker: signal.waker(reason::READABLE),
            lent: HashMap::new(),
            last: 0,
        })
    }

    /// Whether everything that is published from now on arrives.
    #[napi]
    pub fn opened(&mut self) -> bool {
        self.subscription.get().is_some()
    }

    /// Why there is no subscription.
    #[napi]
    pub fn failure(&self) -> Option<GroupFailure> {
        self.subscription.failure()
    }

    /// The next messages, at most so many; raises `READABLE` after there were fewer. Nothing if
    /// there is none.
    #[napi]
    pub fn take(&mut self, most: u32) -> Option<Delivered> {
        let subscription = self.subscription.get()?;
        let mut cx = Context::from_waker(&self.waker);
        let mut batch = Batch::default();
        for _ in 0..most {
            match subscription.poll_recv(&mut cx) {
                Poll::Ready(Some(message)) => {
                    self.last = self.last.wrapping_add(1);
                    batch.add(self.last, &message);
                    self.lent.insert(self.last, message);
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        (!batch.cells.is_empty()).then(|| batch.into())
    }

    /// A message is handled.
    #[napi]
    pub fn handled(&mut self, number: u32) {
        self.lent.remove(&number);
    }

    /// Nothing more comes. Messages that JavaScript has are handled as before.
    #[napi]
    pub fn close(&mut self) {
        self.subscription.close();
    }
}
