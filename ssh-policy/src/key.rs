//! Public keys, certificates and signatures of SSH.

pub(crate) mod algorithm;
pub(crate) mod certificate;
pub(crate) mod fingerprint;
pub(crate) mod mpint;
pub(crate) mod public_key;
pub(crate) mod signature;
