//! A group, as a member sees it.

use std::fmt::Display;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::calls::{self, Call, Requests, Service};
use super::handle::Handle;
use super::locks::{self, LockGuard};
use super::map::Map;
use super::members::{Events, Members};
use super::queue::Queue;
use super::topics::{self, Subscription};
use crate::core::{
    Answers, CallOptions, LockClaim, LockMode, LockSpace, LockWait, MemberId, Name, Target,
};
use crate::engine::Promises;
use crate::error::Error;

/// The processes that joined one name, with this one as a member; cheap to clone.
///
/// The member leaves in the background when the last clone is dropped, together with the last
/// subscription, guard, queue and so on. [`close`](Self::close) waits for that.
#[derive(Debug, Clone)]
pub struct Group {
    handle: Arc<Handle>,
    name: Arc<str>,
    directory: Arc<Path>,
}

impl Group {
    pub(crate) fn new(handle: Arc<Handle>, name: String, directory: PathBuf) -> Self {
        Self { handle, name: name.into(), directory: directory.into() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the channel on which this process has joined. Processes that name the same
    /// group and do not meet use different ones.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What its engine promises.
    pub fn promises(&self) -> Promises {
        self.handle.engine().promises()
    }

    /// Leaves in an orderly way: takes no more calls and jobs, waits until what this member has
    /// begun is complete, leaves the view, and hands over if this process hosts. Each of these
    /// steps takes at most the host timeout.
    ///
    /// All clones of this group, and everything made by it, are over then.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when not everything was complete in time, and why the group was over
    /// before.
    ///
    /// # Cancel safety
    /// When dropped before it is done, leaving goes on in the background.
    pub async fn close(&self) -> Result<(), Error> {
        self.handle.leave().await
    }

    pub(crate) fn abandon(&self) {
        self.handle.engine().abandon();
    }
}

/// The members.
impl Group {
    /// The id of this member. It changes when the member is put out and comes back.
    pub fn id(&self) -> MemberId {
        self.handle.engine().id()
    }

    /// Whether this process hosts the group. It changes without notice.
    pub fn is_host(&self) -> bool {
        self.handle.engine().is_host()
    }

    /// The members, now and whenever they change.
    pub fn members(&self) -> Members {
        Members::new(self.handle.engine().view())
    }

    /// The changes of the group from here on.
    pub fn events(&self) -> Events {
        Events::new(self.handle.engine().events())
    }
}

/// Topics.
impl Group {
    /// Publishes to every matching subscription of all members, also of this one. Returns when all
    /// of them have handled it, or have left; at once if there is none.
    ///
    /// To publish without waiting for that, begin several futures, and await them later: they are
    /// accepted in the order of their first polls. One that waits for room holds those behind it
    /// up. So poll it or drop it before you await another one; the same goes for calls, jobs and
    /// the map's writes.
    ///
    /// # Errors
    /// A topic or payload that cannot be; [`Error::Unknown`]; why the group is over.
    ///
    /// # Cancel safety
    /// When dropped before it is accepted, nothing was published. Afterwards it goes on.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("news")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let mut news = group.subscribe("news.*").await?;
    /// let publish = group.publish("news.local", "rain");
    /// let read = async { assert_eq!(&*news.recv().await.expect("the group goes on"), b"rain") };
    /// let (published, ()) = tokio::join!(publish, read);
    /// published?; // everybody has handled it
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        topics::publish(&self.handle, topic, payload.into()).await
    }

    /// Subscribes to topics: `*` stands for one token between dots, `>` at the end for one or more.
    /// Returns when everything that is published from then on arrives.
    ///
    /// A subscriber that handles nothing for `stall_timeout`, with a full queue or while a
    /// publisher's window is full of it, is put out of the view.
    ///
    /// # Errors
    /// A pattern that cannot be; why the group is over.
    ///
    /// # Cancel safety
    /// When dropped, there is no subscription.
    pub async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error> {
        topics::subscribe(&self.handle, pattern, false).await
    }

    /// Subscribes to what is newest: it never holds a publisher up. When its window is full, the
    /// oldest messages are dropped, and [counted](crate::Published::missed).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_latest(&self, pattern: &str) -> Result<Subscription, Error> {
        topics::subscribe(&self.handle, pattern, true).await
    }
}

