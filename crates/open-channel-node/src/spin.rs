//! Looking at a ring for a while before Node's event loop sleeps, if that tends to pay.
//!
//! Between two processes that answer each other, being woken takes longer than all the rest of a
//! message. So, after everything else that the loop has to do, its last step before it sleeps is to
//! look at where the next message will show: for as long as [`Spin`] finds it worth, and no longer
//! than until any other event is there but a timer's. A message that is found is handled, and the
//! loop goes once around without sleeping, so that nobody else waits longer for it. The doorbell
//! was announced before, for nothing may be missed between the two: the other side rings it in vain
//! then, which wakes nobody.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    os::fd::BorrowedFd,
    time::Duration,
};

use open_channel::ffi::{ReadinessProbe, Spin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    event_loop::{EventLoop, allocate},
    libuv::Libuv,
};

/// `UV_IDLE` and `UV_PREPARE` of `uv_handle_type`, part of libuv's stable interface.
const UV_IDLE: c_int = 6;
const UV_PREPARE: c_int = 9;

/// The longest spin. The loop's other events do not include timers, which so may be this late.
const LONGEST: Duration = Duration::from_micros(200);

/// Rounds of looks at the ring between two looks at the loop's other events, which take a system
/// call: about two microseconds.
const ROUNDS: u32 = 4;

/// The last step of one event loop before it sleeps. Lives as long as the loop, and is used on its
/// thread only.
pub(crate) struct BeforeSleep {
    event_loop: EventLoop,
    /// Runs just before the loop sleeps; active while there is something to look at.
    prepare: *mut c_void,
    /// While it is active, the loop does not sleep.
    idle: *mut c_void,
    /// The socket that was emptied last, and where its next message shows.
    next: Cell<Option<(u32, ReadinessProbe)>>,
    spin: RefCell<Spin>,
    ended: Cell<bool>,
}

impl BeforeSleep {
    /// `None` where libuv has no handles for it.
    pub(crate) fn new(event_loop: EventLoop) -> Option<&'static Self> {
        let uv = event_loop.uv();
        let (prepare, idle) = (allocate(uv, UV_PREPARE), allocate(uv, UV_IDLE));
        // SAFETY: memory for these two kinds of handles, which is never freed, on the thread of
        // their loop.
        unsafe {
            if (uv.prepare_init)(event_loop.uv_loop(), prepare) != 0
                || (uv.idle_init)(event_loop.uv_loop(), idle) != 0
            {
                return None;
            }
            // The sockets of JavaScript decide what keeps the process alive.
            (uv.unref)(prepare);
            (uv.unref)(idle);
        }
        let before_sleep: &'static Self = Box::leak(Box::new(Self {
            event_loop,
            prepare,
            idle,
            next: Cell::new(None),
            spin: RefCell::new(Spin::new()),
            ended: Cell::new(false),
        }));
        // SAFETY: initialised above; the callback takes it for what it is.
        unsafe {
            (uv.handle_set_data)(prepare, std::ptr::from_ref(before_sleep).cast_mut().cast())
        };
        Some(before_sleep)
    }

    /// Before the loop sleeps the next time: looks at `probe`, and notifies JavaScript of `token`
    /// if there is something.
    pub(crate) fn look_at(&self, token: u32, probe: ReadinessProbe) {
        if self.ended.get() {
            return;
        }
        self.next.set(Some((token, probe)));
        // SAFETY: an initialised handle, on its own thread.
        unsafe { (self.event_loop.uv().prepare_start)(self.prepare, before_sleep) };
    }

    /// The environment ends, and the loop may go on without it, or want to be closed.
    pub(crate) fn end(&self) {
        self.next.set(None);
        self.ended.set(true);
        // SAFETY: initialised handles, on their own thread, closed once; their memory stays.
        unsafe {
            (self.event_loop.uv().close)(self.prepare, None);
            (self.event_loop.uv().close)(self.idle, None);
        }
    }

    fn look(&self) {
        // SAFETY: as above.
        if unsafe { (self.event_loop.uv().backend_timeout)(self.event_loop.uv_loop()) } == 0 {
            return; // It has other things to do, or to take in.
        }
        // SAFETY: as above.
        unsafe { (self.event_loop.uv().prepare_stop)(self.prepare) };
        let Some((token, probe)) = self.next.take() else { return };
        if self.has_come(&probe) {
            // SAFETY: as above.
            unsafe { (self.event_loop.uv().idle_start)(self.idle, once_around) };
            self.event_loop.notify(token);
        }
    }

    fn has_come(&self, probe: &ReadinessProbe) -> bool {
        let mut asked = 0u32;
        let other_events = || {
            asked += 1;
            asked.is_multiple_of(ROUNDS) && self.has_other_events()
        };
        // One of these events may be the doorbell, which rang for this.
        let mut spin = self.spin.borrow_mut();
        spin.woken();
        spin.until_or(LONGEST, || probe.is_ready(), other_events) || probe.is_ready()
    }

    fn has_other_events(&self) -> bool {
        // SAFETY: the descriptor is the loop's, which is alive: this runs in it.
        let events = unsafe {
            let fd = (self.event_loop.uv().backend_fd)(self.event_loop.uv_loop());
            if fd < 0 {
                return true;
            }
            BorrowedFd::borrow_raw(fd)
        };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(events, PollFlags::IN)], Some(&now)) != Ok(0)
    }
}

unsafe extern "C" fn before_sleep(prepare: *mut c_void) {
    let Some(uv) = Libuv::get() else { return };
    // SAFETY: set in `BeforeSleep::new`, and never freed.
    unsafe { &*(uv.handle_get_data)(prepare).cast::<BeforeSleep>() }.look();
}

unsafe extern "C" fn once_around(idle: *mut c_void) {
    let Some(uv) = Libuv::get() else { return };
    // SAFETY: libuv calls with a handle that is active.
    unsafe { (uv.idle_stop)(idle) };
}
