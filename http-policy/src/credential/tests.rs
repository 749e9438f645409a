use super::*;
use crate::testing::{head, rule};

fn authorized(text: &str, secret: &[u8], fields: &[&str]) -> Result<(Vec<String>, bool), CredentialError> {
    let mut head = head(&[&["GET / HTTP/1.1"], fields].concat());
    let added = rule(text).authorize(&mut head, &Secret::new(secret.to_vec()))?;
    let show = |header: &http_message::Header| {
        format!("{}: {}", header.name, String::from_utf8_lossy(&header.value))
    };
    Ok((head.headers.iter().map(show).collect(), added))
}

#[test]
fn the_credential_is_added_as_the_rule_says() {
    for (rule, secret, field) in [
        ("h", "tok", "Authorization: Bearer tok"),
        ("h", "tok\n", "Authorization: Bearer tok"),
        ("h", "tok\r\n", "Authorization: Bearer tok"),
        ("u@h", "p", "Authorization: Basic dTpw"),
        ("h,auth=basic", "u:p:q", "Authorization: Basic dTpwOnE="),
        ("ü@h", "é", "Authorization: Basic w7w6w6k="),
        ("h,git", "tok", "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dG9r"),
        ("h,auth=header:Private-Token", "t k", "Private-Token: t k"),
        ("h,auth=header:Authorization", "Token t", "Authorization: Token t"),
    ] {
        assert_eq!(authorized(rule, secret.as_bytes(), &[]), Ok((vec![field.to_owned()], true)), "{rule}");
    }
}

#[test]
fn the_credential_is_the_only_one() {
    let fields = ["authorization: a", "Private-Token: b", "Authorization: c", "X: d"];
    let (left, _) = authorized("h", b"tok", &fields).unwrap();
    assert_eq!(left, ["Private-Token: b", "X: d", "Authorization: Bearer tok"]);
    let (left, _) = authorized("h,auth=header:private-token", b"tok", &fields).unwrap();
    assert_eq!(left, ["X: d", "private-token: tok"]);
}

#[test]
fn with_keep_nothing_is_added_to_a_request_with_its_own() {
    assert_eq!(
        authorized("h,own=keep", b"tok", &["Authorization: a"]),
        Ok((vec!["Authorization: a".to_owned()], false))
    );
    assert_eq!(
        authorized("h,own=keep", b"tok", &[]),
        Ok((vec!["Authorization: Bearer tok".to_owned()], true))
    );
    let (_, added) = authorized("h,own=keep,auth=header:X-Key", b"tok", &["x_key: a"]).unwrap();
    assert!(!added);
}

#[test]
fn a_value_that_would_end_the_field_is_refused() {
    use CredentialError::{Characters, Empty, Long, NoUser};
    let long = vec![b'a'; MAX_CREDENTIAL + 1];
    for (rule, secret, error) in [
        ("h", &b""[..], Empty),
        ("h", b"\n", Empty),
        ("h", b"\r\n", Empty),
        ("h", b"tok\n\n", Characters),
        ("h", b"a\r\nX: b", Characters),
        ("h", b"a\nb", Characters),
        ("h", b"a\0", Characters),
        ("h", b"a\x7f", Characters),
        ("h", b"a\tb", Characters),
        ("h", b" a", Characters),
        ("h", b"a ", Characters),
        ("h", "é".as_bytes(), Characters),
        ("h", b"\xff", Characters),
        ("h,auth=header:X-Key", b"a\rb", Characters),
        ("u@h", b"a\nb", Characters),
        ("h,auth=basic", b"password", NoUser),
        ("h", &long, Long),
    ] {
        assert_eq!(authorized(rule, secret, &[]), Err(error), "{rule} {secret:?}");
        assert_eq!(
            crate::Echo::new(&crate::testing::rule(rule), &Secret::new(secret.to_vec())).err(),
            Some(error).filter(|_| error != Characters
                || secret.iter().any(u8::is_ascii_control)
                || secret.starts_with(b" ")
                || secret.ends_with(b" "))
        );
    }
}
