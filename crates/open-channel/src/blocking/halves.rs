//! The two halves of a socket, for different threads.

use std::ops::Deref;
use std::sync::Arc;

use super::Socket;

/// The sending half of a [`Socket`]. Dropping it ends that direction like [`finish`](Socket::finish).
#[derive(Debug)]
pub struct SendHalf {
    socket: Arc<Socket>,
}

/// The receiving half of a [`Socket`].
#[derive(Debug)]
pub struct RecvHalf {
    socket: Arc<Socket>,
}

impl Socket {
    /// Two halves for different threads. Dropping the sending half ends that direction like [`finish`](Self::finish).
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let socket = Arc::new(self);
        (SendHalf { socket: Arc::clone(&socket) }, RecvHalf { socket })
    }
}

impl Deref for SendHalf {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A socket that is over has ended already.
            let _ = self.socket.finish();
        }
    }
}

impl Deref for RecvHalf {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}
