//! git credentials: the text that a bridge sends, and the lines in which git asks.

use git_credential::{
    GitAttributes, GitCredential, GitCredentials, GitScope, MAX_GIT_CREDENTIAL, MAX_GIT_CREDENTIALS,
    git_credentials_text,
};
use proto::Secret;

/// What a client reads as the secret `git-credentials`.
pub fn git_credentials(data: &[u8]) {
    let Ok(parsed) = GitCredentials::parse(data) else { return };
    assert!(parsed.all().len() <= MAX_GIT_CREDENTIALS);
    for credential in parsed.all() {
        for secret in [credential.user(), credential.password()] {
            // git's protocol has one line for each attribute.
            assert!(!secret.is_empty() && secret.len() <= MAX_GIT_CREDENTIAL);
            assert!(!secret.expose().iter().any(|byte| b"\0\r\n".contains(byte)));
        }
        check_scope(credential.scope());
        // It is found for what it is for, and for nothing on another server.
        let found = parsed.find(credential.scope(), Some(credential.user().expose())).unwrap();
        assert_eq!(found.credential.scope().server(), credential.scope().server());
        let elsewhere =
            GitScope::from_request("other.invalid:1", credential.scope().path().as_deref()).unwrap();
        assert!(
            parsed
                .find(&elsewhere, None)
                .is_none_or(|found| found.credential.scope().server() == "other.invalid:1")
        );
    }
    let text = git_credentials_text(parsed.all());
    let again = GitCredentials::parse(text.expose()).unwrap();
    assert_eq!(again.all().len(), parsed.all().len());
    for (one, other) in parsed.all().iter().zip(again.all()) {
        assert_eq!((one.scope(), one.user().expose()), (other.scope(), other.user().expose()));
        assert_eq!(one.password().expose(), other.password().expose());
    }
}

fn check_scope(scope: &GitScope) {
    let text = scope.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert_eq!(GitScope::parse(&text).as_ref(), Some(scope));
    assert!(scope.covers(scope));
    if let Some(path) = scope.path() {
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path:?}");
        assert!(!path.contains(char::is_control));
    }
}

pub(crate) fn credentials_seeds() -> Vec<Vec<u8>> {
    let secret = |text: &str| Secret::from(text.to_owned());
    let credential = |scope: &str| {
        GitCredential::new(GitScope::parse(scope).unwrap(), secret("user"), secret("p:@/%ä")).unwrap()
    };
    let text =
        git_credentials_text(&[credential("git.example"), credential("git.example:8443/org/repo.git")]);
    vec![text.expose().to_vec(), b"https://u:p@[::1]:1/a%20b\nhttp://u:p@plain\n\nhttps://u:q@h\n".to_vec()]
}

/// What git writes to a credential helper, and git's own answer on the host.
pub fn git_attributes(data: &[u8]) {
    let Ok(parsed) = GitAttributes::parse(data) else { return };
    let values = [&parsed.protocol, &parsed.host, &parsed.path, &parsed.username, &parsed.password];
    for value in values.into_iter().flatten() {
        assert!(!value.expose().iter().any(|byte| b"\0\r\n".contains(byte)));
    }
    let text = |secret: &Option<Secret>| {
        secret.as_ref().and_then(|secret| str::from_utf8(secret.expose()).ok().map(str::to_owned))
    };
    if let Some(scope) =
        text(&parsed.host).and_then(|host| GitScope::from_request(&host, text(&parsed.path).as_deref()))
    {
        check_scope(&scope);
    }
}

pub(crate) fn attributes_seeds() -> Vec<Vec<u8>> {
    [
        "capability[]=authtype\nprotocol=https\r\nhost=h:8443\npath=org/repo.git\nwwwauth[]=Basic realm=\"x\"\n\n",
        "protocol=https\nhost=[2001:db8::1]:8443\nusername=u\npassword=p\n",
        "host=a\nhost=b\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
