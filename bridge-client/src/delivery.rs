//! Where secrets go: COMMAND's variables and files, or standard output.

pub(crate) mod collect;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod request;
pub(crate) mod sink;
pub(crate) mod stdout;

mod variable;
