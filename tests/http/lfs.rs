//! The batch call of git-lfs: what is asked for is written anew on the host, and so is what is answered.

use serde_json::{Value, json};

use super::site::Site;
use crate::support::https::ruled::{Ruled, TOKEN};
use crate::support::https::scripted::Then;
use crate::support::require::{MOUNT_NAMESPACE, require};

const BATCH: &str = "/org/repo.git/info/lfs/objects/batch";
const OBJECT: &str = "6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090";

/// A server that copies the Authorization of the request into its answer, as Forgejo and Gitea do. It answers with the
/// request's body too, so that a test sees what arrived.
fn forge() -> Site {
    Site::new(|asked, connection| {
        let body = connection.body(asked)?;
        let given = asked.header("authorization").unwrap_or_default();
        let origin = format!("https://{}", asked.header("host").unwrap_or_default());
        let action =
            |href: String| json!({ "href": href, "header": { "Authorization": given, "Accept": "x/y" } });
        let seen: Value = serde_json::from_slice(&body).unwrap();
        let objects = format!("{origin}/org/repo.git/info/lfs/objects/{OBJECT}");
        let actions = match seen["operation"].as_str().unwrap() {
            "download" => json!({ "download": action(objects) }),
            operation => {
                json!({ operation: action(objects), "verify": action(format!("{origin}/org/verify")) })
            }
        };
        let objects = json!([{ "oid": OBJECT, "size": 12, "authenticated": true, "actions": actions }]);
        let answer = json!({ "transfer": "basic", "objects": objects });
        let kind = "Content-Type: application/vnd.git-lfs+json\r\n";
        connection.answer("200 OK", kind, answer.to_string())?;
        Ok(Then::Keep)
    })
}

fn batch(site: &Site, body: &str, headers: &str) -> String {
    let kind = "application/vnd.git-lfs+json";
    format!(
        "POST {BATCH} HTTP/1.1\r\nHost: {}\r\nAccept: {kind}\r\nContent-Type: {kind}\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        site.origin(),
        body.len()
    )
}

fn download() -> Value {
    json!({ "operation": "download", "transfers": ["basic"], "ref": { "name": "refs/heads/main" },
            "objects": [{ "oid": OBJECT, "size": 12 }], "hash_algo": "sha256" })
}

#[test]
fn the_answer_to_a_batch_has_no_credential() {
    require!(MOUNT_NAMESPACE);
    let site = forge();
    let ruled = Ruled::serve(&site.authority, &[&format!("{},git,lfs", site.place("/org"))]);
    let answer = ruled.step().asks(&site.origin(), batch(&site, &download().to_string(), ""));
    assert_eq!((answer.status(), answer.complete), (200, true), "{answer:?}");
    let text = answer.text();
    assert!(!text.contains(TOKEN) && !text.contains("Bearer"), "{text}");
    let parsed: Value = serde_json::from_str(&text).unwrap();
    let actions = &parsed["objects"][0]["actions"];
    assert!(actions["download"]["href"].as_str().unwrap().ends_with(OBJECT), "{text}");
    // The origin has a rule: the proxy adds what it needs.
    assert!(actions["download"].get("header").is_none_or(|header| header.get("Authorization").is_none()));
    let asked = site.only_request();
    // A rule for git logs in as git hosts expect it.
    assert!(asked.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert_eq!(asked.all("accept-encoding"), ["identity"]);
}

#[test]
fn a_batch_that_two_parsers_read_differently_is_refused() {
    require!(MOUNT_NAMESPACE);
    let site = forge();
    let ruled = Ruled::serve(&site.authority, &[&format!("{},git,lfs", site.place("/org"))]);
    let step = ruled.step();
    let objects = format!(r#""objects":[{{"oid":"{OBJECT}","size":12}}]"#);
    for body in [
        format!(r#"{{"operation":"upload",{objects}}}"#),
        format!(r#"{{"operation":"download","operation":"upload",{objects}}}"#),
        format!(r#"{{"operation":"upload","operation":"download",{objects}}}"#),
        format!(r#"{{"operation":"download","Operation":"upload",{objects}}}"#),
        format!(r#"{{"OPERATION":"upload","operation":"download",{objects}}}"#),
        format!(r#"{{"operation":"download","\u006fperation":"upload",{objects}}}"#),
        format!(r#"{{"operation":"Download",{objects}}}"#),
        format!(r#"{{"operation":"download",{objects},"unknown":1}}"#),
        format!(r#"{{"operation":"download",{objects},"operatıon":"upload"}}"#),
        format!(r#"{{"operation":["download"],{objects}}}"#),
        format!(r#"{{"operation":"download",{objects}}} {{"operation":"upload"}}"#),
        format!(r#"[{{"operation":"download",{objects}}}]"#),
        format!(r#"{{{objects}}}"#),
        format!("\u{feff}{}", download()),
        r#"{"operation":"download","objects":[{"oid":"../../x","size":1}]}"#.to_owned(),
        format!(r#"{{"operation":"download","objects":[{{"oid":"{OBJECT}","oid":"x","size":1}}]}}"#),
        String::new(),
        "{".to_owned(),
        format!(r#"{{"operation":"download",{objects},"ref":{{"name":"{}"}}}}"#, "x".repeat(1 << 20)),
        "[".repeat(100_000),
    ] {
        let answer = step.asks(&site.origin(), batch(&site, &body, ""));
        // What is over 1 MiB may get no answer: the connection ends before all of it was sent.
        let is_cut = body.len() > 1 << 20 && answer.head.is_empty();
        assert!(is_cut || matches!(answer.status(), 400 | 403 | 413), "{body:.200}: {answer:?}");
    }
    let encoded = batch(&site, &download().to_string(), "Content-Encoding: gzip\r\n");
    assert!(matches!(step.asks(&site.origin(), encoded).status(), 400 | 415));
    assert_eq!(site.server.requests().len(), 0, "{:#?}", site.server.requests());
    let other = batch(&site, &download().to_string(), "").replace("/org/repo.git", "/other/repo.git");
    assert_eq!(step.asks(&site.origin(), other).status(), 403);
    assert_eq!(site.server.requests().len(), 0);
}

#[test]
fn without_lfs_in_the_rule_there_is_no_batch_and_with_push_there_is_upload() {
    require!(MOUNT_NAMESPACE);
    let site = forge();
    let place = site.place("/org");
    let upload = download().to_string().replace("download", "upload");
    for (options, down, up) in [("git", 403, 403), ("git,lfs", 200, 403), ("git+push,lfs", 200, 200)] {
        let ruled = Ruled::serve(&site.authority, &[&format!("{place},{options}")]);
        let step = ruled.step();
        let ask = |body: &str| step.asks(&site.origin(), batch(&site, body, ""));
        assert_eq!(ask(&download().to_string()).status(), down, "{options}");
        let answer = ask(&upload);
        assert!(answer.status() == up || up == 403 && answer.status() == 400, "{options}: {answer:?}");
        assert!(!answer.text().contains(TOKEN));
    }
}
