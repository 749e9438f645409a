//! `--git-credential` of `serve` and `run`. Errors do not repeat the value: a user may have written a password into it.

use bridge_host::{GitCredentialSource, GitCredentialSpec, SecretSpec, Source};
use git_credential::{GIT_CREDENTIALS, GitScope, MAX_GIT_CREDENTIALS};
use proto::{Encoding, Key, KeyForm};

use crate::usage::UsageError;

const OPTION: &str = "--git-credential";

/// Parses all values of the option.
///
/// # Errors
/// [`UsageError::Option`].
pub(crate) fn specs(options: &[String]) -> Result<Vec<GitCredentialSpec>, UsageError> {
    if options.len() > MAX_GIT_CREDENTIALS {
        return Err(UsageError::option(OPTION, "too many"));
    }
    let mut all: Vec<GitCredentialSpec> = Vec::with_capacity(options.len());
    for option in options {
        let spec = git_credential(option)?;
        if all.iter().any(|other| other.scope == spec.scope && other.user == spec.user) {
            return Err(UsageError::option(OPTION, format!("{} is named twice", spec.scope)));
        }
        all.push(spec);
    }
    Ok(all)
}

/// Adds the secret `git-credentials`, which holds all of `credentials`, to `secrets`; nothing if there are none.
///
/// # Errors
/// [`UsageError::Option`].
pub(crate) fn add(
    credentials: Vec<GitCredentialSpec>,
    secrets: &mut Vec<SecretSpec>,
) -> Result<(), UsageError> {
    if credentials.is_empty() {
        return Ok(());
    }
    if secrets.iter().any(|spec| spec.form.key.as_str() == GIT_CREDENTIALS) {
        return Err(UsageError::option(OPTION, "a secret with the key git-credentials exists already"));
    }
    let key: Key = GIT_CREDENTIALS.parse().map_err(|error| UsageError::option(OPTION, error))?;
    secrets.push(SecretSpec {
        form: KeyForm { encoding: Encoding::Plain, key },
        source: Source::GitCredentials(credentials),
        max_reads: None,
        allow_empty: false,
        trim: false,
    });
    Ok(())
}

/// `[USER@]HOST[:PORT][/PATH][=KEY]`.
fn git_credential(text: &str) -> Result<GitCredentialSpec, UsageError> {
    let wrong = |problem: &str| UsageError::option(OPTION, problem);
    let (place, key) = match text.split_once('=') {
        Some((place, key)) => (place, Some(key)),
        None => (text, None),
    };
    if place.starts_with("http://") {
        return Err(wrong("only https is supported"));
    }
    let place = place.strip_prefix("https://").unwrap_or(place);
    let server = place.split('/').next().unwrap_or_default();
    // The user may be an e-mail address.
    let (user, scope) = match server.rfind('@') {
        Some(at) => (place.get(..at), place.get(at + 1..).unwrap_or_default()),
        None => (None, place),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(wrong("must not contain a password: give it as a secret, [USER@]HOST=KEY"));
    }
    if user.is_some_and(|user| user.is_empty() || user.contains(char::is_control)) {
        return Err(wrong("invalid user name before @"));
    }
    let scope = GitScope::parse(scope).ok_or_else(|| wrong("must be [USER@]HOST[:PORT][/PATH][=KEY]"))?;
    let source = match key {
        Some(key) => {
            GitCredentialSource::Secret(key.parse().map_err(|error| UsageError::option(OPTION, error))?)
        }
        None => GitCredentialSource::Git,
    };
    Ok(GitCredentialSpec { scope, user: user.map(str::to_owned), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, String, Option<String>) {
        let GitCredentialSpec { scope, user, source } = git_credential(text).unwrap();
        let key = match source {
            GitCredentialSource::Secret(key) => Some(key.to_string()),
            GitCredentialSource::Git => None,
        };
        (user, scope.to_string(), key)
    }

    #[test]
    fn host_path_user_and_key_are_parsed() {
        let owned = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("github.com=GH"), (None, "github.com".into(), owned("GH")));
        assert_eq!(parsed("https://h:8443/org"), (None, "h:8443/org".into(), None));
        assert_eq!(parsed("me@x.org@h/o@p=ci/k"), (owned("me@x.org"), "h/o%40p".into(), owned("ci/k")));
    }

    #[test]
    fn invalid_values_are_refused_and_not_repeated() {
        for text in [
            "",
            "=KEY",
            "h=",
            "h=b64:KEY",
            "h=a b hunter2",
            "@h=KEY",
            "bob:hunter2@h",
            "bob:hunter2@h=KEY",
            "hunter2 hunter2",
            "http://hunter2",
            "h/hunter2/..",
        ] {
            let error = git_credential(text).err().unwrap().to_string();
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn all_credentials_are_in_one_secret() {
        let options = ["h=A", "bob@h=B", "h/org=A"].map(str::to_owned);
        let mut secrets = Vec::new();
        add(specs(&[]).unwrap(), &mut secrets).unwrap();
        assert!(secrets.is_empty());
        add(specs(&options).unwrap(), &mut secrets).unwrap();
        assert_eq!(secrets[0].form.key.as_str(), GIT_CREDENTIALS);
        let again = add(specs(&options).unwrap(), &mut secrets).unwrap_err();
        assert!(again.to_string().contains("exists already"));
        let twice = ["h/org.git".to_owned(), "H:443/org=A".to_owned()];
        assert!(specs(&twice).unwrap_err().to_string().contains("h/org is named twice"));
    }
}
