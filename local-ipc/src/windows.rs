//! Named pipes, and what else only Windows needs.
//!
//! [`access`] restricts files to this user and judges who owns them, by the text of [`sddl`]; [`pipe`] has the names of
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
mod listener;
#[cfg(windows)]
pub mod pipe;
pub mod sddl;
#[cfg(windows)]
mod stream;

#[cfg(windows)]
pub use listener::LocalListener;
#[cfg(windows)]
pub use stream::{LocalStream, is_socket, probe};
