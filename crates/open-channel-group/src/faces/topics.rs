//! Publications and subscriptions.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::handle::{Face, Handle};
use crate::core::{Delivery, MemberId, Pattern, PublishEnd, SubscriptionId, Topic};
use crate::error::Error;

pub(crate) async fn publish(handle: &Handle, topic: &str, payload: Bytes) -> Result<(), Error> {
    let topic = Topic::new(topic)?;
    let (_, ending) = handle
        .begin(Face::Publications, |engine| engine.publish(topic.clone(), payload.clone()))
        .await?;
    match handle.end(ending).await? {
        PublishEnd::Handled => Ok(()),
        PublishEnd::Unknown => Err(Error::Unknown),
    }
}

pub(crate) async fn subscribe(
    handle: &Arc<Handle>,
    pattern: &str,
    latest: bool,
) -> Result<Subscription, Error> {
    let pattern = Pattern::new(pattern)?;
    let (id, ending) = handle
        .begin(Face::Subscriptions, |engine| engine.subscribe(pattern.clone(), latest))
        .await?;
    let subscription = Subscription { handle: Arc::clone(handle), id, latest };
    handle.end(ending).await?;
    Ok(subscription)
}

/// A subscription, from [`Group::subscribe`](crate::Group::subscribe); a [`Stream`] of messages.
///
/// It ends when the group does. Dropping it unsubscribes: messages that were not received count as
/// handled.
#[derive(Debug)]
pub struct Subscription {
    handle: Arc<Handle>,
    id: SubscriptionId,
    latest: bool,
}

impl Subscription {
    /// The next message; `None` when the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    pub async fn recv(&mut self) -> Option<Published> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) as a poll function, for one task at a time.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Published>> {
        self.handle.engine().poll_delivery(self.id, cx).map(|next| {
            let (delivery, interrupted) = next?;
            let handle = (!self.latest).then(|| Arc::clone(&self.handle));
            Some(Published { delivery, interrupted, subscription: self.id, handle })
        })
    }
}

impl Stream for Subscription {
    type Item = Published;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Published>> {
        self.get_mut().poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.handle.engine().unsubscribe(self.id);
    }
}

/// A received publication; dereferences to its bytes.
///
/// It is handled when it is dropped: until then its publisher waits, and it takes room in the
/// subscription. It never comes again to this subscription, however it was dropped.
pub struct Published {
    delivery: Delivery,
    interrupted: bool,
    subscription: SubscriptionId,
    /// To be told that it is handled; a `latest` subscription need not.
    handle: Option<Arc<Handle>>,
}

impl Published {
    /// The bytes, which may be kept when the message is handled.
    pub fn payload(&self) -> &Bytes {
        &self.delivery.payload
    }

    /// The topic that it was published to.
    pub fn topic(&self) -> &str {
        self.delivery.topic.as_str()
    }

    /// The member that published it.
    pub fn publisher(&self) -> MemberId {
        self.delivery.publisher
    }

    /// How many messages were dropped before this one, in a `latest` subscription.
    pub fn missed(&self) -> u64 {
        self.delivery.missed
    }

    /// Whether this member was out of the view before this message, so that the subscription may
    /// have missed something.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.engine().handled(self.subscription, self.delivery.id);
        }
    }
}

impl Deref for Published {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.delivery.payload
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("topic", &self.topic())
            .field("publisher", &self.publisher())
            .field("len", &self.payload().len())
            .finish_non_exhaustive()
    }
}
