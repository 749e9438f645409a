//! `mutations`: takes one defence out after the other, and runs the tests that SECURITY.md names for it, which must fail.
//! A test that passes without the defence that it is for proves nothing.
//!
//! The changes are made in a copy of the checkout, with a target directory of its own. The tests of the target `main` run
//! the program and are not changed, so they are built once; after a mutation, only the program is built anew.

mod table;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::checkout::Checkout;
use crate::failure::{Failure, Result, While, failure};
use crate::run::{Run, step};
use table::{Mutation, mutations as all};

/// Time for the tests of one mutation in one test target. Each of their waits ends after a minute.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Time for the tests of all mutations, without a mutation.
const TIME_LIMIT_OF_ALL: Duration = Duration::from_secs(3600);
/// The exit code of timeout(1) if it ended the program.
const TIMED_OUT: i32 = 124;

/// What became of one mutation.
enum Outcome {
    /// Every test that should fail does.
    Noticed,
    /// As above, and these tests did not end.
    NoticedByHanging(Vec<&'static str>),
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
    let chosen: Vec<&Mutation> = all().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(failure!("no mutation with that name: `cargo xtask mutations --list` prints them"));
    }
    if list {
        for mutation in chosen {
            println!("{:>2}  {:<28} {}", mutation.promise, mutation.name, mutation.tests.join(", "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows = judge(checkout, &chosen)?;
    report(&rows);
    let missed = rows.iter().any(|(_, outcome)| !outcome.is_noticed());
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Applies every mutation. Returns how many there are, and how many of them were not noticed.
pub(crate) fn check_all(checkout: &Checkout) -> Result<(u64, u64)> {
    let rows = judge(checkout, &all().collect::<Vec<_>>())?;
    report(&rows);
    let missed = rows.iter().filter(|(_, outcome)| !outcome.is_noticed());
    Ok((rows.len() as u64, missed.count() as u64))
}

fn judge<'a>(checkout: &Checkout, chosen: &[&'a Mutation]) -> Result<Vec<(&'a Mutation, Outcome)>> {
    let copy = Copy::make(checkout)?;
    step("the tests of all chosen mutations, without a mutation");
    let tests: Vec<&str> = chosen.iter().flat_map(|mutation| mutation.tests).copied().collect();
    let failing: Vec<&str> = copy.failing(&tests, TIME_LIMIT_OF_ALL)?.iter().map(|(test, _)| *test).collect();
    if !failing.is_empty() {
        return Err(failure!("these tests fail without a mutation: {}", failing.join(", ")));
    }
    let mut rows = Vec::new();
    for (index, mutation) in chosen.iter().enumerate() {
        step(format_args!("{} of {}: {}: {}", index + 1, chosen.len(), mutation.name, mutation.what));
        rows.push((*mutation, copy.judge(mutation)));
    }
    Ok(rows)
}

fn report(rows: &[(&Mutation, Outcome)]) {
    println!("\npromise  mutation                     result");
    let mut bad = 0;
    for (mutation, outcome) in rows {
        let result = match outcome {
            Outcome::Noticed => "noticed".to_owned(),
            Outcome::NoticedByHanging(tests) => format!("noticed: {} did not end", tests.join(", ")),
            Outcome::Missed(tests) => format!("MISSED by {}", tests.join(", ")),
            Outcome::Invalid(failure) => format!("INVALID: {failure}"),
        };
        bad += usize::from(!outcome.is_noticed());
        println!("{:>7}  {:<28} {result}", mutation.promise, mutation.name);
    }
    println!("\n{} mutations, {} noticed", rows.len(), rows.len() - bad);
}

impl Outcome {
    fn is_noticed(&self) -> bool {
        match self {
            Self::Noticed | Self::NoticedByHanging(_) => true,
            Self::Missed(_) | Self::Invalid(_) => false,
        }
    }
}

/// How a test of a mutation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    /// It was ended after [`TIME_LIMIT`].
    Hung,
}

/// A copy of the checkout.
struct Copy {
    root: PathBuf,
    target: PathBuf,
    /// The tests of the target `main`.
    main: PathBuf,
}

/// A test target without tests, for the sake of the program that cargo builds for it as for any other.
const PROGRAM_ONLY: &str = "program_only";

impl Copy {
    /// Copies every file that git tracks or would add. Files that have not changed keep their times, so that cargo
    /// builds little anew.
    fn make(checkout: &Checkout) -> Result<Self> {
        let dir = checkout.cache_dir("mutations")?;
        let (root, target) = (dir.join("checkout"), dir.join("target"));
        let listing = Run::new("git")
            .current_dir(&checkout.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .text()?;
        for name in listing.split('\0').filter(|name| !name.is_empty()) {
            let from = checkout.root.join(name);
            // Deleted, and not committed yet.
            if from.is_file() && name != "Cargo.toml" {
                write_if_other(&root.join(name), &read(&from)?)?;
            }
        }
        let path = format!("target/{PROGRAM_ONLY}.rs");
        write_if_other(&root.join(&path), b"")?;
        let manifest = read_text(&checkout.root.join("Cargo.toml"))?
            + &format!("\n[[test]]\nname = \"{PROGRAM_ONLY}\"\npath = \"{path}\"\n");
        write_if_other(&root.join("Cargo.toml"), manifest.as_bytes())?;
        let main = build_main(&root, &target)?;
        Ok(Self { root, target, main })
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
        let outcome = changed.and_then(|()| self.failing(mutation.tests, TIME_LIMIT));
        // In reverse order: two edits may be in one file.
        for (path, original) in originals.into_iter().rev() {
            if let Err(error) = fs::write(&path, original) {
                return Outcome::Invalid(failure!("cannot restore {}: {error}", path.display()));
            }
        }
        match outcome {
            Err(failure) => Outcome::Invalid(failure),
            Ok(failing) => {
                let passes = |test: &&&str| !failing.iter().any(|(failed, _)| failed == *test);
                let missed: Vec<&str> = mutation.tests.iter().filter(passes).copied().collect();
                let hung = failing.iter().filter(|(_, ended)| *ended == Ended::Hung);
                let hung: Vec<&str> = hung.map(|(test, _)| *test).collect();
                match (missed.is_empty(), hung.is_empty()) {
                    (false, _) => Outcome::Missed(missed),
                    (true, true) => Outcome::Noticed,
                    (true, false) => Outcome::NoticedByHanging(hung),
                }
            }
        }
    }

    /// Those of `tests` that fail, or do not end within `limit`, and which of both.
    fn failing<'a>(&self, tests: &[&'a str], limit: Duration) -> Result<Vec<(&'a str, Ended)>> {
        let mut failing = Vec::new();
        for (krate, names) in by_crate(tests) {
            let results = match krate {
                None => self.run_main(&names, limit)?,
                Some(krate) => self.run_unit_tests(krate, &names, limit)?,
            };
            for test in tests.iter().filter(|test| crate_and_name(test).0 == krate) {
                let (_, name) = crate_and_name(test);
                match results.iter().find(|(ended, _)| ended == name) {
                    None => return Err(failure!("the test {test} does not exist, or was skipped")),
                    Some((_, Ended::Passed)) => {}
                    Some((_, ended)) => failing.push((*test, *ended)),
                }
            }
        }
        failing.sort_unstable_by_key(|(test, _)| *test);
        failing.dedup_by_key(|(test, _)| *test);
        Ok(failing)
    }

    /// Builds the program, and runs tests of the target `main`.
    fn run_main(&self, names: &[&str], limit: Duration) -> Result<Vec<(String, Ended)>> {
        self.cargo().args(["test", "--locked", "--quiet", "--no-run", "--test", PROGRAM_ONLY]).live()?;
        results(limited(limit).arg(&self.main).current_dir(&self.root), names)
    }

    fn run_unit_tests(&self, krate: &str, names: &[&str], limit: Duration) -> Result<Vec<(String, Ended)>> {
        let test = ["test", "--locked", "--quiet", "--lib", "--package", krate];
        // Apart from running: a compiler error is no failed test, and the time limit is for the tests.
        self.cargo().args(test).arg("--no-run").live()?;
        results(
            in_copy(limited(limit).arg(cargo_program()), &self.root, &self.target).args(test).arg("--"),
            names,
        )
    }

    fn cargo(&self) -> Run {
        cargo(&self.root, &self.target)
    }
}

fn cargo(root: &Path, target: &Path) -> Run {
    in_copy(Run::new(cargo_program()), root, target)
}

fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn in_copy(run: Run, root: &Path, target: &Path) -> Run {
    run.current_dir(root).env("CARGO_TARGET_DIR", target)
}

/// timeout(1), to which the program is added. It ends the processes that the program started, too.
fn limited(limit: Duration) -> Run {
    Run::new("timeout").args(["--kill-after=10", &limit.as_secs().to_string()])
}

/// Builds the tests of the target `main`, and returns their program.
fn build_main(root: &Path, target: &Path) -> Result<PathBuf> {
    let messages = cargo(root, target)
        .args(["test", "--locked", "--quiet", "--no-run", "--test", "main", "--message-format=json"])
        .text()?;
    let is_main = |message: &serde_json::Value| message["target"]["name"] == "main";
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let path = messages.filter(is_main).find_map(|message| message["executable"].as_str().map(PathBuf::from));
    path.ok_or_else(|| failure!("cargo does not say where the tests of the target main are"))
}

/// Runs the tests `names`, and returns how each of them ended.
fn results(tests: Run, names: &[&str]) -> Result<Vec<(String, Ended)>> {
    let mut ended = Vec::new();
    let status = tests.args(["--format=pretty", "--exact"]).args(names).watch(|line| {
        let result = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        if let Some((name, result @ ("ok" | "FAILED"))) = result {
            ended.push((name.to_owned(), if result == "ok" { Ended::Passed } else { Ended::Failed }));
        }
    })?;
    if status.code() == Some(TIMED_OUT) {
        let has_not_ended = |name: &&&str| !ended.iter().any(|(other, _)| other == **name);
        let hung: Vec<_> =
            names.iter().filter(has_not_ended).map(|name| ((*name).to_owned(), Ended::Hung)).collect();
        ended.extend(hung);
    }
    Ok(ended)
}

/// `CRATE: TEST`, or a test of the target `main`.
fn crate_and_name<'a>(test: &&'a str) -> (Option<&'a str>, &'a str) {
    test.split_once(": ").map_or((None, *test), |(krate, name)| (Some(krate), name))
}

