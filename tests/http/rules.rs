//! Rules as users write them: `--http-credential` of `run` and `serve`.
#![cfg(all(feature = "host", feature = "client"))]

use std::process::Command;

use crate::support::{BINARY, Home, Start as _};

/// A token that no variable and no path contains.
const TOKEN: &str = "npm_xK9hunter2Qw7Tz4";

/// `run OPTIONS -- sh -c SCRIPT`, where `$SB` is the program and `NPM_TOKEN` the token.
fn run(home: &Home, options: &[&str], script: &str) -> Command {
    let mut command = home.command(["run", "--listen", "127.0.0.1:0"]);
    command.args(options).args(["--", "sh", "-c", script]);
    command.env("NPM_TOKEN", TOKEN).env("SB", BINARY);
    command
}

fn with_rule(home: &Home, rule: &str, script: &str) -> Command {
    run(home, &["--http-credential", rule], script)
}

#[test]
fn command_does_not_get_the_variable_of_a_credential() {
    let home = Home::new();
    for rule in ["npm.example=NPM_TOKEN", "npm.example,env=NPM_TOKEN", "npm.example/org=NPM_TOKEN,git"] {
        with_rule(&home, rule, "echo \"<$NPM_TOKEN>\"").outcome().succeeds().prints("<>\n");
    }
    let outcome = with_rule(&home, "npm.example=NPM_TOKEN", "env").env("OTHER", "stays").outcome().succeeds();
    assert!(outcome.text().contains("OTHER=stays") && !outcome.text().contains(TOKEN), "{}", outcome.text());
    // The variable of a secret stays, as do others.
    run(
        &home,
        &["--secret", "NPM_TOKEN", "--http-credential", "npm.example,key=NPM_TOKEN"],
        "echo $NPM_TOKEN",
    )
    .outcome()
    .succeeds()
    .prints(format!("{TOKEN}\n"));
}

#[test]
fn no_build_can_ask_for_a_credential_by_a_name() {
    let home = Home::new();
    let script = "for name in NPM_TOKEN npm.example http-credential 0 1; do $SB print $name; done; \
                  $SB exec -e NPM_TOKEN -- true; $SB test";
    let outcome = with_rule(&home, "npm.example=NPM_TOKEN", script).outcome().succeeds();
    assert!(outcome.text().contains("keys: none") && !outcome.text().contains(TOKEN), "{}", outcome.text());
    outcome.says("NPM_TOKEN: the bridge has no such secret").never_says(TOKEN);
}

#[test]
fn command_that_passes_the_variable_on_gets_a_warning() {
    let home = Home::new();
    let command = |words: &[&str]| {
        let mut command = home.command(["run", "--listen", "127.0.0.1:0", "--http-credential"]);
        command.args(["npm.example=NPM_TOKEN", "--", "true"]).args(words).env("NPM_TOKEN", TOKEN);
        command.outcome().succeeds().never_says(TOKEN)
    };
    for (words, option) in [
        (&["build", "--build-arg", "NPM_TOKEN", "."][..], "--build-arg"),
        (&["build", "--build-arg=NPM_TOKEN"], "--build-arg"),
        (&["run", "-e", "NPM_TOKEN", "image"], "-e"),
        (&["run", "--env=NPM_TOKEN", "image"], "--env"),
        (&["build", "--secret", "id=NPM_TOKEN"], "--secret"),
        (&["build", "--secret=id=npm,env=NPM_TOKEN"], "--secret"),
    ] {
        let warning =
            format!("COMMAND has {option} NPM_TOKEN, and `run` removes NPM_TOKEN from its environment");
        command(words).says(&warning);
    }
    let by_value = format!("NPM_TOKEN={TOKEN}");
    command(&["build", "--build-arg", &by_value])
        .says("the arguments of COMMAND contain the value of NPM_TOKEN");
    for words in [&["--build-arg", "NPM_TOKENS"][..], &["--build-arg", "FTP_PROXY"], &["NPM_TOKEN"]] {
        command(words).never_says("COMMAND has").never_says("the arguments of COMMAND");
    }
}

