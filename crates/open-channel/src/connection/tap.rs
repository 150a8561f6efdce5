//! Taps: copies of the messages that pass a host, for processes that take no part.
//!
//! A connection that may be tapped looks at one flag for each message. With a tap, each message is
//! copied under the connection's lock into the tap's queue, which is bounded: what finds no room is
//! dropped and counted, so that a slow reader slows nobody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use open_channel_proto::{SocketId, TapRequest, Tapped};
use tokio::sync::Notify;

/// Taps on one host at most.
const MOST_TAPS: usize = 8;
/// Limit of the bytes that wait in one tap's queue. One message always fits.
const QUEUE_BYTES: usize = 4 << 20;
/// What a message takes there beyond its bytes.
const OVERHEAD: usize = 192;

/// The taps on one host.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Whether there are any.
    active: AtomicBool,
    taps: Mutex<Vec<Arc<Tap>>>,
}

impl Taps {
    /// Begins a tap; `None` if there are too many. It ends with the guard.
    pub(crate) fn begin(self: &Arc<Self>, request: TapRequest) -> Option<TapGuard> {
        let mut taps = lock(&self.taps);
        if taps.len() >= MOST_TAPS {
            return None;
        }
        let tap = Arc::new(Tap {
            request,
            began: Instant::now(),
            queue: Mutex::default(),
            arrived: Notify::new(),
        });
        taps.push(Arc::clone(&tap));
        self.active.store(true, Ordering::Relaxed);
        Some(TapGuard { taps: Arc::clone(self), tap })
    }

    fn end(&self, ended: &Arc<Tap>) {
        let mut taps = lock(&self.taps);
        taps.retain(|tap| !Arc::ptr_eq(tap, ended));
        self.active.store(!taps.is_empty(), Ordering::Relaxed);
    }
}

/// A connection's side of the taps on its host.
#[derive(Debug)]
pub(crate) struct TapEnd {
    pub(crate) taps: Arc<Taps>,
    pub(crate) socket: SocketId,
    /// The process on the other side; 0 if it is not known.
    pub(crate) pid: u32,
}

impl TapEnd {
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.taps.active.load(Ordering::Relaxed)
    }

    /// A message goes to the peer.
    pub(super) fn sent(&self, message: &[u8]) {
        self.pass(true, 1, message);
    }

    /// The application gets a message of the peer.
    pub(super) fn received(&self, attempt: u32, message: &[u8]) {
        self.pass(false, attempt, message);
    }

    #[cold]
    fn pass(&self, from_host: bool, attempt: u32, message: &[u8]) {
        for tap in &*lock(&self.taps.taps) {
            tap.take(self, from_host, attempt, message);
        }
    }
}

#[derive(Debug)]
struct Tap {
    request: TapRequest,
    began: Instant,
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Copied>,
    bytes: usize,
    dropped: u64,
}

/// A message that has passed.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) tapped: Tapped,
    pub(crate) payload: Bytes,
    /// How many messages were dropped before it, since the tap began.
    pub(crate) dropped: u64,
}

impl Tap {
    fn take(&self, end: &TapEnd, from_host: bool, attempt: u32, message: &[u8]) {
        let TapRequest { to_host, from_host: wants_sent, pid, shortest, longest, carried, .. } =
            self.request;
        let len = message.len() as u64;
        let wanted = if from_host { wants_sent } else { to_host };
        if !wanted || pid != 0 && pid != end.pid || !(shortest..=longest).contains(&len) {
            return;
        }
        let carried = usize::try_from(carried).unwrap_or(usize::MAX).min(message.len());
        let cost = carried + OVERHEAD;
        let mut queue = lock(&self.queue);
        if queue.bytes > 0 && queue.bytes + cost > QUEUE_BYTES {
            queue.dropped += 1;
        } else {
            let tapped = Tapped {
                time: self.began.elapsed(),
                socket: end.socket,
                pid: end.pid,
                from_host,
                attempt,
                len,
                carried: carried as u64,
            };
            let (payload, dropped) = (Bytes::copy_from_slice(&message[..carried]), queue.dropped);
            queue.messages.push_back(Copied { tapped, payload, dropped });
            queue.bytes += cost;
        }
        drop(queue);
        self.arrived.notify_one();
    }
}

