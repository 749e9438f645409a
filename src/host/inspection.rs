//! Warnings about secrets, when their sources are read.

use leaks::TextEncoding;
use proto::{Key, Secret};
use tracing::warn;

/// Warns of what is likely a mistake in `secret`, and of what `exec` and `scan` cannot do for it.
pub(crate) fn inspect(key: &Key, secret: &Secret) {
    warn_of_encoding(key, secret);
    if let Some(gap) = leaks::gap(secret, true, true) {
        warn!("secret {key} {gap}");
    }
}

/// Warns of a byte order mark and of UTF-16: builds get the bytes as they are, and few programs expect them.
pub(crate) fn warn_of_encoding(key: &Key, secret: &Secret) {
    match TextEncoding::of(secret) {
        None => {}
        Some(TextEncoding::Utf8WithMark) => warn!(
            "secret {key} begins with a UTF-8 byte order mark, which builds get too; save it as UTF-8 without one \
             (PowerShell: Set-Content -Encoding ascii, or utf8NoBOM from version 6 on)"
        ),
        Some(TextEncoding::Utf16) => warn!(
            "secret {key} is text in UTF-16, as > of Windows PowerShell writes it, and builds get it so; save it as UTF-8 \
             (PowerShell: Set-Content -Encoding ascii, or utf8NoBOM from version 6 on)"
        ),
    }
}
