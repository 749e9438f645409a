//! SECURITY.md names the tests that hold its promises. Each target checks that those of its own exist.

use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../SECURITY.md");

/// The folders of the other test targets.
const OTHERS: [&str; 2] = ["builders", "windows"];

/// The tests that the page names under each promise, `FILE::TEST`, with the file's path as a path of modules.
fn named() -> Vec<Vec<String>> {
    let promises = PAGE.split("## Promises").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let (mut named, mut files) = (Vec::new(), Vec::new());
    for line in promises.lines() {
        let line = line.trim_start();
        if line.starts_with("- `") {
            files.clear();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            named.push(Vec::new());
        }
        for word in line.split('`').skip(1).step_by(2) {
            if let Some(file) = word.strip_suffix(".rs") {
                files.push(file.replace('/', "::"));
            } else if word.contains('_') {
                assert!(!files.is_empty(), "{word} has no file above it");
                named.last_mut().unwrap().extend(files.iter().map(|file| format!("{file}::{word}")));
            }
        }
    }
    named
}

#[test]
fn the_tests_of_this_target_that_the_page_names_exist() {
    let this = std::env::current_exe().unwrap();
    let mut listing =
        Command::new(&this).args(["--list", "--format=terse"]).stdout(Stdio::piped()).spawn().unwrap();
    let listed = std::io::read_to_string(listing.stdout.take().unwrap()).unwrap();
    // An error if this process inherited SIGCHLD as ignored.
    let _ = listing.wait();
    let tests: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let target = env!("CARGO_CRATE_NAME");
    let mut checked = 0;
    for test in named().concat() {
        let (folder, rest) = test.split_once("::").unwrap();
        let test = match OTHERS.contains(&folder) {
            true if folder == target => rest,
            false if !OTHERS.contains(&target) => &test,
            _ => continue,
        };
        // The test may be in a module of its file.
        let (module, name) = test.rsplit_once("::").unwrap();
        let is = |other: &&str| {
            let rest = other.strip_prefix(module).and_then(|rest| rest.strip_suffix(name));
            rest.is_some_and(|between| between.starts_with("::") && between.ends_with("::"))
        };
        assert!(tests.iter().any(is), "SECURITY.md: there is no test {test}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn every_promise_names_a_test() {
    let tests: Vec<usize> = named().iter().map(Vec::len).collect();
    assert_eq!(tests.len(), 14);
    assert!(tests.iter().all(|tests| *tests > 0), "tests per promise: {tests:?}");
}
