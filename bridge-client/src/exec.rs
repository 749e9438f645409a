//! Running COMMAND: its environment, its start, and what lives as long as COMMAND.

pub(crate) mod child;
pub(crate) mod error;
pub(crate) mod output;
pub(crate) mod prepared;
pub(crate) mod private_dir;
pub(crate) mod supervisor;

mod environment;