fn by_crate<'a>(tests: &[&'a str]) -> BTreeMap<Option<&'a str>, Vec<&'a str>> {
    let mut by_crate = BTreeMap::<_, Vec<_>>::new();
    for (krate, name) in tests.iter().map(crate_and_name) {
        by_crate.entry(krate).or_default().push(name);
    }
    by_crate
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_promise_has_a_mutation_and_every_name_is_used_once() {
        let promises: BTreeSet<u8> = all().map(|mutation| mutation.promise).collect();
        assert_eq!(promises, (1..=14).collect());
        let mut names = BTreeSet::new();
        assert!(all().all(|mutation| names.insert(mutation.name)));
    }

    /// Without building anything: a change of the code must change the table too.
    #[test]
    fn every_edit_of_the_table_applies() {
        let checkout = Checkout::find().unwrap();
        for mutation in all() {
            assert!(!mutation.tests.is_empty() && !mutation.edits.is_empty(), "{}", mutation.name);
            let mut files = BTreeMap::new();
            for edit in mutation.edits {
                let read = || read_text(&checkout.root.join(edit.file)).unwrap();
                let text = files.entry(edit.file).or_insert_with(read);
                *text = edit.apply(text).unwrap_or_else(|failure| panic!("{}: {failure}", mutation.name));
            }
        }
    }
}
