//! An SSH agent without keys, which never answers a sign request.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use proto::agent::number::{FAILURE, IDENTITIES_ANSWER, REQUEST_IDENTITIES, SIGN_REQUEST};

use crate::Result;
use crate::stop::wait_for_end_of_stdin;

/// Listens at `socket`.
pub(crate) fn listen(socket: &str) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    println!("{{\"ready\":true}}");
    thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            thread::spawn(move || answer(peer));
        }
    });
    wait_for_end_of_stdin();
    Ok(())
}

fn answer(mut peer: UnixStream) -> Result<()> {
    loop {
        let mut length = [0; 4];
        peer.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        peer.read_exact(&mut message)?;
        match message.first() {
            Some(&REQUEST_IDENTITIES) => peer.write_all(&[0, 0, 0, 5, IDENTITIES_ANSWER, 0, 0, 0, 0])?,
            Some(&SIGN_REQUEST) => {}
            _ => peer.write_all(&[0, 0, 0, 1, FAILURE])?,
        }
    }
}
