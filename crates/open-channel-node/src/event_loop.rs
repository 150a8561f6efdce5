//! Node's own event loop, as the addon uses it: a loop of libuv, and a function of JavaScript's
//! that is called in it.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ffi::{c_int, c_void},
    ptr,
};

use napi::sys;

use crate::{libuv::Libuv, wake::throw_uncaught};

/// The event loop of one JavaScript thread, and what to call there.
#[derive(Clone, Copy)]
pub(crate) struct EventLoop {
    env: sys::napi_env,
    uv: &'static Libuv,
    uv_loop: *mut c_void,
    /// Called with the token of what became readable.
    readable: sys::napi_ref,
}

impl EventLoop {
    /// `None` where the loop or libuv cannot be had.
    pub(crate) fn of(env: sys::napi_env, readable: sys::napi_value) -> Option<Self> {
        let uv = Libuv::get()?;
        let mut uv_loop = ptr::null_mut();
        let mut reference = ptr::null_mut();
        // SAFETY: called on the JavaScript thread with its own environment and a function of it.
        unsafe {
            if sys::napi_get_uv_event_loop(env, &mut uv_loop) != sys::Status::napi_ok
                || sys::napi_create_reference(env, readable, 1, &mut reference)
                    != sys::Status::napi_ok
            {
                return None;
            }
        }
        Some(Self { env, uv, uv_loop: uv_loop.cast(), readable: reference })
    }

    pub(crate) fn uv(self) -> &'static Libuv {
        self.uv
    }

    pub(crate) fn uv_loop(self) -> *mut c_void {
        self.uv_loop
    }

    /// Notifies JavaScript that there is something to read. Its listeners may close anything.
    pub(crate) fn notify(self, token: u32) {
        let Self { env, readable, .. } = self;
        // SAFETY: on the JavaScript thread, in its environment; every value lives in the scope that
        // is opened here.
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
            // Unlike `napi_call_function`, this runs the promises and next ticks that the call
            // leaves behind.
            let status = sys::napi_make_callback(
                env,
                ptr::null_mut(),
                this,
                function,
                1,
                &argument,
                &mut result,
            );
            if status == sys::Status::napi_pending_exception {
                throw_uncaught(env);
            }
            sys::napi_close_handle_scope(env, scope);
        }
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

/// Gives the memory of a handle back.
///
/// # Safety
///
/// `handle` comes from [`allocate`] with the same `kind`, and neither libuv nor anybody else uses
/// it.
pub(crate) unsafe fn free(uv: &Libuv, kind: c_int, handle: *mut c_void) {
    // SAFETY: it was allocated with this layout.
    unsafe { dealloc(handle.cast(), layout(uv, kind)) };
}

fn layout(uv: &Libuv, kind: c_int) -> Layout {
    // SAFETY: a pure function.
    let size = unsafe { (uv.handle_size)(kind) };
    Layout::from_size_align(size, 16).expect("the size of a small struct")
}
