use crate::testing::{judge, rules, verdict};

#[test]
fn a_refusal_names_rule_request_and_remedy() {
    let npm = rules(&["h.example"]);
    let git = rules(&["h.example/org,git"]);
    let text = |rules, request: &str| judge(rules, request, &[]).unwrap_err().text;
    for (rules, request, expected) in [
        (
            &npm,
            "PUT /a?token=x",
            "PUT /a: the rule h.example permits GET and HEAD only: to permit it, write methods=GET+HEAD+PUT",
        ),
        (
            &npm,
            "TRACE /a",
            "TRACE /a: the rule h.example permits GET and HEAD only, and no rule can permit this method",
        ),
        (
            &git,
            "GET /org/a",
            "GET /org/a: the rule h.example/org permits git clone and fetch only: to permit other requests too, write methods=GET",
        ),
        (
            &git,
            "GET /org/a/info/refs?service=git-receive-pack",
            "GET /org/a/info/refs: the rule h.example/org permits git clone and fetch, no push: to permit it, write git+push for git",
        ),
        (
            &git,
            "GET /org/a?go-get=1",
            "GET /org/a: ?go-get=1 is any GET, and the rule h.example/org permits git only: use GOPROXY, or a module path that ends in .git, \
             or permit methods=GET",
        ),
        (
            &git,
            "POST /org/a/info/lfs/objects/batch",
            "POST /org/a/info/lfs/objects/batch: the rule h.example/org does not permit git LFS: to permit it, write git,lfs",
        ),
        (
            &git,
            "GET /a",
            "GET /a: not a path of the rule h.example/org: for this path, add another --http-credential HOST/PATH=VARIABLE",
        ),
    ] {
        assert_eq!(text(rules, request), expected);
    }
}

#[test]
fn what_the_build_sends_is_escaped_and_bounded() {
    let long = rules(&[
        &format!("h.example/{},methods=GET+HEAD+POST+PUT+PATCH+DELETE", "p".repeat(1000)),
        "h.example/a%20b,git,lfs",
    ]);
    let path = format!("/{}", "\u{202e}é%1b".repeat(200));
    let method = "M".repeat(1000);
    for lines in [
        [format!("GET {path} HTTP/1.1"), "Host: h.example".to_owned()],
        [format!("{method} /{} HTTP/1.1", "p".repeat(1000)), "Host: h.example".to_owned()],
        [format!("OPTIONS /{}/\u{301}\u{301} HTTP/1.1", "p".repeat(1000)), "Host: h.example".to_owned()],
        [format!("{method} {path} HTTP/1.1"), "Host: o".to_owned()],
        [format!("{method} {path}/../ HTTP/1.1"), "Upgrade: o".to_owned()],
        [format!("CONNECT {}:1 HTTP/1.1", "h".repeat(1000)), "Host: o".to_owned()],
    ] {
        // `verdict` checks that the text is escaped and not too long.
        let refusal = verdict(&long, &lines.each_ref().map(String::as_str)).unwrap_err();
        assert!(!refusal.text.ends_with('…'), "the remedy is there: {}", refusal.text);
    }
}
