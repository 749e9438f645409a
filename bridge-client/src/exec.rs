//! COMMAND: what it inherits, how it starts, and what lives as long as it does.

pub(crate) mod child;
pub(crate) mod error;
pub(crate) mod prepared;
pub(crate) mod private_dir;
pub(crate) mod supervisor;

mod output;
