//! Processes of a Unix: they have descriptors, and they fork.
use std::io;

/// A descriptor that one process can pass to another.
pub type Descriptor = std::os::fd::OwnedFd;
/// A [`Descriptor`] that somebody else owns.
pub type BorrowedDescriptor<'a> = std::os::fd::BorrowedFd<'a>;

/// From here on `handler` runs in each forked child, before `fork(3)` returns there. Only
/// async-signal-safe work is allowed in it.
///
/// # Errors
/// No memory for the registration.
pub(crate) fn run_in_forked_children(handler: extern "C" fn()) -> io::Result<()> {
    let handler: unsafe extern "C" fn() = handler;
    // SAFETY: a function lives as long as the program, and this one has the type that is asked for.
    match unsafe { libc::pthread_atfork(None, None, Some(handler)) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