/// Calls.
impl Group {
    /// Calls a service, at one of the members that serve it; they take turns.
    ///
    /// # Errors
    /// [`Error::Died`], [`Error::TimedOut`] after 30 s, [`Error::NoSuchService`],
    /// [`Error::Failed`], [`Error::Unknown`]; why the group is over.
    ///
    /// # Cancel safety
    /// When dropped, the call is given up, and its handler learns so.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("calls")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let _service = group
    ///     .serve("upper", |call| async move {
    ///         let text = std::str::from_utf8(&call.payload)?;
    ///         Ok::<_, std::str::Utf8Error>(text.to_uppercase())
    ///     })
    ///     .await?;
    /// assert_eq!(group.call("upper", "shout").await?, "SHOUT");
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn call(&self, service: &str, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
        self.call_with(service, payload, CallOptions::default()).await
    }

    /// [`call`](Self::call) with a deadline, or one that may run twice. The deadline runs from the
    /// moment at which the call is accepted.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_with(
        &self,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        let target = Target::Service(Name::new(service)?);
        calls::call(&self.handle, target, payload.into(), options).await
    }

    /// Calls a service at this member.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::Died`] if the member is not in the view.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_member(
        &self,
        member: MemberId,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        let target = Target::Member(member, Name::new(service)?);
        calls::call(&self.handle, target, payload.into(), options).await
    }

    /// Calls a service at all members that serve it now. Returns when each of them has answered,
    /// is gone, or is late.
    ///
    /// # Errors
    /// A service or payload that cannot be; why the group is over.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_all(
        &self,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Answers, Error> {
        calls::call_all(&self.handle, service, payload.into(), options).await
    }

    /// Serves a service with a handler, which runs on this tokio runtime in a task for each call.
    /// A call that its caller gives up is aborted. Returns when all members know of the service.
    ///
    /// # Errors
    /// [`AlreadyServed`](crate::Refused::AlreadyServed); when this member serves as much as it may;
    /// [`Error::NoRuntime`]; why the group is over.
    ///
    /// # Cancel safety
    /// When dropped, it is not served.
    pub async fn serve<F, Fut, A, E>(&self, service: &str, handler: F) -> Result<Service, Error>
    where
        F: Fn(Call) -> Fut + Send + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Into<Bytes> + 'static,
        E: Display + 'static,
    {
        calls::serve(&self.handle, service, handler).await
    }

    /// Serves a service by hand: the calls come as a stream.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), without the one for the runtime.
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn requests(&self, service: &str) -> Result<Requests, Error> {
        calls::requests(&self.handle, service).await
    }
}

/// Locks and roles.
impl Group {
    async fn acquire(
        &self,
        space: LockSpace,
        name: &str,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Option<LockGuard>, Error> {
        locks::lock(&self.handle, space, name, mode, wait).await
    }

    async fn wait_for(
        &self,
        space: LockSpace,
        name: &str,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<LockGuard, Error> {
        locks::wait_for(&self.handle, space, name, mode, wait).await
    }

    /// Waits for a lock, first come, first served.
    ///
    /// No two members ever hold it: the kernel decides. It is freed when its holder lets go, leaves
    /// or dies. Two guards of one member exclude each other as well.
    ///
    /// # Errors
    /// A name that cannot be; why the group is over.
    ///
    /// # Cancel safety
    /// When dropped, it is not waited for any more.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("locks")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let guard = group.lock("invoices").await?;
    /// assert!(group.try_lock("invoices").await?.is_none());
    /// let before = guard.token();
    /// drop(guard);
    /// assert!(group.lock("invoices").await?.token() > before);
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        self.wait_for(LockSpace::Lock, name, LockMode::Exclusive, LockWait::Wait).await
    }

    /// [`lock`](Self::lock) if it is free; `None` if not.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        self.acquire(LockSpace::Lock, name, LockMode::Exclusive, LockWait::Try).await
    }

