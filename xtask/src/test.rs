//! `test`: every layer of tests, cheap ones first, and a summary of what ran and what did not.

mod counts;
mod layers;
mod skips;

use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::run::step;
use counts::Counts;
use skips::{AllowedSkips, Skip};

/// Tests that need more than cargo. Their target has `test = false`, so that only its name runs them.
struct Layer {
    /// What `--allow-skip` calls it.
    name: &'static str,
    /// The test target, tests/NAME/main.rs.
    target: &'static str,
    /// Which of its tests: what the names begin with.
    module: &'static str,
}

const DOCKER: Layer = Layer { name: "docker", target: "builders", module: "docker::" };
const BUILDAH: Layer = Layer { name: "buildah", target: "builders", module: "buildah::" };
const WINDOWS: Layer = Layer { name: "windows", target: "windows", module: "" };

impl Layer {
    /// How many tests do not run when this layer does not.
    fn size(&self, checkout: &Checkout) -> u64 {
        let listed = checkout
            .cargo()
            .args(["test", "--locked", "--quiet", "--test", self.target])
            .args(["--", "--list", "--format=terse"])
            .text()
            .unwrap_or_default();
        let tests = listed.lines().filter(|line| line.starts_with(self.module) && line.ends_with(": test"));
        u64::try_from(tests.count()).unwrap_or(u64::MAX).max(1)
    }
}

/// Why a layer did not run.
enum NotRun {
    /// Something that it needs is missing on this machine.
    Missing(Failure),
    /// Our own code does not build.
    Broken(Failure),
}

/// What a step needs is missing; steps that build our own code return [`NotRun::Broken`].
impl From<Failure> for NotRun {
    fn from(missing: Failure) -> Self {
        Self::Missing(missing)
    }
}

/// What a layer's tests came to.
#[derive(Default)]
struct Outcome {
    counts: Counts,
    skips: Vec<Skip>,
}

impl From<Counts> for Outcome {
    fn from(counts: Counts) -> Self {
        Self { counts, ..Self::default() }
    }
}

/// The result of all layers.
struct Summary {
    allowed: AllowedSkips,
    lines: Vec<String>,
    skips: Vec<String>,
    sum: Counts,
}

impl Summary {
    /// `size` is the number of tests that count as skipped, or failed, if the layer did not run.
    fn add(&mut self, name: &str, size: impl FnOnce() -> u64, outcome: Result<Outcome, NotRun>) {
        let (counts, note) = match outcome {
            Ok(Outcome { counts, skips }) => {
                self.skips.extend(skips.iter().map(Skip::to_string));
                (counts, counts.to_string())
            }
            Err(NotRun::Missing(why)) if self.allowed.contains(name) => {
                let skipped = size();
                self.skips.push(format!("{name}, {skipped} tests: {why}"));
                (Counts { skipped, ..Counts::default() }, format!("skipped: {why}"))
            }
            Err(NotRun::Missing(why)) => {
                let why = format!("failed, as it may not be skipped: {why}");
                (Counts { failed: size(), ..Counts::default() }, why)
            }
            Err(NotRun::Broken(why)) => (Counts { failed: 1, ..Counts::default() }, format!("failed: {why}")),
        };
        step(format_args!("{name}: {note}"));
        self.lines.push(format!("  {name:<28} {}", note.replace('\n', "\n    ")));
        self.sum += counts;
    }

    fn add_layer(&mut self, checkout: &Checkout, layer: &Layer, outcome: Result<Outcome, NotRun>) {
        self.add(layer.name, || layer.size(checkout), outcome);
    }
}

/// A layer that only `--long` runs.
struct LongLayer {
    /// What `--allow-skip` calls it.
    name: &'static str,
    run: fn(&layers::Runner<'_>) -> Result<Outcome, NotRun>,
}

const LONG: [LongLayer; 2] = [
    LongLayer { name: "fuzz", run: |runner| runner.fuzz() },
    LongLayer { name: "mutations", run: |runner| runner.mutations() },
];

/// `allowed` are the names given to `--allow-skip`; with none, anything that is missing may be skipped. `long` adds the
/// layers of [`LONG`].
pub(crate) fn test(checkout: &Checkout, install: bool, allowed: Vec<String>, long: bool) -> Result<ExitCode> {
    let allowed = AllowedSkips::new(allowed);
    let runner = layers::Runner { checkout, install, allowed: &allowed, long };
    let mut summary =
        Summary { allowed: allowed.clone(), lines: Vec::new(), skips: Vec::new(), sum: Counts::default() };
    summary.add("unit and user-visible tests", || 1, runner.workspace());
    summary.add("client-only build", || 1, runner.client_only());
    summary.add("gauntlet", || 1, runner.gauntlet());
    let mut missing_parts = Vec::new();
    summary.add_layer(checkout, &DOCKER, runner.docker(&mut missing_parts));
    for (part, why) in missing_parts {
        summary.add(part, || 1, Err(NotRun::Missing(why)));
    }
    summary.add_layer(checkout, &BUILDAH, runner.buildah());
    summary.add_layer(checkout, &WINDOWS, runner.windows());
    for layer in LONG.iter().filter(|_| long) {
        summary.add(layer.name, || 1, (layer.run)(&runner));
    }

    println!("\nlayers:");
    for line in &summary.lines {
        println!("{line}");
    }
    if !summary.skips.is_empty() {
        println!("\nskipped:");
        for skip in &summary.skips {
            println!("  {}", skip.replace('\n', "\n    "));
        }
    }
    // The last line, and plain, so that a script can read it.
    println!("\n{}", summary.sum);
    Ok(if summary.sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
