//! How two processes of one user talk on one machine: Unix sockets, and named pipes on Windows.

#![forbid(unsafe_code)]

#[cfg(unix)]
mod unix;
// The text of access lists is judged, and tested, on every system.
#[cfg(any(windows, test))]
pub mod windows;

#[cfg(unix)]
pub use unix::QuietStream;
