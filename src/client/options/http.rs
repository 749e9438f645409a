//! HTTP requests of COMMAND that get credentials on the host: `--http`, `--http-placeholder` and `--http-listen` of `exec`.

use bridge_client::{HttpMode, HttpRequest, SecretRequest, Target};
use clap::Args;
use proto::http::Origin;

use crate::client::options::secrets::is_variable_name;
use crate::usage::UsageError;

const HTTP: &str = "--http";
const PLACEHOLDER: &str = "--http-placeholder";
const LISTEN: &str = "--http-listen";
const HTTPS_PORT: u16 = 443;

// (A doc comment would become the help of `exec`.)
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP credentials")]
pub(crate) struct HttpOptions {
    /// Send COMMAND's requests to servers with a rule through the host, which adds the credential
    ///
    /// The rules are those of --http-credential of `serve` and `run`. COMMAND gets a proxy on loopback (HTTPS_PROXY), the
    /// certificate of a CA that exists while COMMAND runs, and no credential. All other requests go to their servers
    /// directly, or by the proxy that was there before.
    ///
    /// If there is no bridge conf, or the bridge has no rule, COMMAND does not start; with --http=optional, it starts without
    /// the proxy.
    #[arg(
        long = "http",
        value_name = "required|optional",
        num_args = 0..=1,
        default_missing_value = "required",
        require_equals = true
    )]
    http: Option<String>,
    /// Set the variable VAR to a placeholder for a credential (may be repeated)
    ///
    /// For tools that do not start without a credential. The host replaces what they send; the placeholder is of no use
    /// elsewhere.
    #[arg(long = "http-placeholder", value_name = "VAR")]
    placeholders: Vec<String>,
    /// Set the variable VAR to a URL on loopback in place of https://ORIGIN (may be repeated)
    ///
    /// For tools that use no proxy. ORIGIN is HOST[:PORT] of a server with a rule; COMMAND uses $VAR/PATH as the URL.
    #[arg(long = "http-listen", value_name = "ORIGIN=VAR")]
    listen: Vec<String>,
}

impl HttpOptions {
    /// The request, beside the `secrets` for COMMAND.
    ///
    /// # Errors
    /// [`UsageError`], also for a variable that is set twice.
    pub(crate) fn resolve(&self, secrets: &[SecretRequest]) -> Result<HttpRequest, UsageError> {
        let mode = match self.http.as_deref() {
            None => HttpMode::None,
            Some("required") => HttpMode::Required,
            Some("optional") => HttpMode::IfRuled,
            Some(_) => return Err(UsageError::option(HTTP, "must be required or optional")),
        };
        let mut variables: Vec<&str> = secrets.iter().filter_map(set_by).collect();
        for variable in &self.placeholders {
            claim(PLACEHOLDER, variable, &mut variables)?;
        }
        let mut listen: Vec<(Origin, String)> = Vec::new();
        for text in &self.listen {
            let (origin, variable) =
                text.rsplit_once('=').ok_or_else(|| UsageError::option(LISTEN, "must be HOST[:PORT]=VAR"))?;
            let origin = self::origin(origin)?;
            if listen.iter().any(|(other, _)| *other == origin) {
                return Err(UsageError::option(LISTEN, format!("{} is given twice", origin.short())));
            }
            claim(LISTEN, variable, &mut variables)?;
            listen.push((origin, variable.to_owned()));
        }
        if mode == HttpMode::None {
            let without = [(!self.placeholders.is_empty(), PLACEHOLDER), (!listen.is_empty(), LISTEN)];
            if let Some((_, option)) = without.into_iter().find(|(given, _)| *given) {
                return Err(UsageError::option(option, "needs --http"));
            }
        }
        Ok(HttpRequest { mode, placeholders: self.placeholders.clone(), listen })
    }

    /// Whether COMMAND must not start without a bridge.
    pub(crate) fn is_required(&self) -> bool {
        self.http.as_deref() == Some("required")
    }
}

/// The variable that a secret sets.
fn set_by(secret: &SecretRequest) -> Option<&str> {
    match &secret.target {
        Target::Variable(variable) => Some(variable),
        Target::File(file) => file.variable.as_deref(),
        Target::Git(_) => None,
    }
}

