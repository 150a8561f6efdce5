//! How background threads reach JavaScript: one queue and one thread-safe function per JavaScript
//! thread. All that happens between two turns of the event loop costs one call into JavaScript.

use std::{
    cell::Cell,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Wake, Waker},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use napi::{
    Env, JsValue,
    bindgen_prelude::{FnArgs, Function},
};
use napi_derive::napi;
use open_channel::ffi;

use crate::{error::Failure, stats::millis, uv, wake::WakeFunction};

/// The meeting point of one JavaScript thread and everything that may wake it.
#[napi]
pub struct Hub {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    notes: Arc<Mutex<Notes>>,
    event_loop: Option<Confined<uv::Loop>>,
    /// The event loop is about to be asked whether it comes round.
    asking: AtomicBool,
}

/// When a thread that was given messages is asked whether its event loop comes round.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// Used only by what JavaScript calls, which is on one thread for one `Hub`.
struct Confined<T> {
    value: T,
    thread: ThreadId,
}

// SAFETY: the value is only given out on the thread it belongs to.
unsafe impl<T> Send for Confined<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Confined<T> {}

impl<T: Copy> Confined<T> {
    fn value(&self) -> Option<T> {
        (thread::current().id() == self.thread).then_some(self.value)
    }
}

#[derive(Default)]
struct Notes {
    /// Between `listen` and `rest`.
    wake: Option<Arc<WakeFunction>>,
    /// Since when a call into JavaScript is on its way.
    called: Option<Instant>,
    delays: Delays,
    raised: Vec<Arc<Signal>>,
    done: Vec<Completion>,
}

/// How long the event loop took to take calls.
#[derive(Clone, Copy, Default)]
struct Delays {
    last: Duration,
    longest: Duration,
}

/// The end of something that JavaScript holds a promise for.
#[napi(object)]
pub struct Completion {
    /// The number that JavaScript gave when it asked.
    pub request: u32,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

#[napi]
impl Hub {
    /// With `readable`, which receives a token, this thread's event loop itself waits for links.
    #[napi(constructor)]
    pub fn new(env: Env, readable: Option<Function<'_, u32, ()>>) -> napi::Result<Self> {
        #[cfg(windows)]
        crate::resident::stay()?;
        let event_loop = readable
            .and_then(|readable| uv::Loop::of(env.raw(), readable.raw()))
            .map(|value| Confined { value, thread: thread::current().id() });
        let asking = AtomicBool::new(false);
        Ok(Self { inner: Arc::new(Inner { notes: Arc::default(), event_loop, asking }) })
    }

    /// From here on, `wake` is called. It receives pairs of (token, bits of `Reason`), and must
    /// then take what `completed` has.
    #[napi]
    pub fn listen(
        &self,
        env: Env,
        wake: Function<'_, FnArgs<(Vec<u32>,)>, ()>,
    ) -> napi::Result<()> {
        // Takes longer than a connection. If it cannot start now, opening a channel says so.
        let _ = ffi::background();
        let pending = Arc::downgrade(&self.inner.notes);
        let collect = move || pending.upgrade().map_or_else(Vec::new, |notes| collect(&notes));
        // SAFETY: called by JavaScript, with a function of its own.
        let wake = unsafe { WakeFunction::new(env.raw(), wake.raw(), Box::new(collect))? };
        let wake = Arc::new(wake);
        let mut notes = lock(&self.inner.notes);
        notes.wake = Some(Arc::clone(&wake));
        // A call that was on its way to the last function may not have arrived.
        notes.called = (!notes.raised.is_empty() || !notes.done.is_empty()).then(Instant::now);
        if notes.called.is_some() {
            wake.call();
        }
        Ok(())
    }

    /// Nothing is there that could wake JavaScript. Nothing stays open for it until `listen`.
    #[napi]
    pub fn rest(&self) {
        let wake = lock(&self.inner.notes).wake.take();
        drop(wake);
    }

    /// From here on, this thread's event loop has something to wait for. Until `release` or `rest`.
    #[napi]
    pub fn hold(&self, env: Env) {
        if let Some(wake) = self.wake() {
            // SAFETY: called by JavaScript, on the thread that the function was made on.
            unsafe { wake.hold(env.raw()) };
        }
    }

    /// Undoes `hold`.
    #[napi]
    pub fn release(&self, env: Env) {
        if let Some(wake) = self.wake() {
            // SAFETY: as above.
            unsafe { wake.release(env.raw()) };
        }
    }

    /// Milliseconds that this thread's event loop took to answer, when it was asked last, and the
    /// most so far.
    #[napi]
    pub fn delays(&self) -> Vec<f64> {
        let Delays { last, longest } = lock(&self.inner.notes).delays;
        vec![millis(last), millis(longest)]
    }

