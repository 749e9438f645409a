//! What `serve` and `run` have in common.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bridge_host::{AgentConfig, AllowFrom, AuditTarget, SecretSpec, ServeConfig};
use clap::Args;
use proto::tls::KeyExchange;

use crate::failure::Failure;
use crate::host::options::agent::AgentOptions;
use crate::host::options::project::ProjectOptions;
use crate::host::options::{git_credential, secret};
use crate::host::settings::Choices;
use crate::host::settings::values;
use crate::usage::UsageError;

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
    #[command(flatten, next_help_heading = "SSH agents")]
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
    #[command(flatten, next_help_heading = "Project file")]
    project: ProjectOptions,
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
    /// The image to search at the end, if the project file names one.
    pub(crate) scan: Option<OsString>,
}

impl BridgeOptions {
    /// What was asked for, here and in a project file, understood.
    ///
    /// # Errors
    /// [`Failure::Usage`] and [`Failure::ProjectFile`].
    pub(crate) fn understand(&self, defaults: Defaults) -> Result<Understood, Failure> {
        if let Some(store) = &self.ca_key_store {
            tracing::warn!(
                "--ca-key-store: a leaked conf stays usable in later runs, as long as {} exists",
                store.display()
            );
        }
        let mut choices = self.choices()?;
        if let Some(file) = self.project.choices()? {
            choices = choices.or(file);
        }
        let (agents, agent_sockets) = choices.agents.understand()?;
        let mut secrets = choices.secrets;
        git_credential::add(choices.git_credentials.unwrap_or_default(), &mut secrets)?;
        let config = ServeConfig {
            listen: choices.listen.map_or_else(|| values::listen(None), Ok)?,
            allow_from: choices.allow_from.unwrap_or(AllowFrom::Near),
            endpoints: choices.endpoints.unwrap_or_default(),
            key_exchange: if choices.tls_compat { KeyExchange::HybridOrX25519 } else { KeyExchange::Hybrid },
            ca_key_store: self.ca_key_store.clone(),
            lifetime: choices.timeout.unwrap_or(defaults.lifetime),
            max_sessions: choices.max_sessions,
            kill_allowed: defaults.kill_allowed,
            audit: choices.audit.unwrap_or(AuditTarget::None),
            agent_sockets,
        };
        Ok(Understood { config, secrets, agents, scan: choices.scan })
    }

    /// What the flags say.
    fn choices(&self) -> Result<Choices, UsageError> {
        let given = |list: &[String]| !list.is_empty();
        Ok(Choices {
            secrets: secret::specs(&self.secrets, &self.secrets_from_files)?,
            git_credentials: given(&self.git_credentials)
                .then(|| git_credential::specs(&self.git_credentials))
                .transpose()?,
            agents: self.agents.choices()?,
            listen: self.listen.as_deref().map(|listen| values::listen(Some(listen))).transpose()?,
            allow_from: given(&self.allow_from).then(|| values::allow_from(&self.allow_from)).transpose()?,
            endpoints: given(&self.endpoints)
                .then(|| crate::values::endpoints(&self.endpoints))
                .transpose()?,
            timeout: self.timeout.as_deref().map(values::timeout).transpose()?,
            max_sessions: self.sessions()?,
            tls_compat: self.tls_compat,
            audit: self.audit.as_deref().map(values::audit),
            scan: None,
        })
    }

    fn sessions(&self) -> Result<Option<u32>, UsageError> {
        if self.once {
            Ok(Some(1))
        } else {
            self.max_sessions.as_deref().map(values::max_sessions).transpose()
        }
    }
}
