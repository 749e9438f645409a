//! The keys of a project file, named like the options: TOML becomes [`Settings`], by the same functions as the values of
//! options. docs/PROJECT_FILE.md describes every key.

use std::ffi::OsStr;
use std::path::PathBuf;

use bridge_host::{AgentSource, AuditTarget, HttpCredentialSource, HttpCredentialSpec, SecretSpec, Source};
use proto::KeyForm;
use proto::agent::AgentId;

use super::ProjectFileError;
use super::field::{Field, FieldError, fields};
use super::named_path::NamedPath;
use super::paths::{Paths, Purpose};
use super::read::ReadFile;
use crate::host::options::agent::{git_key_for, host_proof, max_signatures, parsed};
use crate::host::options::git_credential;
use crate::host::options::http_credential::{self, RuleFields};
use crate::host::options::secret::{Attributes, max_reads};
use crate::host::scan::ScanTarget;
use crate::host::settings::Settings;
use crate::host::settings::agent::{AgentSettings, RequestedAgent};
use crate::host::settings::values;

// The keys of each table. The keys of `secrets`, `http`, `agents`, `git-key` and `agent-socket` are names that the user chooses.
const AT_TOP: [&str; 16] = [
    "secrets",
    "git-credential",
    "http",
    "agents",
    "ssh",
    "git-key",
    "agent-socket",
    "listen",
    "allow-from",
    "endpoint",
    "timeout",
    "once",
    "max-sessions",
    "tls-compat",
    "audit",
    "scan",
];
const OF_SECRET: [&str; 6] = ["src", "env", "cmd", "trim", "allow-empty", "max-reads"];
const OF_RULE: [&str; 13] =
    ["env", "src", "cmd", "key", "auth", "methods", "git", "git+push", "lfs", "ca", "own", "scheme", "plain"];
const OF_AGENT: [&str; 2] = ["socket", "keys"];
const OF_SSH: [&str; 9] = [
    "key",
    "allow-host",
    "known-hosts",
    "host-proof",
    "allow-user",
    "allow-sshsig",
    "allow-forwarding",
    "max-signatures",
    "confirm",
];

/// The settings of `file`, whose names `paths` resolves, and where these lead.
///
/// # Errors
/// [`ProjectFileError::Content`] with the line.
pub(super) fn settings(
    file: &ReadFile,
    paths: Paths,
) -> Result<(Settings, Vec<NamedPath>), ProjectFileError> {
    match parse(&file.bytes, &paths) {
        Ok(settings) => Ok((settings, paths.into_named())),
        Err(wrong) => Err(ProjectFileError::Content {
            path: file.path.clone(),
            line: wrong.line,
            problem: wrong.problem,
        }),
    }
}

fn parse(bytes: &[u8], paths: &Paths) -> Result<Settings, FieldError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| FieldError::not_text(bytes, error.valid_up_to()))?;
    let table = toml::de::DeTable::parse(text).map_err(|error| FieldError::not_toml(text, &error))?;
    let mut settings = Settings::default();
    for field in fields(text, "", table.get_ref()) {
        match field.key() {
            "secrets" => settings.secrets = field.named(|secret| secret_spec(secret, paths))?,
            "git-credential" => {
                settings.git_credentials = Some(field.parsed(&*field.texts()?, git_credential::specs)?);
            }
            "http" => {
                settings.http = field.named(|rule| http_rule(rule, paths))?;
                field.parsed(&*settings.http, http_credential::check)?;
            }
            "agents" => settings.agents.agents = field.named(|agent| requested_agent(agent, paths))?,
            "ssh" => ssh(&field, paths, &mut settings.agents)?,
            "git-key" => {
                settings.agents.git_keys =
                    field.named(|entry| entry.parsed(entry.text()?, |key| git_key_for(entry.key(), key)))?;
            }
            "agent-socket" => settings.agents.sockets = field.named(|socket| agent_socket(socket, paths))?,
            "listen" => {
                settings.listen = Some(field.parsed(field.text()?, |text| values::listen(Some(text)))?);
            }
            "allow-from" => {
                settings.allow_from = Some(field.parsed(&*field.texts()?, values::allow_from)?);
            }
            "endpoint" => {
                settings.endpoints = Some(field.parsed(&*field.texts()?, crate::values::endpoints)?)
            }
            "timeout" => settings.timeout = Some(field.parsed(field.text_or_number()?, values::timeout)?),
            "once" | "max-sessions" if settings.max_sessions.is_some() => {
                return Err(field.wrong("once and max-sessions exclude each other"));
            }
            "once" => settings.max_sessions = field.flag()?.then_some(1),
            "max-sessions" => {
                settings.max_sessions = Some(field.parsed(field.number()?, values::max_sessions)?);
            }
            "tls-compat" => settings.tls_compat = field.flag()?,
            "audit" => {
                settings.audit = Some(match field.text()? {
                    "-" => AuditTarget::Stderr,
                    file => AuditTarget::File(field.path(file, paths)?.path().to_owned()),
                });
            }
            "scan" => {
                let text = field.text()?;
                settings.scan = Some(if text.starts_with("~/") || ScanTarget::is_file(OsStr::new(text)) {
                    ScanTarget::File(field.path(text, paths)?)
                } else {
                    field.parsed(OsStr::new(text), ScanTarget::parse)?
                });
            }
            _ => return Err(field.unknown(&AT_TOP)),
        }
    }
    Ok(settings)
}

