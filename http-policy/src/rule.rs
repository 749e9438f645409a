//! One rule, and the options with which it is written.

use std::fmt;

use thiserror::Error;

use crate::auth::Auth;
use crate::fields::may_carry_credential;
use crate::method::Method;
use crate::place::RulePlace;

/// The user of git over HTTPS where the rule names none: GitHub, GitLab, Gitea and Forgejo look at the password only.
const GIT_USER: &str = "x-access-token";

/// Most rules of a bridge.
pub(crate) const MAX_RULES: usize = 1024;

/// What requests to one origin and path may do, and how the credential is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    place: RulePlace,
    /// As written.
    auth: Option<Auth>,
    /// As written.
    methods: Option<Vec<Method>>,
    pub git: Git,
    /// Whether files of git LFS may be fetched, and sent with [`Git::Push`].
    pub lfs: bool,
    pub own: Own,
    pub scheme: Scheme,
    pub plain: Plain,
}

/// What git may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Git {
    /// Nothing, but what the methods permit.
    None,
    /// Clone and fetch.
    Fetch,
    /// Clone, fetch and push.
    Push,
}

/// What becomes of an `Authorization` that the tool sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Ours replaces it.
    Replace,
    /// It goes on, and nothing is added to such a request.
    Keep,
}

/// How the host talks to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    /// Unencrypted.
    Http,
}

/// What becomes of plain `http://` requests to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Refuse,
    /// They go out from the build, without a credential.
    Pass,
}

/// Why rules are invalid. The texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    #[error("invalid {option}: write {expected}")]
    Value { option: &'static str, expected: &'static str },
    #[error("{0} takes no value")]
    NoValue(&'static str),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("auth=header:{0} is not possible: this header field has a meaning of its own")]
    Header(String),
    #[error("the rule {0} names a user, which only auth=basic has")]
    User(String),
    #[error("the rule {0} has lfs without git: write git,lfs")]
    LfsWithoutGit(String),
    #[error("the rule {0} has scheme=http: it needs the port of the server (HOST:PORT)")]
    PortOfHttp(String),
    /// They would be for the same paths, at least for servers that ignore case.
    #[error("the rules {0} and {1} are for the same paths")]
    Duplicate(String, String),
    #[error("the rules are for more than {} origins", proto::limits::MAX_ORIGINS)]
    Origins,
    #[error("there are more than {} rules", MAX_RULES)]
    Rules,
}

impl Rule {
    /// A rule with the defaults: GET and HEAD, with `Authorization: Bearer`.
    pub fn new(place: RulePlace) -> Self {
        Self {
            place,
            auth: None,
            methods: None,
            git: Git::None,
            lfs: false,
            own: Own::Replace,
            scheme: Scheme::Https,
            plain: Plain::Refuse,
        }
    }

    pub fn place(&self) -> &RulePlace {
        &self.place
    }

    /// How the credential is added: as `auth=` says, else Basic for a rule with a user or for git, else Bearer.
    pub fn auth(&self) -> Auth {
        let user = self.place.user().map(str::to_owned);
        match &self.auth {
            Some(Auth::Basic(_)) => Auth::Basic(user),
            Some(auth) => auth.clone(),
            None if user.is_some() => Auth::Basic(user),
            None if self.git != Git::None => Auth::Basic(Some(GIT_USER.to_owned())),
            None => Auth::Bearer,
        }
    }

    /// Methods that are permitted beside what `git` and `lfs` permit: as `methods=` says, else none for a git rule, else
    /// GET and HEAD.
    pub fn methods(&self) -> &[Method] {
        match &self.methods {
            Some(methods) => methods,
            None if self.git != Git::None => &[],
            None => &[Method::Get, Method::Head],
        }
    }

    /// Whether a path that is read in two ways could be more than the rule permits.
    pub(crate) fn restricts_paths(&self) -> bool {
        !self.place.path().is_all() || self.git != Git::None || self.lfs || self.methods.is_some()
    }

    /// Sets the option `name`, as it is written on the command line and in project files. `false`: it is not an option of
    /// rules.
    ///
    /// # Errors
    /// [`RuleError`] for an invalid value, or an option that was given before.
    pub fn option(&mut self, name: &str, value: Option<&str>) -> Result<bool, RuleError> {
        let invalid = |option, expected| Err(RuleError::Value { option, expected });
        match (name, value) {
            ("auth", Some("bearer")) => once("auth", &mut self.auth, Auth::Bearer)?,
            ("auth", Some("basic")) => once("auth", &mut self.auth, Auth::Basic(None))?,
            ("auth", Some(value)) => {
                let Some(name) = value.strip_prefix("header:").filter(|name| is_header_name(name)) else {
                    return invalid("auth", "auth=bearer, auth=basic or auth=header:NAME");
                };
                if !may_carry_credential(name) {
                    return Err(RuleError::Header(name.to_owned()));
                }
                once("auth", &mut self.auth, Auth::Header(name.to_owned()))?;
            }
            ("methods", Some(value)) => {
                let methods: Result<Vec<Method>, _> = value.split('+').map(str::parse).collect();
                let Ok(mut methods) = methods else {
                    return invalid(
                        "methods",
                        "methods= with some of GET+HEAD+POST+PUT+PATCH+DELETE+OPTIONS",
                    );
                };
                methods.sort();
                methods.dedup();
                once("methods", &mut self.methods, methods)?;
            }
            ("git", None) if self.git == Git::None => self.git = Git::Fetch,
            ("git+push", None) if self.git == Git::None => self.git = Git::Push,
            ("git" | "git+push", None) => return Err(RuleError::Twice("git")),
            ("lfs", None) => self.lfs = true,
            ("own", Some("keep")) => self.own = Own::Keep,
            ("scheme", Some("http")) => self.scheme = Scheme::Http,
            ("scheme", Some("https")) => self.scheme = Scheme::Https,
            ("plain", Some("pass")) => self.plain = Plain::Pass,
            ("auth", None) => return invalid("auth", "auth=bearer, auth=basic or auth=header:NAME"),
            ("methods", None) => return invalid("methods", "methods=GET+HEAD, or others"),
            ("own", _) => return invalid("own", "own=keep"),
            ("scheme", _) => return invalid("scheme", "scheme=https or scheme=http"),
            ("plain", _) => return invalid("plain", "plain=pass"),
            ("git", Some(_)) => return Err(RuleError::NoValue("git")),
            ("git+push", Some(_)) => return Err(RuleError::NoValue("git+push")),
            ("lfs", Some(_)) => return Err(RuleError::NoValue("lfs")),
            (_, _) => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the options fit together.
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        if self.place.user().is_some() && !matches!(self.auth(), Auth::Basic(_)) {
            return Err(RuleError::User(self.to_string()));
        }
        if self.lfs && self.git == Git::None {
            return Err(RuleError::LfsWithoutGit(self.to_string()));
        }
        if self.scheme == Scheme::Http && self.place.origin().port() == 443 {
            return Err(RuleError::PortOfHttp(self.to_string()));
        }
        Ok(())
    }
}

fn once<T>(name: &'static str, option: &mut Option<T>, value: T) -> Result<(), RuleError> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(RuleError::Twice(name)),
    }
}

/// Letters, digits and hyphens: programs behind CGI cannot tell other characters from `_`.
fn is_header_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl fmt::Display for Rule {
    /// The place, as messages and audit records name a rule. Safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

#[cfg(test)]
mod tests;
