//! The bridge's certificate authority, and the file that can keep it between runs.

pub(crate) mod authority;
pub(crate) mod key_store;
#[cfg(test)]
pub(crate) mod testing;