fn secret_spec(secret: &Field<'_>, paths: &Paths) -> Result<SecretSpec, FieldError> {
    if secret.is_text() {
        // Not repeated: it may be a secret.
        return Err(secret.wrong(
            "must not be a value, as the file is meant to be committed: write the source, { env = \"…\" }, \
             { src = \"…\" } or { cmd = \"…\" }",
        ));
    }
    let form: KeyForm = secret.parsed(secret.key(), |key| parsed("--secret", key))?;
    let mut attributes = Attributes { id: Some(form), ..Attributes::default() };
    for field in secret.fields()? {
        match field.key() {
            "src" => attributes.src = Some(field.path(field.text()?, paths)?),
            "env" => attributes.env = Some(field.text()?.to_owned()),
            "cmd" => attributes.cmd = Some(field.text()?.to_owned()),
            "trim" => attributes.trim = Some(field.flag()?),
            "allow-empty" => attributes.allow_empty = field.flag()?,
            "max-reads" => attributes.max_reads = Some(field.parsed(field.number()?, max_reads)?),
            _ => return Err(field.unknown(&OF_SECRET)),
        }
    }
    secret.parsed(attributes, Attributes::into_spec)
}

fn http_rule(rule: &Field<'_>, paths: &Paths) -> Result<HttpCredentialSpec, FieldError> {
    if rule.is_text() {
        // Not repeated: it may be a credential.
        return Err(rule.wrong(
            "must not be a value, as the file is meant to be committed: write the source, { env = \"…\" }, \
             { src = \"…\" } or { cmd = \"…\" }",
        ));
    }
    let mut fields = rule.parsed(rule.key(), RuleFields::new)?;
    let own = |source| HttpCredentialSource::Own(source);
    for field in rule.fields()? {
        match field.key() {
            "env" => {
                field.parsed(own(Source::Env(field.text()?.to_owned())), |source| fields.source(source))?
            }
            "src" => {
                let file = field.path(field.text()?, paths)?;
                field.parsed(own(Source::File(file)), |source| fields.source(source))?;
            }
            "cmd" => {
                field
                    .parsed(own(Source::Command(field.text()?.to_owned())), |source| fields.source(source))?;
            }
            "key" => field.parsed(field.text()?, |key| fields.key(key))?,
            "ca" => {
                let file = field.path_for(Purpose::Ca, field.text()?, paths)?;
                field.parsed(file, |file| fields.ca(file))?;
            }
            name @ ("git" | "git+push" | "lfs") => {
                if field.flag()? {
                    field.parsed(None, |value| fields.option(name, value))?;
                }
            }
            "methods" if !field.is_text() => {
                let methods = field.texts()?.join("+");
                field.parsed(Some(&*methods), |value| fields.option("methods", value))?;
            }
            name @ ("auth" | "methods" | "own" | "scheme" | "plain") => {
                field.parsed(Some(field.text()?), |value| fields.option(name, value))?;
            }
            _ => return Err(field.unknown(&OF_RULE)),
        }
    }
    rule.parsed(fields, RuleFields::into_spec)
}

fn requested_agent(agent: &Field<'_>, paths: &Paths) -> Result<RequestedAgent, FieldError> {
    let id = agent.parsed(agent.key(), |id| parsed("--ssh", id))?;
    let mut source = None;
    for field in agent.fields()? {
        let named = match field.key() {
            "socket" => AgentSource::Socket(field.path(field.text()?, paths)?),
            "keys" => AgentSource::KeyFiles(field.paths(Purpose::Other, paths)?),
            _ => return Err(field.unknown(&OF_AGENT)),
        };
        if source.replace(named).is_some() {
            return Err(agent.wrong("socket and keys exclude each other"));
        }
    }
    Ok(RequestedAgent { id, source })
}

fn agent_socket(socket: &Field<'_>, paths: &Paths) -> Result<(AgentId, PathBuf), FieldError> {
    let id = socket.parsed(socket.key(), |id| parsed("--agent-socket", id))?;
    Ok((id, socket.path(socket.text()?, paths)?.path().to_owned()))
}

fn ssh(table: &Field<'_>, paths: &Paths, agents: &mut AgentSettings) -> Result<(), FieldError> {
    for field in table.fields()? {
        match field.key() {
            "key" => agents.keys = Some(field.each(|text| parsed("--ssh-key", text))?),
            "allow-host" => agents.hosts = Some(field.each(|text| parsed("--ssh-allow-host", text))?),
            "known-hosts" => agents.known_hosts = Some(field.paths(Purpose::KnownHosts, paths)?),
            "host-proof" => agents.host_proof = Some(field.parsed(field.text()?, host_proof)?),
            "allow-user" => agents.users = Some(field.texts()?),
            "allow-sshsig" => agents.sshsig_namespaces = Some(field.texts()?),
            "allow-forwarding" => agents.forwarding = field.flag()?,
            "max-signatures" => {
                agents.max_signatures = Some(field.parsed(field.number()?, max_signatures)?);
            }
            "confirm" => agents.confirm = field.flag()?,
            _ => return Err(field.unknown(&OF_SSH)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
