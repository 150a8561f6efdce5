//! The place of a process in its code, for its killer: a word in a file that outlives it.

use std::fs::OpenOptions;
use std::path::Path;
use std::pin::pin;
use std::process::id;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The directory of these files. A process without this variable reports nothing.
pub(crate) const VARIABLE: &str = "OPEN_CHANNEL_TEST_WHEREABOUTS";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Place {
    /// Elsewhere, in the library's other threads or not running.
    Outside,
    /// Inside of a call that writes, reads in place or acknowledges.
    AtWork,
    /// Inside of a call that waits for a message, and reads it out.
    Waiting,
}

/// The reported place of a process.
pub(crate) struct Whereabouts(*mut AtomicU32);

// SAFETY: it is only ever used as a shared reference to an atomic.
unsafe impl Send for Whereabouts {}
// SAFETY: as above.
unsafe impl Sync for Whereabouts {}

impl Whereabouts {
    pub(crate) fn of(directory: &Path, process: u32) -> Self {
        let path = directory.join(process.to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
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

    pub(crate) fn place(&self) -> Place {
        let places = [Place::Outside, Place::AtWork, Place::Waiting];
        places[self.word().load(Ordering::Acquire) as usize]
    }
}

impl Drop for Whereabouts {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and nothing refers to it any more.
        unsafe { munmap(self.0.cast(), size_of::<AtomicU32>()) }.unwrap();
    }
}

/// This process waits in `call` while it is polled.
pub(crate) async fn wait<T>(call: impl Future<Output = T>) -> T {
    polled(Place::Waiting, call).await
}

/// This process is at work in `call` while it is polled.
pub(crate) async fn work<T>(call: impl Future<Output = T>) -> T {
    polled(Place::AtWork, call).await
}

/// The same of a call that is no future.
pub(crate) fn at_work<T>(call: impl FnOnce() -> T) -> T {
    during(Place::AtWork, call)
}

async fn polled<T>(place: Place, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    std::future::poll_fn(|cx| during(place, || call.as_mut().poll(cx))).await
}

fn during<T>(place: Place, call: impl FnOnce() -> T) -> T {
    static OWN: OnceLock<Option<Whereabouts>> = OnceLock::new();
    let own = OWN.get_or_init(|| Some(Whereabouts::of(std::env::var_os(VARIABLE)?.as_ref(), id())));
    let say = |place| {
        if let Some(own) = own {
            own.word().store(place as u32, Ordering::Release);
        }
    };
    say(place);
    let result = call();
    say(Place::Outside);
    result
}
