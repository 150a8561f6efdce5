//! Processes of a Windows system: what they could pass to each other are handles, and they do not
//! fork.
use std::io;
use std::os::windows::io::{BorrowedHandle, OwnedHandle};

/// A handle that one process can pass to another.
pub type Descriptor = OwnedHandle;
/// A [`Descriptor`] that somebody else owns.
pub type BorrowedDescriptor<'a> = BorrowedHandle<'a>;

/// Nothing to do: no process is forked here.
pub(crate) fn run_in_forked_children(_handler: extern "C" fn()) -> io::Result<()> {
    Ok(())
}
