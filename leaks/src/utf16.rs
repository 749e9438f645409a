//! UTF-16, as PowerShell's `>` and many programs of Windows write it.

use zeroize::Zeroizing;

use crate::spelling::Steps;

/// `text` in UTF-16, little-endian.
pub(crate) fn little_endian(text: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
    bytes
}

/// `text` in UTF-16, big-endian.
pub(crate) fn big_endian(text: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_be_bytes()));
    bytes
}

/// Adds the position after the unit `value[at..at + 2]` at `input[from..]`. Before a line end (`newline`), there may be a
/// `carriage_return`.
pub(crate) fn steps(
    value: &[u8],
    at: usize,
    input: &[u8],
    from: usize,
    carriage_return: &[u8],
    newline: &[u8],
    out: &mut Steps,
) {
    let Some(unit) = value.get(at..at + 2) else { return };
    let rest = input.get(from..).unwrap_or_default();
    if rest.starts_with(unit) {
        out.push(at + 2, from + 2, 0);
    } else if unit == newline && rest.get(..2) == Some(carriage_return) && rest.get(2..4) == Some(newline) {
        out.push(at + 2, from + 4, 0);
    }
    let open = |expected: &[u8]| rest.len() < expected.len() && expected.starts_with(rest);
    out.more |= open(unit)
        || (unit == newline
            && rest.len() < 4
            && open(carriage_return) | (rest.get(..2) == Some(carriage_return)));
}
