//! One value of a session: its types, and its bytes in ASP.NET's alternative serialisation
//! (facts §4.3).
//!
//! In: a type byte and bytes. Out: a [`Value`], and back. The surprising fact: text that the harness
//! generates has a length but no memory of its own, so that a hundred thousand simulated sessions
//! of 20 kB fit anywhere.

use super::item::DecodeError;
use crate::quantity::mix;
use std::rc::Rc;

/// One value of a session. What is large is behind one thin pointer, so that a value takes 16
/// bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `System.String`.
    Text(Text),
    /// `System.Int32`.
    Int32(i32),
    /// `System.Int64`.
    Int64(i64),
    /// `System.Boolean`.
    Boolean(bool),
    /// `System.Double`.
    Double(f64),
    /// A null reference.
    Null,
    /// Any other type, as it was read: type byte and bytes.
    Serialized(Rc<Vec<u8>>),
}

/// Text of a session: read from a store, or generated to a length.
#[derive(Debug, Clone)]
pub enum Text {
    /// Text as it was read.
    Owned(Rc<String>),
    /// The first `length` bytes of generated text; takes no memory of its own.
    Generated {
        /// Where the text comes from.
        pool: Rc<TextPool>,
        /// Length in bytes.
        length: u32,
    },
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Owned(Rc::new(text.to_owned()))
    }
}

impl Text {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Owned(text) => text.len(),
            Self::Generated { length, .. } => *length as usize,
        }
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Owned(text) => out.extend_from_slice(text.as_bytes()),
            Self::Generated { pool, length } => pool.write_to(*length as usize, out),
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |text: &Self| {
            let mut out = Vec::with_capacity(text.len());
            text.write_to(&mut out);
            out
        };
        self.len() == other.len() && bytes(self) == bytes(other)
    }
}

/// Generated text of a given compressibility; one for all sessions of a run.
pub struct TextPool {
    bytes: Vec<u8>,
}

impl std::fmt::Debug for TextPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextPool({} bytes)", self.bytes.len())
    }
}

impl TextPool {
    /// Bytes before the text repeats: twice Deflate's window, so that the repetition itself does
    /// not compress.
    const LENGTH: usize = 64 * 1024;
    /// Granularity at which compressible and random text alternate.
    const BLOCK: usize = 128;

    /// Text of which `compressibility` (0 to 1) is one repeated letter and the rest random
    /// characters of a 64-letter alphabet.
    #[must_use]
    pub fn new(seed: u64, compressibility: f64) -> Self {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let same = (Self::BLOCK as f64 * compressibility.clamp(0.0, 1.0)).round() as usize;
        let mut state = seed;
        let bytes = (0..Self::LENGTH)
            .map(|at| {
                state = mix(state);
                if at % Self::BLOCK < same {
                    b'x'
                } else {
                    LETTERS[state as usize & 63]
                }
            })
            .collect();
        Self { bytes }
    }

    fn write_to(&self, mut length: usize, out: &mut Vec<u8>) {
        while length > 0 {
            let part = length.min(self.bytes.len());
            out.extend_from_slice(&self.bytes[..part]);
            length -= part;
        }
    }
}
/// Type bytes of ASP.NET's alternative serialisation (facts §4.3).
mod kind {
    pub const STRING: u8 = 1;
    pub const INT32: u8 = 2;
    pub const BOOLEAN: u8 = 3;
    pub const DOUBLE: u8 = 9;
    pub const INT64: u8 = 12;
    pub const NULL: u8 = 21;
}

impl Value {
    /// Writes the type byte and the value (facts §4.3).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                out.push(kind::STRING);
                write_text(text.len(), out, |out| text.write_to(out));
            }
            Self::Int32(number) => {
                out.push(kind::INT32);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Int64(number) => {
                out.push(kind::INT64);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Boolean(truth) => out.extend_from_slice(&[kind::BOOLEAN, u8::from(*truth)]),
            Self::Double(number) => {
                out.push(kind::DOUBLE);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Null => out.push(kind::NULL),
            Self::Serialized(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Reads a type byte and a value.
    ///
    /// # Errors
    /// The bytes are not one value.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        Ok(match input.u8()? {
            kind::STRING => Self::Text(input.text()?.into()),
            kind::INT32 => Self::Int32(i32::from_le_bytes(input.array()?)),
            kind::INT64 => Self::Int64(i64::from_le_bytes(input.array()?)),
            kind::BOOLEAN => Self::Boolean(input.u8()? != 0),
            kind::DOUBLE => Self::Double(f64::from_le_bytes(input.array()?)),
            kind::NULL => Self::Null,
            unknown @ (0 | 22..) => return Err(DecodeError::UnknownType(unknown)),
            _ => Self::Serialized(Rc::new(bytes.to_vec())),
        })
    }

    /// Bytes that the value takes at the most, for reserving memory.
    pub fn encoded_length(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 6,
            Self::Serialized(bytes) => bytes.len(),
            _ => 9,
        }
    }
}
/// Writes a length in groups of seven bits, then the text (`BinaryWriter.Write(string)`).
pub(super) fn write_text(length: usize, out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    text(out);
}
/// Bytes that are still to be read.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::CutShort)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::CutShort)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let mut length = 0usize;
        for group in 0..5 {
            let byte = self.u8()?;
            length |= usize::from(byte & 0x7F) << (7 * group);
            if byte < 0x80 {
                return std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::NotUtf8);
            }
        }
        Err(DecodeError::CutShort)
    }
}
