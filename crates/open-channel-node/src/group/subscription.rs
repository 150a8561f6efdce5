//! A subscription as JavaScript polls it.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use napi::bindgen_prelude::{Buffer, Float64Array};
use napi_derive::napi;
use open_channel_group::{Error, MemberId, Published, Subscription};

use super::{failure::GroupFailure, futures::Awaited, group::NativeGroup, view::shown};
use crate::hub::{Signal, reason};

/// One subscription of a group.
#[napi]
pub struct NativeSubscription {
    opening: Awaited<Result<Subscription, Error>>,
    subscription: Option<Subscription>,
    failure: Option<Error>,
    waker: Waker,
    /// JavaScript has these, and has not handled them.
    lent: HashMap<u32, Published>,
    last: u32,
    /// The group is over.
    over: bool,
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
        let signal: Arc<Signal> = group.signal_like(token);
        let group = group.joined()?;
        let opening = Awaited::new(&signal, reason::READABLE, async move {
            if latest {
                group.subscribe_latest(&pattern).await
            } else {
                group.subscribe(&pattern).await
            }
        });
        let waker = signal.waker(reason::READABLE);
        let lent = HashMap::new();
        let mut made =
            Self { opening, subscription: None, failure: None, waker, lent, last: 0, over: false };
        made.open();
        Ok(made)
    }

    /// Whether everything that is published from now on arrives.
    #[napi]
    pub fn opened(&mut self) -> bool {
        self.open();
        self.subscription.is_some()
    }

    /// Why there is no subscription.
    #[napi]
    pub fn failure(&self) -> Option<GroupFailure> {
        self.failure.clone().map(Into::into)
    }

    /// Nothing more comes.
    #[napi(getter)]
    pub fn over(&self) -> bool {
        self.over
    }

    /// The next messages, at most so many; raises `READABLE` after there were fewer. Nothing if
    /// there is none.
    #[napi]
    pub fn take(&mut self, most: u32) -> Option<Delivered> {
        let subscription = self.subscription.as_mut()?;
        let mut cx = Context::from_waker(&self.waker);
        let mut batch = Batch::default();
        for _ in 0..most {
            match subscription.poll_recv(&mut cx) {
                Poll::Ready(Some(message)) => {
                    self.last = self.last.wrapping_add(1);
                    batch.add(self.last, &message);
                    self.lent.insert(self.last, message);
                }
                Poll::Ready(None) => {
                    self.over = true;
                    break;
                }
                Poll::Pending => break,
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
        self.opening.cancel();
        self.subscription = None;
        self.over = true;
    }
}

impl NativeSubscription {
    fn open(&mut self) {
        match self.opening.poll() {
            Some(Ok(subscription)) => self.subscription = Some(subscription),
            Some(Err(error)) => {
                self.failure = Some(error);
                self.over = true;
            }
            None => {}
        }
    }
}
