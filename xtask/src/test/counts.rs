//! Counts of tests that passed, failed and were ignored, parsed from the output of `cargo test`.

use std::fmt;
use std::ops::AddAssign;

use super::skips::Skip;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Parses the output of `cargo test`, line by line.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: Vec<Skip>,
}

impl Reader {
    pub(super) fn read(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else {
            self.ignored.extend(Skip::of_ignored(line));
        }
    }
}

/// The number before `unit`: 1 for ` failed` in `ok. 5 passed; 1 failed; …`.
fn number_before(text: &str, unit: &str) -> u64 {
    let before = text.split_once(unit).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.read(line));
        reader
    }

    #[test]
    fn results_of_all_targets_are_summed() {
        let reader = read(
            "     Running unittests src/lib.rs (target/debug/deps/proto-1)\n\
             test conf::a_measurement ... ignored, measurement: it prints figures\n\
             test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \x20  Doc-tests proto\n\
             test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.10s\n",
        );
        assert_eq!((reader.passed, reader.failed, reader.ignored.len()), (7, 3, 1));
    }

    #[test]
    fn the_output_of_a_test_is_not_a_result() {
        let reader = read("thread 'x' panicked: test result: ok. 5 passed\n  5 passed\n");
        assert_eq!((reader.passed, reader.failed), (0, 0));
    }
}
