//! The body of a frame, field by field.

use crate::error::FrameError;
use crate::text::{clip_to, printable};

/// Longest reason in a frame, in bytes.
const MAX_REASON: usize = 512;

/// The longest prefix of `reason` that fits a frame.
pub(crate) fn clip(reason: &str) -> &str {
    clip_to(reason, MAX_REASON)
}

/// A frame's body while it is read.
pub(crate) struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that were not read.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All bytes that were not read.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Malformed(what))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.take::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, FrameError> {
        self.take(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, FrameError> {
        self.take(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, FrameError> {
        self.take(what).map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, FrameError> {
        self.take(what).map(u128::from_le_bytes)
    }

    /// Text for people, fit for a terminal.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, FrameError> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.len() > MAX_REASON {
            return Err(FrameError::Malformed(what));
        }
        Ok(printable(&String::from_utf8_lossy(bytes)))
    }
    /// Text for people behind its length, fit for a terminal.
    pub(crate) fn short_text(
        &mut self,
        most: usize,
        what: &'static str,
    ) -> Result<String, FrameError> {
        let len = usize::from(self.u16(what)?);
        if len > most {
            return Err(FrameError::Malformed(what));
        }
        let (text, rest) = self.0.split_at_checked(len).ok_or(FrameError::Malformed(what))?;
        self.0 = rest;
        Ok(printable(&String::from_utf8_lossy(text)))
    }
}