#[test]
fn what_exposes_a_credential_gives_a_warning() {
    let home = Home::new();
    with_rule(&home, "npm.example:4873=NPM_TOKEN,scheme=http", "true").outcome().succeeds().says(
        "--http-credential npm.example:4873: scheme=http sends the credential to the server unencrypted",
    );
    run(&home, &["--secret", "NPM_TOKEN", "--http-credential", "npm.example,key=NPM_TOKEN"], "true")
        .outcome()
        .succeeds()
        .says("--http-credential npm.example: builds can read the secret NPM_TOKEN itself");
    run(&home, &["--secret", "id=t,env=NPM_TOKEN", "--http-credential", "npm.example=NPM_TOKEN"], "true")
        .outcome()
        .succeeds()
        .says("--http-credential npm.example: its credential is the secret t too, which builds can read");
    with_rule(&home, "npm.example=NPM_TOKEN", "true").outcome().succeeds().never_says("warning");
}

#[test]
fn wrong_rules_are_start_errors() {
    let home = Home::new();
    home.file("token", "token\n");
    home.file("two-lines", "one\ntwo\n");
    home.file("empty", "");
    home.file("no-ca", "text");
    for (rule, message) in [
        ("npm.example", "invalid --http-credential: must be PLACE=VARIABLE, or PLACE and one of src=FILE,"),
        (
            "npm.example,git",
            "invalid --http-credential: npm.example: has no credential: write one of src=FILE,",
        ),
        ("npm.example=NO_SUCH", "npm.example: the environment variable NO_SUCH is not set, or empty"),
        ("npm.example=EMPTY", "npm.example: the environment variable EMPTY is not set, or empty"),
        ("npm.example,env=NO_SUCH", "npm.example: the environment variable NO_SUCH is not set"),
        ("npm.example,src=none", "npm.example: cannot read none: "),
        ("npm.example,src=empty", "npm.example: the source is empty"),
        ("npm.example,src=two-lines", "HTTP credential for npm.example: "),
        ("npm.example,key=t", "HTTP credential for npm.example: there is no secret t"),
        ("npm.example,src=token,ca=none", "HTTP credential for npm.example: cannot use none"),
        ("npm.example,src=token,ca=no-ca", "HTTP credential for npm.example: cannot use no-ca"),
        (
            "npm.example,src=token,auth=digest",
            "npm.example: invalid auth: write auth=bearer, auth=basic or auth=header:NAME",
        ),
        ("npm.example,src=token,auth=header:Host", "npm.example: auth=header:Host is not possible"),
        ("npm.example,src=token,auth", "npm.example: invalid auth"),
        ("npm.example,src=token,methods=FETCH", "npm.example: invalid methods"),
        ("npm.example,src=token,methods=CONNECT", "npm.example: invalid methods"),
        ("npm.example,src=token,git=push", "npm.example: git takes no value"),
        ("npm.example,src=token,git,git+push", "npm.example: git is given twice"),
        ("npm.example,src=token,lfs", "the rule npm.example has lfs without git"),
        ("npm.example,src=token,own=drop", "npm.example: invalid own: write own=keep"),
        ("npm.example,src=token,plain=refuse", "npm.example: invalid plain: write plain=pass"),
        (
            "npm.example,src=token,scheme=ftp",
            "npm.example: invalid scheme: write scheme=https or scheme=http",
        ),
        ("npm.example,src=token,scheme=http", "the rule npm.example has scheme=http"),
        (
            "me@npm.example,src=token,auth=bearer",
            "the rule npm.example names a user, which only auth=basic has",
        ),
        ("npm.example,src=token,max-reads=1", "npm.example: unknown field 3; known fields are src,"),
        ("*.example,src=token", "the host must be a name in ASCII"),
        ("npm.example:0,src=token", "the port must be a number from 1 to 65535"),
        ("npm.example/a/../b,src=token", "invalid path"),
        ("npm.example/a?b,src=token", "it has a query or a fragment"),
    ] {
        for command in ["run", "serve"] {
            let mut command = home.command([command, "--listen", "127.0.0.1:0", "--http-credential", rule]);
            command.env("EMPTY", "");
            if command.get_args().next().unwrap() == "run" {
                command.args(["--", "touch", "started"]);
            }
            command.outcome().fails().says(message);
        }
    }
    assert!(!home.path("started").exists());
}

#[test]
fn a_token_in_place_of_a_variable_is_not_repeated() {
    let home = Home::new();
    for rule in [
        format!("npm.example={TOKEN}"),
        format!("npm.example,env=A,{TOKEN}"),
        format!("{TOKEN}@x:y@npm.example"),
    ] {
        with_rule(&home, &rule, "true").env_remove("NPM_TOKEN").outcome().fails().never_says(TOKEN);
    }
    with_rule(&home, &format!("npm.example={TOKEN}"), "true").outcome().fails().says(
        "no environment variable has the name after = (not repeated here: it may be the credential itself",
    );
}

