//! The options about SSH agents.

use std::ffi::OsString;
use std::path::PathBuf;

use bridge_host::{AgentConfig, AgentSource, AgentSpec, HostProof, is_agent, usual_agent};
use clap::Args;
use proto::agent::AgentId;

use crate::cli::usage::UsageError;

// What is offered, and what for. (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
#[command(next_help_heading = "SSH agents")]
pub(crate) struct AgentOptions {
    /// Offer the SSH agent of SSH_AUTH_SOCK, as --ssh default does
    #[arg(short = 'A', long = "ssh-agent-forwarder")]
    forward_agent: bool,
    /// Offer an SSH agent; may be repeated:
    ///   default                 the agent of SSH_AUTH_SOCK; on Windows else OpenSSH's service, else Pageant
    ///   ID=SOCKET               the agent that listens there; on Windows \\.\pipe\NAME, or a socket of Git Bash's
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
    #[arg(long = "git-key", value_name = "REPOSITORY=KEY")]
    git_keys: Vec<String>,
    /// Offer the agent, with all these rules, as a socket on this host as well, such as for docker buildx build --ssh
    #[arg(long = "agent-socket", value_name = "[ID=]PATH")]
    sockets: Vec<OsString>,
}

/// The agents, and the sockets on this host at which some of them are offered too.
pub(crate) type Understood = (AgentConfig, Vec<(AgentId, PathBuf)>);

impl AgentOptions {
    /// What was asked for, understood.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(crate) fn understand(&self) -> Result<Understood, UsageError> {
        let mut config = AgentConfig { agents: self.specs()?, ..AgentConfig::default() };
        for text in &self.keys {
            config.policy.keys.push(parsed("--ssh-key", text)?);
        }
        for text in &self.hosts {
            config.hosts.push(parsed("--ssh-allow-host", text)?);
        }
        config.known_hosts = self.known_hosts.clone();
        config.policy.host_proof = match &self.host_proof {
            None => HostProof::default(),
            Some(text) => host_proof(text)?,
        };
        config.policy.users = self.users.clone();
        config.policy.sshsig_namespaces = self.sshsig_namespaces.clone();
        config.policy.forwarding = self.forwarding;
        config.max_signatures = self.max_signatures.as_deref().map(count).transpose()?;
        config.confirm = self.confirm;
        for text in &self.git_keys {
            let (repository, key) = text
                .split_once('=')
                .ok_or_else(|| UsageError::option("--git-key", "it is HOST[:PORT]/PATH=KEY"))?;
            let repository = repository.trim_end_matches(".git");
            config.git_keys.push((parsed("--git-key", repository)?, parsed("--git-key", key)?));
        }
        let sockets = self.sockets()?;
        if config.agents.is_empty() {
            return match self.used_without_agent(&sockets) {
                None => Ok((config, sockets)),
                Some(option) => Err(UsageError::option(option, "there is no agent: add -A or --ssh")),
            };
        }
        if config.hosts.is_empty() {
            tracing::warn!(
                "without --ssh-allow-host the build may log in with {} wherever that is accepted",
                if config.policy.keys.is_empty() { "every key of the agent" } else { "the keys offered" }
            );
        }
        Ok((config, sockets))
    }

    fn specs(&self) -> Result<Vec<AgentSpec>, UsageError> {
        let mut specs: Vec<AgentSpec> = Vec::new();
        let forwarded = self.forward_agent.then(|| OsString::from("default"));
        for text in forwarded.iter().chain(&self.agents) {
            let spec = spec(text)?;
            if specs.iter().any(|other| other.id == spec.id) {
                return Err(UsageError::option("--ssh", format!("the agent {} is given twice", spec.id)));
            }
            specs.push(spec);
        }
        Ok(specs)
    }

    fn sockets(&self) -> Result<Vec<(AgentId, PathBuf)>, UsageError> {
        let socket = |text: &OsString| match split(text) {
            Some((id, path)) if !id.contains('/') => Ok((parsed("--agent-socket", id)?, path)),
            Some(_) | None => Ok((parsed("--agent-socket", "default")?, PathBuf::from(text))),
        };
        self.sockets.iter().map(socket).collect()
    }

    /// An option that makes no sense when no agent is offered: its user means to be protected by it.
    fn used_without_agent(&self, sockets: &[(AgentId, PathBuf)]) -> Option<&'static str> {
        let used = [
            (!self.keys.is_empty(), "--ssh-key"),
            (!self.hosts.is_empty(), "--ssh-allow-host"),
            (!self.known_hosts.is_empty(), "--ssh-known-hosts"),
            (self.host_proof.is_some(), "--ssh-host-proof"),
            (!self.users.is_empty(), "--ssh-allow-user"),
            (!self.sshsig_namespaces.is_empty(), "--ssh-allow-sshsig"),
            (self.forwarding, "--ssh-allow-forwarding"),
            (self.max_signatures.is_some(), "--ssh-max-signatures"),
            (self.confirm, "--ssh-confirm"),
            (!self.git_keys.is_empty(), "--git-key"),
            (!sockets.is_empty(), "--agent-socket"),
        ];
        used.iter().find(|(used, _)| *used).map(|(_, option)| *option)
    }
}

fn spec(text: &OsString) -> Result<AgentSpec, UsageError> {
    let Some((id, what)) = split(text) else {
        let id: AgentId = parsed("--ssh", &text.to_string_lossy())?;
        let named = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
        return match named.map(PathBuf::from).or_else(usual_agent) {
            Some(socket) => Ok(AgentSpec { id, source: AgentSource::Socket(socket) }),
            None => Err(UsageError::option(
                "--ssh",
                "SSH_AUTH_SOCK is not set, so there is no agent to offer: start one (ssh-agent), or name a socket or \
                 key files (ID=PATH)",
            )),
        };
    };
    let id = parsed("--ssh", id)?;
    let source = if is_agent(&what) {
        AgentSource::Socket(what)
    } else {
        // A comma in a file's name would be ambiguous; sockets may have one.
        AgentSource::KeyFiles(what.to_string_lossy().split(',').map(PathBuf::from).collect())
    };
    Ok(AgentSpec { id, source })
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

fn host_proof(text: &str) -> Result<HostProof, UsageError> {
    match text {
        "bind" => Ok(HostProof::Bind),
        "bind-or-hostbound" => Ok(HostProof::BindOrHostbound),
        "both" => Ok(HostProof::Both),
        _ => Err(UsageError::option("--ssh-host-proof", "it is bind, bind-or-hostbound or both")),
    }
}

fn count(text: &str) -> Result<u64, UsageError> {
    text.parse().map_err(|_| UsageError::option("--ssh-max-signatures", "it is a number"))
}

fn parsed<T: std::str::FromStr>(option: &'static str, text: &str) -> Result<T, UsageError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| UsageError::option(option, format!("{}: {error}", proto::escape(text))))
}
