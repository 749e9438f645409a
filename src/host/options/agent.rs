//! The options of `serve` and `run` about SSH agents.

use std::ffi::OsString;
use std::path::PathBuf;

use bridge_host::{AgentSource, NamedFile, is_agent};
use clap::Args;
use proto::agent::{AgentId, Repository};
use ssh_policy::{HostProof, KeySelector};

use crate::host::settings::agent::{AgentSettings, RequestedAgent};
use crate::usage::UsageError;

// (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// Offer the SSH agent of SSH_AUTH_SOCK, as `--ssh default`
    #[arg(short = 'A', long = "ssh-agent-forwarder")]
    forward_agent: bool,
    /// Offer an SSH agent (may be repeated)
    ///
    /// AGENT is one of:
    ///   default                the agent of SSH_AUTH_SOCK
    #[cfg_attr(windows, doc = "                          (else OpenSSH's service, else Pageant)")]
    ///   ID=SOCKET              the agent that listens there
    #[cfg_attr(
        windows,
        doc = r"                          (\\.\pipe\NAME, or a socket of Git Bash or Cygwin)"
    )]
    ///   ID=KEYFILE[,KEYFILE…]  an agent for these private keys, which stay
    ///                          in the memory of this process
    #[arg(long = "ssh", value_name = "AGENT", verbatim_doc_comment)]
    agents: Vec<OsString>,
    /// Offer only this key (may be repeated)
    ///
    /// KEY is a fingerprint, SHA256:… (`ssh-add -l` shows it), or the comment of the key. Default: all keys of the agents.
    #[arg(long = "ssh-key", value_name = "KEY")]
    keys: Vec<String>,
    /// Sign only logins to this host (may be repeated)
    ///
    /// The host must be in a known_hosts file; write NAME=SHA256:… for one that is not, and whose key the build knows.
    /// Default: any host.
    #[arg(long = "ssh-allow-host", value_name = "NAME[:PORT]")]
    hosts: Vec<String>,
    /// Read host keys from FILE (may be repeated)
    ///
    /// FILE must exist. Default: known_hosts and known_hosts2 in ~/.ssh, ssh_known_hosts and ssh_known_hosts2 in /etc/ssh, those
    /// of them that exist.
    #[arg(long = "ssh-known-hosts", value_name = "FILE")]
    known_hosts: Vec<PathBuf>,
    /// Require this proof of the host [default: bind]
    ///
    /// PROOF is bind (the client's session-bind message), bind-or-hostbound (that, or the host's key in the signed
    /// request), or both.
    #[arg(long = "ssh-host-proof", value_name = "PROOF")]
    host_proof: Option<String>,
    /// Sign only logins as this user, such as git (may be repeated)
    ///
    /// Default: any user.
    #[arg(long = "ssh-allow-user", value_name = "USER")]
    users: Vec<String>,
    /// Sign data of this SSHSIG namespace, such as git (may be repeated)
    ///
    /// Namespace git is for signed commits and tags. Default: logins only.
    #[arg(long = "ssh-allow-sshsig", value_name = "NAMESPACE")]
    sshsig_namespaces: Vec<String>,
    /// Sign through agents that a build forwards to further hosts
    #[arg(long = "ssh-allow-forwarding")]
    forwarding: bool,
    /// Allow at most N signatures
    #[arg(long = "ssh-max-signatures", value_name = "N")]
    max_signatures: Option<String>,
    /// Ask a person before a key is used
    ///
    /// With the program in SSH_ASKPASS (an absolute path, or a name in PATH), or on this terminal. A yes is for one signature,
    /// or for each use of the same key, user and host until the session ends; a no is for each such use too. At most 10
    /// questions in a minute are asked for a session, and 20 for the bridge; further uses are refused.
    #[arg(long = "ssh-confirm")]
    confirm: bool,
    /// Make git use this key for this repository (may be repeated)
    ///
    /// REPOSITORY is HOST[:PORT]/PATH, KEY is as for --ssh-key.
    // (Not in builds on Windows; `exec` says so there.)
    #[arg(long = "git-key", value_name = "REPOSITORY=KEY")]
    git_keys: Vec<String>,
    /// Offer the agent ID at the socket PATH on this host too (may be repeated)
    ///
    /// With the same rules, such as for `docker buildx build --ssh`. ID is `default` if it is not given.
    #[cfg_attr(windows, doc = r"PATH is the name of a named pipe on Windows, \\.\pipe\NAME.")]
    #[arg(long = "agent-socket", value_name = "[ID=]PATH")]
    sockets: Vec<OsString>,
}

