//! Strict CBOR: a value has exactly one encoding (RFC 8949, 4.2.1), and nothing may follow it.
//!
//! minicbor reads leniently (long integers, extra items), so [`decode`] encodes the value again and compares.

use minicbor::Encoder;
use minicbor::decode::{Decoder, Error as Lenient};
use minicbor::encode::Write;

use crate::error::WireError;

/// A type with exactly one valid CBOR encoding.
pub(crate) trait Canonical<'b>: Sized {
    /// With an article, for errors.
    const NAME: &'static str;

    /// Checks shape, limits and alphabets; [`decode`] checks that the encoding is canonical.
    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable>;

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W>;
}

/// Fails only if the writer does.
pub(crate) type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

/// Why [`Canonical::read`] stopped.
pub(crate) enum Unreadable {
    /// Not the expected CBOR.
    Shape,
    /// Over a limit, or outside an alphabet.
    Invalid(WireError),
}

impl From<Lenient> for Unreadable {
    fn from(_: Lenient) -> Self {
        Self::Shape
    }
}

impl From<WireError> for Unreadable {
    fn from(error: WireError) -> Self {
        Self::Invalid(error)
    }
}

pub(crate) fn encode<'b>(value: &impl Canonical<'b>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _: Written<&mut Vec<u8>> = value.write(&mut Encoder::new(&mut bytes));
    bytes
}

/// Decodes `bytes` as one value, to the last byte.
pub(crate) fn decode<'b, T: Canonical<'b>>(bytes: &'b [u8]) -> Result<T, WireError> {
    let value = T::read(&mut Decoder::new(bytes)).map_err(|unreadable| match unreadable {
        Unreadable::Shape => WireError::NotCanonical(T::NAME),
        Unreadable::Invalid(error) => error,
    })?;
    let mut comparison = Comparison(bytes);
    match value.write(&mut Encoder::new(&mut comparison)) {
        Ok(()) if comparison.0.is_empty() => Ok(value),
        Ok(()) | Err(_) => Err(WireError::NotCanonical(T::NAME)),
    }
}

/// A writer that compares instead of storing: a copy of a secret's chunk would stay in memory.
struct Comparison<'b>(&'b [u8]);

/// The written bytes are not the expected ones.
struct Differs;

impl Write for Comparison<'_> {
    type Error = Differs;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(written).ok_or(Differs)?;
        Ok(())
    }
}

/// The length of the array that follows; indefinite lengths are refused.
pub(crate) fn array(decoder: &mut Decoder<'_>) -> Result<u64, Unreadable> {
    decoder.array()?.ok_or(Unreadable::Shape)
}

/// An array of at most `limit` items, each read by `item`.
pub(crate) fn list<'b, T>(
    decoder: &mut Decoder<'b>,
    (what, limit): (&'static str, usize),
    mut item: impl FnMut(&mut Decoder<'b>) -> Result<T, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    let count = array(decoder)?;
    if count > limit as u64 {
        return Err(WireError::OverLimit { what, limit: limit as u64 }.into());
    }
    // Not reserved in advance: the count is the peer's claim.
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(decoder)?);
    }
    Ok(items)
}
