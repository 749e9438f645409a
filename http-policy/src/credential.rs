//! The credential: how it is added to a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_message::RequestHead;
use proto::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::auth::Auth;
use crate::fields::same_name;
use crate::rule::{Own, Rule};

/// Longest value of a credential, in bytes. Most servers take header fields of up to 8 KiB.
pub const MAX_CREDENTIAL: usize = 16 << 10;

/// Why a value cannot be used as a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CredentialError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_CREDENTIAL} bytes")]
    Long,
    #[error("it has a line end, another control character or a character that is not ASCII")]
    Characters,
    #[error("auth=basic needs a user: write USER@HOST, or USER:PASSWORD as the value")]
    NoUser,
}

impl Rule {
    /// Adds the credential to a request that this rule permits, in place of what the tool sent; call it last. Returns
    /// whether it was added: with [`Own::Keep`], not to a request with a credential of its own.
    ///
    /// # Errors
    /// [`CredentialError`], if the value cannot stand in the header field.
    pub fn authorize(&self, head: &mut RequestHead, secret: &Secret) -> Result<bool, CredentialError> {
        let auth = self.auth();
        let (name, value) = (auth.header(), header_value(&auth, secret)?);
        let is_own = |field: &str| field.eq_ignore_ascii_case("Authorization") || same_name(field, name);
        if self.own == Own::Keep && head.headers.iter().any(|header| is_own(&header.name)) {
            return Ok(false);
        }
        head.headers.retain(|header| !is_own(&header.name));
        head.headers.push(name, value.as_slice());
        Ok(true)
    }
}

/// The value of the header field with the credential.
pub(crate) fn header_value(auth: &Auth, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let value = value_of(secret)?;
    let is_printed = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match auth {
        // Basic encodes what it is given.
        Auth::Basic(_) => {}
        Auth::Bearer | Auth::Header(_) if is_printed => {}
        Auth::Bearer | Auth::Header(_) => return Err(CredentialError::Characters),
    }
    Ok(match auth {
        Auth::Bearer => Zeroizing::new([b"Bearer ", value].concat()),
        Auth::Header(_) => Zeroizing::new(value.to_vec()),
        Auth::Basic(user) => {
            let pair = basic_pair(user.as_deref(), value)?;
            let mut header = Zeroizing::new(b"Basic ".to_vec());
            header.extend_from_slice(Zeroizing::new(STANDARD.encode(&*pair)).as_bytes());
            header
        }
    })
}

/// `USER:PASSWORD`.
pub(crate) fn basic_pair(user: Option<&str>, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    match user {
        Some(user) => Ok(Zeroizing::new([user.as_bytes(), b":", value].concat())),
        None if value.contains(&b':') => Ok(Zeroizing::new(value.to_vec())),
        None => Err(CredentialError::NoUser),
    }
}

/// The value without the line end that editors and `echo` put at its end.
pub(crate) fn value_of(secret: &Secret) -> Result<&[u8], CredentialError> {
    let value = secret.expose();
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    match value {
        [] => Err(CredentialError::Empty),
        _ if value.len() > MAX_CREDENTIAL => Err(CredentialError::Long),
        _ if value.iter().any(u8::is_ascii_control) => Err(CredentialError::Characters),
        [b' ', ..] | [.., b' '] => Err(CredentialError::Characters),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests;
