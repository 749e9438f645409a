//! Why an SSH key is not loaded. Nothing of the file's contents is in here.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::prompt::PromptError;

/// A key file that cannot be used, and why.
#[derive(Debug, Error)]
#[error("SSH key {}: {problem}", .path.display())]
pub struct KeyFileError {
    /// The file of the private key.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: KeyProblem,
}

/// What is wrong with a key file, and what can be done.
#[derive(Debug, Error)]
pub enum KeyProblem {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// A directory, device or pipe.
    #[error("it is not a regular file")]
    NotAFile,
    /// Far more than a key has.
    #[error("it is larger than {} KiB, so it is no key", super::file::MAX_FILE >> 10)]
    TooLarge,
    /// The mode lets others at it.
    #[error("other users may read or change it (mode {mode:04o}); chmod 600 makes it private")]
    NotPrivate {
        /// The permission bits.
        mode: u32,
    },
    /// The access list lets others at it.
    #[error(
        "it belongs to another user, or others may read or change it; icacls FILE /inheritance:r /grant:r USER:F makes it \
         private"
    )]
    OthersMayRead,
    /// The public half was given.
    #[error("it is a public key; give the private one, usually the file without .pub")]
    PublicKey,
    /// PuTTY's own format.
    #[error("it is in PuTTY's format; puttygen FILE -O private-openssh -o NEW converts it")]
    Putty,
    /// No private key is in it.
    #[error("no private key of a known format is in it (OpenSSH, PKCS#8, PKCS#1, SEC1)")]
    NotAKey,
    /// It says that it is a key, but is none.
    #[error("the private key in it is damaged")]
    Malformed,
    /// PEM encryption of old (`Proc-Type: 4,ENCRYPTED`), whose key derivation is one round of MD5.
    #[error("it is encrypted in the old PEM way; ssh-keygen -p -f FILE converts it")]
    LegacyEncryption,
    /// A cipher or key derivation that is not there.
    #[error("its encryption is not supported; ssh-keygen -p -f FILE converts it")]
    UnsupportedEncryption,
    /// Three times.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// Nobody answered.
    #[error("its passphrase is not known: {0}")]
    Passphrase(#[from] PromptError),
    /// `sk-…`: the file is only a handle.
    #[error(
        "its private half is inside of a security key, which only an agent can ask; ssh-add FILE there, and offer \
         the agent instead of the file"
    )]
    SecurityKey,
    /// `ssh-dss`.
    #[error(
        "it is a DSA key, which OpenSSH no longer takes; use another (ssh-keygen -t ed25519), or an agent that \
         still holds it"
    )]
    Dsa,
    /// Another type.
    #[error("its type is not supported (ed25519, ECDSA with nistp256, nistp384 or nistp521, and RSA are)")]
    UnsupportedType,
    /// RSA of a length nobody should use, or nobody can.
    #[error("an RSA key must have 2048 to 8192 bits")]
    RsaSize,
    /// `FILE-cert.pub` cannot be read.
    #[error("its certificate (the same name with -cert.pub) cannot be read: {0}")]
    CertificateRead(io::Error),
    /// `FILE-cert.pub` is none, is for a host, or is for another key.
    #[error("its certificate (the same name with -cert.pub) {0}")]
    Certificate(&'static str),
}
