//! `fuzz`: builds the programs in fuzz/fuzz_targets for libFuzzer, runs them one after the other, and prints what they did.
//!
//! The stable toolchain is enough: coverage is a pass of LLVM that every rustc has. cargo-fuzz is not needed, and works
//! on the same targets. AddressSanitizer is left out: our own code has no `unsafe`, and the C of zstd and aws-lc is not
//! built by rustc.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::install::{self, Need};
use crate::run::{Run, step};

/// libFuzzer is C++.
const NEEDS: [Need; 1] = [Need { what: "c++", packages: &["g++"] }];

/// As cargo-fuzz 0.13 has them, without a sanitizer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longest time for one input, in seconds. Parsers that are linear take milliseconds.
const TIMEOUT: u64 = 10;

/// Most memory of one program, in MiB: several times what unpacking with the largest window takes.
const MEMORY: u64 = 1024;

/// What to run, and how long.
pub(crate) struct Options {
    /// Names of targets; none for all.
    pub(crate) targets: Vec<String>,
    /// For each target.
    pub(crate) seconds: u64,
    /// Only print the targets.
    pub(crate) list: bool,
    pub(crate) install: bool,
}

/// A program in fuzz/fuzz_targets.
struct Target {
    name: String,
    about: String,
}

/// What one target did.
#[derive(Default)]
struct Figures {
    executions: u64,
    /// Edges of the control flow that inputs reached.
    edges: u64,
    /// Inputs that reach something that no other does.
    corpus: u64,
    /// The input with which it failed, or what else was wrong.
    failure: Option<String>,
}

/// The directories of one target, kept between runs: a run continues where the last one stopped.
struct Directories {
    seeds: PathBuf,
    corpus: PathBuf,
    crashes: PathBuf,
    log: PathBuf,
}

