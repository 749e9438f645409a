//! The Unix sockets of Cygwin and of what was made from it: a port of loopback, and a file that says which, with a secret.
//!
//! ```text
//! !<socket >59108 s 282F93E1-9E2D051A-46B57EFC-64A1852F     Cygwin, MSYS2, Git for Windows
//! !<socket >59108 282F93E1-9E2D051A-46B57EFC-64A1852F       MSYS of old
//! ```
//!
//! Both ends say the secret, 16 bytes; then, except in MSYS of old, who they are, 12 bytes: process, user and group. See
//! `winsup/cygwin/fhandler/socket_local.cc`.

#![cfg_attr(not(windows), expect(dead_code, reason = "elsewhere there are only its tests"))]

use std::fs::File;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: &str = "!<socket >";
/// More than the longest.
const LONGEST: u64 = 128;

/// What such a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SocketFile {
    port: u16,
    secret: [u8; 16],
    /// Whether both ends say who they are.
    has_credentials: bool,
}

impl SocketFile {
    /// # Errors
    /// `InvalidData` if `path` is no such file, or the system's.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no agent's socket"))
    }

    fn parse(text: &str) -> Option<Self> {
        // Cygwin writes the NUL behind it, too.
        let words = text.strip_prefix(START)?.trim_end_matches(['\0', '\r', '\n']);
        let words: Vec<&str> = words.split(' ').collect();
        let (port, secret, has_credentials) = match words.as_slice() {
            [port, "s", secret] => (port, secret, true),
            [port, secret] => (port, secret, false),
            _ => return None,
        };
        let mut bytes = Vec::with_capacity(16);
        for part in secret.split('-') {
            let is_hex = part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u32::from_str_radix(part, 16).ok().filter(|_| is_hex)?;
            // As it lies in the memory of all processors that Cygwin runs on.
            bytes.extend(number.to_le_bytes());
        }
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { port, secret: bytes.try_into().ok()?, has_credentials })
    }

    /// Connects, and proves that both ends know the file.
    ///
    /// # Errors
    /// `PermissionDenied` if the other end does not: anybody can listen at a port. Else the system's.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        self.shake_hands(&mut stream).await?;
        Ok(stream)
    }

    async fn shake_hands(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.secret).await?;
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).await?;
        if answer != self.secret {
            let problem = "whoever listens at its port does not know its secret";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        if self.has_credentials {
            // ssh-agent answers its own user, whose number in Cygwin is not known here, and user 0. The secret is the
            // proof.
            let mut who = [0; 12];
            if let Some(process) = who.first_chunk_mut() {
                *process = std::process::id().to_le_bytes();
            }
            stream.write_all(&who).await?;
            stream.read_exact(&mut who).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "282F93E1-9E2D051A-46B57EFC-64A1852F";
    const SECRET: [u8; 16] =
        [0xe1, 0x93, 0x2f, 0x28, 0x1a, 0x05, 0x2d, 0x9e, 0xfc, 0x7e, 0xb5, 0x46, 0x2f, 0x85, 0xa1, 0x64];

    fn file(has_credentials: bool) -> SocketFile {
        SocketFile { port: 59108, secret: SECRET, has_credentials }
    }

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        assert_eq!(SocketFile::parse(&format!("!<socket >59108 s {GUID}\0")), Some(file(true)));
        assert_eq!(SocketFile::parse(&format!("!<socket >59108 {GUID}")), Some(file(false)));
        for wrong in [
            "",
            "!<socket >",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "!<socket >0 s 282F93E1-9E2D051A-46B57EFC-64A1852F",
            "!<socket >65536 s 282F93E1-9E2D051A-46B57EFC-64A1852F",
            "!<socket >1 d 282F93E1-9E2D051A-46B57EFC-64A1852F",
            "!<socket >1 s 282F93E1-9E2D051A-46B57EFC",
            "!<socket >1 s 282F93E1-9E2D051A-46B57EFC-64A1852F-64A1852F",
            "!<socket >1 s +82F93E1-9E2D051A-46B57EFC-64A1852F",
            "!<socket >1 s 82F93E1-9E2D051A-46B57EFC-64A1852F",
            "!<socket >1 s 282F93E1-9E2D051A-46B57EFC-64A1852F more",
        ] {
            assert_eq!(SocketFile::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_handshake_is_cygwins_to_the_byte() {
        for has_credentials in [true, false] {
            let (mut ours, mut theirs) = tokio::io::duplex(64);
            let file = file(has_credentials);
            let agent = async {
                let mut said = [0; 16];
                theirs.read_exact(&mut said).await.unwrap();
                assert_eq!(said, SECRET);
                theirs.write_all(&SECRET).await.unwrap();
                if has_credentials {
                    let mut who = [1; 12];
                    theirs.read_exact(&mut who).await.unwrap();
                    assert_eq!(who[..4], std::process::id().to_le_bytes());
                    assert_eq!(who[4..], [0; 8]);
                    theirs.write_all(&[7; 12]).await.unwrap();
                }
                theirs.write_all(b"x").await.unwrap();
            };
            let (shaken, ()) = tokio::join!(file.shake_hands(&mut ours), agent);
            shaken.unwrap();
            assert_eq!(ours.read_u8().await.unwrap(), b'x', "and nothing more was read");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_does_not_know_the_secret_hears_no_more_of_us() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(&[0; 16]).await.unwrap();
        let error = file(true).shake_hands(&mut ours).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        drop(ours);
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, SECRET);
    }
}
