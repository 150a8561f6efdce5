//! Shared memory without a name: making it, checking what was offered, mapping it.
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

use super::header;
use crate::atomics::AtomicU64;
use crate::error::AttachError;
use crate::layout::Layout;
use crate::process::{COMMITTED, Process};
use crate::region::Region;

/// Without these seals the other side could cut the memory short, and touching it would be a
/// SIGBUS.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
/// The magic number that `statfs` gives for a memfd. A memfd of huge pages, whose pages can fail
/// when they are touched, says another.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// A new memfd of the size that `layout` asks for: sealed, its header written. Its pages come as
/// they are touched, so that a quiet ring takes little memory. Where the kernel could refuse them
/// later, all of them come now.
pub(crate) fn create(layout: Layout) -> io::Result<(OwnedFd, Mapped)> {
    let bytes = layout.total_bytes();
    // To the kernel this is a file, and a file beyond the limit is a deadly signal.
    if getrlimit(Resource::Fsize).current.is_some_and(|most| most < bytes as u64) {
        return Err(rustix::io::Errno::FBIG.into());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = c"open-channel";
    let fd = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, flags)?,
        result => result?,
    };
    rustix::fs::ftruncate(&fd, bytes as u64)?;
    if commits_at_once() {
        // Here the caller still has a socket. Later a refused page would be a deadly signal.
        rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, bytes as u64)?;
    }
    rustix::fs::fcntl_add_seals(&fd, SEALS)?;
    let mapped = Mapped::new(&fd, layout)?;
    header::write(mapped.words(), layout);
    Ok((fd, mapped))
}

/// Whether the memory of a ring is committed when it is made, all of it.
///
/// It is where the first touch of a memfd's page can fail: where the kernel counts strictly what it
/// has promised: mode 2 of `vm.overcommit_memory`, proc_sys_vm(5). A mode that cannot be read is
/// taken for that one. (The killer of processes that are out of memory is another matter.)
pub fn commits_at_once() -> bool {
    static STRICT: OnceLock<bool> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
    *STRICT.get_or_init(|| read().map_or(true, |mode| mode.trim() == "2"))
}

/// Maps memory that another process offers, if it is safe to touch and of the agreed layout.
pub(crate) fn attach(fd: &OwnedFd, layout: Layout) -> Result<Mapped, AttachError> {
    // Anything but a memfd (or a file on tmpfs, which cannot be sealed) fails here.
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| AttachError::NotMemory)?;
    if rustix::fs::fstatfs(fd)?.f_type as u64 != TMPFS_MAGIC {
        return Err(AttachError::NotMemory);
    }
    if !seals.contains(SEALS) {
        return Err(AttachError::NotSealed);
    }
    // Only after the seals were checked: from here on the size cannot change.
    let (expected, got) = (layout.total_bytes() as u64, rustix::fs::fstat(fd)?.st_size as u64);
    if got != expected {
        return Err(AttachError::Size { expected, got });
    }
    let mapped = Mapped::new(fd, layout)?;
    header::check(mapped.words(), layout)?;
    Ok(mapped)
}

/// The memory of a ring between two processes, unmapped when the last handle is dropped.
#[derive(Clone)]
pub struct Mapped {
    words: NonNull<AtomicU64>,
    len: usize,
    mapping: Arc<Mapping>,
}

struct Mapping {
    start: NonNull<AtomicU64>,
    bytes: usize,
    committed: AtomicUsize,
    process: Process,
}

// SAFETY: the handle owns nothing that belongs to one thread; the memory is only used as atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above; a `&[AtomicU64]` may be used from any thread.
unsafe impl Sync for Mapped {}
// SAFETY: a mapping may be unmapped from any thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` offers nothing.
unsafe impl Sync for Mapping {}

impl Mapped {
    fn new(fd: impl AsFd, layout: Layout) -> io::Result<Mapped> {
        let (bytes, committed) = (layout.total_bytes(), layout.committed_bytes());
        // SAFETY: a fresh mapping at an address the kernel chooses aliases no Rust memory. The file
        // is at least `bytes` long and sealed against shrinking, so its pages stay accessible.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, 0)?
        };
        let start = NonNull::new(start.cast::<AtomicU64>()).ok_or(io::ErrorKind::Other)?;
        COMMITTED.fetch_add(committed, Ordering::Relaxed);
        let committed = AtomicUsize::new(committed);
        let mapping = Arc::new(Mapping { start, bytes, committed, process: Process::current() });
        Ok(Mapped { words: start, len: bytes / 8, mapping })
    }
}

impl Region for Mapped {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        debug_assert_eq!(self.words, self.mapping.start);
        // SAFETY: the mapping is page-aligned, `len` words long, readable and writable, initialised
        // (zero pages), and lives as long as `self.mapping`, which `&self` borrows. Every bit
        // pattern is a valid `u64`, and an `AtomicU64` may change behind a shared reference, which
        // is all that other processes can make it do.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    fn commit(&self, bytes: usize) {
        self.mapping.committed.fetch_add(bytes, Ordering::Relaxed);
        COMMITTED.fetch_add(bytes, Ordering::Relaxed);
    }

    fn discard(&self, words: Range<usize>, bytes: usize) -> bool {
        let page = rustix::param::page_size();
        let from = (words.start * 8).next_multiple_of(page);
        let to = words.end.min(self.len) * 8 / page * page;
        if from < to {
            // SAFETY: the pages lie in this mapping, of which nobody has a reference but to
            // atomics. To them the other words are zeros that somebody stored.
            let given_back = unsafe {
                let start = self.words.as_ptr().cast::<u8>().add(from);
                rustix::mm::madvise(start.cast(), to - from, Advice::LinuxRemove)
            };
            if given_back.is_err() {
                return false;
            }
        }
        self.mapping.committed.fetch_sub(bytes, Ordering::Relaxed);
        COMMITTED.fetch_sub(bytes, Ordering::Relaxed);
        true
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `Mapped::new` with this start and length, and no handle is left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok());
        if self.process.is_current() {
            COMMITTED.fetch_sub(*self.committed.get_mut(), Ordering::Relaxed);
        }
    }
}
