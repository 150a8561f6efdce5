//! The faces of a group for threads: each call waits on its thread. Not for use in async code.
//!
//! ```
//! use open_channel_group::blocking::Group;
//!
//! # fn main() -> Result<(), open_channel_group::Error> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let builder = open_channel_group::Group::builder("threads").runtime_dir(dir.path().join("d"));
//! # if false {
//! let group = Group::join("threads")?;
//! # }
//! # let group = Group::join_with(builder)?;
//! let _service = group.serve("upper", |call| {
//!     let text = String::from_utf8_lossy(&call.payload).to_uppercase();
//!     Ok::<_, std::convert::Infallible>(text)
//! })?;
//! assert_eq!(group.call("upper", "shout")?, "SHOUT");
//! let guard = group.lock("invoices")?;
//! drop(guard);
//! group.close()?;
//! # Ok(()) }
//! ```

use std::fmt::Display;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;

use crate::core::{Answers, CallOptions, Expect, LockClaim, LockMode, LockWait, MemberId};
use crate::engine::{Event, View};
use crate::error::Error;
use crate::faces::builder::GroupBuilder;
use crate::faces::calls::{Call, Request};
use crate::faces::group;
use crate::faces::locks::LockGuard;
use crate::faces::map::{self, Change, Entry};
use crate::faces::members;
use crate::faces::queue::{self, Job};
use crate::faces::topics::{self, Published};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        thread::park();
    }
}

/// [`Group`](crate::Group) for threads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Group(group::Group);

impl Group {
    /// [`Group::join`](crate::Group::join).
    ///
    /// # Errors
    /// As there.
    pub fn join(name: &str) -> Result<Self, Error> {
        wait(group::Group::join(name)).map(Self)
    }

    /// [`GroupBuilder::join`].
    ///
    /// # Errors
    /// As there.
    pub fn join_with(builder: GroupBuilder) -> Result<Self, Error> {
        wait(builder.join()).map(Self)
    }

    /// The same member for async code.
    pub fn as_async(&self) -> &crate::Group {
        &self.0
    }

    /// [`Group::id`](crate::Group::id).
    pub fn id(&self) -> MemberId {
        self.0.id()
    }

    /// The members now.
    pub fn members(&self) -> View {
        self.0.members().get()
    }

    /// [`Group::events`](crate::Group::events).
    pub fn events(&self) -> Events {
        Events(self.0.events())
    }