impl AgentOptions {
    /// The settings of the command line alone.
    pub(crate) fn settings(&self) -> Result<AgentSettings, UsageError> {
        Ok(AgentSettings {
            agents: self.requested()?,
            keys: several(&self.keys, |text| parsed("--ssh-key", text))?,
            hosts: several(&self.hosts, |text| parsed("--ssh-allow-host", text))?,
            known_hosts: several(&self.known_hosts, |path| Ok(NamedFile::typed(path)))?,
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

    fn requested(&self) -> Result<Vec<RequestedAgent>, UsageError> {
        let mut requested: Vec<RequestedAgent> = Vec::new();
        let forwarded = self.forward_agent.then(|| OsString::from("default"));
        for text in forwarded.iter().chain(&self.agents) {
            let agent = requested_agent(text)?;
            if requested.iter().any(|other| other.id == agent.id) {
                return Err(UsageError::option("--ssh", format!("the agent {} is given twice", agent.id)));
            }
            requested.push(agent);
        }
        Ok(requested)
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

fn requested_agent(text: &OsString) -> Result<RequestedAgent, UsageError> {
    let Some((id, what)) = split(text) else {
        return Ok(RequestedAgent { id: parsed("--ssh", &text.to_string_lossy())?, source: None });
    };
    let id = parsed("--ssh", id)?;
    let source = if is_agent(&what) {
        AgentSource::Socket(NamedFile::typed(what))
    } else {
        // A comma in a file's name would be ambiguous; sockets may have one.
        AgentSource::KeyFiles(what.to_string_lossy().split(',').map(NamedFile::typed).collect())
    };
    Ok(RequestedAgent { id, source: Some(source) })
}

/// The parts of `ID=PATH`.
fn split(text: &OsString) -> Option<(&str, PathBuf)> {
    let bytes = text.as_encoded_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let id = std::str::from_utf8(bytes.get(..at)?).ok()?;
    // Safe code cannot cut an OsStr, so the path must be UTF-8.
    let path = text.to_str()?.get(at + 1..)?;
    Some((id, PathBuf::from(path)))
}

pub(crate) fn host_proof(text: &str) -> Result<HostProof, UsageError> {
    match text {
        "bind" => Ok(HostProof::Bind),
        "bind-or-hostbound" => Ok(HostProof::BindOrHostbound),
        "both" => Ok(HostProof::Both),
        _ => Err(UsageError::option("--ssh-host-proof", "must be bind, bind-or-hostbound or both")),
    }
}

fn git_key(text: &str) -> Result<(Repository, KeySelector), UsageError> {
    let (repository, key) = text
        .split_once('=')
        .ok_or_else(|| UsageError::option("--git-key", "must be HOST[:PORT]/PATH=KEY"))?;
    git_key_for(repository, key)
}

/// The parts of `--git-key`.
pub(crate) fn git_key_for(repository: &str, key: &str) -> Result<(Repository, KeySelector), UsageError> {
    let repository = repository.trim_end_matches(".git").parse().map_err(|_| {
        UsageError::option(
            "--git-key",
            format!("invalid repository {}: write HOST[:PORT]/PATH", proto::escape(repository)),
        )
    })?;
    Ok((repository, parsed("--git-key", key)?))
}

pub(crate) fn max_signatures(text: &str) -> Result<u64, UsageError> {
    text.parse().map_err(|_| UsageError::option("--ssh-max-signatures", "must be a number"))
}

/// The value that `text` stands for. The error is that of the type, which repeats `text` at most once.
pub(crate) fn parsed<T: std::str::FromStr>(option: &'static str, text: &str) -> Result<T, UsageError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| UsageError::option(option, error))
}