    /// Waits for a lock that others may hold at the same time, if they share it, too.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_shared(&self, name: &str) -> Result<LockGuard, Error> {
        self.wait_for(LockSpace::Lock, name, LockMode::Shared, LockWait::Wait).await
    }

    /// [`lock_shared`](Self::lock_shared) if nobody holds it alone, or waits for that.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock_shared(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        self.acquire(LockSpace::Lock, name, LockMode::Shared, LockWait::Try).await
    }

    /// A lock in any way. `None` if it was not free and not to be waited for, or if another one
    /// has stolen it before it was held here; the other calls stand in line again then.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock), or [`steal`](Self::steal).
    pub async fn lock_with(
        &self,
        name: &str,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<Option<LockGuard>, Error> {
        self.acquire(LockSpace::Lock, name, mode, wait).await
    }

    /// Takes a lock from its holders, before all who wait. They learn that they have
    /// [lost](LockGuard::lost) it; a holder whose process is stopped holds it until it goes on or
    /// dies, so that there are never two.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// When dropped, the others may have lost it nevertheless.
    pub async fn steal(&self, name: &str) -> Result<LockGuard, Error> {
        self.wait_for(LockSpace::Lock, name, LockMode::Exclusive, LockWait::Steal).await
    }

    /// Who holds locks and roles in the whole group, and who waits for them: the holders in the
    /// order of their tokens, then those who wait in the order in which they came.
    ///
    /// It is true at some time between the call and its return. A holder is listed from its turn
    /// on. The kernel may still wait then for a member that was put out, which is listed before it
    /// when it is back; or for one whose lock was stolen, which is not listed any more.
    ///
    /// # Errors
    /// Why the group is over.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("locks")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let guard = group.lock("invoices").await?;
    /// for claim in group.query_locks().await? {
    ///     let verb = if claim.token.is_some() { "holds" } else { "waits for" };
    ///     println!("{} {verb} {}", claim.member, claim.name.name);
    /// }
    /// # drop(guard);
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn query_locks(&self) -> Result<Vec<LockClaim>, Error> {
        locks::query(&self.handle).await
    }

    /// Waits until this member is the only one with this role. It has it until the guard is dropped
    /// or [lost](LockGuard::lost), or its process dies; then the next one has it.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("roles")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// // In every process; it runs in one of them.
    /// let role = group.lead("scheduler").await?;
    /// let done = role.run(async { "the work of the scheduler" }).await;
    /// assert!(done.is_some(), "the role was not lost meanwhile");
    /// # drop(role);
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn lead(&self, role: &str) -> Result<LockGuard, Error> {
        self.wait_for(LockSpace::Lead, role, LockMode::Exclusive, LockWait::Wait).await
    }

    /// Takes a role from the member that has it, as [`steal`](Self::steal) does with a lock.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// When dropped, the other may have lost it nevertheless.
    pub async fn steal_lead(&self, role: &str) -> Result<LockGuard, Error> {
        self.wait_for(LockSpace::Lead, role, LockMode::Exclusive, LockWait::Steal).await
    }
}

/// Queues and maps.
impl Group {
    /// The queue of this name.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Refused::InvalidName).
    ///
    /// # Examples
    /// ```
    /// use std::num::NonZeroU32;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let group = open_channel_group::Group::builder("jobs")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let mails = group.queue("mails")?;
    /// // In the processes that work:
    /// let _worker = mails
    ///     .process(NonZeroU32::MIN, |task| async move {
    ///         println!("attempt {} at {:?}", task.attempt, task.payload);
    ///         Ok::<_, std::io::Error>(())
    ///     })
    ///     .await?;
    /// // In any process: returns when the job is done.
    /// mails.push("hello").await?;
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn queue(&self, name: &str) -> Result<Queue, Error> {
        Queue::new(&self.handle, name)
    }

    /// The map of this name.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Refused::InvalidName), also if the name has the character 0.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), open_channel_group::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let group = open_channel_group::Group::builder("maps")
    /// #     .runtime_dir(dir.path().join("d")).join().await?;
    /// let settings = group.map("settings")?;
    /// settings.set("colour", "blue").await?; // every member has it now
    /// assert_eq!(settings.get("colour")?.as_deref(), Some(&b"blue"[..]));
    /// assert_eq!(settings.increment("visits", 1).await?, 1);
    /// # group.close().await?;
    /// # Ok(()) }
    /// ```
    pub fn map(&self, name: &str) -> Result<Map, Error> {
        Map::new(&self.handle, name)
    }
}
