//! The options that `serve` and `run` share.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bridge_host::{
    AgentConfig, AllowFrom, AuditTarget, DEFAULT_MEMORY, HttpCredentialSpec, SecretSpec, ServeConfig,
};
use clap::Args;
use proto::tls::KeyExchange;

use crate::failure::Failure;
use crate::host::options::agent::AgentOptions;
use crate::host::options::project::ProjectOptions;
use crate::host::options::{
    HTTP, LIFETIME, LIMITS, NETWORK, OUTPUT, git_credential, http_credential, secret,
};
use crate::host::scan::ScanTarget;
use crate::host::settings::Settings;
use crate::host::settings::values;
use crate::usage::UsageError;

// (A doc comment would become the help of each command.)
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets")]
pub(crate) struct BridgeOptions {
    /// Offer a secret, from where SECRET says (may be repeated)
    ///
    /// SECRET is one of:
    ///   KEY                 the value of the environment variable KEY
    ///   id=KEY,src=FILE     the contents of FILE, read at the start
    ///   id=KEY,env=VAR      the value of the environment variable VAR
    ///   id=KEY,cmd=COMMAND  the output of COMMAND, run once by the shell,
    ///                       when a build first asks for the secret; if it
    ///                       fails, it runs again when a build asks after a
    ///                       pause of 10 s, which doubles with each failure
    ///                       up to 5 minutes, at most 100 times
    ///   KEY=VALUE           VALUE; visible in the process list
    ///   KEY=-               the contents of standard input
    ///
    /// After id=KEY, these may follow:
    ///   max-reads=N         allow N sessions to read the secret; a read
    ///                       that fails does not count
    ///   allow-empty         accept an empty value, otherwise an error
    ///   trim                remove one line end from the end of the value
    ///                       (the default for cmd=)
    ///
    /// A key has 1 to 128 of the characters A-Z a-z 0-9 . _ / -
    ///
    /// Write b64:KEY, b64u:KEY, rb64:KEY or rb64u:KEY if the source has the
    /// value in base64 or base64url, with (b) or without (rb) padding.
    #[arg(long = "secret", value_name = "SECRET", verbatim_doc_comment)]
    secrets: Vec<OsString>,
    /// Offer the contents of FILE as a secret (may be repeated)
    ///
    /// Without KEY, the key is FILE as it is written.
    #[arg(long = "secret-from-file", value_name = "[KEY=]FILE")]
    secrets_from_files: Vec<OsString>,
    /// Let git in builds log in to an https server (may be repeated)
    ///
    /// The login is valid for the server or, with PATH, for the repositories below that path. Builds use it with
    /// `exec --git-credentials`.
    ///
    /// KEY is a secret of this bridge: a token, USER:PASSWORD, git's lines username=… and password=…, or, with USER@,
    /// the password of that user. Without KEY, the git of this host is asked when a build asks (`git credential fill`).
    #[arg(long = "git-credential", value_name = "[USER@]HOST[:PORT][/PATH][=KEY]")]
    git_credentials: Vec<String>,
    /// Add a credential to HTTP requests of builds (may be repeated)
    ///
    /// Builds send these requests through the bridge (`exec --http`), and this
    /// host adds the credential: builds never get it, and cannot ask for it by
    /// a name.
    ///
    /// RULE begins with one of:
    ///   PLACE=VARIABLE     the value of the environment variable VARIABLE,
    ///                      which COMMAND of `run` does not get
    ///   PLACE,src=FILE     the contents of FILE, read at the start
    ///   PLACE,env=VARIABLE as =VARIABLE
    ///   PLACE,cmd=COMMAND  the output of COMMAND, run once by the shell, when
    ///                      a build first needs it
    ///   PLACE,key=KEY      the secret KEY of --secret, which builds can read
    ///                      too
    ///
    /// PLACE is [USER@]HOST[:PORT][/PATH]: the https server, and the path at
    /// and below which requests are permitted; of several rules, the longest
    /// path counts. USER is for auth=basic.
    ///
    /// After that, these may follow:
    ///   auth=bearer        Authorization: Bearer VALUE (the default)
    ///   auth=basic         Basic, of USER and VALUE, or of VALUE alone, which
    ///                      is USER:PASSWORD then (the default with USER@ and
    ///                      git)
    ///   auth=header:NAME   the header field NAME: VALUE
    ///   methods=GET+HEAD   permit these methods (the default, without git)
    ///   git                permit a clone and fetch by git, nothing else
    ///   git+push           permit a push too
    ///   lfs                permit git LFS, after git or git+push
    ///   ca=FILE            trust the CAs in FILE (PEM) for this server, not
    ///                      those of the system
    ///   own=keep           let an Authorization of the tool itself go on, and
    ///                      add nothing then
    ///   plain=pass         let plain http:// requests to HOST go out of the
    ///                      build, without the credential
    ///   scheme=http        ask the server over unencrypted http
    ///
    /// docs/HTTP.md describes what a rule permits.
    #[arg(long = "http-credential", value_name = "RULE", help_heading = HTTP, verbatim_doc_comment)]
    http_credentials: Vec<String>,
    #[command(flatten, next_help_heading = "SSH agents")]
    agents: AgentOptions,
    /// Listen on this address and port [default: all addresses, any free port]
    ///
    /// ADDRESS is IP:PORT, :PORT for all addresses, or an IP alone for any free port; an IPv6 address before a port is
    /// in brackets. FIRST-LAST instead of PORT takes a free port of that range.
    #[arg(long, value_name = "ADDRESS", help_heading = NETWORK)]
    listen: Option<String>,
    /// Accept connections only from these CIDR ranges (may be repeated)
    ///
    /// Single addresses are accepted too, and `all` for every peer. Default: loopback, private, link-local and shared
    /// ranges.
    #[arg(long, value_name = "CIDR,…", help_heading = NETWORK)]
    allow_from: Vec<String>,
    /// Put this address first into the conf (may be repeated)
    ///
    /// For an address that builds can use and this host does not know, such as a forwarded port. An IPv6 address is in
    /// brackets.
    #[arg(long = "endpoint", value_name = "HOST:PORT", help_heading = NETWORK)]
    endpoints: Vec<String>,
    /// Accept X25519 besides X25519MLKEM768
    ///
    /// For clients in languages whose TLS has no ML-KEM. Traffic of such a client is not safe against a quantum computer.
    #[arg(long, help_heading = NETWORK)]
    tls_compat: bool,
    /// Shut down after TIME; 0 for never [default: `serve` 1h, `run` never]
    ///
    /// TIME is a number of seconds, or has units, such as 5m or 1h30m.
    #[arg(short = 't', long, value_name = "TIME", help_heading = LIFETIME)]
    timeout: Option<String>,
    /// Shut down after one session
    #[arg(long, conflicts_with = "max_sessions", help_heading = LIFETIME)]
    once: bool,
    /// Shut down after N sessions
    #[arg(long, value_name = "N", help_heading = LIFETIME)]
    max_sessions: Option<String>,
    /// Serve at most N sessions at once [default: what memory and the limit of open files allow, at most 2048 with 256M]
    ///
    /// Further clients wait in line for up to a minute, first come, first served.
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    max_concurrent: Option<String>,
    /// Use at most SIZE of memory for requests and answers that wait [default: 256M]
    ///
    /// SIZE is a number of bytes, or has the unit K, M or G, and is at least 8M. It limits what clients that send much and
    /// read slowly can take; it has nothing to do with the size of secrets.
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    max_memory: Option<String>,
    /// Keep the CA, the client key and the port in FILE
    ///
    /// The next run with FILE has the same conf. A conf that leaks stays usable in later runs, for as long as FILE exists.
    #[arg(long, value_name = "FILE", help_heading = LIFETIME)]
    ca_key_store: Option<PathBuf>,
    /// Append audit records to FILE, or write them to a FIFO (fifo:PATH) or standard error (-)
    ///
    /// One line of JSON for everything that is done for a client; docs/AUDIT.md describes the records.
    #[arg(long, value_name = "FILE|fifo:PATH|-", help_heading = OUTPUT)]
    audit: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Project file")]
    project: ProjectOptions,
}