    /// [`Group::publish`](crate::Group::publish).
    ///
    /// # Errors
    /// As there.
    pub fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        wait(self.0.publish(topic, payload))
    }

    /// [`Group::subscribe`](crate::Group::subscribe).
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&self, pattern: &str) -> Result<Subscription, Error> {
        wait(self.0.subscribe(pattern)).map(Subscription)
    }

    /// [`Group::subscribe_latest`](crate::Group::subscribe_latest).
    ///
    /// # Errors
    /// As there.
    pub fn subscribe_latest(&self, pattern: &str) -> Result<Subscription, Error> {
        wait(self.0.subscribe_latest(pattern)).map(Subscription)
    }

    /// [`Group::call`](crate::Group::call).
    ///
    /// # Errors
    /// As there.
    pub fn call(&self, service: &str, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
        wait(self.0.call(service, payload))
    }

    /// [`Group::call_with`](crate::Group::call_with).
    ///
    /// # Errors
    /// As there.
    pub fn call_with(
        &self,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        wait(self.0.call_with(service, payload, options))
    }

    /// [`Group::call_member`](crate::Group::call_member).
    ///
    /// # Errors
    /// As there.
    pub fn call_member(
        &self,
        member: MemberId,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes, Error> {
        wait(self.0.call_member(member, service, payload, options))
    }

    /// [`Group::call_all`](crate::Group::call_all).
    ///
    /// # Errors
    /// As there.
    pub fn call_all(
        &self,
        service: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Answers, Error> {
        wait(self.0.call_all(service, payload, options))
    }

    /// Serves a service with a handler, on one thread of its own: one call after the other.
    ///
    /// # Errors
    /// As [`requests`](Self::requests). A thread that cannot be started ends the service.
    pub fn serve<F, A, E>(&self, service: &str, handler: F) -> Result<Service, Error>
    where
        F: Fn(Call) -> Result<A, E> + Send + 'static,
        A: Into<Bytes>,
        E: Display,
    {
        let requests = self.requests(service)?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let run = move || serve(requests, stopped, handler);
        let thread = thread::Builder::new().name(format!("service {service}"));
        let spawned = thread.spawn(run);
        spawned.map_err(|error| Error::Thread(error.to_string()))?;
        Ok(Service { _stop: stop })
    }

    /// [`Group::requests`](crate::Group::requests).
    ///
    /// # Errors
    /// As there.
    pub fn requests(&self, service: &str) -> Result<Requests, Error> {
        wait(self.0.requests(service)).map(Requests)
    }

    /// [`Group::lock`](crate::Group::lock).
    ///
    /// # Errors
    /// As there.
    pub fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        wait(self.0.lock(name))
    }

    /// [`Group::try_lock`](crate::Group::try_lock).
    ///
    /// # Errors
    /// As there.
    pub fn try_lock(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        wait(self.0.try_lock(name))
    }

    /// [`Group::lock_shared`](crate::Group::lock_shared).
    ///
    /// # Errors
    /// As there.
    pub fn lock_shared(&self, name: &str) -> Result<LockGuard, Error> {
        wait(self.0.lock_shared(name))
    }

    /// [`Group::try_lock_shared`](crate::Group::try_lock_shared).
    ///
    /// # Errors
    /// As there.
    pub fn try_lock_shared(&self, name: &str) -> Result<Option<LockGuard>, Error> {
        wait(self.0.try_lock_shared(name))
    }

    /// [`Group::lock_with`](crate::Group::lock_with).
    ///
    /// # Errors
    /// As there.
    pub fn lock_with(
        &self,
        name: &str,
        mode: LockMode,
        wait_how: LockWait,
    ) -> Result<Option<LockGuard>, Error> {
        wait(self.0.lock_with(name, mode, wait_how))
    }

    /// [`Group::query_locks`](crate::Group::query_locks).
    ///
    /// # Errors
    /// As there.
    pub fn query_locks(&self) -> Result<Vec<LockClaim>, Error> {
        wait(self.0.query_locks())
    }

    /// [`Group::steal`](crate::Group::steal).
    ///
    /// # Errors
    /// As there.
    pub fn steal(&self, name: &str) -> Result<LockGuard, Error> {
        wait(self.0.steal(name))
    }

    /// [`Group::lead`](crate::Group::lead).
    ///
    /// # Errors
    /// As there.
    pub fn lead(&self, role: &str) -> Result<LockGuard, Error> {
        wait(self.0.lead(role))
    }

    /// [`Group::steal_lead`](crate::Group::steal_lead).
    ///
    /// # Errors
    /// As there.
    pub fn steal_lead(&self, role: &str) -> Result<LockGuard, Error> {
        wait(self.0.steal_lead(role))
    }

    /// [`Group::queue`](crate::Group::queue).
    ///
    /// # Errors
    /// As there.
    pub fn queue(&self, name: &str) -> Result<Queue, Error> {
        self.0.queue(name).map(Queue)
    }

    /// [`Group::map`](crate::Group::map).
    ///
    /// # Errors
    /// As there.
    pub fn map(&self, name: &str) -> Result<Map, Error> {
        self.0.map(name).map(Map)
    }

    /// [`Group::close`](crate::Group::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(&self) -> Result<(), Error> {
        wait(self.0.close())
    }
}

fn serve<A: Into<Bytes>, E: Display>(
    mut requests: Requests,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
    handler: impl Fn(Call) -> Result<A, E>,
) {
    let next = async |requests: &mut Requests, stopped: &mut _| {
        tokio::select! {
            request = requests.0.recv() => request,
            // Its sender was dropped.
            _ = stopped => None,
        }
    };
    while let Some(request) = wait(next(&mut requests, &mut stopped)) {
        let answer = handler(Call::of(&request));
        // Refused when nobody waits for it.
        let _ = match answer {
            Ok(answer) => request.answer(answer),
            Err(error) => request.fail(error),
        };
    }
}

