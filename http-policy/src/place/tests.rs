use super::*;

#[test]
fn a_place_is_shown_in_one_form() {
    for (text, shown, user) in [
        ("h.example", "h.example", None),
        ("H.Example.:443/", "h.example", None),
        ("h.example:8443", "h.example:8443", None),
        ("[2001:DB8::0]:443/a", "[2001:db8::]/a", None),
        ("[::1]", "[::1]", None),
        ("127.0.0.1:80", "127.0.0.1:80", None),
        ("h.example/org/%72epo/", "h.example/org/repo", None),
        ("h.example/@org%2fname", "h.example/@org/name", None),
        ("h.example/a:b@c/d", "h.example/a:b@c/d", None),
        ("u@h.example", "h.example", Some("u")),
        ("me@corp.example@h.example:444/a@b", "h.example:444/a@b", Some("me@corp.example")),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
    ] {
        let place: RulePlace = text.parse().unwrap();
        assert_eq!((place.to_string().as_str(), place.user()), (shown, user), "{text}");
        let again: RulePlace = shown.parse().unwrap();
        assert_eq!((again.origin(), again.path()), (place.origin(), place.path()));
    }
}

#[test]
fn what_is_no_place_is_refused() {
    for text in [
        "",
        "/a",
        ":443",
        "@h",
        "u:p@h",
        "u\n@h",
        "h.example:",
        "h.example:0",
        "h.example:https",
        "h.example:65536",
        "*.example",
        "h_.example/..",
        "h.example/../a",
        "h.example/a//b",
        "h.example//",
        "h.example/a%2f%2fb",
        "h.example/%2e",
        "h.example/a\\b",
        "h.example/%25",
        "h.example/a%",
        "h.example/a?b",
        "h.example/a#b",
        "h.example/a%00",
        "h.example/%ff",
        "h.example/a.",
        "https://h.example",
        "http://h",
        "::1",
        "[::1",
        "bücher.example",
        "h example",
        "h.example,git",
        "127.1",
    ] {
        assert!(text.parse::<RulePlace>().is_err(), "{text}");
    }
    assert!(format!("{}@h", "u".repeat(257)).parse::<RulePlace>().is_err());
    assert!(format!("h/{}", "p".repeat(1024)).parse::<RulePlace>().is_err());
}

#[test]
fn errors_say_what_to_write_and_repeat_nothing() {
    let error = |text: &str| text.parse::<RulePlace>().unwrap_err().to_string();
    assert_eq!(
        error("bücher.example"),
        "invalid origin: the host must be a name in ASCII (xn--… for others) or an address"
    );
    assert_eq!(error("https://h.example/a"), "invalid origin: write HOST[:PORT][/PATH], not a URL");
    assert_eq!(error("h.example/a/../b"), "invalid path: it has a segment . or ..");
    assert_eq!(error("h.example/\u{1b}[1m"), "invalid path: it has a character that is not shown");
    for text in ["bob:hunter2@h", "hunter2 x", "h:hunter2", "h/hunter2/..", "h/?hunter2", "https://hunter2@h"]
    {
        assert!(!error(text).contains("hunter2"), "{}", error(text));
    }
}
