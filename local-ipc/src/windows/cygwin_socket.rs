//! The emulated Unix sockets of Cygwin and its descendants: a TCP port on loopback, and a file with its number and a secret.
//!
//! ```text
//! !<socket >59108 s 282F93E1-9E2D051A-46B57EFC-64A1852F     Cygwin, MSYS2, Git for Windows
//! !<socket >59108 282F93E1-9E2D051A-46B57EFC-64A1852F       MSYS 1
//! ```
//!
//! Both ends send the secret, 16 bytes; then, except in MSYS 1, their credentials, 12 bytes: process, user and group. See
//! `winsup/cygwin/fhandler/socket_local.cc`.

#![cfg_attr(not(windows), expect(dead_code, reason = "only its tests run on other systems"))]

use std::fs::File;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: &str = "!<socket >";
/// More than the longest such file has.
const MAX_FILE: u64 = 128;

/// The contents of such a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CygwinSocket {
    port: u16,
    secret: [u8; 16],
    /// Whether both ends send their credentials.
    has_credentials: bool,
}

impl CygwinSocket {
    /// # Errors
    /// `InvalidData` if `path` is a file of another kind, and those of the system.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
        Self::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a socket of Cygwin or MSYS2"))
    }

    fn parse(text: &str) -> Option<Self> {
        // Cygwin writes the NUL at the end, too.
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

    /// Connects. Each end proves that it knows the file.
    ///
    /// # Errors
    /// `PermissionDenied` if the other end does not know the secret: any process can listen at a port. Else those of the
    /// system.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        self.handshake(&mut stream).await?;
        Ok(stream)
    }

    async fn handshake(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.secret).await?;
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).await?;
        if answer != self.secret {
            let problem = "the listener at the socket's port does not know its secret";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        if self.has_credentials {
            // ssh-agent answers its own user, whose number in Cygwin is not known here, and user 0. The secret is what
            // authenticates us.
            let mut credentials = [0; 12];
            if let Some(process) = credentials.first_chunk_mut() {
                *process = std::process::id().to_le_bytes();
            }
            stream.write_all(&credentials).await?;
            stream.read_exact(&mut credentials).await?;
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

    fn file(has_credentials: bool) -> CygwinSocket {
        CygwinSocket { port: 59108, secret: SECRET, has_credentials }
    }

    #[test]
    fn both_formats_parse_and_nothing_else() {
        assert_eq!(CygwinSocket::parse(&format!("!<socket >59108 s {GUID}\0")), Some(file(true)));
        assert_eq!(CygwinSocket::parse(&format!("!<socket >59108 {GUID}")), Some(file(false)));
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
            assert_eq!(CygwinSocket::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_handshake_matches_cygwins_byte_for_byte() {
        for has_credentials in [true, false] {
            let (mut ours, mut theirs) = tokio::io::duplex(64);
            let file = file(has_credentials);
            let agent = async {
                let mut received = [0; 16];
                theirs.read_exact(&mut received).await.unwrap();
                assert_eq!(received, SECRET);
                theirs.write_all(&SECRET).await.unwrap();
                if has_credentials {
                    let mut credentials = [1; 12];
                    theirs.read_exact(&mut credentials).await.unwrap();
                    assert_eq!(credentials[..4], std::process::id().to_le_bytes());
                    assert_eq!(credentials[4..], [0; 8]);
                    theirs.write_all(&[7; 12]).await.unwrap();
                }
                theirs.write_all(b"x").await.unwrap();
            };
            let (result, ()) = tokio::join!(file.handshake(&mut ours), agent);
            result.unwrap();
            assert_eq!(ours.read_u8().await.unwrap(), b'x', "and nothing more was read");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_without_the_secret_gets_nothing_else_from_us() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(&[0; 16]).await.unwrap();
        let error = file(true).handshake(&mut ours).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        drop(ours);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, SECRET);
    }
}
