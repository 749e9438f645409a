//! What `serve` and `run` have in common.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bridge_host::{AgentConfig, AuditTarget, SecretSpec, ServeConfig};
use clap::Args;
use proto::tls::KeyExchange;

use crate::cli::agent_options::AgentOptions;
use crate::cli::usage::UsageError;
use crate::cli::{git_credential_option, parse, secret_option};

// Secrets, and who may have them. (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
pub(crate) struct BridgeOptions {
    /// A secret; may be repeated:
    ///   KEY                     from the environment variable KEY
    ///   id=KEY,src=FILE         from a file (read at the start)
    ///   id=KEY,env=VARIABLE     from an environment variable
    ///   id=KEY,cmd=COMMAND      from a command's output (run once, when first asked for)
    ///   KEY=VALUE               as it stands here, where the process list shows it
    ///   KEY=-                   from standard input
    /// After id=KEY also: max-reads=N, allow-empty, trim (one line end off the end; a command's by default).
    /// KEY may have the prefix b64:, b64u:, rb64: or rb64u: if the source has the value in base64
    #[arg(long = "secret", value_name = "SECRET", verbatim_doc_comment)]
    secrets: Vec<OsString>,
    /// A secret from a file; without KEY the file's name is the key
    #[arg(long = "secret-from-file", value_name = "[KEY=]FILE")]
    secrets_from_files: Vec<OsString>,
    /// What git in the build logs in with (`exec --git-credentials`) at an https server, or only below a path of it; may be
    /// repeated. KEY is a secret of this bridge: a token, USER:PASSWORD, or git's lines username=… and password=…; with
    /// USER@ it is the password. Without KEY this host's own git is asked (`git credential fill`), when a build asks
    #[arg(long = "git-credential", value_name = "[USER@]HOST[:PORT][/PATH][=KEY]")]
    git_credentials: Vec<String>,
    #[command(flatten)]
    agents: AgentOptions,
    /// Where to listen: [ADDRESS]:PORT, or [ADDRESS]:FIRST-LAST for a free port of a range [default: all addresses,
    /// any free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Peers to hear at all: ranges or addresses, or all [default: loopback, private, link-local and shared ranges]
    #[arg(long, value_name = "CIDR,…")]
    allow_from: Vec<String>,
    /// An address at which builds reach this host, put first into the conf; may be repeated
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    endpoints: Vec<String>,
    /// End after so long: seconds, or like 5m or 1h; 0 for never [default: serve 1h, run never]
    #[arg(short = 't', long, value_name = "TIME")]
    timeout: Option<String>,
    /// Admit one session and end after it
    #[arg(long, conflicts_with = "max_sessions")]
    once: bool,
    /// Admit so many sessions and end after the last
    #[arg(long, value_name = "N")]
    max_sessions: Option<String>,
    /// Accept X25519 beside X25519MLKEM768, for clients in languages without ML-KEM
    #[arg(long)]
    tls_compat: bool,
    /// Keep CA, client key and port in FILE, so that the conf stays the same: it is not dead then when the bridge ends
    #[arg(long, value_name = "FILE")]
    ca_key_store: Option<PathBuf>,
    /// Append one JSON line to FILE for everything that is done for a client; - for standard error
    #[arg(long, value_name = "FILE|-")]
    audit: Option<PathBuf>,
}

/// Whether clients may end the bridge, and when it ends by itself if nothing else was said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Without `--timeout`.
    pub(crate) lifetime: Option<Duration>,
    /// Without `--no-kill`.
    pub(crate) kill_allowed: bool,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Understood {
    /// Everything about the bridge but what it offers.
    pub(crate) config: ServeConfig,
    /// The secrets.
    pub(crate) secrets: Vec<SecretSpec>,
    /// The agents.
    pub(crate) agents: AgentConfig,
}

impl BridgeOptions {
    /// What was asked for, understood.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(crate) fn understand(&self, defaults: Defaults) -> Result<Understood, UsageError> {
        let lifetime = self.timeout.as_deref().map(parse::timeout).transpose()?;
        let audit = match &self.audit {
            None => AuditTarget::None,
            Some(path) if path.as_os_str() == "-" => AuditTarget::Stderr,
            Some(path) => AuditTarget::File(path.clone()),
        };
        if let Some(store) = &self.ca_key_store {
            tracing::warn!(
                "--ca-key-store: a leaked conf stays usable in later runs, as long as {} exists",
                store.display()
            );
        }
        let mut secrets = secret_option::specs(&self.secrets, &self.secrets_from_files)?;
        git_credential_option::add(&self.git_credentials, &mut secrets)?;
        let (agents, agent_sockets) = self.agents.understand()?;
        let config = ServeConfig {
            listen: parse::listen(self.listen.as_deref())?,
            allow_from: parse::allow_from(&self.allow_from)?,
            endpoints: parse::endpoints(&self.endpoints)?,
            key_exchange: if self.tls_compat { KeyExchange::HybridOrX25519 } else { KeyExchange::Hybrid },
            ca_key_store: self.ca_key_store.clone(),
            lifetime: lifetime.unwrap_or(defaults.lifetime),
            max_sessions: self.sessions()?,
            kill_allowed: defaults.kill_allowed,
            audit,
            agent_sockets,
        };
        Ok(Understood { config, secrets, agents })
    }

    fn sessions(&self) -> Result<Option<u32>, UsageError> {
        if self.once {
            return Ok(Some(1));
        }
        let number = |text: &String| text.parse().ok().filter(|number| *number > 0);
        match &self.max_sessions {
            None => Ok(None),
            Some(text) => match number(text) {
                Some(number) => Ok(Some(number)),
                None => Err(UsageError::option("--max-sessions", "it is a number from 1 on")),
            },
        }
    }
}
