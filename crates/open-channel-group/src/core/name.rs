//! Names of locks, queues, services and keys.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;

use super::error::{FrameError, Refused};
use super::limits::MAX_NAME;
use super::wire::{Reader, Wire};

/// A name: any text of 1 to [`MAX_NAME`] bytes. Clones share it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// A name.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(text: &str) -> Result<Self, Refused> {
        if text.is_empty() || text.len() > MAX_NAME {
            return Err(Refused::InvalidName { len: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for Name {
    fn put(&self, out: &mut BytesMut) {
        (self.0.len() as u64).put(out);
        out.extend_from_slice(self.0.as_bytes());
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        let bytes = input.bytes(MAX_NAME)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| FrameError::Invalid("name"))?;
        Self::new(text).map_err(|_| FrameError::Invalid("name"))
    }
}
