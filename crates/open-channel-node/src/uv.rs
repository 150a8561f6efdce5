//! Waiting for a link in Node's own event loop.
//!
//! The library can have its background thread wait for a link and post to the JavaScript thread;
//! that hop between threads costs more than all the rest of a message. So the JavaScript thread
//! waits itself, with libuv's `uv_poll_t`, as a `net.Socket` does.
//!
//! Before the loop sleeps, it [looks at the ring for a while](crate::spin).
//!
//! A watch fires once for each time it is armed. It stays registered with the kernel meanwhile, for
//! taking it out and putting it in again would cost two system calls for each message; only a
//! descriptor that stays readable while nobody reads, which would spin the loop, is taken out.

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use napi::sys;
use open_channel::ffi::ReadinessProbe;

use crate::{
    event_loop::{EventLoop, allocate, free},
    libuv::Libuv,
    spin::BeforeSleep,
};

/// `UV_POLL` of `uv_handle_type`, part of libuv's stable interface.
const UV_POLL: c_int = 8;
/// `UV_READABLE` and `UV_DISCONNECT` of `uv_poll_event`.
const EVENTS: c_int = 1 | 4;

/// The event loop of one JavaScript thread, which waits for links.
#[derive(Clone, Copy)]
pub(crate) struct Loop {
    event_loop: EventLoop,
    before_sleep: Option<&'static BeforeSleep>,
}

impl Loop {
    /// `None` where the loop or libuv cannot be had; then the background thread does the waiting.
    pub(crate) fn of(env: sys::napi_env, readable: sys::napi_value) -> Option<Self> {
        let event_loop = EventLoop::of(env, readable)?;
        let before_sleep = BeforeSleep::new(event_loop);
        if let Some(before_sleep) = before_sleep {
            let argument = ptr::from_ref(before_sleep).cast_mut().cast();
            // SAFETY: the argument is never freed, and the hook takes it for what it is.
            unsafe { sys::napi_add_env_cleanup_hook(env, Some(end), argument) };
        }
        Some(Self { event_loop, before_sleep })
    }

    /// Watches `fd`. Not armed.
    pub(crate) fn watch(self, fd: OwnedFd, token: u32) -> Option<Watch> {
        let uv = self.event_loop.uv();
        let context = Box::new(Context {
            event_loop: self.event_loop,
            before_sleep: self.before_sleep,
            token,
            fd,
            armed: Cell::new(false),
            started: Cell::new(false),
        });
        // SAFETY: a uv_poll_t is so large; it is initialised by `uv_poll_init` and lives until
        // `closed`.
        let handle = unsafe {
            let handle = allocate(uv, UV_POLL);
            if (uv.poll_init)(self.event_loop.uv_loop(), handle, context.fd.as_raw_fd()) != 0 {
                free(uv, UV_POLL, handle);
                return None;
            }
            // The sockets of JavaScript decide what keeps the process alive.
            (uv.unref)(handle);
            (uv.handle_set_data)(handle, Box::into_raw(context).cast());
            handle
        };
        Some(Watch { uv, handle })
    }
}

struct Context {
    event_loop: EventLoop,
    before_sleep: Option<&'static BeforeSleep>,
    token: u32,
    fd: OwnedFd,
    /// The next readability is to be reported.
    armed: Cell<bool>,
    /// libuv polls the descriptor.
    started: Cell<bool>,
}

/// One watched descriptor. Belongs to the JavaScript thread.
pub(crate) struct Watch {
    uv: &'static Libuv,
    handle: *mut c_void,
}

impl Watch {
    fn context(&self) -> &Context {
        // SAFETY: set at the beginning, and freed only after `uv_close`, which takes the handle
        // away from here.
        unsafe { &*(self.uv.handle_get_data)(self.handle).cast::<Context>() }
    }

    /// Reports the next time that there is something to read, or now if there is; soonest, if it
    /// will show in `probe`.
    pub(crate) fn arm(&self, probe: Option<ReadinessProbe>) {
        let context = self.context();
        if let (Some(probe), Some(before_sleep)) = (probe, context.before_sleep) {
            before_sleep.look_at(context.token, probe);
        }
        context.armed.set(true);
        if !context.started.get() {
            // SAFETY: an initialised handle, on its own thread. It fails only for a handle that is
            // being closed.
            let started = unsafe { (self.uv.poll_start)(self.handle, EVENTS, readable) };
            context.started.set(started == 0);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: an initialised handle that nobody else closes; `closed` frees it, on the loop's
        // next turn.
        unsafe {
            (self.uv.poll_stop)(self.handle);
            (self.uv.close)(self.handle, Some(closed));
        }
    }
}

unsafe extern "C" fn readable(handle: *mut c_void, status: c_int, _events: c_int) {
    let Some(uv) = Libuv::get() else { return };
    // SAFETY: libuv calls with a handle that is not closed, so its context is there.
    let context = unsafe { &*(uv.handle_get_data)(handle).cast::<Context>() };
    if status < 0 {
        // libuv has stopped it. The next read says why.
        context.started.set(false);
    }
    if !context.armed.replace(false) {
        context.started.set(false);
        // SAFETY: the same handle, on its own thread.
        unsafe { (uv.poll_stop)(handle) };
        return;
    }
    let Context { event_loop, token, .. } = *context;
    // From here on the context may be gone: JavaScript may close the socket.
    event_loop.notify(token);
}

unsafe extern "C" fn end(before_sleep: *mut c_void) {
    // SAFETY: the argument of `napi_add_env_cleanup_hook` above.
    unsafe { &*before_sleep.cast::<BeforeSleep>() }.end();
}

unsafe extern "C" fn closed(handle: *mut c_void) {
    let Some(uv) = Libuv::get() else { return };
    // SAFETY: libuv is done with the handle, and both were allocated in `Loop::watch`.
    unsafe {
        drop(Box::from_raw((uv.handle_get_data)(handle).cast::<Context>()));
        free(uv, UV_POLL, handle);
    }
}