#[test]
fn rules_for_the_same_paths_are_refused() {
    let home = Home::new();
    let twice =
        ["--http-credential", "npm.example/a=NPM_TOKEN", "--http-credential", "NPM.example:443/a/=NPM_TOKEN"];
    run(&home, &twice, "true").outcome().fails().says("are for the same paths");
    let two =
        ["--http-credential", "npm.example/a=NPM_TOKEN", "--http-credential", "npm.example/b=NPM_TOKEN"];
    run(&home, &two, "true").outcome().succeeds();
}

#[test]
fn a_rule_without_requests_is_named_at_the_end() {
    let home = Home::new();
    let hint =
        "secrets-bridge: npm.example: no request (a step sends its requests this way under `exec --http`)";
    with_rule(&home, "npm.example=NPM_TOKEN", "$SB exec -- true").outcome().succeeds().says(hint);
    // Nothing arrived, which has a sentence of its own.
    with_rule(&home, "npm.example=NPM_TOKEN", "true")
        .outcome()
        .succeeds()
        .says("no connection arrived")
        .never_says("npm.example: no request");
    let options = ["--format", "json", "--http-credential", "npm.example:8443/org=NPM_TOKEN"];
    let outcome = run(&home, &options, "$SB exec -- true").outcome().succeeds();
    let summary: serde_json::Value = serde_json::from_str(outcome.stderr.lines().last().unwrap()).unwrap();
    let unused = serde_json::json!({ "npm.example:8443/org": { "requests": 0, "bytes": 0, "refused": 0 } });
    assert_eq!(summary["http"], unused);
}

#[test]
fn scan_searches_for_credentials_as_for_secrets() {
    use base64::Engine as _;
    let home = Home::new();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{TOKEN}"));
    let netrc = format!("machine npm.example login me password {TOKEN}\n");
    let layer =
        tar(&[("netrc", netrc.as_bytes()), ("auth", format!("Authorization: Basic {basic}").as_bytes())]);
    let manifest = br#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
    let image = tar(&[("manifest.json", manifest), ("c.json", b"{}"), ("l.tar", &layer)]);
    home.file("image.tar", image);
    let clean = tar(&[("manifest.json", manifest), ("c.json", b"{}"), ("l.tar", &tar(&[("x", b"nothing")]))]);
    home.file("clean.tar", clean);
    let scan = |image: &str, rule: &str| {
        let options = ["--scan", image, "--http-credential", rule];
        run(&home, &options, "true").outcome().never_says(TOKEN)
    };
    home.file("token", format!("{TOKEN}\n"));
    for source in ["=NPM_TOKEN", ",src=token", ",cmd=cat token"] {
        let found = scan("./image.tar", &format!("me@npm.example:8443{source}")).exits_with(1).text();
        for line in [
            "netrc: http-credential npm.example:8443 (raw)",
            "auth: http-credential npm.example:8443 (base64)",
        ] {
            assert!(found.contains(line), "{line}: {found}");
        }
        assert!(!found.contains(TOKEN), "{found}");
        scan("./clean.tar", &format!("npm.example{source}")).succeeds();
    }
    // What cannot be searched for is said.
    home.file("short", "abc12");
    scan("./clean.tar", "npm.example,src=short").fails().says("the credential of npm.example is too short");
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn serve_says_how_many_credentials_it_has() {
    let home = Home::new();
    let mut serve =
        home.serve(["--http-credential", "npm.example=NPM_TOKEN", "--http-credential", "b,src=token"]);
    home.file("token", TOKEN);
    let serve = serve.env("NPM_TOKEN", TOKEN).start();
    serve.prints("sb1_");
    serve.says("with 0 secrets and 2 HTTP credentials");
}

#[test]
fn test_lists_the_origins_with_rules() {
    let home = Home::new();
    let options =
        ["--http-credential", "npm.example/org=NPM_TOKEN", "--http-credential", "npm.example:8443=NPM_TOKEN"];
    let outcome = run(&home, &options, "$SB test; $SB test --format json").outcome().succeeds();
    let text = outcome.text();
    assert!(text.contains("\norigins: npm.example, npm.example:8443\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(json["origins"], serde_json::json!(["npm.example:443", "npm.example:8443"]));
    let without = run(&home, &[], "$SB test").outcome().succeeds();
    assert!(without.text().contains("\norigins: none\n"), "{}", without.text());
}
