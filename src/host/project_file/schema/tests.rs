use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::host::project_file::EXAMPLE;

const PAGE: &str = include_str!("../../../../docs/PROJECT_FILE.md");

fn parsed(text: &str) -> Result<Settings, FieldError> {
    parse(text.as_bytes(), &Paths::of(Path::new("/nowhere/project")))
}

fn problem(text: &str) -> String {
    let error = parsed(text).unwrap_err();
    format!("{}: {}", error.line, error.problem)
}

/// Each key after its tables, and a file that has it with a value of the right type.
fn all_keys() -> Vec<(String, String)> {
    let tables = [
        ("", &AT_TOP[..]),
        ("secrets.NAME.", &OF_SECRET),
        ("http.PLACE.", &OF_RULE),
        ("agents.ID.", &OF_AGENT),
        ("ssh.", &OF_SSH),
    ];
    let value = |table: &str, key: &str| match (table, key) {
        ("", "secrets" | "http" | "agents" | "ssh" | "git-key" | "agent-socket") => "{}",
        (_, "once" | "tls-compat" | "trim" | "allow-empty" | "allow-forwarding" | "confirm") => "true",
        (_, "git" | "git+push" | "lfs") => "true",
        (_, "max-sessions" | "max-reads" | "max-signatures" | "timeout") => "3",
        (_, "listen") => "\":9100-9199\"",
        (_, "endpoint") => "[\"host:1\"]",
        (_, "allow-from") => "[\"10.0.0.0/8\"]",
        (_, "host-proof") => "\"both\"",
        (_, "git-credential" | "keys" | "allow-host" | "known-hosts" | "allow-user" | "allow-sshsig")
        | ("ssh.", "key") => "[\"a\"]",
        (_, "auth") => "\"header:X-Token\"",
        (_, "methods") => "[\"GET\", \"POST\"]",
        (_, "own") => "\"keep\"",
        (_, "scheme") => "\"https\"",
        (_, "plain") => "\"pass\"",
        (_, _) => "\"a\"",
    };
    // A rule has one source, and lfs is for git.
    let beside = |table: &str, key: &str| match (table, key) {
        ("http.PLACE.", "env" | "src" | "cmd" | "key") => "",
        ("http.PLACE.", "lfs") => "\nhttp.PLACE.git = true\nhttp.PLACE.env = \"a\"",
        ("http.PLACE.", _) => "\nhttp.PLACE.env = \"a\"",
        (_, _) => "",
    };
    let keys = tables.iter().flat_map(|(table, keys)| keys.iter().map(move |key| (*table, *key)));
    let written = |table: &str, key: &str| match key {
        "git+push" => format!("{table}\"{key}\""),
        key => format!("{table}{key}"),
    };
    keys.map(|(table, key)| {
        let name = written(table, key);
        let text = format!("{name} = {}{}", value(table, key), beside(table, key));
        (name, text)
    })
    .collect()
}

#[test]
fn every_key_is_accepted_and_documented_and_no_others() {
    let on_page: Vec<&str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(key, _)| key))
        .collect();
    let keys = all_keys();
    for (key, text) in &keys {
        assert!(parsed(text).is_ok(), "{}", problem(text));
        assert!(on_page.contains(&key.as_str()), "docs/PROJECT_FILE.md does not have {key}");
    }
    for key in on_page {
        assert!(keys.iter().any(|(known, _)| known == key), "docs/PROJECT_FILE.md has {key}");
    }
}

#[test]
fn the_example_of_the_page_is_accepted() {
    let example = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let settings = parsed(example).unwrap();
    assert!(settings.secrets.len() > 2 && settings.http.len() > 1 && !settings.agents.agents.is_empty());
}

#[test]
fn the_example_of_init_asks_for_nothing_and_its_comments_are_valid() {
    let settings = parsed(EXAMPLE).unwrap();
    assert!(
        settings.secrets.is_empty()
            && settings.http.is_empty()
            && settings.agents.agents.is_empty()
            && settings.timeout.is_none()
    );
    let uncommented = |line: &'static str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
    let lines: Vec<&str> = EXAMPLE.lines().map(|line| uncommented(line).unwrap_or(line)).collect();
    let settings = parsed(&lines.join("\n")).unwrap();
    assert_eq!((settings.secrets.len(), settings.agents.agents.len()), (3, 2));
    assert!(settings.timeout.is_some() && settings.agents.hosts.is_some());
    assert_eq!((settings.agents.git_keys.len(), settings.http.len()), (1, 2));
}

