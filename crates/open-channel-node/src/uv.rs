//! Waiting for a link in Node's own event loop.
//!
//! The library can have its background thread wait for a link and post to the JavaScript thread; that hop between threads
//! costs more than all the rest of a message. So the JavaScript thread waits itself, with libuv's `uv_poll_t`, as a
//! `net.Socket` does.
//!
//! Before the loop sleeps, it [looks at the ring for a while](crate::spin).
//!
//! A watch fires once for each time it is armed. It stays registered with the kernel meanwhile, for taking it out and
//! putting it in again would cost two system calls for each message; only a descriptor that stays readable while nobody
//! reads, which would spin the loop, is taken out.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::Cell,
    ffi::{c_int, c_void},
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

use napi::sys;
use open_channel::ffi::Arrival;

use crate::{libuv::Libuv, spin::BeforeSleep, wake::throw_uncaught};

/// `UV_POLL` of `uv_handle_type`, part of libuv's stable interface.
const UV_POLL: c_int = 8;
/// `UV_READABLE` and `UV_DISCONNECT` of `uv_poll_event`.
const EVENTS: c_int = 1 | 4;

/// The event loop of one JavaScript thread, and what to call there.
#[derive(Clone, Copy)]
pub(crate) struct Loop {
    env: sys::napi_env,
    uv: &'static Libuv,
    uv_loop: *mut c_void,
    /// Called with the token of what became readable.
    readable: sys::napi_ref,
    before_sleep: Option<&'static BeforeSleep>,
}

impl Loop {
    /// `None` where the loop or libuv cannot be had; then the background thread does the waiting.
    pub(crate) fn of(env: sys::napi_env, readable: sys::napi_value) -> Option<Self> {
        let uv = Libuv::get()?;
        let mut uv_loop = ptr::null_mut();
        let mut reference = ptr::null_mut();
        // SAFETY: called on the JavaScript thread with its own environment and a function of it.
        unsafe {
            if sys::napi_get_uv_event_loop(env, &mut uv_loop) != sys::Status::napi_ok
                || sys::napi_create_reference(env, readable, 1, &mut reference) != sys::Status::napi_ok
            {
                return None;
            }
        }
        let mut event_loop =
            Self { env, uv, uv_loop: uv_loop.cast(), readable: reference, before_sleep: None };
        event_loop.before_sleep = BeforeSleep::new(event_loop);
        if let Some(before_sleep) = event_loop.before_sleep {
            let argument = ptr::from_ref(before_sleep).cast_mut().cast();
            // SAFETY: the argument is never freed, and the hook takes it for what it is.
            unsafe { sys::napi_add_env_cleanup_hook(env, Some(end), argument) };
        }
        Some(event_loop)
    }

    pub(crate) fn uv(self) -> &'static Libuv {
        self.uv
    }

    pub(crate) fn uv_loop(self) -> *mut c_void {
        self.uv_loop
    }

    /// Tells JavaScript that there is something to read. What that leads to may close anything.
    pub(crate) fn tell(self, token: u32) {
        let Self { env, readable, .. } = self;
        // SAFETY: on the JavaScript thread, in its environment; every value lives in the scope opened here.
        unsafe {
            let mut scope = ptr::null_mut();
            if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            let (mut this, mut function, mut argument, mut result) =
                (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            sys::napi_get_global(env, &mut this);
            sys::napi_get_reference_value(env, readable, &mut function);
            sys::napi_create_uint32(env, token, &mut argument);
            // Unlike `napi_call_function`, this runs the promises and next ticks that the call leaves behind.
            let status =
                sys::napi_make_callback(env, ptr::null_mut(), this, function, 1, &argument, &mut result);
            if status == sys::Status::napi_pending_exception {
                throw_uncaught(env);
            }
            sys::napi_close_handle_scope(env, scope);
        }
    }

    /// Watches `fd`. Not armed.
    pub(crate) fn watch(self, fd: OwnedFd, token: u32) -> Option<Watch> {
        let uv = self.uv;
        let context = Box::new(Context {
            event_loop: self,
            token,
            fd,
            armed: Cell::new(false),
            started: Cell::new(false),
        });
        // SAFETY: a uv_poll_t is so large; it is initialised by `uv_poll_init` and lives until `closed`.
        let handle = unsafe {
            let handle = allocate(uv, UV_POLL);
            if (uv.poll_init)(self.uv_loop, handle, context.fd.as_raw_fd()) != 0 {
                dealloc(handle.cast(), layout(uv, UV_POLL));
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
    event_loop: Loop,
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
        // SAFETY: set at the beginning, and freed only after `uv_close`, which takes the handle away from here.
        unsafe { &*(self.uv.handle_get_data)(self.handle).cast::<Context>() }
    }

    /// Reports the next time that there is something to read, or now if there is; soonest, if it will show in `arrival`.
    pub(crate) fn arm(&self, arrival: Option<Arrival>) {
        let context = self.context();
        if let (Some(arrival), Some(before_sleep)) = (arrival, context.event_loop.before_sleep) {
            before_sleep.look_at(context.token, arrival);
        }
        context.armed.set(true);
        if !context.started.get() {
            // SAFETY: an initialised handle, on its own thread. It fails only for a handle that is being closed.
            let started = unsafe { (self.uv.poll_start)(self.handle, EVENTS, readable) };
            context.started.set(started == 0);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: an initialised handle that nobody else closes; `closed` frees it, on the loop's next turn.
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
        // libuv has stopped it. Whoever reads now learns why.
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
    event_loop.tell(token);
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
        dealloc(handle.cast(), layout(uv, UV_POLL));
    }
}

/// Zeroed memory for a handle that libuv calls `kind`.
pub(crate) fn allocate(uv: &Libuv, kind: c_int) -> *mut c_void {
    let layout = layout(uv, kind);
    // SAFETY: no handle is of size zero.
    let handle = unsafe { alloc_zeroed(layout) };
    if handle.is_null() {
        handle_alloc_error(layout);
    }
    handle.cast()
}

fn layout(uv: &Libuv, kind: c_int) -> Layout {
    // SAFETY: a pure function.
    let size = unsafe { (uv.handle_size)(kind) };
    Layout::from_size_align(size, 16).expect("the size of a small struct")
}
