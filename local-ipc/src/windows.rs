//! What both sides need of Windows: who may reach what, and what ends with what.
//!
//! [`access`] makes things private to this user and judges whose a thing is; [`pipe`] makes and opens named pipes by
//! those rules; [`job`] ends a process with all that it started. On other systems there is only [`sddl`], which is text.

#[cfg(windows)]
pub mod access;
#[cfg(windows)]
mod connection;
#[cfg(windows)]
pub mod job;
#[cfg(windows)]
pub mod pipe;
pub mod sddl;