/// Adds `variable` to those that are set.
fn claim<'v>(option: &'static str, variable: &'v str, set: &mut Vec<&'v str>) -> Result<(), UsageError> {
    if !is_variable_name(variable) {
        let problem = format!("{} is not a valid variable name", proto::escape(variable));
        return Err(UsageError::option(option, problem));
    }
    if set.contains(&variable) {
        return Err(UsageError::option(option, format!("the variable {variable} is set twice")));
    }
    set.push(variable);
    Ok(())
}

/// `HOST[:PORT]`, also as a URL.
fn origin(text: &str) -> Result<Origin, UsageError> {
    let wrong = |problem: String| UsageError::option(LISTEN, problem);
    if text.starts_with("http://") {
        return Err(wrong("rules are for https servers: write HOST[:PORT]=VAR".to_owned()));
    }
    let host = text.strip_prefix("https://").unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    let with_port = || format!("{host}:{HTTPS_PORT}").parse::<Origin>();
    host.parse::<Origin>().or_else(|_| with_port()).map_err(|_| {
        wrong(format!("invalid origin {}: write HOST[:PORT]=VAR, without a path", proto::escape(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(http: Option<&str>, placeholders: &[&str], listen: &[&str]) -> Result<HttpRequest, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let http = http.map(str::to_owned);
        let options = HttpOptions { http, placeholders: owned(placeholders), listen: owned(listen) };
        let secret = SecretRequest {
            form: "K".parse().unwrap(),
            optional: false,
            searched: true,
            target: Target::Variable("K".to_owned()),
        };
        options.resolve(&[secret]).map_err(|error| error.to_string())
    }

    #[test]
    fn without_http_nothing_is_requested() {
        assert_eq!(resolved(None, &[], &[]).unwrap().mode, HttpMode::None);
        assert_eq!(resolved(Some("required"), &[], &[]).unwrap().mode, HttpMode::Required);
        assert_eq!(resolved(Some("optional"), &[], &[]).unwrap().mode, HttpMode::IfRuled);
        for wrong in ["", "yes", "Required", "optional "] {
            assert_eq!(
                resolved(Some(wrong), &[], &[]).unwrap_err(),
                "invalid --http: must be required or optional"
            );
        }
    }

    #[test]
    fn placeholders_and_listeners_need_http() {
        let problem =
            |placeholders: &[&str], listen: &[&str]| resolved(None, placeholders, listen).unwrap_err();
        assert_eq!(problem(&["A"], &[]), "invalid --http-placeholder: needs --http");
        assert_eq!(problem(&[], &["a.example=A"]), "invalid --http-listen: needs --http");
    }

    #[test]
    fn an_origin_is_a_host_with_or_without_a_port() {
        let request = resolved(
            Some("required"),
            &[],
            &[
                "NPM.example=A",
                "https://npm.example:8443=B",
                "https://pypi.example/=C",
                "[::1]=D",
                "[::1]:1=E",
            ],
        );
        let shown: Vec<String> =
            request.unwrap().listen.iter().map(|(origin, variable)| format!("{origin} {variable}")).collect();
        assert_eq!(
            shown,
            ["npm.example:443 A", "npm.example:8443 B", "pypi.example:443 C", "[::1]:443 D", "[::1]:1 E"]
        );
    }

    #[test]
    fn wrong_values_say_what_is_wrong() {
        for (listen, problem) in [
            (&["npm.example"][..], "must be HOST[:PORT]=VAR"),
            (&["=A"], "invalid origin : write HOST[:PORT]=VAR, without a path"),
            (&["npm.example/path=A"], "invalid origin npm.example/path: write"),
            (&["npm.example:0=A"], "invalid origin npm.example:0: write"),
            (&["http://npm.example=A"], "rules are for https servers"),
            (&["npm.example="], " is not a valid variable name"),
            (&["npm.example=1A"], "1A is not a valid variable name"),
            (&["npm.example=A", "NPM.example:443=B"], "npm.example is given twice"),
            (&["npm.example=A", "git.example=A"], "the variable A is set twice"),
            (&["npm.example=K"], "the variable K is set twice"),
        ] {
            let shown = resolved(Some("required"), &[], listen).unwrap_err();
            assert!(shown.contains(problem), "{listen:?}: {shown}");
        }
        let shown = resolved(Some("required"), &["A"], &["npm.example=A"]).unwrap_err();
        assert_eq!(shown, "invalid --http-listen: the variable A is set twice");
        assert!(resolved(Some("required"), &["A", "A"], &[]).unwrap_err().contains("set twice"));
        assert!(resolved(Some("required"), &["A B"], &[]).unwrap_err().contains("A B is not a valid"));
    }
}
