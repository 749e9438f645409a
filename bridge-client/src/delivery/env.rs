//! `-e`: secrets in COMMAND's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

use proto::{Key, KeyForm, Secret};
use tracing::warn;

use crate::error::DeliveryError;
use crate::fetch::Delivery;

/// Longest `NAME=value` with its closing NUL: 32 pages on Linux (`MAX_ARG_STRLEN`, execve(2)); Windows counts
/// 32,767 characters (`SetEnvironmentVariable`).
#[cfg(not(windows))]
const MAX_VARIABLE: u64 = 128 << 10;
#[cfg(windows)]
const MAX_VARIABLE: u64 = 32_767;

/// One `-e VAR=KEY`.
#[derive(Debug, Clone)]
pub struct EnvWish {
    /// The variable.
    pub variable: String,
    /// Which secret, in which form.
    pub form: KeyForm,
}

/// Collects the secrets that variables want; a secret that several want travels once.
pub(crate) struct Environment<'a> {
    wishes: &'a [EnvWish],
    keys: Vec<Key>,
    values: Vec<Vec<u8>>,
}

impl<'a> Environment<'a> {
    pub(crate) fn new(wishes: &'a [EnvWish]) -> Self {
        let mut seen = BTreeMap::new();
        let keys = wishes.iter().map(|wish| &wish.form.key);
        let keys: Vec<Key> = keys.filter(|key| seen.insert((*key).clone(), ()).is_none()).cloned().collect();
        let values = keys.iter().map(|_| Vec::new()).collect();
        Self { wishes, keys, values }
    }

    /// What to fetch.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys.clone()
    }

    /// The variables with their values.
    ///
    /// # Errors
    /// [`DeliveryError`] if a value cannot be a variable's.
    pub(crate) fn finish(self) -> Result<Vec<(String, OsString)>, DeliveryError> {
        let secrets: BTreeMap<Key, Secret> =
            self.keys.into_iter().zip(self.values.into_iter().map(Secret::new)).collect();
        let mut variables = Vec::with_capacity(self.wishes.len());
        for EnvWish { variable, form } in self.wishes {
            let bytes = secrets.get(&form.key).map(Secret::expose).unwrap_or_default();
            let value = form.encoding.encode(Secret::new(bytes.to_vec()));
            if value.expose().contains(&0) {
                return Err(DeliveryError::NulInVariable { key: form.key.clone() });
            }
            if value.expose().ends_with(b"\n") {
                warn!("the value of {variable} ends with a line end (`trim` at its source takes it off)");
            }
            variables.push((variable.clone(), os_string(&form.key, &value)?));
        }
        Ok(variables)
    }
}

impl Delivery for Environment<'_> {
    fn begin(&mut self, index: usize, length: u64) -> Result<(), DeliveryError> {
        let Some(key) = self.keys.get(index) else { return Ok(()) };
        for EnvWish { variable, form } in self.wishes.iter().filter(|wish| wish.form.key == *key) {
            let length = form.encoding.encoded_len(length);
            let limit = MAX_VARIABLE.saturating_sub(variable.len() as u64 + 2); // `=` and NUL
            if length > limit {
                return Err(DeliveryError::TooLongForVariable { key: key.clone(), length, limit });
            }
        }
        if let (Some(value), Ok(length)) = (self.values.get_mut(index), usize::try_from(length)) {
            // At once, so that growing leaves no copies behind.
            value.reserve_exact(length);
        }
        Ok(())
    }

    fn chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), DeliveryError> {
        if let Some(value) = self.values.get_mut(index) {
            value.extend_from_slice(bytes);
        }
        Ok(())
    }
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

    fn wish(variable: &str, form: &str) -> EnvWish {
        EnvWish { variable: variable.into(), form: form.parse().unwrap() }
    }

    #[test]
    fn a_secret_that_two_variables_want_travels_once() {
        let wishes = [wish("A", "k"), wish("B", "b64:k")];
        let mut environment = Environment::new(&wishes);
        assert_eq!(environment.keys().len(), 1);
        environment.begin(0, 2).unwrap();
        environment.chunk(0, b"hi").unwrap();
        let variables = environment.finish().unwrap();
        assert_eq!(
            variables,
            [("A".to_owned(), OsString::from("hi")), ("B".to_owned(), OsString::from("aGk="))]
        );
    }

    #[test]
    fn the_limit_is_judged_from_the_announced_length_in_the_form_asked_for() {
        let wishes = [wish("VAR", "k")];
        let longest = MAX_VARIABLE - 5;
        assert!(Environment::new(&wishes).begin(0, longest).is_ok());
        assert!(matches!(
            Environment::new(&wishes).begin(0, longest + 1),
            Err(DeliveryError::TooLongForVariable { .. })
        ));
        let wishes = [wish("VAR", "b64:k")];
        assert!(Environment::new(&wishes).begin(0, longest).is_err());
    }

    #[test]
    fn nul_is_refused_unless_it_is_encoded() {
        for (form, fits) in [("k", false), ("b64:k", true)] {
            let wishes = [wish("A", form)];
            let mut environment = Environment::new(&wishes);
            environment.begin(0, 1).unwrap();
            environment.chunk(0, &[0]).unwrap();
            assert_eq!(environment.finish().is_ok(), fits);
        }
    }
}
