//! Processes of a system that is no Unix: they pass no descriptors, and they do not fork.
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

/// A descriptor that one process can pass to another: there is none yet.
pub type Descriptor = Infallible;
/// A [`Descriptor`] that somebody else owns.
pub type BorrowedDescriptor<'a> = (Infallible, PhantomData<&'a ()>);

/// Nothing to do: no process is forked here.
pub(crate) fn run_in_forked_children(_handler: extern "C" fn()) -> io::Result<()> {
    Ok(())
}
