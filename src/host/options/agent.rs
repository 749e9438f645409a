//! The options about SSH agents.

use std::ffi::OsString;
use std::path::PathBuf;

use bridge_host::{AgentSource, is_agent};
use clap::Args;
use proto::agent::{AgentId, Repository};
use ssh_policy::{HostProof, KeySelector};

use crate::host::settings::agent::{AgentChoices, AgentWish};
use crate::usage::UsageError;

// What is offered, and what for. (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// Offer the SSH agent of SSH_AUTH_SOCK, as --ssh default does
    #[arg(short = 'A', long = "ssh-agent-forwarder")]
    forward_agent: bool,
    /// Offer an SSH agent; may be repeated:
    ///   default                 the agent of SSH_AUTH_SOCK
    #[cfg_attr(windows, doc = "                           (else OpenSSH's service, else Pageant)")]
    ///   ID=SOCKET               the agent that listens there
    #[cfg_attr(
        windows,
        doc = r"                           (\\.\pipe\NAME, or a socket of Git Bash's or Cygwin's)"
    )]
    ///   ID=KEYFILE[,KEYFILE…]   these private keys, which stay in this process's memory
    #[arg(long = "ssh", value_name = "AGENT", verbatim_doc_comment)]
    agents: Vec<OsString>,
    /// Offer this key only: its SHA256:… fingerprint (ssh-add -l) or its comment; may be repeated
    #[arg(long = "ssh-key", value_name = "KEY")]
    keys: Vec<String>,
    /// Sign for this host only, which must be in a known_hosts file; or NAME=SHA256:… for one that is not, whose
    /// key the build must know then; may be repeated
    #[arg(long = "ssh-allow-host", value_name = "NAME[:PORT]")]
    hosts: Vec<String>,
    /// Known host keys [default: known_hosts and known_hosts2 of ~/.ssh, ssh_known_hosts and ssh_known_hosts2 of /etc/ssh];
    /// may be repeated
    #[arg(long = "ssh-known-hosts", value_name = "FILE")]
    known_hosts: Vec<PathBuf>,
    /// How a host is proven: bind (by the client's session-bind), bind-or-hostbound (or by its key in the signed
    /// request), both [default: bind]
    #[arg(long = "ssh-host-proof", value_name = "PROOF")]
    host_proof: Option<String>,
    /// Sign for this user name only, such as git; may be repeated
    #[arg(long = "ssh-allow-user", value_name = "USER")]
    users: Vec<String>,
    /// Sign data of this SSHSIG namespace too, such as git for signed commits; may be repeated
    #[arg(long = "ssh-allow-sshsig", value_name = "NAMESPACE")]
    sshsig_namespaces: Vec<String>,
    /// Sign through an agent that a build forwards to a further host
    #[arg(long = "ssh-allow-forwarding")]
    forwarding: bool,
    /// Make so many signatures at most
    #[arg(long = "ssh-max-signatures", value_name = "N")]
    max_signatures: Option<String>,
    /// Ask a person before a key is used: through SSH_ASKPASS, or on this terminal
    #[arg(long = "ssh-confirm")]
    confirm: bool,
    /// Let git use this key for this repository: HOST[:PORT]/PATH=KEY, with a key as for --ssh-key; may be repeated
    // (In builds on Windows it does not; `exec` says so there.)
    #[arg(long = "git-key", value_name = "REPOSITORY=KEY")]
    git_keys: Vec<String>,
    /// Offer the agent, with all these rules, as a socket on this host as well, such as for docker buildx build --ssh
    #[cfg_attr(windows, doc = r"(on Windows a named pipe, \\.\pipe\NAME)")]
    #[arg(long = "agent-socket", value_name = "[ID=]PATH")]
    sockets: Vec<OsString>,
}

