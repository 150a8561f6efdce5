//! Passing descriptors over a Unix socket, together with the bytes that announce them.
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::os::offered::OFFERED;

/// Sends `bytes` with the descriptors attached to the first of them. Returns how many bytes were
/// taken; if none was, neither were the descriptors.
///
/// # Errors
/// The socket's, `WouldBlock` included. Never raises SIGPIPE.
pub fn send_with_descriptors(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>; OFFERED],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERED))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    debug_assert!(fits);
    retry(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL))
}

/// Bytes and descriptors that [`receive_with_descriptors`] received.
#[derive(Debug)]
pub struct ReceivedDescriptors {
    /// Bytes written to the buffer; zero at the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them, close-on-exec. None if there were too many: the kernel
    /// closed some of those, and the others are closed here.
    pub descriptors: Vec<OwnedFd>,
}

/// Receives bytes, and the descriptors attached to them if there are any. Dropping the result
/// closes the descriptors, as for a peer that attaches them where none belong.
///
/// # Errors
/// The socket's, `WouldBlock` included.
pub fn receive_with_descriptors(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<ReceivedDescriptors> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERED))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = retry(|| {
        let mut buffers = [IoSliceMut::new(buffer)];
        recvmsg(&socket, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        descriptors.clear();
    }
    Ok(ReceivedDescriptors { bytes: message.bytes, descriptors })
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
