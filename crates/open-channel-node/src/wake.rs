//! A function of one JavaScript thread that any thread can have called.
//!
//! napi-rs has one, with more around it: enabling it brings another such function for each time
//! that the addon is loaded, which stays open for as long as the process lives.

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use napi::{bindgen_prelude::ToNapiValue, sys};

/// The argument of a call: asked for on the JavaScript thread, just before the call.
pub(crate) type Collect = Box<dyn Fn() -> Vec<u32> + Send>;

/// Calls can be made until this is dropped. It keeps no process alive, unless `hold` was called.
pub(crate) struct WakeFunction {
    raw: Arc<Shared>,
}

/// Emptied at the end of the JavaScript thread, which frees the function whoever still has it.
#[derive(Default)]
struct Shared(Mutex<Option<Raw>>);

struct Raw(sys::napi_threadsafe_function);

// SAFETY: Node-API allows calls and the release on every thread; the rest takes the environment.
unsafe impl Send for Raw {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Raw>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Context {
    collect: Collect,
    raw: Arc<Shared>,
}

impl WakeFunction {
    /// `function` is called with what `collect` returns.
    ///
    /// # Safety
    ///
    /// On the JavaScript thread, with its environment and a function of it.
    pub(crate) unsafe fn new(
        env: sys::napi_env,
        function: sys::napi_value,
        collect: Collect,
    ) -> napi::Result<Self> {
        let name = "open-channel";
        let shared = Arc::new(Shared::default());
        let context = Box::into_raw(Box::new(Context { collect, raw: Arc::clone(&shared) })).cast();
        let (mut text, mut raw) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: by this function's contract; `finalize` frees the context, once.
        let made = unsafe {
            let length = name.len().cast_signed();
            let named = sys::napi_create_string_utf8(env, name.as_ptr().cast(), length, &mut text);
            if named == sys::Status::napi_ok {
                sys::napi_create_threadsafe_function(
                    env,
                    function,
                    ptr::null_mut(),
                    text,
                    0,
                    1,
                    context,
                    Some(finalize),
                    context,
                    Some(call_js),
                    &mut raw,
                )
            } else {
                named
            }
        };
        if made != sys::Status::napi_ok {
            // SAFETY: boxed above, and given to nobody.
            drop(unsafe { Box::from_raw(context.cast::<Context>()) });
            let reason = "no other thread can wake the event loop";
            return Err(napi::Error::new(napi::Status::from(made), reason));
        }
        // SAFETY: just made, on this thread.
        unsafe { sys::napi_unref_threadsafe_function(env, raw) };
        *shared.lock() = Some(Raw(raw));
        Ok(Self { raw: shared })
    }

    /// Has the function called, on its own thread. One that is going away has no use for the call.
    pub(crate) fn call(&self) {
        if let Some(Raw(raw)) = &*self.raw.lock() {
            let mode = sys::ThreadsafeFunctionCallMode::nonblocking;
            // SAFETY: under the lock, it is neither released nor freed.
            unsafe { sys::napi_call_threadsafe_function(*raw, ptr::null_mut(), mode) };
        }
    }

    /// The event loop has something to wait for.
    ///
    /// # Safety
    ///
    /// On the JavaScript thread, with its environment.
    pub(crate) unsafe fn hold(&self, env: sys::napi_env) {
        if let Some(Raw(raw)) = &*self.raw.lock() {
            // SAFETY: by this function's contract; as above.
            unsafe { sys::napi_ref_threadsafe_function(env, *raw) };
        }
    }

    /// Undoes `hold`.
    ///
    /// # Safety
    ///
    /// As for `hold`.
    pub(crate) unsafe fn release(&self, env: sys::napi_env) {
        if let Some(Raw(raw)) = &*self.raw.lock() {
            // SAFETY: by this function's contract; as above.
            unsafe { sys::napi_unref_threadsafe_function(env, *raw) };
        }
    }
}

impl Drop for WakeFunction {
    fn drop(&mut self) {
        let mut raw = self.raw.lock();
        if let Some(Raw(raw)) = raw.take() {
            let mode = sys::ThreadsafeFunctionReleaseMode::release;
            // SAFETY: not freed, and released once. `finalize` runs later, on the event loop.
            unsafe { sys::napi_release_threadsafe_function(raw, mode) };
        }
    }
}

/// An error that JavaScript threw with nobody to catch it: an uncaught exception.
///
/// # Safety
///
/// On the JavaScript thread, with its environment.
pub(crate) unsafe fn throw_uncaught(env: sys::napi_env) {
    let mut exception = ptr::null_mut();
    // SAFETY: by this function's contract.
    unsafe {
        sys::napi_get_and_clear_last_exception(env, &mut exception);
        sys::napi_fatal_exception(env, exception);
    }
}

unsafe extern "C" fn call_js(
    env: sys::napi_env,
    function: sys::napi_value,
    context: *mut c_void,
    _data: *mut c_void,
) {
    if env.is_null() || function.is_null() {
        return; // The environment ends.
    }
    // SAFETY: the context is the one of `WakeFunction::new`, which lives until `finalize`.
    let Context { collect, .. } = unsafe { &*context.cast::<Context>() };
    let collected = collect();
    let (mut this, mut result) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: Node-API calls on the JavaScript thread, with a scope for the values.
    unsafe {
        let Ok(argument) = Vec::to_napi_value(env, collected) else { return };
        sys::napi_get_undefined(env, &mut this);
        let status = sys::napi_call_function(env, this, function, 1, &argument, &mut result);
        if status == sys::Status::napi_pending_exception {
            throw_uncaught(env);
        }
    }
}

unsafe extern "C" fn finalize(_env: sys::napi_env, context: *mut c_void, _hint: *mut c_void) {
    // SAFETY: boxed by `WakeFunction::new`, and this is the last that is done with it.
    let Context { raw, .. } = *unsafe { Box::from_raw(context.cast::<Context>()) };
    *raw.lock() = None;
}
