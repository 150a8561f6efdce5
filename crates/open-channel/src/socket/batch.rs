//! Many small messages at once, so that the cost of a call is paid once for all of them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use open_channel_proto::{Draft, Pack, Packer, ReceivedPack};

use crate::connection::Connection;
use crate::connection::received::{Delivered, pause_after};
use crate::socket::message::{Message, MessageId};

/// Messages to be sent together with [`Socket::send_many`](crate::Socket::send_many).
///
/// They lie side by side in a buffer that is reused. They travel in packs of up to 32 KiB, counting
/// [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD) for each message; a longer message travels alone.
/// To the other side they are messages like any others, each with its own [id](crate::Message::id).
/// A pack is acknowledged as a whole, and after a change of host it is delivered again as a whole.
///
/// # Examples
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (done, mut counted) = tokio::sync::mpsc::unbounded_channel();
/// # let channel = open_channel::Channel::builder("many").runtime_dir(dir.path().join("d"))
/// #     .build(move |socket| { let done = done.clone(); async move {
/// while let Ok(Some(messages)) = socket.recv_many().await {
///     for message in &messages {
///         assert_eq!(message.len(), 8);
///     }
/// #   let _ = done.send(messages.len());
///     messages.ack();
/// }
/// # }})?;
/// # let socket = channel.connect();
/// let mut batch: open_channel::Batch = (0..1000_u64).map(|number| number.to_le_bytes()).collect();
/// socket.send_many(&mut batch).await?;
/// assert!(batch.is_empty());
/// socket.flush().await?;
/// # let mut all = 0;
/// # while all < 1000 { all += counted.recv().await.unwrap(); }
/// # assert_eq!(all, 1000);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) packer: Packer,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies a message behind the others.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    #[inline]
    pub fn push(&mut self, message: impl AsRef<[u8]>) {
        self.packer.push(message.as_ref());
    }

    /// An empty message behind the others, to be written and then [committed](Draft::commit). A
    /// message that is made piece by piece needs no buffer of its own this way.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    ///
    /// let mut batch = open_channel::Batch::new();
    /// let mut draft = batch.draft();
    /// write!(draft, "{} of {}", 1, 2)?;
    /// draft.append(b"\n");
    /// draft.commit();
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn draft(&mut self) -> Draft<'_> {
        self.packer.draft()
    }

    /// How many messages are in it.
    pub fn len(&self) -> usize {
        self.packer.count()
    }

    /// Whether no message is in it.
    pub fn is_empty(&self) -> bool {
        self.packer.is_empty()
    }

    /// Whether they fill a pack. More messages in one batch do not make it cheaper.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.packer.is_full()
    }

    /// Bytes that its messages take in the outbox: the length of each and
    /// [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD).
    pub fn cost(&self) -> usize {
        self.packer.cost()
    }

    /// Removes all messages.
    pub fn clear(&mut self) {
        self.packer.clear();
    }
}

impl<M: AsRef<[u8]>> Extend<M> for Batch {
    fn extend<I: IntoIterator<Item = M>>(&mut self, messages: I) {
        messages.into_iter().for_each(|message| self.push(message));
    }
}

impl<M: AsRef<[u8]>> FromIterator<M> for Batch {
    fn from_iter<I: IntoIterator<Item = M>>(messages: I) -> Self {
        let mut batch = Self::new();
        batch.extend(messages);
        batch
    }
}

/// Messages that were received together, at least one; from
/// [`Socket::recv_many`](crate::Socket::recv_many).
///
/// [`ack`](Self::ack) acknowledges them all. Iterated by value, each is acknowledged by itself.
/// Dropped otherwise, all of them are given back, as a single [`Message`](crate::Message) is.
#[must_use = "messages that are not acknowledged with `ack` are delivered again"]
pub struct Messages {
    pack: Pack,
    first: MessageId,
    attempt: u32,
    acknowledged: bool,
    connection: Arc<Connection>,
}

/// One of several [`Messages`]; dereferences to its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageRef<'a> {
    bytes: &'a [u8],
    id: MessageId,
}