/// What `serve` and `run` do differently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// The lifetime without `--timeout`.
    pub(crate) lifetime: Option<Duration>,
    /// Whether clients may stop the bridge.
    pub(crate) kill_allowed: bool,
}

#[derive(Debug)]
pub(crate) struct ResolvedBridge {
    pub(crate) config: ServeConfig,
    pub(crate) secrets: Vec<SecretSpec>,
    pub(crate) http: Vec<HttpCredentialSpec>,
    pub(crate) agents: AgentConfig,
    /// The image to search at the end, from the project file.
    pub(crate) scan: Option<ScanTarget>,
}

impl BridgeOptions {
    /// Merges the options with the project file.
    ///
    /// # Errors
    /// [`Failure::Usage`] and [`Failure::ProjectFile`].
    pub(crate) fn resolve(&self, defaults: Defaults) -> Result<ResolvedBridge, Failure> {
        if let Some(store) = &self.ca_key_store {
            tracing::warn!(
                "--ca-key-store: a leaked conf stays usable in later runs, as long as {} exists",
                store.display()
            );
        }
        let mut settings = self.settings()?;
        if let Some(file) = self.project.settings()? {
            settings = settings.or(file);
        }
        let (agents, agent_sockets) = settings.agents.resolve()?;
        let mut secrets = settings.secrets;
        http_credential::warn_of_exposure(&settings.http, &secrets);
        git_credential::add(settings.git_credentials.unwrap_or_default(), &mut secrets)?;
        let config = ServeConfig {
            listen: settings.listen.map_or_else(|| values::listen(None), Ok)?,
            allow_from: settings.allow_from.unwrap_or(AllowFrom::Near),
            endpoints: settings.endpoints.unwrap_or_default(),
            key_exchange: if settings.tls_compat { KeyExchange::HybridOrX25519 } else { KeyExchange::Hybrid },
            ca_key_store: self.ca_key_store.clone(),
            lifetime: settings.timeout.unwrap_or(defaults.lifetime),
            max_sessions: settings.max_sessions,
            max_concurrent: self.max_concurrent.as_deref().map(values::max_concurrent).transpose()?,
            max_memory: self.max_memory.as_deref().map_or(Ok(DEFAULT_MEMORY), values::max_memory)?,
            kill_allowed: defaults.kill_allowed,
            audit: settings.audit.unwrap_or(AuditTarget::None),
            agent_sockets,
        };
        Ok(ResolvedBridge { config, secrets, http: settings.http, agents, scan: settings.scan })
    }

    /// The settings of the command line alone.
    fn settings(&self) -> Result<Settings, UsageError> {
        let given = |list: &[String]| !list.is_empty();
        Ok(Settings {
            secrets: secret::specs(&self.secrets, &self.secrets_from_files)?,
            git_credentials: given(&self.git_credentials)
                .then(|| git_credential::specs(&self.git_credentials))
                .transpose()?,
            http: http_credential::specs(&self.http_credentials)?,
            agents: self.agents.settings()?,
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
