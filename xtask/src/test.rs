//! `test`: every layer of tests, cheap ones first, and an account of what ran and what did not.

mod counts;
mod layers;

use std::process::ExitCode;

use crate::failure::{Failure, Result};
use crate::places::Places;
use crate::run::step;
use counts::Counts;

/// A layer that needs more than cargo: cargo runs its target only by name, and `xtask` where it finds what it needs.
struct Outfitted {
    name: &'static str,
    /// The test target, tests/NAME/main.rs.
    target: &'static str,
    /// Which of its tests: what the names begin with.
    module: &'static str,
}

const DOCKER: Outfitted = Outfitted { name: "docker", target: "builders", module: "docker::" };
const BUILDAH: Outfitted = Outfitted { name: "buildah", target: "builders", module: "buildah::" };
const WINDOWS: Outfitted = Outfitted { name: "windows", target: "windows", module: "" };

impl Outfitted {
    /// How many tests are not run when this layer is not.
    fn size(&self, places: &Places) -> u64 {
        let listed = places
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
    /// Something that it needs is not to be had here.
    Skipped(Failure),
    /// It is our own code that does not build.
    Broken(Failure),
}

/// What a step lacks is not its fault; steps that build our own code say otherwise.
impl From<Failure> for NotRun {
    fn from(lack: Failure) -> Self {
        Self::Skipped(lack)
    }
}

/// The account of all layers.
#[derive(Default)]
struct Account {
    lines: Vec<String>,
    sum: Counts,
}

impl Account {
    fn add(&mut self, name: &str, size: u64, outcome: Result<Counts, NotRun>) {
        let (counts, note) = match outcome {
            Ok(counts) => (counts, counts.to_string()),
            Err(NotRun::Skipped(why)) => {
                (Counts { skipped: size, ..Counts::default() }, format!("skipped: {why}"))
            }
            Err(NotRun::Broken(why)) => (Counts { failed: 1, ..Counts::default() }, format!("failed: {why}")),
        };
        step(format_args!("{name}: {note}"));
        self.lines.push(format!("  {name:<28} {}", note.replace('\n', "\n    ")));
        self.sum += counts;
    }

    fn add_outfitted(&mut self, places: &Places, layer: &Outfitted, outcome: Result<Counts, NotRun>) {
        self.add(layer.name, layer.size(places), outcome);
    }
}

pub(crate) fn test(places: &Places, install: bool) -> Result<ExitCode> {
    let mut account = Account::default();
    account.add("unit and user-visible tests", 1, layers::workspace(places, install));
    account.add("client-only build", 1, layers::client_only(places));
    let mut lacks = Vec::new();
    account.add_outfitted(places, &DOCKER, layers::docker(places, install, &mut lacks));
    for (part, why) in lacks {
        account.add(part, 1, Err(NotRun::Skipped(why)));
    }
    account.add_outfitted(places, &BUILDAH, layers::buildah(places, install));
    account.add_outfitted(places, &WINDOWS, layers::windows(places, install));

    println!("\nlayers:");
    for line in &account.lines {
        println!("{line}");
    }
    // The last line, and plain, so that a script can read it.
    println!("\n{}", account.sum);
    Ok(if account.sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
