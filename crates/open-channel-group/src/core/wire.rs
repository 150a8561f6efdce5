//! How values are written and read. All input is taken for hostile: no length is believed before
//! its bytes are there.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::FrameError;

/// A value that travels in frames.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut BytesMut);
    fn take(input: &mut Reader) -> Result<Self, FrameError>;
}

/// The rest of a message that is being read.
pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(message: Bytes) -> Self {
        Self(message)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, FrameError> {
        if self.0.is_empty() {
            return Err(FrameError::Short);
        }
        Ok(self.0.get_u8())
    }

    /// A byte string of at most `most` bytes, without copying it.
    pub(crate) fn bytes(&mut self, most: usize) -> Result<Bytes, FrameError> {
        let len = self.length()?;
        if len > most {
            return Err(FrameError::Invalid("length"));
        }
        Ok(self.0.split_to(len))
    }

    /// A length or count that is not beyond what is left: each piece has a byte at least.
    fn length(&mut self) -> Result<usize, FrameError> {
        let len = usize::try_from(u64::take(self)?).map_err(|_| FrameError::Short)?;
        if len > self.0.len() { Err(FrameError::Short) } else { Ok(len) }
    }

    /// The end of the message.
    pub(crate) fn finish(self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Trailing(self.0.len())) }
    }
}

impl Wire for u64 {
    fn put(&self, out: &mut BytesMut) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.put_u8(rest as u8);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = input.byte()?;
            if shift == 63 && byte > 1 {
                return Err(FrameError::Invalid("number"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // One number has one form.
                let padded = byte == 0 && shift > 0;
                return if padded { Err(FrameError::Invalid("number")) } else { Ok(value) };
            }
        }
        Err(FrameError::Invalid("number"))
    }
}

impl Wire for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(FrameError::Unknown { what: "truth", tag }),
        }
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut BytesMut) {
        u64::from(*self).put(out);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        Self::try_from(u64::take(input)?).map_err(|_| FrameError::Invalid("number"))
    }
}

impl Wire for i64 {
    fn put(&self, out: &mut BytesMut) {
        (((*self << 1) ^ (*self >> 63)) as u64).put(out);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        let folded = u64::take(input)?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

/// In whole microseconds; longer than 2^64 of them is as long as that.
impl Wire for Duration {
    fn put(&self, out: &mut BytesMut) {
        u64::try_from(self.as_micros()).unwrap_or(u64::MAX).put(out);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        Ok(Self::from_micros(u64::take(input)?))
    }
}

impl Wire for Bytes {
    fn put(&self, out: &mut BytesMut) {
        (self.len() as u64).put(out);
        out.extend_from_slice(self);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        input.bytes(usize::MAX)
    }
}

impl Wire for String {
    fn put(&self, out: &mut BytesMut) {
        (self.len() as u64).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        let bytes = input.bytes(usize::MAX)?;
        Self::from_utf8(bytes.into()).map_err(|_| FrameError::Invalid("text"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        match input.byte()? {
            0 => Ok(None),
            1 => Ok(Some(T::take(input)?)),
            tag => Err(FrameError::Unknown { what: "option", tag }),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut BytesMut) {
        (self.len() as u64).put(out);
        for value in self {
            value.put(out);
        }
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        // It grows with what is read: the count alone sets no memory aside.
        let count = input.length()?;
        let mut values = Self::new();
        for _ in 0..count {
            values.push(T::take(input)?);
        }
        Ok(values)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut BytesMut) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut Reader) -> Result<Self, FrameError> {
        Ok((A::take(input)?, B::take(input)?))
    }
}

/// A struct whose fields travel one after the other.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        impl $crate::core::wire::Wire for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                $(self.$field.put(out);)*
            }

            fn take(
                input: &mut $crate::core::wire::Reader,
            ) -> Result<Self, $crate::core::error::FrameError> {
                Ok(Self { $($field: $crate::core::wire::Wire::take(input)?,)* })
            }
        }
    };
}

/// An enum whose variants travel as a tag and their fields.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $tag:literal => $variant:ident
                    $({ $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? })?,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant $({ $($(#[$field_meta])* $field: $type,)* })?,)*
        }

        impl $crate::core::wire::Wire for $name {
            fn put(&self, out: &mut bytes::BytesMut) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        bytes::BufMut::put_u8(out, $tag);
                        $($($field.put(out);)*)?
                    })*
                }
            }

            fn take(
                input: &mut $crate::core::wire::Reader,
            ) -> Result<Self, $crate::core::error::FrameError> {
                match input.byte()? {
                    $($tag => Ok(Self::$variant $({
                        $($field: $crate::core::wire::Wire::take(input)?,)*
                    })?),)*
                    tag => Err($crate::core::error::FrameError::Unknown {
                        what: stringify!($name),
                        tag,
                    }),
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};
