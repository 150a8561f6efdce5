//! libuv's functions, as the program that loaded the addon exports them.
//!
//! Node exports libuv to its addons. Other runtimes load addons, too, and export less of it: an
//! addon that links against what is missing does not load there. So nothing is linked. All
//! functions are looked up at once, and where one is missing nobody uses any.
//!
//! A function that is there need not work: Bun exports some that end the process when called.
//! JavaScript knows the runtime by name, and asks for no event loop there.

use std::{
    ffi::{c_int, c_void},
    sync::OnceLock,
};

// Where the exports of the program are found. Windows has its own of the same shape.
use libloading::os::unix::Library;

pub(crate) type HandleCallback = unsafe extern "C" fn(*mut c_void);
pub(crate) type PollCallback = unsafe extern "C" fn(*mut c_void, c_int, c_int);

macro_rules! functions {
    ($(fn $name:ident = $symbol:literal ($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions that this addon calls, each as libuv documents it.
        pub(crate) struct Libuv {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)+
        }

        impl Libuv {
            fn find() -> Option<Self> {
                let program = Library::this();
                Some(Self {
                    // SAFETY: under this name libuv's stable interface has a function of this type.
                    $($name: *unsafe { program.get($symbol) }.ok()?,)+
                })
            }
        }
    };
}

functions! {
    fn handle_size = b"uv_handle_size\0" (c_int) -> usize;
    fn handle_set_data = b"uv_handle_set_data\0" (*mut c_void, *mut c_void);
    fn handle_get_data = b"uv_handle_get_data\0" (*const c_void) -> *mut c_void;
    fn unref = b"uv_unref\0" (*mut c_void);
    fn close = b"uv_close\0" (*mut c_void, Option<HandleCallback>);
    fn poll_init = b"uv_poll_init\0" (*mut c_void, *mut c_void, c_int) -> c_int;
    fn poll_start = b"uv_poll_start\0" (*mut c_void, c_int, PollCallback) -> c_int;
    fn poll_stop = b"uv_poll_stop\0" (*mut c_void) -> c_int;
    fn idle_init = b"uv_idle_init\0" (*mut c_void, *mut c_void) -> c_int;
    fn idle_start = b"uv_idle_start\0" (*mut c_void, HandleCallback) -> c_int;
    fn idle_stop = b"uv_idle_stop\0" (*mut c_void) -> c_int;
    fn prepare_init = b"uv_prepare_init\0" (*mut c_void, *mut c_void) -> c_int;
    fn prepare_start = b"uv_prepare_start\0" (*mut c_void, HandleCallback) -> c_int;
    fn prepare_stop = b"uv_prepare_stop\0" (*mut c_void) -> c_int;
    fn backend_fd = b"uv_backend_fd\0" (*const c_void) -> c_int;
    fn backend_timeout = b"uv_backend_timeout\0" (*const c_void) -> c_int;
}

impl Libuv {
    /// `None` where the program has no libuv, or not all of it.
    pub(crate) fn get() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Libuv>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref()
    }
}
