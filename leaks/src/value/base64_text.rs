//! Base64 inside secrets, decoded leniently.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::limits::MASK_MIN;

/// Standard alphabet, with or without padding.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The text in `value`; `None` if it is not base64 of printable text.
pub(super) fn decode(value: &str) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(LENIENT.decode(value).ok()?);
    let text = Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned());
    // Random characters decode to text now and then, but not to text of this length without a control.
    let printable = text.len() >= MASK_MIN && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    printable.then_some(text)
}
