//! Named pipes, and what else only Windows needs.
//!
//! [`access`] restricts files to this user and judges who owns them, by their text (`sddl`); [`pipe`] has the names of
//! pipes; [`job`] ends a process with all of its children. Access lists and jobs serve more than communication: they are
//! here because pipes are made with the former, and because both sides need both.
//!
//! On other systems this module exists for the tests of what is only text and bytes.

#[cfg(windows)]
pub mod access;
mod cygwin_socket;
#[cfg(windows)]
pub mod job;
#[cfg(windows)]
pub(crate) mod listener;
#[cfg(windows)]
pub mod pipe;
mod sddl;
#[cfg(windows)]
pub(crate) mod stream;
