//! Options that several commands of a build share.

pub(crate) mod agent;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod secrets;

mod access;
