//! How a secret reaches whoever needs it.

pub(crate) mod env;
pub(crate) mod stdout;
