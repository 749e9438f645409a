//! Why an SSH key is not loaded. Errors never have anything of the file's contents in them.

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

/// What is wrong with a key file, and what can be done about it.
#[derive(Debug, Error)]
pub enum KeyProblem {
    #[error("no such file")]
    Missing,
    /// The system's error.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// A directory, device or pipe.
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {} KiB, so it is not a key", .limit >> 10)]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// By the file's mode.
    #[error("other users can read or change it (mode {mode:04o}); chmod 600 FILE makes it private")]
    NotPrivate {
        /// The permission bits.
        mode: u32,
    },
    /// By the file's access list.
    #[error(
        "it belongs to another user, or others can read or change it; icacls FILE /inheritance:r /grant:r USER:F makes it \
         private"
    )]
    OthersMayRead,
    #[error("it is a public key; give the private one, usually the file without .pub")]
    PublicKey,
    #[error("it is in PuTTY's format; puttygen FILE -O private-openssh -o NEW converts it")]
    Putty,
    #[error("no private key of a known format is in it (OpenSSH, PKCS#8, PKCS#1, SEC1)")]
    NotAKey,
    #[error("the private key in it is damaged")]
    Malformed,
    /// `Proc-Type: 4,ENCRYPTED`, whose key derivation is one round of MD5.
    #[error("it has the old encryption of PEM files; ssh-keygen -p -f FILE converts it")]
    LegacyEncryption,
    #[error("its encryption is not supported; ssh-keygen -p -f FILE converts it")]
    UnsupportedEncryption,
    /// In all attempts.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    #[error("cannot ask for its passphrase: {0}")]
    Passphrase(#[from] PromptError),
    /// `sk-…`: the file is only a handle.
    #[error(
        "its private half is inside a security key, which only an agent can use; ssh-add FILE, and offer the agent \
         instead of the file"
    )]
    SecurityKey,
    /// `ssh-dss`.
    #[error(
        "it is a DSA key, which OpenSSH no longer accepts; use another key (ssh-keygen -t ed25519), or offer an agent \
         that still has it"
    )]
    Dsa,
    #[error("its type is not supported (ed25519, ECDSA with nistp256, nistp384 or nistp521, and RSA are)")]
    UnsupportedType,
    /// Shorter ones are weak, longer ones aws-lc does not support.
    #[error("an RSA key must have 2048 to 8192 bits")]
    RsaSize,
    /// The system's error.
    #[error("cannot read its certificate (the same name with -cert.pub): {0}")]
    CertificateRead(io::Error),
    /// The rest of the sentence.
    #[error("its certificate (the same name with -cert.pub) {0}")]
    Certificate(&'static str),
}