    /// The requests that ended since the last call.
    #[napi]
    pub fn completed(&self) -> Vec<Completion> {
        mem::take(&mut lock(&self.inner.notes).done)
    }
}

impl Hub {
    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }

    fn wake(&self) -> Option<Arc<WakeFunction>> {
        lock(&self.inner.notes).wake.clone()
    }
}

impl Inner {
    pub(crate) fn complete(&self, request: u32, result: Result<(), open_channel::Error>) {
        let failure = result.err().map(|error| Failure::from(&error));
        self.post(|notes| notes.done.push(Completion { request, failure }));
    }

    /// JavaScript was given messages: what it does with them may take long. So the event loop is
    /// asked afterwards, and never while nothing comes.
    fn busy(self: &Arc<Self>) {
        if self.asking.load(Ordering::Relaxed) || self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(background) = ffi::background() else { return };
        let asked = Arc::downgrade(self);
        background.spawn(async move {
            tokio::time::sleep(ASK_AFTER).await;
            if let Some(asked) = asked.upgrade() {
                asked.asking.store(false, Ordering::Release);
                asked.post(|_| {});
            }
        });
    }

    fn post(&self, put: impl FnOnce(&mut Notes)) {
        let mut notes = lock(&self.notes);
        put(&mut notes);
        if notes.called.is_none() {
            notes.called = Some(Instant::now());
            let wake = notes.wake.clone();
            drop(notes);
            if let Some(wake) = wake {
                wake.call();
            }
        }
    }
}

/// Runs on the JavaScript thread, just before `wake`.
fn collect(notes: &Mutex<Notes>) -> Vec<u32> {
    let raised = {
        let mut notes = lock(notes);
        if let Some(called) = notes.called.take() {
            notes.delays.last = called.elapsed();
            notes.delays.longest = notes.delays.longest.max(notes.delays.last);
        }
        mem::take(&mut notes.raised)
    };
    let mut pairs = Vec::with_capacity(raised.len() * 2);
    for signal in raised {
        pairs.push(signal.token);
        pairs.push(signal.bits.swap(0, Ordering::AcqRel));
    }
    pairs
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why JavaScript is woken: bits, the same numbers as in `js/native.ts`.
pub(crate) mod reason {
    pub(crate) const READABLE: u32 = 1;
    pub(crate) const WRITABLE: u32 = 2;
    pub(crate) const ACCEPTED: u32 = 4;
    pub(crate) const EVENT: u32 = 8;
    pub(crate) const FLUSHED: u32 = 16;
    pub(crate) const CONNECTION: u32 = 32;
    pub(crate) const RETURNED: u32 = 64;
    pub(crate) const OPERATION: u32 = 128;
}

thread_local! {
    /// The token of the object that polls on this thread; 0, which is nobody's, if none does.
    static QUIET: Cell<u32> = const { Cell::new(0) };
}

/// One object of JavaScript's that can be woken, known to it by a number.
pub(crate) struct Signal {
    token: u32,
    bits: AtomicU32,
    hub: Arc<Inner>,
}

impl Signal {
    pub(crate) fn new(hub: Arc<Inner>, token: u32) -> Arc<Self> {
        Arc::new(Self { token, bits: AtomicU32::new(0), hub })
    }

    pub(crate) fn token(&self) -> u32 {
        self.token
    }

    /// The event loop of the JavaScript thread, where that may be used, and on that thread only.
    pub(crate) fn event_loop(&self) -> Option<uv::Loop> {
        self.hub.event_loop.as_ref()?.value()
    }

    pub(crate) fn hub(&self) -> Arc<Inner> {
        Arc::clone(&self.hub)
    }

    /// JavaScript was given messages.
    pub(crate) fn busy(&self) {
        self.hub.busy();
    }

    /// Runs `poll` for a caller that looks at everything itself afterwards: this object raises
    /// nothing meanwhile on this thread. Without it, every message would wake the JavaScript
    /// that is just taking it.
    pub(crate) fn quietly<T>(&self, poll: impl FnOnce() -> T) -> T {
        let outer = QUIET.replace(self.token);
        let polled = poll();
        QUIET.set(outer);
        polled
    }

    pub(crate) fn raise(self: &Arc<Self>, reason: u32) {
        if reason == reason::READABLE && QUIET.get() == self.token {
            return;
        }
        if self.bits.fetch_or(reason, Ordering::AcqRel) == 0 {
            self.hub.post(|notes| notes.raised.push(Arc::clone(self)));
        }
    }

    /// A waker that raises `reason`.
    pub(crate) fn waker(self: &Arc<Self>, reason: u32) -> Waker {
        Waker::from(Arc::new(Raise { signal: Arc::clone(self), reason }))
    }
}

struct Raise {
    signal: Arc<Signal>,
    reason: u32,
}

impl Wake for Raise {
    fn wake(self: Arc<Self>) {
        self.signal.raise(self.reason);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signal.raise(self.reason);
    }
}
