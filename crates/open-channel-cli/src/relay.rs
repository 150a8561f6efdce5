//! The host's part of a joined channel: it passes each message on to all others.
//!
//! A message is acknowledged when every member present has printed it. So a host that is killed in
//! the middle loses nothing: the sender sends the message again to the next host. A member may then
//! see a line twice, since the program has no list of the lines it has printed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use open_channel::{Message, Socket, SocketId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// The members of a dead host come to the next one within milliseconds of each other. A message
/// that is relayed before would not reach them, and their number is not known.
const GATHERING: Duration = Duration::from_millis(200);

/// A host joins itself at once. This limit is for a host whose own socket failed.
const OWN_SOCKET: Duration = Duration::from_secs(5);

/// A member that has not taken a message for so long is dropped, so that it does not hold up the
/// others.
///
/// This is far below the limit of `send`: a suspended member must not fail the sender.
pub(crate) const SLOWEST: Duration = Duration::from_secs(2);

/// Messages relayed before waiting for the members' acknowledgements: fewer round trips, little to
/// repeat.
const BATCH: usize = 256;

#[derive(Default)]
pub(crate) struct Relay {
    view: Mutex<View>,
    /// The socket of this same process.
    own: OnceLock<SocketId>,
    entered: Notify,
    /// Sockets that entered while this process hosted: two of them, if there were so many.
    seen: Mutex<Vec<SocketId>>,
}

/// The members of the channel under one host.
#[derive(Default)]
struct View {
    generation: u64,
    opened: Option<Instant>,
    members: Vec<Arc<Socket>>,
}

impl Relay {
    pub(crate) fn set_own(&self, id: SocketId) {
        // Set once per process; a second call could only repeat the same socket.
        let _ = self.own.set(id);
        self.entered.notify_waiters();
    }

    /// Whether another socket than this process's own has ever entered here.
    pub(crate) fn has_met_somebody(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().any(|id| self.own.get() != Some(id))
    }

    /// The listener: serves one member for as long as it stays.
    pub(crate) async fn serve(self: Arc<Self>, socket: Socket) {
        let member = Arc::new(socket);
        let opened = self.enter(&member);
        self.gathered(opened).await;
        while let Ok(Some(first)) = member.recv().await {
            let others = self.others(&member);
            self.pass_on(&others, &first).await;
            let mut batch: Vec<Message> = vec![first];
            while batch.len() < BATCH
                && let Ok(Some(next)) = member.try_recv()
            {
                self.pass_on(&others, &next).await;
                batch.push(next);
            }
            self.printed(&others).await;
            batch.into_iter().for_each(Message::ack);
        }
        self.leave(&member);
    }

    async fn pass_on(&self, others: &[Arc<Socket>], message: &Message) {
        let bytes: &Bytes = message.bytes();
        let deadline = Instant::now() + SLOWEST;
        for other in others {
            match timeout_at(deadline, other.send(bytes.clone())).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => self.leave(other),
                Err(_) => self.let_go(other),
            }
        }
    }

    async fn printed(&self, others: &[Arc<Socket>]) {
        let deadline = Instant::now() + SLOWEST;
        for other in others {
            match timeout_at(deadline, other.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => self.leave(other),
                Err(_) => self.let_go(other),
            }
        }
    }

    fn let_go(&self, member: &Arc<Socket>) {
        tracing::warn!(peer = ?member.peer(), "a member took no message for {SLOWEST:?}, letting it go");
        member.destroy();
        self.leave(member);
    }

    /// The time at which this member's view was opened.
    fn enter(&self, member: &Arc<Socket>) -> Instant {
        let mut view = self.view();
        if member.generation() > view.generation || view.opened.is_none() {
            *view = View {
                generation: member.generation(),
                opened: Some(Instant::now()),
                members: Vec::new(),
            };
        }
        view.members.push(Arc::clone(member));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < 2 && !seen.contains(&member.id()) {
            seen.push(member.id());
        }
        self.entered.notify_waiters();
        view.opened.unwrap_or_else(Instant::now)
    }

    fn leave(&self, member: &Arc<Socket>) {
        self.view().members.retain(|present| !Arc::ptr_eq(present, member));
    }

    fn others(&self, member: &Arc<Socket>) -> Vec<Arc<Socket>> {
        self.view()
            .members
            .iter()
            .filter(|present| !Arc::ptr_eq(present, member))
            .cloned()
            .collect()
    }

    /// Waits until this process has itself joined, and the others had time to join.
    async fn gathered(&self, opened: Instant) {
        let own_is_here = async {
            loop {
                let mut entered = std::pin::pin!(self.entered.notified());
                entered.as_mut().enable();
                if self.own_is_here() {
                    return;
                }
                entered.await;
            }
        };
        // The others do not wait any longer, even if it did not come.
        let _ = timeout(OWN_SOCKET, own_is_here).await;
        sleep_until(opened + GATHERING).await;
    }

    fn own_is_here(&self) -> bool {
        let Some(own) = self.own.get() else { return false };
        self.view().members.iter().any(|member| member.id() == *own)
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
