//! Whether a process is inside a call of the library, for those who kill it: a word in a file that outlives it.

use std::fs::OpenOptions;
use std::path::Path;
use std::pin::pin;
use std::process::id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The directory of these files. A process without this variable tells nobody.
pub(crate) const VARIABLE: &str = "OPEN_CHANNEL_TEST_WHEREABOUTS";

/// What a process says of itself.
pub(crate) struct Whereabouts(*mut AtomicU32);

// SAFETY: it is only ever used as a shared reference to an atomic.
unsafe impl Send for Whereabouts {}
// SAFETY: as above.
unsafe impl Sync for Whereabouts {}

impl Whereabouts {
    pub(crate) fn of(directory: &Path, process: u32) -> Self {
        let path = directory.join(process.to_string());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(size_of::<AtomicU32>() as u64).unwrap();
        let (len, access) = (size_of::<AtomicU32>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping, of a file that nobody makes shorter.
        let word = unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, &file, 0) };
        Self(word.unwrap().cast())
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: mapped until `self` is dropped, and aligned to a page.
        unsafe { &*self.0 }
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.word().load(Ordering::Acquire) != 0
    }
}

impl Drop for Whereabouts {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and nothing refers to it any more.
        unsafe { munmap(self.0.cast(), size_of::<AtomicU32>()) }.unwrap();
    }
}

/// This process is inside while `call` runs, and not while it waits.
pub(crate) async fn inside<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    std::future::poll_fn(|cx| during(|| call.as_mut().poll(cx))).await
}

/// [`inside`], for a call that does not wait.
pub(crate) fn during<T>(call: impl FnOnce() -> T) -> T {
    static OWN: OnceLock<Option<Whereabouts>> = OnceLock::new();
    let own = OWN.get_or_init(|| Some(Whereabouts::of(std::env::var_os(VARIABLE)?.as_ref(), id())));
    let say = |inside| {
        if let Some(own) = own {
            own.word().store(inside, Ordering::Release);
        }
    };
    say(1);
    let result = call();
    say(0);
    result
}