#[test]
fn errors_have_the_line_and_the_key() {
    for (text, expected) in [
        ("\nlisen = \":1\"", "2: lisen: unknown key; known keys are secrets, "),
        ("[secrets]\nA = {}\nB = { file = \"x\" }", "3: secrets.B.file: unknown key; known keys are src, "),
        ("secrets.ci.token.env = \"X\"", "1: secrets.ci.token: unknown key"),
        ("[ssh]\nssh-key = []", "2: ssh.ssh-key: unknown key; known keys are key, "),
        ("once = true\nmax-sessions = 2", "1: once: once and max-sessions exclude each other"),
        ("timeout = \"soon\"", "1: timeout: must be a number of seconds, or like 5m"),
        ("timeout = true", "1: timeout: must be a string or a number"),
        ("max-sessions = 0", "1: max-sessions: must be a number, at least 1"),
        ("max-sessions = 0x10", "1: max-sessions: must be a decimal number"),
        ("allow-from = \"all\"", "1: allow-from: must be a list of strings"),
        ("allow-from = []", "1: allow-from: must be a list of strings"),
        ("ssh = 1", "1: ssh: must be a table"),
        ("ssh.max-signatures = -1", "1: ssh.max-signatures: must be a number"),
        (
            "\nagents.a = { keys = [\"k\"], socket = \"s\" }",
            "2: agents.a: socket and keys exclude each other",
        ),
        ("agents.\"a b\" = {}", "1: agents.a b: "),
        ("secrets.A = { env = \"X\", cmd = \"y\" }", "1: secrets.A: A: needs one of src"),
        ("ssh.allow-host = [\"a\", \"b c\"]", "1: ssh.allow-host: invalid host name b c"),
        ("git-key.\"github.com/a/b\" = 1", "1: git-key.github.com/a/b: must be a string"),
        (
            "http.\"npm.example\" = {}",
            "1: http.npm.example: npm.example: has no credential: write one of src=FILE, env=VARIABLE",
        ),
        (
            "http.\"npm.example\".token = \"x\"",
            "1: http.npm.example.token: unknown key; known keys are env, ",
        ),
        ("[http.\"h\"]\nenv = \"X\"\nsrc = \"x\"", "3: http.h.src: h: has more than one of "),
        (
            "[http.\"h\"]\nenv = \"X\"\nauth = \"digest\"",
            "3: http.h.auth: h: invalid auth: write auth=bearer, ",
        ),
        ("[http.\"h\"]\nenv = \"X\"\ngit = \"push\"", "3: http.h.git: must be true or false"),
        ("[http.\"h\"]\nenv = \"X\"\nlfs = true", "1: http.h: the rule h has lfs without git"),
        ("[http.\"h\"]\nenv = \"X\"\nmethods = [\"FETCH\"]", "3: http.h.methods: h: invalid methods: "),
        ("[http.\"a b\"]\nenv = \"X\"", "1: http.a b: "),
        (
            "\n[http.\"h\"]\nenv = \"X\"\n[http.\"H:443/\"]\nenv = \"X\"",
            "2: http: the rules h and h are for the same paths",
        ),
        ("\"\\u001b[2J\" = 1", "1: \\u{1b}[2J: unknown key"),
        ("tls-compat = true\nonce = true\nonce = true", "3: "),
        ("\nonce = \"\u{1b}[2J", "2: "),
    ] {
        assert!(problem(text).starts_with(expected), "{text:?}: {}", problem(text));
        assert!(!problem(text).contains('\u{1b}'));
    }
    let not_utf8 = parse(b"# a\n# \xff", &Paths::of(Path::new("/"))).unwrap_err();
    assert_eq!((not_utf8.line, not_utf8.problem.as_str()), (2, "not UTF-8"));
}

#[test]
fn a_value_instead_of_a_source_is_refused_and_not_repeated() {
    for text in [
        "secrets.A = \"hunter2\"",
        "secrets.A = hunter2",
        "[secrets]\nA = \"hunter2",
        "secrets.A = { value = \"hunter2\" }",
        "secrets.A = { env = { b = \"hunter2\" } }",
        "http.h = \"hunter2\"",
        "http.h = hunter2",
        "http.h = { env = \"X\", auth = \"hunter2\" }",
    ] {
        assert!(!problem(text).contains("hunter2"), "{}", problem(text));
    }
    assert!(
        problem("secrets.A = \"x\"").contains("must not be a value, as the file is meant to be committed")
    );
}

#[test]
fn deep_nesting_is_refused() {
    for opening in ["[", "{ a = ", "{ a.b.c = "] {
        assert!(parsed(&format!("a = {}", opening.repeat(10_000))).is_err());
    }
    assert!(parsed(&format!("{} = 1", vec!["a"; 10_000].join("."))).is_err());
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, &Paths::of(Path::new("/nowhere")));
    }

    #[test]
    fn random_tokens_do_not_panic(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "secrets", "http", "agents", "ssh", "h/p", "methods", "git", ".", "[", "]", "{", "}", "=", "\"", "'''", "\n", ",", " ", "A", "src",
                "env", "keys", "allow-host", "true", "1", "-1", "0x1_0", "1e9", "\u{fe}", "\\u00", "1979-05-27",
                "timeout", "max-reads", "#", "\\", "audit", "~/", "../", "[secrets]\nA = {", "[ssh]\n",
            ]),
            0..60,
        ),
    ) {
        let _ = parsed(&pieces.concat());
    }
}
