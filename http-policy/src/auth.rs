//! How the credential is put into a request.

/// How the credential is put into a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// `Authorization: Basic` with this user and the value as password; without a user, the value is `USER:PASSWORD`.
    Basic(Option<String>),
    /// The value in a field of this name.
    Header(String),
}

impl Auth {
    /// The name of the header field.
    pub fn header(&self) -> &str {
        match self {
            Self::Bearer | Self::Basic(_) => "Authorization",
            Self::Header(name) => name,
        }
    }
}
