//! What each option of a rule does to the requests of a build, and what `run` says about them at its end.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::https::authority::Authority;
use crate::support::https::names::resolving;
use crate::support::https::scripted::{Asked, Scripted, Then};
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Home, Outcome, Start as _};

const TOKEN: &str = "npm_xK9hunter2Qw7Tz4";

/// A server, a home whose bridge resolves its name, and its CA.
struct Scene {
    home: Home,
    authority: Authority,
    server: Scripted,
}

impl Scene {
    /// Each answer has 1000 bytes.
    fn new() -> Self {
        let authority = Authority::new();
        let server = Scripted::start(&authority, &["npm.example"], |asked, connection| {
            connection.body(asked)?;
            connection.answer("200 OK", "", [b'x'; 1000])?;
            Ok(Then::Keep)
        });
        Self { home: Home::new(), authority, server }
    }

    /// Runs `script` under `run OPTIONS` with the rule `npm.example:PORT PATH =NPM_TOKEN,…,ca=FILE`, where `$SB` is the
    /// program and `$URL` the server.
    fn run(&self, options: &[&str], (user, path, others): (&str, &str, &str), script: &str) -> Outcome {
        let (port, ca) = (self.server.port(), self.authority.file());
        let rule = format!("{user}npm.example:{port}{path}=NPM_TOKEN{others},ca={}", ca.display());
        let mut run = self.home.command(["run", "--listen", "127.0.0.1:0", "--http-credential", &rule]);
        run.args(options).args(["--", "sh", "-c", script]);
        run.env("NPM_TOKEN", TOKEN).env("SB", BINARY).env("URL", format!("https://npm.example:{port}"));
        let names = [("npm.example", Ipv4Addr::LOCALHOST.into())];
        resolving(&self.home, &names, &run).outcome().never_says(TOKEN)
    }

    /// The requests that reached the server when curl ran with `arguments` under such a rule, and the status that curl got.
    fn curl(&self, rule: (&str, &str, &str), arguments: &str) -> (Vec<Asked>, String) {
        let before = self.server.requests().len();
        let curl = "curl --silent --output answer --write-out '%{http_code}'";
        let outcome = self.run(&[], rule, &format!("$SB exec --http --sh '{curl} {arguments}'"));
        let mut asked = self.server.requests();
        (asked.split_off(before), outcome.succeeds().text())
    }
}

#[test]
fn the_credential_is_added_as_the_rule_says() {
    require!(CURL, MOUNT_NAMESPACE);
    let scene = Scene::new();
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    for (rule, field, value) in [
        (("", "", ""), "authorization", format!("Bearer {TOKEN}")),
        (("", "", ",auth=bearer"), "authorization", format!("Bearer {TOKEN}")),
        (("me@", "", ""), "authorization", basic(format!("me:{TOKEN}"))),
        (("me@x.org@", "/org", ",auth=basic"), "authorization", basic(format!("me@x.org:{TOKEN}"))),
        (("", "", ",auth=header:X-Api-Key"), "x-api-key", TOKEN.to_owned()),
        (("", "", ",auth=header:PRIVATE-TOKEN"), "private-token", TOKEN.to_owned()),
    ] {
        for own in ["", "--header \"Authorization: Bearer of-the-tool\" --header \"X-Api-Key: of-the-tool\""]
        {
            let (asked, status) = scene.curl(rule, &format!("{own} $URL/org/package"));
            assert_eq!((asked.len(), status.as_str()), (1, "200"), "{rule:?}");
            assert_eq!(asked[0].all(field), [&value], "{rule:?}: {}", asked[0].head);
            if field != "authorization" {
                assert_eq!(asked[0].all("authorization"), Vec::<&str>::new(), "{rule:?}");
            }
        }
    }
}

#[test]
fn a_credential_of_the_tool_goes_on_only_with_own_keep() {
    require!(CURL, MOUNT_NAMESPACE);
    let scene = Scene::new();
    let own = "--header \"Authorization: Bearer of-the-tool\" $URL/package";
    let (asked, _) = scene.curl(("", "", ",own=keep"), own);
    assert_eq!(asked[0].all("authorization"), ["Bearer of-the-tool"]);
    let (asked, _) = scene.curl(("", "", ",own=keep"), "$URL/package");
    assert_eq!(asked[0].all("authorization"), [&format!("Bearer {TOKEN}")]);
}

#[test]
fn methods_and_paths_that_no_rule_permits_are_refused() {
    require!(CURL, MOUNT_NAMESPACE);
    let scene = Scene::new();
    for (rule, arguments, permitted) in [
        (("", "", ""), "$URL/a", true),
        (("", "", ""), "--head $URL/a", true),
        (("", "", ""), "--data body $URL/a", false),
        (("", "", ",methods=GET+POST"), "--data body $URL/a", true),
        (("", "", ",methods=GET+POST"), "--head $URL/a", false),
        (("", "", ",methods=DELETE"), "-X DELETE $URL/a", true),
        (("", "", ",methods=DELETE"), "$URL/a", false),
        (("", "/org", ""), "$URL/org", true),
        (("", "/org", ""), "$URL/org/a", true),
        (("", "/org", ""), "$URL/organization", false),
        (("", "/org", ""), "$URL/", false),
        (("", "/org", ""), "--path-as-is $URL/org/../other", false),
        (("", "/org", ",git"), "\"$URL/org/repo.git/info/refs?service=git-upload-pack\"", true),
        (("", "/org", ",git"), "\"$URL/org/repo.git/info/refs?service=git-receive-pack\"", false),
        (("", "/org", ",git+push"), "\"$URL/org/repo.git/info/refs?service=git-receive-pack\"", true),
        (("", "/org", ",git"), "$URL/org/repo.git/config", false),
        (("", "/org", ",git,methods=GET"), "$URL/org/other", true),
    ] {
        let (asked, status) = scene.curl(rule, arguments);
        let expected = if permitted { (1, "200") } else { (0, "403") };
        assert_eq!((asked.len(), status.as_str()), expected, "{rule:?} {arguments}");
    }
}

#[test]
fn a_server_with_another_ca_is_not_trusted() {
    require!(CURL, MOUNT_NAMESPACE);
    let mut scene = Scene::new();
    scene.authority = Authority::new();
    let (asked, status) = scene.curl(("", "", ""), "$URL/a");
    assert_eq!((asked.len(), status.as_str()), (0, "502"));
}

#[test]
fn the_summary_counts_requests_bytes_and_refusals_of_each_rule() {
    require!(CURL, MOUNT_NAMESPACE);
    let scene = Scene::new();
    let rule = format!("npm.example:{}/org", scene.server.port());
    let script = "$SB exec --http --sh 'curl -s $URL/org/a $URL/org/b --output x --output y; \
                  curl -s -X PUT $URL/org/a --output z; curl -s $URL/other --output z'";
    let unused = ["--http-credential", "unused.example=NPM_TOKEN"];
    scene
        .run(&unused, ("", "/org", ""), script)
        .succeeds()
        .says(&format!("secrets-bridge: {rule}: 2 requests, 2 kB, 2 refused\n"))
        .says("secrets-bridge: unused.example: no request (a step sends its requests this way under `exec --http`)\n");
    let json = scene.run(&["--format", "json"], ("", "/org", ""), script).succeeds();
    let summary: serde_json::Value = serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
    let counts = serde_json::json!({ rule: { "requests": 2, "bytes": 2000, "refused": 2 } });
    assert_eq!(summary["http"], counts);
}