/// A service on a thread, from [`Group::serve`]. Dropping it ends the service.
#[derive(Debug)]
pub struct Service {
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// Makes a blocking iterator of a type with `recv`.
macro_rules! receivers {
    ($($(#[$meta:meta])* $name:ident($inner:ty) -> $item:ty;)*) => {$(
        $(#[$meta])*
        ///
        /// An iterator that waits, and ends when the group does.
        #[derive(Debug)]
        pub struct $name($inner);

        impl Iterator for $name {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                wait(self.0.recv())
            }
        }
    )*};
}

receivers! {
    /// The changes of a group, from [`Group::events`].
    Events(members::Events) -> Event;
    /// A subscription, from [`Group::subscribe`].
    Subscription(topics::Subscription) -> Published;
    /// The calls of a service, from [`Group::requests`].
    Requests(crate::Requests) -> Request;
    /// A worker, from [`Queue::work`].
    Worker(queue::Worker) -> Job;
    /// The changes of a map, from [`Map::watch`].
    Changes(map::Changes) -> Change;
}

/// [`Queue`](crate::Queue) for threads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue(queue::Queue);

impl Queue {
    /// [`Queue::push`](crate::Queue::push).
    ///
    /// # Errors
    /// As there.
    pub fn push(&self, job: impl Into<Bytes>) -> Result<(), Error> {
        wait(self.0.push(job))
    }

    /// [`Queue::push_at_most`](crate::Queue::push_at_most).
    ///
    /// # Errors
    /// As there.
    pub fn push_at_most(
        &self,
        job: impl Into<Bytes>,
        attempts: impl Into<Option<NonZeroU32>>,
    ) -> Result<(), Error> {
        wait(self.0.push_at_most(job, attempts))
    }

    /// [`Queue::work`](crate::Queue::work).
    ///
    /// # Errors
    /// As there.
    pub fn work(&self, capacity: NonZeroU32) -> Result<Worker, Error> {
        wait(self.0.work(capacity)).map(Worker)
    }
}

/// [`Map`](crate::Map) for threads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Map(map::Map);

impl Map {
    /// [`Map::get`](crate::Map::get).
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.0.get(key)
    }

    /// [`Map::entry`](crate::Map::entry).
    ///
    /// # Errors
    /// As there.
    pub fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.0.entry(key)
    }

    /// [`Map::entries`](crate::Map::entries).
    ///
    /// # Errors
    /// As there.
    pub fn entries(&self) -> Result<Vec<(String, Entry)>, Error> {
        self.0.entries()
    }

    /// [`Map::set`](crate::Map::set).
    ///
    /// # Errors
    /// As there.
    pub fn set(&self, key: &str, value: impl Into<Bytes>) -> Result<u64, Error> {
        wait(self.0.set(key, value))
    }

    /// [`Map::set_for`](crate::Map::set_for).
    ///
    /// # Errors
    /// As there.
    pub fn set_for(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<u64, Error> {
        wait(self.0.set_for(key, value, ttl))
    }

    /// [`Map::delete`](crate::Map::delete).
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        wait(self.0.delete(key))
    }

    /// [`Map::compare_and_set`](crate::Map::compare_and_set).
    ///
    /// # Errors
    /// As there.
    pub fn compare_and_set(
        &self,
        key: &str,
        expect: Expect,
        value: Option<Bytes>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<bool, Error> {
        wait(self.0.compare_and_set(key, expect, value, ttl))
    }

    /// [`Map::increment`](crate::Map::increment).
    ///
    /// # Errors
    /// As there.
    pub fn increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        wait(self.0.increment(key, by))
    }

    /// [`Map::increment_for`](crate::Map::increment_for).
    ///
    /// # Errors
    /// As there.
    pub fn increment_for(
        &self,
        key: &str,
        by: i64,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<i64, Error> {
        wait(self.0.increment_for(key, by, ttl))
    }

    /// [`Map::watch`](crate::Map::watch).
    pub fn watch(&self, prefix: &str) -> Changes {
        Changes(self.0.watch(prefix))
    }
}
