//! Strict CBOR: a value has exactly one encoding (RFC 8949, 4.2.1), and nothing may follow it.
//!
//! minicbor reads leniently (long integers, extra items), so what was read is written again and compared.

use minicbor::Encoder;
use minicbor::decode::{Decoder, Error as Lenient};
use minicbor::encode::Write;

use crate::error::WireError;

/// Something with one CBOR encoding.
pub(crate) trait Canonical<'b>: Sized {
    /// What it is called in errors.
    const NAME: &'static str;

    /// Reads the outer shape; limits and alphabets are checked here, canonical form by [`decode`].
    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable>;

    /// Writes it in its one form.
    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W>;
}

/// Fails only if the writer does.
pub(crate) type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

/// Why [`Canonical::read`] stopped.
pub(crate) enum Unreadable {
    /// Not the expected CBOR.
    Shape,
    /// A limit or alphabet; kept as it is.
    Refused(WireError),
}

impl From<Lenient> for Unreadable {
    fn from(_: Lenient) -> Self {
        Self::Shape
    }
}

impl From<WireError> for Unreadable {
    fn from(error: WireError) -> Self {
        Self::Refused(error)
    }
}

/// `value` as bytes.
pub(crate) fn encode<'b>(value: &impl Canonical<'b>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Memory takes everything.
    let _: Written<&mut Vec<u8>> = value.write(&mut Encoder::new(&mut bytes));
    bytes
}

/// The value that `bytes` are, all of them.
pub(crate) fn decode<'b, T: Canonical<'b>>(bytes: &'b [u8]) -> Result<T, WireError> {
    let value = T::read(&mut Decoder::new(bytes)).map_err(|unreadable| match unreadable {
        Unreadable::Shape => WireError::NotCanonical(T::NAME),
        Unreadable::Refused(error) => error,
    })?;
    let mut same = Same(bytes);
    match value.write(&mut Encoder::new(&mut same)) {
        Ok(()) if same.0.is_empty() => Ok(value),
        Ok(()) | Err(_) => Err(WireError::NotCanonical(T::NAME)),
    }
}

/// Takes only what is expected, and keeps no copy of it: a secret's chunk would leave one behind.
struct Same<'b>(&'b [u8]);

/// Something else was written than was expected.
struct Differs;

impl Write for Same<'_> {
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
