//! Secrets as values of environment variables.

use std::ffi::OsString;

use proto::{Key, Secret};

use crate::delivery::error::DeliveryError;

/// Limit of `NAME=value` with its terminating NUL: 32 pages on Linux (`MAX_ARG_STRLEN`, execve(2)); Windows counts
/// 32,767 characters (`SetEnvironmentVariable`).
#[cfg(not(windows))]
const MAX_VARIABLE: u64 = 128 << 10;
#[cfg(windows)]
const MAX_VARIABLE: u64 = 32_767;

/// Checks the length of a value, before it is fetched.
///
/// # Errors
/// [`DeliveryError::TooLongForVariable`].
pub(super) fn check_length(name: &str, key: &Key, length: u64) -> Result<(), DeliveryError> {
    let limit = MAX_VARIABLE.saturating_sub(name.len() as u64 + 2); // `=` and NUL
    if length > limit {
        return Err(DeliveryError::TooLongForVariable { key: key.clone(), length, limit });
    }
    Ok(())
}

/// The secret `key` as a variable's value.
///
/// # Errors
/// [`DeliveryError`] if no variable can hold it.
pub(super) fn value(key: &Key, value: &Secret) -> Result<OsString, DeliveryError> {
    if value.expose().contains(&0) {
        return Err(DeliveryError::NulInVariable { key: key.clone() });
    }
    os_string(key, value)
}

#[cfg(unix)]
fn os_string(_key: &Key, value: &Secret) -> Result<OsString, DeliveryError> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(OsString::from_vec(value.expose().to_vec()))
}

#[cfg(not(unix))]
fn os_string(key: &Key, value: &Secret) -> Result<OsString, DeliveryError> {
    match std::str::from_utf8(value.expose()) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(DeliveryError::NotTextForVariable { key: key.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_counts_toward_the_limit() {
        let key: Key = "k".parse().unwrap();
        let longest = MAX_VARIABLE - 5;
        assert!(check_length("VAR", &key, longest).is_ok());
        let refused = check_length("VAR", &key, longest + 1);
        assert!(matches!(refused, Err(DeliveryError::TooLongForVariable { .. })));
    }

    #[test]
    fn a_nul_byte_is_rejected() {
        let key: Key = "k".parse().unwrap();
        assert!(value(&key, &Secret::new(b"a\0".to_vec())).is_err());
        assert_eq!(value(&key, &Secret::new(b"a\n".to_vec())).unwrap(), "a\n");
    }
}