/// A tap while it goes on.
#[derive(Debug)]
pub(crate) struct TapGuard {
    taps: Arc<Taps>,
    tap: Arc<Tap>,
}

impl TapGuard {
    /// The next message; `None` when messages were dropped and none is there. Then comes the number
    /// of those that were dropped so far.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&self, told: u64) -> (Option<Copied>, u64) {
        loop {
            {
                let mut queue = lock(&self.tap.queue);
                if let Some(copied) = queue.messages.pop_front() {
                    queue.bytes -= copied.payload.len() + OVERHEAD;
                    let dropped = copied.dropped;
                    return (Some(copied), dropped);
                }
                if queue.dropped > told {
                    return (None, queue.dropped);
                }
            }
            self.tap.arrived.notified().await;
        }
    }
}

impl Drop for TapGuard {
    fn drop(&mut self) {
        self.taps.end(&self.tap);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn end(taps: &Arc<Taps>) -> TapEnd {
        TapEnd { taps: Arc::clone(taps), socket: SocketId(1), pid: 7 }
    }

    async fn next(tap: &TapGuard, told: u64) -> (Option<Copied>, u64) {
        let next = tokio::time::timeout(Duration::from_secs(30), tap.next(told));
        next.await.expect("a message, or a loss")
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted_where_it_is_missing() {
        let taps = Arc::new(Taps::default());
        let end = end(&taps);
        end.sent(b"before the tap");
        let tap = taps.begin(TapRequest::default()).expect("the first one");
        assert!(end.is_active());
        end.sent(&vec![1; 2 * QUEUE_BYTES]);
        end.received(3, b"no room");
        end.received(3, b"no room");
        let (whole, dropped) = next(&tap, 0).await;
        assert_eq!((whole.expect("it always fits").tapped.len, dropped), (8 << 20, 0));
        assert_eq!(next(&tap, 0).await.1, 2);
        end.received(3, b"room again");
        let (last, dropped) = next(&tap, 2).await;
        let last = last.expect("a message");
        assert_eq!((&last.payload[..], last.tapped.attempt, dropped), (&b"room again"[..], 3, 2));
        drop(tap);
        assert!(!end.is_active());
    }

    #[tokio::test]
    async fn only_what_was_asked_for_is_copied_and_only_so_much_of_it() {
        let taps = Arc::new(Taps::default());
        let end = end(&taps);
        let mut request = TapRequest::default();
        (request.from_host, request.shortest, request.longest) = (false, 3, 5);
        (request.pid, request.carried) = (7, 2);
        let tap = taps.begin(request).expect("the first one");
        end.sent(b"1234");
        end.received(1, b"12");
        end.received(1, b"123456");
        TapEnd { pid: 8, ..self::end(&taps) }.received(1, b"1234");
        end.received(1, b"abcd");
        let copied = next(&tap, 0).await.0.expect("a message");
        assert_eq!((&copied.payload[..], copied.tapped.len), (&b"ab"[..], 4));
        assert_eq!((copied.tapped.carried, copied.tapped.from_host), (2, false));
    }

    #[test]
    fn a_host_has_a_limited_number_of_taps() {
        let taps = Arc::new(Taps::default());
        let mut begun: Vec<TapGuard> =
            (0..MOST_TAPS).filter_map(|_| taps.begin(TapRequest::default())).collect();
        assert_eq!(begun.len(), MOST_TAPS);
        assert!(taps.begin(TapRequest::default()).is_none());
        begun.pop();
        assert!(taps.begin(TapRequest::default()).is_some());
    }
}
