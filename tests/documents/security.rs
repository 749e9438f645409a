//! SECURITY.md names the tests that hold its promises; each of them exists. `docs/AUDIT.md` has every reason for which an
//! agent's request is refused.

use std::path::Path;

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let promises = page.split("## Promises").nth(1).and_then(|rest| rest.split("\n## ").next());
    let mut files = Vec::new();
    let mut promises_held = Vec::new();
    for line in promises.expect("a chapter of promises").lines() {
        let line = line.trim_start();
        if line.starts_with("- `") {
            files.clear();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            promises_held.push(0);
        }
        for word in line.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                files.push(std::fs::read_to_string(root.join("tests").join(word)).expect(word));
            } else if word.contains('_') {
                assert!(!files.is_empty(), "{word} stands below no file");
                for file in &files {
                    assert!(file.contains(&format!("fn {word}()")), "there is no test {word}");
                    *promises_held.last_mut().expect("a promise above its tests") += 1;
                }
            }
        }
    }
    assert_eq!(promises_held.len(), 13);
    assert!(promises_held.iter().all(|tests| *tests > 0), "tests per promise: {promises_held:?}");
}

#[test]
fn the_audit_page_has_every_reason_of_refused_signatures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect(name);
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || b"-1".contains(&byte));
    let literals = |code: &str| -> Vec<String> {
        code.split('"').skip(1).step_by(2).filter(is_word).map(str::to_owned).collect()
    };

    let code = read("bridge-host/src/agent/refusal.rs");
    let by_policy = code.split("pub fn word(&self)").nth(1).and_then(|rest| rest.split("\n    }\n").next());
    let by_policy = literals(by_policy.expect("the words of refusals"));
    let code = read("bridge-host/src/agent/answering.rs");
    let others: Vec<String> = ["Err((", ".deny(", ".note_unsigned("]
        .iter()
        .flat_map(|call| code.split(call).skip(1).filter_map(|rest| literals(rest).into_iter().next()))
        .collect();

    let page = read("docs/AUDIT.md");
    let (signatures, refusals) =
        page.split_once("`reason` of `agent-refused`:").expect("two tables of reasons");
    for (words, table) in [(by_policy, refusals), (others, signatures)] {
        assert!(words.len() > 5, "{words:?}");
        for word in words {
            assert!(table.contains(&format!("`{word}`")), "docs/AUDIT.md does not have {word}");
        }
    }
}
