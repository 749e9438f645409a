//! What the fuzz targets call. Not an interface.

use std::cell::OnceCell;
use std::io;
use std::path::Path;

use proto::Secret;
use tokio::runtime::{Builder, Runtime};

use crate::agent_keys::{Key, KeyProblem};
use crate::memory::MemoryPool;
use crate::net::frames::{FrameReader, Incoming, ReadError};

/// A private key from a file, which can sign.
pub struct KeyFile(Key);

impl KeyFile {
    /// Parses the contents of a key file; every encrypted one has the `passphrase`.
    ///
    /// # Errors
    /// [`KeyProblem`].
    pub fn parse(contents: &[u8], passphrase: &str) -> Result<Self, KeyProblem> {
        let mut ask = |_: &str| Ok(Secret::from(passphrase.to_owned()));
        Key::parse(contents, Path::new("key"), &mut ask).map(Self)
    }

    /// The public key, in SSH's encoding.
    pub fn public(&self) -> &[u8] {
        self.0.blob()
    }

    /// The signature of `data`, by SHA-512 if it is an RSA key.
    pub fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        const RSA_SHA2_512: u32 = 4;
        self.0.sign(data, RSA_SHA2_512)
    }
}

/// What a client sends over a websocket.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Reads what a client sends, to the end or the first violation of RFC 6455; returns whether there was one.
///
/// # Errors
/// If there is no event loop.
pub fn frames(bytes: &[u8]) -> io::Result<(Vec<Frame>, bool)> {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        if runtime.get().is_none() {
            // Set for the first time on this thread.
            let _ = runtime.set(Builder::new_current_thread().enable_time().build()?);
        }
        let runtime = runtime.get().ok_or(io::ErrorKind::Other)?;
        Ok(runtime.block_on(async {
            let pool = MemoryPool::new(64 << 20, 1, 0);
            let mut reader = FrameReader::new(bytes, pool.session());
            let mut frames = Vec::new();
            loop {
                frames.push(match reader.next().await {
                    Ok(Incoming::Message(payload)) => Frame::Message(payload.bytes),
                    Ok(Incoming::Ping(payload)) => Frame::Ping(payload),
                    Ok(Incoming::Pong) => Frame::Pong,
                    Ok(Incoming::Close) => Frame::Close,
                    Err(error) => break (frames, matches!(error, ReadError::Protocol)),
                });
            }
        }))
    })
}
