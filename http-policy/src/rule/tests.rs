use super::*;
use crate::testing::rule;

fn with(text: &str) -> Result<Rule, RuleError> {
    let mut parts = text.split(',');
    let mut rule = Rule::new(parts.next().unwrap().parse().unwrap());
    for option in parts {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        assert!(rule.option(name, value)?, "{option} is no option");
    }
    rule.check()?;
    Ok(rule)
}

#[test]
fn defaults_depend_on_user_and_git() {
    use Method::{Get, Head, Post};
    let basic = |user: &str| Auth::Basic(Some(user.to_owned()));
    for (text, auth, methods) in [
        ("h", Auth::Bearer, &[Get, Head][..]),
        ("u@h", basic("u"), &[Get, Head]),
        ("u@h,auth=basic", basic("u"), &[Get, Head]),
        ("h,auth=basic", Auth::Basic(None), &[Get, Head]),
        ("h,git", basic("x-access-token"), &[]),
        ("h,git+push", basic("x-access-token"), &[]),
        ("u@h,git", basic("u"), &[]),
        ("h,auth=bearer,git", Auth::Bearer, &[]),
        ("h,git,auth=basic", Auth::Basic(None), &[]),
        ("h,methods=GET,git,lfs", basic("x-access-token"), &[Get]),
        ("h,methods=POST+GET+POST", Auth::Bearer, &[Get, Post]),
        ("h,auth=header:Private-Token", Auth::Header("Private-Token".to_owned()), &[Get, Head]),
        ("h,auth=header:Authorization", Auth::Header("Authorization".to_owned()), &[Get, Head]),
    ] {
        let rule = with(text).unwrap();
        assert_eq!((rule.auth(), rule.methods()), (auth, methods), "{text}");
    }
    let rule = with("h:81,own=keep,scheme=http,plain=pass,git+push,lfs").unwrap();
    assert_eq!((rule.own, rule.scheme, rule.plain), (Own::Keep, Scheme::Http, Plain::Pass));
    assert_eq!((rule.git, rule.lfs), (Git::Push, true));
}

#[test]
fn options_have_one_form() {
    for text in [
        "h,auth=Bearer",
        "h,auth=",
        "h,auth",
        "h,auth=header",
        "h,auth=header:",
        "h,auth=header:a b",
        "h,auth=header:a:b",
        "h,auth=header:X_Key",
        "h,auth=bearer,auth=basic",
        "h,methods=",
        "h,methods",
        "h,methods=get",
        "h,methods=GET HEAD",
        "h,methods=TRACE",
        "h,methods=CONNECT",
        "h,methods=GET+",
        "h,methods=*",
        "h,methods=GET,methods=PUT",
        "h,git=push",
        "h,git,git+push",
        "h,git,git",
        "h,git+push=1",
        "h,git,lfs=1",
        "h,own",
        "h,own=replace",
        "h,scheme=ftp",
        "h,scheme",
        "h,plain",
        "h,plain=refuse",
        // What does not fit together.
        "u@h,auth=bearer",
        "u@h,auth=header:X-Key",
        "h,lfs",
        "h,scheme=http",
        "h:443,scheme=http",
    ] {
        assert!(with(text).is_err(), "{text}");
    }
    let mut rule = rule("h");
    for other in ["ca", "src", "env", "cmd", "key", "Git", "", "methods "] {
        assert_eq!(rule.option(other, Some("x")), Ok(false), "{other}");
    }
}

#[test]
fn the_credential_has_no_field_with_a_meaning_of_its_own() {
    for name in [
        "Host",
        "hOST",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Forwarded",
        "X-Forwarded-For",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Content-Type",
        "Accept-Encoding",
        "If-Match",
        "Range",
        "Via",
        "Sec-WebSocket-Key",
        "Destination",
    ] {
        let text = format!("h,auth=header:{name}");
        assert_eq!(with(&text), Err(RuleError::Header(name.to_owned())));
    }
    for name in [
        "Private-Token",
        "JOB-TOKEN",
        "X-Api-Key",
        "X-JFrog-Art-Api",
        "Cookie",
        "authorization",
        "DD-API-KEY",
    ] {
        assert!(with(&format!("h,auth=header:{name}")).is_ok(), "{name}");
    }
}