pub(crate) fn fuzz(checkout: &Checkout, options: &Options) -> Result<ExitCode> {
    let targets = chosen(checkout, &options.targets)?;
    if options.list {
        for target in &targets {
            println!("{:<16} {}", target.name, target.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let failed = run(checkout, &targets, options)?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every target for `seconds`, and returns how many ran and how many of them failed.
pub(crate) fn all(checkout: &Checkout, seconds: u64, install: bool) -> Result<(u64, u64)> {
    let targets = chosen(checkout, &[])?;
    let options = Options { targets: Vec::new(), seconds, list: false, install };
    let failed = run(checkout, &targets, &options)?;
    Ok((targets.len() as u64, failed))
}

/// All targets, or those with these names.
fn chosen(checkout: &Checkout, names: &[String]) -> Result<Vec<Target>> {
    let dir = checkout.root.join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&dir).while_doing(format_args!("read {}", dir.display()))? {
        let path = entry.while_doing(format_args!("read {}", dir.display()))?.path();
        let text = fs::read_to_string(&path).while_doing(format_args!("read {}", path.display()))?;
        let about = text.lines().next().unwrap_or_default().trim_start_matches("//! ").to_owned();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        targets.push(Target { name, about });
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(unknown) = names.iter().find(|name| !targets.iter().any(|target| target.name == **name)) {
        return Err(failure!("no fuzz target {unknown}: `cargo xtask fuzz --list` prints them"));
    }
    targets.retain(|target| names.is_empty() || names.contains(&target.name));
    Ok(targets)
}

fn run(checkout: &Checkout, targets: &[Target], options: &Options) -> Result<u64> {
    install::provide(&NEEDS, options.install)?;
    let programs = build(checkout, targets)?;
    let mut rows = Vec::new();
    for target in targets {
        step(format_args!("{}: {}", target.name, target.about));
        let directories = Directories::of(checkout, &target.name)?;
        rows.push((&target.name, fuzz_one(&programs.join(&target.name), &directories, options.seconds)?));
    }
    println!("\n{:<16} {:>12} {:>9} {:>7} {:>7}  result", "target", "executions", "per s", "edges", "corpus");
    let mut failed = 0;
    for (name, figures) in &rows {
        let Figures { executions, edges, corpus, failure } = figures;
        let rate = executions / options.seconds.max(1);
        let result = failure.as_deref().unwrap_or("ok");
        println!("{name:<16} {executions:>12} {rate:>9} {edges:>7} {corpus:>7}  {result}");
        failed += u64::from(failure.is_some());
    }
    println!("\n{} targets, {} s each, {failed} failed", rows.len(), options.seconds);
    if failed > 0 {
        println!(
            "copy the input to fuzz/regressions/TARGET/ once it is understood: `cargo test` runs it from then on"
        );
    }
    Ok(failed)
}

/// Builds the programs, and returns their directory.
fn build(checkout: &Checkout, targets: &[Target]) -> Result<PathBuf> {
    step("building the fuzz targets");
    let host = host()?;
    let directory = checkout.target.join("fuzz");
    // With --target, build scripts and procedural macros are built without coverage.
    Run::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(&checkout.root)
        .args(["build", "--locked", "--package", "secrets-bridge-fuzz", "--features", "libfuzzer"])
        .args(["--profile", "fuzz", "--target", &host, "--target-dir"])
        .arg(&directory)
        .args(targets.iter().flat_map(|target| ["--bin", &target.name]))
        .env("RUSTFLAGS", COVERAGE)
        .live()?;
    Ok(directory.join(host).join("fuzz"))
}

/// The platform for which the toolchain builds by default.
fn host() -> Result<String> {
    let version = Run::new("rustc").arg("-vV").text()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| failure!("`rustc -vV` names no host"))
}

impl Directories {
    fn of(checkout: &Checkout, name: &str) -> Result<Self> {
        let below = |kind: &str| checkout.cache_dir(&format!("fuzz/{kind}/{name}"));
        let log = checkout.cache_dir("fuzz/log")?.join(name);
        Ok(Self { seeds: below("seeds")?, corpus: below("corpus")?, crashes: below("crashes")?, log })
    }
}

fn fuzz_one(program: &Path, directories: &Directories, seconds: u64) -> Result<Figures> {
    let Directories { seeds, corpus, crashes, log } = directories;
    // libFuzzer reports both by exit status and by a file: the file of an earlier run would be taken for a new one.
    for old in fs::read_dir(crashes).while_doing(format_args!("read {}", crashes.display()))?.flatten() {
        let _ = fs::remove_file(old.path());
    }
    let mut child = Run::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .arg("-print_final_stats=1")
        // New inputs are written to the first directory; the program writes its seeds to the second one.
        .args([corpus, seeds])
        .env("SECRETS_BRIDGE_FUZZ_SEEDS", seeds)
        .log(log)?
        .spawn()?;
    // libFuzzer ends by itself; this is for an input on which its own alarm fails.
    let status = wait(&mut child, Duration::from_secs(seconds + 10 * TIMEOUT))?;
    let text = fs::read_to_string(log).while_doing(format_args!("read {}", log.display()))?;
    let mut figures = Figures::of_log(&text);
    if !status {
        let input = fs::read_dir(crashes).ok().and_then(|mut files| files.next()?.ok());
        let reason = text.lines().find(|line| line.contains("panicked at") || line.contains("ERROR: "));
        let reason = reason.unwrap_or("it failed");
        let input = input.map_or_else(|| log.display().to_string(), |file| file.path().display().to_string());
        figures.failure = Some(format!("{reason} ({input})"));
    }
    Ok(figures)
}

/// Whether it succeeded.
fn wait(child: &mut std::process::Child, limit: Duration) -> Result<bool> {
    let deadline = std::time::Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().while_doing("wait for a fuzz target")? {
            return Ok(status.success());
        }
        if std::time::Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Figures {
    /// From what libFuzzer prints: `#123 NEW cov: 45 ft: 67 corp: 8/9b …`, and `stat::number_of_executed_units: 123`.
    fn of_log(text: &str) -> Self {
        let mut figures = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                figures.executions = count.trim().parse().unwrap_or(0);
            } else if line.starts_with('#') {
                let number = words.next().and_then(|word| word.get(1..)?.parse().ok());
                figures.executions = figures.executions.max(number.unwrap_or(0));
                let mut after = |name: &str| words.find(|word| *word == name).and_then(|_| words.next());
                if let Some(edges) = after("cov:").and_then(|word| word.parse().ok()) {
                    figures.edges = edges;
                }
                let inputs = after("corp:").and_then(|word| word.split('/').next()?.parse().ok());
                figures.corpus = inputs.unwrap_or(figures.corpus);
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_last_line() {
        let text = "INFO: Seed: 1\n#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 27Mb\n\
            #44\tNEW    cov: 8 ft: 8 corp: 2/5b lim: 4 exec/s: 0 rss: 27Mb L: 4/4 MS: 2 CrossOver-\n\
            #550\tDONE   cov: 10 ft: 10 corp: 4/13b lim: 4096 exec/s: 917353 rss: 27Mb\n\
            stat::number_of_executed_units: 550\n";
        let figures = Figures::of_log(text);
        assert_eq!((figures.executions, figures.edges, figures.corpus), (550, 10, 4));
        assert_eq!(Figures::of_log("#99\tpulse  cov: 3 ft: 3 corp: 1/1b\n").executions, 99);
    }
}
