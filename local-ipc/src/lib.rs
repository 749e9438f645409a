//! How two processes of one user talk on one machine: Unix sockets, and named pipes on Windows.
//!
//! A [`LocalListener`] accepts [`LocalStream`]s of this user's processes; [`serve_connections`] is the accept loop, and
//! [`FramedStream`] reads and writes length-prefixed messages. Both sides of the bridge use them for their SSH agents.
//! [`home_directory`] says where this user's files are, and `signals` which signals a process passes on to the one that it
//! runs. What only Windows needs (access lists, pipe names, job objects) is in the module `windows`.

#![forbid(unsafe_code)]

mod accept;
mod framing;
mod hang_up;
mod home;
#[cfg(unix)]
mod unix;
mod waiting_output;
// Parsing of access lists and of Cygwin's socket files is text and bytes: its tests run on every system.
#[cfg(any(windows, test))]
pub mod windows;

pub use accept::{ConnectionError, serve_connections};
pub use framing::FramedStream;
pub use home::home_directory;
#[cfg(unix)]
pub use unix::{LocalListener, LocalStream, is_socket, probe, signals};
pub use waiting_output::WaitingOutput;
#[cfg(windows)]
pub use windows::{
    listener::LocalListener,
    stream::{LocalStream, is_socket, probe},
};
