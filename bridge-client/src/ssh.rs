//! What ssh and git need in a build to use the agent: known hosts, deploy keys, and programs that pass them on.

pub mod tools;
#[cfg(unix)]
pub mod wrapper;

#[cfg(unix)]
mod git_keys;
mod known_hosts;
