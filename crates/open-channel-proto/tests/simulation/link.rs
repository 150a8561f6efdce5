//! Links of the simulated world: two pipes of bytes that delay, tear, and report their ends at
//! different times.

use bytes::BytesMut;

use crate::store::Store;

/// One direction of a link.
#[derive(Default)]
pub struct Pipe {
    bytes: BytesMut,
    /// All that is written from now on is lost; bytes in the pipe already still arrive.
    severed: bool,
    /// Nothing comes out before this step, not even the news of the end.
    stalled_until: u64,
}

impl Pipe {
    pub fn write(&mut self, bytes: &[u8]) {
        if !self.severed {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub fn read(&mut self, now: u64, most: usize) -> BytesMut {
        if now < self.stalled_until {
            return BytesMut::new();
        }
        let take = most.min(self.bytes.len());
        self.bytes.split_to(take)
    }

    /// Whether the reader has reached the end of a broken pipe.
    pub fn is_at_end(&self, now: u64) -> bool {
        self.severed && self.bytes.is_empty() && now >= self.stalled_until
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn sever(&mut self) {
        self.severed = true;
    }

    /// Breaks so that only the first `arriving` bytes under way arrive.
    pub fn tear(&mut self, arriving: usize) {
        self.bytes.truncate(arriving);
        self.severed = true;
    }

    pub fn stall(&mut self, until: u64) {
        self.stalled_until = until;
    }
}

/// A connection between a socket and a host.
pub struct Link {
    pub socket: usize,
    pub host: usize,
    pub up: Pipe,
    pub down: Pipe,
    /// Both sides' memory, which outlives the pipes: offered with the hello, used when the welcome
    /// says so.
    pub rings: Option<Rings>,
}

/// The two stores of a link.
pub struct Rings {
    pub up: Store,
    pub down: Store,
}

impl Link {
    pub fn new(socket: usize, host: usize) -> Self {
        Self { socket, host, up: Pipe::default(), down: Pipe::default(), rings: None }
    }

    /// Ends in order: what was written arrives.
    pub fn hang_up(&mut self) {
        self.up.sever();
        self.down.sever();
    }
}
