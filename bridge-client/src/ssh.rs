//! Sets up ssh and git in a build so that they know the agent's hosts and keys.

pub mod tools;
#[cfg(unix)]
pub mod wrapper;

#[cfg(unix)]
mod git_keys;
mod known_hosts;