impl AgentOptions {
    /// What the flags say.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(crate) fn choices(&self) -> Result<AgentChoices, UsageError> {
        Ok(AgentChoices {
            agents: self.wishes()?,
            keys: several(&self.keys, |text| parsed("--ssh-key", text))?,
            hosts: several(&self.hosts, |text| parsed("--ssh-allow-host", text))?,
            known_hosts: several(&self.known_hosts, |path| Ok(path.clone()))?,
            host_proof: self.host_proof.as_deref().map(host_proof).transpose()?,
            users: several(&self.users, |user| Ok(user.clone()))?,
            sshsig_namespaces: several(&self.sshsig_namespaces, |namespace| Ok(namespace.clone()))?,
            forwarding: self.forwarding,
            max_signatures: self.max_signatures.as_deref().map(max_signatures).transpose()?,
            confirm: self.confirm,
            git_keys: self.git_keys.iter().map(|text| git_key(text)).collect::<Result<_, _>>()?,
            sockets: self.sockets()?,
        })
    }

    fn wishes(&self) -> Result<Vec<AgentWish>, UsageError> {
        let mut wishes: Vec<AgentWish> = Vec::new();
        let forwarded = self.forward_agent.then(|| OsString::from("default"));
        for text in forwarded.iter().chain(&self.agents) {
            let wish = wish(text)?;
            if wishes.iter().any(|other| other.id == wish.id) {
                return Err(UsageError::option("--ssh", format!("the agent {} is given twice", wish.id)));
            }
            wishes.push(wish);
        }
        Ok(wishes)
    }

    fn sockets(&self) -> Result<Vec<(AgentId, PathBuf)>, UsageError> {
        let socket = |text: &OsString| match split(text) {
            Some((id, path)) if !id.contains('/') => Ok((parsed("--agent-socket", id)?, path)),
            Some(_) | None => Ok((parsed("--agent-socket", "default")?, PathBuf::from(text))),
        };
        self.sockets.iter().map(socket).collect()
    }
}

/// `None` if the option was not given.
fn several<S, T>(
    texts: &[S],
    parse: impl FnMut(&S) -> Result<T, UsageError>,
) -> Result<Option<Vec<T>>, UsageError> {
    if texts.is_empty() { Ok(None) } else { texts.iter().map(parse).collect::<Result<_, _>>().map(Some) }
}

fn wish(text: &OsString) -> Result<AgentWish, UsageError> {
    let Some((id, what)) = split(text) else {
        return Ok(AgentWish { id: parsed("--ssh", &text.to_string_lossy())?, source: None });
    };
    let id = parsed("--ssh", id)?;
    let source = if is_agent(&what) {
        AgentSource::Socket(what)
    } else {
        // A comma in a file's name would be ambiguous; sockets may have one.
        AgentSource::KeyFiles(what.to_string_lossy().split(',').map(PathBuf::from).collect())
    };
    Ok(AgentWish { id, source: Some(source) })
}

/// `ID=PATH`, if it is that.
fn split(text: &OsString) -> Option<(&str, PathBuf)> {
    let bytes = text.as_encoded_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let id = std::str::from_utf8(bytes.get(..at)?).ok()?;
    // What follows an ASCII character is whole again, but only safe code says so: by way of text.
    let path = text.to_str()?.get(at + 1..)?;
    Some((id, PathBuf::from(path)))
}

/// `bind`, `bind-or-hostbound` or `both`.
///
/// # Errors
/// [`UsageError::Option`], as for all of these.
pub(crate) fn host_proof(text: &str) -> Result<HostProof, UsageError> {
    match text {
        "bind" => Ok(HostProof::Bind),
        "bind-or-hostbound" => Ok(HostProof::BindOrHostbound),
        "both" => Ok(HostProof::Both),
        _ => Err(UsageError::option("--ssh-host-proof", "it is bind, bind-or-hostbound or both")),
    }
}

/// `HOST[:PORT]/PATH=KEY`.
fn git_key(text: &str) -> Result<(Repository, KeySelector), UsageError> {
    let (repository, key) =
        text.split_once('=').ok_or_else(|| UsageError::option("--git-key", "it is HOST[:PORT]/PATH=KEY"))?;
    git_key_for(repository, key)
}

/// The parts of `--git-key`.
pub(crate) fn git_key_for(repository: &str, key: &str) -> Result<(Repository, KeySelector), UsageError> {
    let repository = repository.trim_end_matches(".git");
    Ok((parsed("--git-key", repository)?, parsed("--git-key", key)?))
}

/// A number.
pub(crate) fn max_signatures(text: &str) -> Result<u64, UsageError> {
    text.parse().map_err(|_| UsageError::option("--ssh-max-signatures", "it is a number"))
}

/// Anything that is parsed from text, with an error that says which text it was.
pub(crate) fn parsed<T: std::str::FromStr>(option: &'static str, text: &str) -> Result<T, UsageError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| UsageError::option(option, format!("{}: {error}", proto::escape(text))))
}
