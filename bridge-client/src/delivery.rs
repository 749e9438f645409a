//! Delivery of secrets: as variables and files of COMMAND, or to standard output.

pub(crate) mod access;
pub(crate) mod collect;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod request;
pub(crate) mod sink;
pub(crate) mod stdout;

mod variable;
