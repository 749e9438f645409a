//! docs/RELIABILITY.md names a test in every row, and each of them exists.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/RELIABILITY.md");

/// The rows of the tables, without their heads.
fn rows() -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    rows.filter(|line| !line.starts_with("| what breaks")).collect()
}

/// The tests that the last cell of a row names: file and function.
fn named(row: &str) -> Vec<(String, String)> {
    let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
    let (mut file, mut named) = (String::new(), Vec::new());
    for word in cell.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            let is_of_crate = word.contains("/src/");
            file = if is_of_crate { word.to_owned() } else { format!("tests/{word}") };
        } else {
            assert!(!file.is_empty(), "{word} has no file before it");
            named.push((file.clone(), word.to_owned()));
        }
    }
    named
}

#[test]
fn every_row_names_tests_that_exist() {
    let rows = rows();
    assert!(rows.len() > 20);
    for row in rows {
        let named = named(row);
        assert!(!named.is_empty(), "no test: {row}");
        for (file, test) in named {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let is_test = lines
                .windows(2)
                .any(|pair| pair[0].starts_with("#[") && pair[1].starts_with(&format!("fn {test}(")));
            assert!(is_test, "docs/RELIABILITY.md: there is no test {test} in {file}");
        }
    }
}