impl Messages {
    pub(crate) fn new(connection: &Arc<Connection>, received: ReceivedPack) -> Self {
        let ReceivedPack { first: seq, pack, attempt } = received;
        let first = MessageId { socket: connection.id(), seq };
        Self { pack, first, attempt, acknowledged: false, connection: Arc::clone(connection) }
    }

    /// How many they are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.pack.count() as usize
    }

    /// The messages in the order in which they were sent.
    #[inline]
    pub fn iter(&self) -> MessagesIter<'_> {
        MessagesIter { messages: self.pack.iter(), next: self.first }
    }

    /// Whether an earlier host may have handled them: they were sent to one and not all
    /// acknowledged. The same for all of them; see
    /// [`Message::redelivered`](crate::Message::redelivered).
    pub fn redelivered(&self) -> bool {
        self.attempt > 1
    }

    /// The number of this attempt, the same for all of them; see
    /// [`Message::attempt`](crate::Message::attempt).
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Acknowledges them: they are handled, and never delivered again.
    #[inline]
    pub fn ack(mut self) {
        self.acknowledged = true;
        self.connection.handled(self.first.seq..self.first.seq + self.len() as u64);
    }

    /// Gives them all back, each as with [`Message::nack`](crate::Message::nack).
    pub fn nack(self) {
        self.nack_after(Duration::ZERO);
    }

    /// Gives them all back, each as with [`Message::nack_after`](crate::Message::nack_after).
    pub fn nack_after(mut self, pause: Duration) {
        self.give_back(pause);
    }

    fn give_back(&mut self, pause: Duration) {
        self.acknowledged = true;
        let (attempt, bytes) = (self.attempt, self.pack.bytes());
        let messages = (self.first.seq..).zip(self.pack.iter());
        let back = messages.map(|(seq, message)| Delivered {
            seq,
            attempt,
            payload: bytes.slice_ref(message),
        });
        self.connection.give_back(back, pause);
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        if !self.acknowledged {
            self.give_back(pause_after(self.attempt));
        }
    }
}

impl<'a> IntoIterator for &'a Messages {
    type Item = MessageRef<'a>;
    type IntoIter = MessagesIter<'a>;

    #[inline]
    fn into_iter(self) -> MessagesIter<'a> {
        self.iter()
    }
}

/// Each message by itself: those that the iterator still has when it is dropped are given back.
impl IntoIterator for Messages {
    type Item = Message;
    type IntoIter = MessagesIntoIter;

    fn into_iter(mut self) -> MessagesIntoIter {
        self.acknowledged = true;
        let (attempt, bytes) = (self.attempt, self.pack.bytes());
        let delivered = (self.first.seq..).zip(self.pack.iter());
        let messages: Vec<Message> = delivered
            .map(|(seq, message)| Delivered { seq, attempt, payload: bytes.slice_ref(message) })
            .map(|delivered| Message::new(&self.connection, delivered))
            .collect();
        MessagesIntoIter { messages: messages.into_iter() }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("first", &format_args!("{}", self.first))
            .field("len", &self.len())
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// The messages of [`Messages`], each to be acknowledged for itself.
#[derive(Debug)]
pub struct MessagesIntoIter {
    messages: std::vec::IntoIter<Message>,
}

impl Iterator for MessagesIntoIter {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.messages.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl ExactSizeIterator for MessagesIntoIter {}

/// The messages of [`Messages`].
#[derive(Debug, Clone)]
pub struct MessagesIter<'a> {
    messages: open_channel_proto::PackIter<'a>,
    next: MessageId,
}

impl<'a> Iterator for MessagesIter<'a> {
    type Item = MessageRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<MessageRef<'a>> {
        let message = MessageRef { bytes: self.messages.next()?, id: self.next };
        self.next.seq += 1;
        Some(message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl ExactSizeIterator for MessagesIter<'_> {}

impl<'a> MessageRef<'a> {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The message's stable identity.
    pub fn id(&self) -> MessageId {
        self.id
    }
}

impl Deref for MessageRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for MessageRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRef")
            .field("id", &format_args!("{}", self.id))
            .field("len", &self.bytes.len())
            .finish()
    }
}
