//! A subscription as JavaScript polls it.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use open_channel_group::{Error, Published, Subscription};

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

/// A message that JavaScript has to handle.
#[napi(object)]
pub struct Delivered {
    /// For `handled`.
    pub number: u32,
    /// The topic.
    pub topic: String,
    /// The publisher.
    pub publisher: String,
    /// The bytes.
    pub data: Buffer,
    /// How many were dropped before it.
    pub missed: f64,
    /// Something may be missing before it.
    pub interrupted: bool,
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

    /// The next messages, at most so many; raises `READABLE` after there were fewer.
    #[napi]
    pub fn take(&mut self, most: u32) -> Vec<Delivered> {
        let mut taken = Vec::new();
        let Some(subscription) = &mut self.subscription else { return taken };
        let mut cx = Context::from_waker(&self.waker);
        while taken.len() < most as usize {
            let message = match subscription.poll_recv(&mut cx) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => {
                    self.over = true;
                    break;
                }
                Poll::Pending => break,
            };
            self.last = self.last.wrapping_add(1);
            taken.push(Delivered {
                number: self.last,
                topic: message.topic().to_owned(),
                publisher: shown(message.publisher()),
                data: message.to_vec().into(),
                missed: message.missed() as f64,
                interrupted: message.interrupted(),
            });
            self.lent.insert(self.last, message);
        }
        taken
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
