//! `mutations`: takes one defence out after the other, and runs the tests that SECURITY.md names for it, which must fail.
//! A test that passes without the defence that it is for proves nothing.
//!
//! The changes are made in a copy of the checkout, with a target directory of its own.

mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::failure::{Failure, Result, While, failure};
use crate::run::{Run, step};
use table::{MUTATIONS, Mutation};

/// What became of one mutation.
enum Outcome {
    /// Every test that should fail does.
    Noticed,
    /// These tests pass without the defence.
    Missed(Vec<&'static str>),
    /// The table is wrong, or the changed code does not compile.
    Invalid(Failure),
}

/// Applies the mutations whose name contains one of `only` (all, if there are none), or prints them.
pub(crate) fn mutations(checkout: &Checkout, only: &[String], list: bool) -> Result<ExitCode> {
    let is_chosen = |mutation: &&Mutation| {
        only.is_empty() || only.iter().any(|name| mutation.name.contains(name.as_str()))
    };
    let chosen: Vec<&Mutation> = MUTATIONS.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(failure!("no mutation with that name: `cargo xtask mutations --list` prints them"));
    }
    if list {
        for mutation in chosen {
            println!("{:>2}  {:<28} {}", mutation.promise, mutation.name, mutation.tests.join(", "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let copy = Copy::make(checkout)?;
    step("the tests of all chosen mutations, without a mutation");
    let tests: Vec<&str> = chosen.iter().flat_map(|mutation| mutation.tests).copied().collect();
    let failing = copy.failing(&tests)?;
    if !failing.is_empty() {
        return Err(failure!("these tests fail without a mutation: {}", failing.join(", ")));
    }
    let mut rows = Vec::new();
    for mutation in chosen {
        step(format_args!("{}: {}", mutation.name, mutation.what));
        rows.push((mutation, copy.judge(mutation)));
    }
    Ok(report(&rows))
}

fn report(rows: &[(&Mutation, Outcome)]) -> ExitCode {
    println!("\npromise  mutation                     result");
    let mut bad = 0;
    for (mutation, outcome) in rows {
        let result = match outcome {
            Outcome::Noticed => "noticed".to_owned(),
            Outcome::Missed(tests) => format!("MISSED by {}", tests.join(", ")),
            Outcome::Invalid(failure) => format!("INVALID: {failure}"),
        };
        bad += usize::from(!matches!(outcome, Outcome::Noticed));
        println!("{:>7}  {:<28} {result}", mutation.promise, mutation.name);
    }
    println!("\n{} mutations, {} noticed", rows.len(), rows.len() - bad);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A copy of the checkout.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies every file that git tracks or would add. Files that have not changed keep their times, so that cargo
    /// builds little anew.
    fn make(checkout: &Checkout) -> Result<Self> {
        let dir = checkout.cache_dir("mutations")?;
        let copy = Self { root: dir.join("checkout"), target: dir.join("target") };
        let listing = Run::new("git")
            .current_dir(&checkout.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .text()?;
        for name in listing.split('\0').filter(|name| !name.is_empty()) {
            let from = checkout.root.join(name);
            // Deleted, and not committed yet.
            if from.is_file() {
                write_if_other(&copy.root.join(name), &read(&from)?)?;
            }
        }
        Ok(copy)
    }

    /// Takes the defence out, runs its tests, and puts the defence back.
    fn judge(&self, mutation: &Mutation) -> Outcome {
        let mut originals = Vec::new();
        let changed = mutation.edits.iter().try_for_each(|edit| {
            let path = self.root.join(edit.file);
            let original = read_text(&path)?;
            let text = edit.apply(&original)?;
            fs::write(&path, text).while_doing(format_args!("write {}", path.display()))?;
            originals.push((path, original));
            Ok(())
        });
        let outcome = changed.and_then(|()| self.failing(mutation.tests));
        // In reverse order: two edits may be in one file.
        for (path, original) in originals.into_iter().rev() {
            if let Err(error) = fs::write(&path, original) {
                return Outcome::Invalid(failure!("cannot restore {}: {error}", path.display()));
            }
        }
        match outcome {
            Err(failure) => Outcome::Invalid(failure),
            Ok(failing) => {
                let passes = |test: &&&str| !failing.contains(*test);
                let missed: Vec<&str> = mutation.tests.iter().filter(passes).copied().collect();
                if missed.is_empty() { Outcome::Noticed } else { Outcome::Missed(missed) }
            }
        }
    }

    /// Those of `tests` that fail.
    fn failing<'a>(&self, tests: &[&'a str]) -> Result<Vec<&'a str>> {
        let cargo = || {
            let cargo = Run::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo
                .current_dir(&self.root)
                .env("CARGO_TARGET_DIR", &self.target)
                .args(["test", "--locked", "--quiet", "--test", "main"])
        };
        // Apart from running: a compiler error is no failed test.
        cargo().arg("--no-run").live()?;
        let mut ended: Vec<(String, bool)> = Vec::new();
        cargo().args(["--", "--format=pretty", "--exact"]).args(tests).watch(|line| {
            let result = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
            if let Some((name, result @ ("ok" | "FAILED"))) = result {
                ended.push((name.to_owned(), result == "ok"));
            }
        })?;
        let mut failing = Vec::new();
        for test in tests {
            match ended.iter().find(|(name, _)| name == test) {
                None => return Err(failure!("the test {test} does not exist, or was skipped")),
                Some((_, true)) => {}
                Some((_, false)) => failing.push(*test),
            }
        }
        Ok(failing)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).while_doing(format_args!("read {}", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).while_doing(format_args!("read {}", path.display()))
}

fn write_if_other(path: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == contents) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).while_doing(format_args!("create {}", parent.display()))?;
    }
    fs::write(path, contents).while_doing(format_args!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without building anything: a change of the code must change the table too.
    #[test]
    fn every_edit_of_the_table_applies() {
        let checkout = Checkout::find().unwrap();
        for mutation in MUTATIONS {
            assert!(!mutation.tests.is_empty() && !mutation.edits.is_empty(), "{}", mutation.name);
            for edit in mutation.edits {
                let text = read_text(&checkout.root.join(edit.file)).unwrap();
                edit.apply(&text).unwrap_or_else(|failure| panic!("{}: {failure}", mutation.name));
            }
        }
    }
}
