//! A place in one ring's sequence of bytes.

/// A place in the endless sequence of bytes that passes through one ring; comparable only with
/// positions of the same ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub(crate) u64);

impl Position {
    /// The place that many bytes after the ring's first.
    pub fn new(bytes: u64) -> Self {
        Position(bytes)
    }

    /// Bytes since the ring was made.
    pub fn bytes(self) -> u64 {
        self.0
    }
}
