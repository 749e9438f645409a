//! `lint`: every check that runs no test. `.ci/run` calls it first.

mod documents;
mod tools;

use std::fs;
use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::failure::{Result, While, failure};
use crate::run::step;
use crate::structure;

/// Runs all checks, the quick ones first. A check that fails does not keep the others from running.
pub(crate) fn lint(checkout: &Checkout, install: bool) -> Result<ExitCode> {
    let checks: [(&str, &dyn Fn() -> Result<()>); 6] = [
        ("formatting", &|| checkout.cargo().args(["fmt", "--all", "--check"]).live()),
        ("paths and links in documents", &|| documents::check(&checkout.root)),
        ("structure of the source tree", &|| check_structure(checkout)),
        ("GitHub workflows", &|| check_workflows(checkout, install)),
        ("dependencies", &|| check_dependencies(checkout, install)),
        ("clippy", &|| {
            clippy(checkout, &["--workspace", "--all-targets"])?;
            // --all-targets leaves out targets with `test = false`.
            clippy(checkout, &["--test", "builders", "--test", "windows"])
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        step(name);
        if let Err(failure) = check() {
            eprintln!("xtask: {failure}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        step("lint: all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    step(format_args!("lint: failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

fn clippy(checkout: &Checkout, targets: &[&str]) -> Result<()> {
    let warnings_fail = ["--locked", "--", "-D", "warnings"];
    checkout.cargo().arg("clippy").args(targets).args(warnings_fail).live()
}

fn check_structure(checkout: &Checkout) -> Result<()> {
    if structure::structure(checkout)? == ExitCode::SUCCESS {
        Ok(())
    } else {
        Err(failure!("the source tree breaks rules"))
    }
}

/// Against the schema that check-jsonschema brings: nothing is fetched for it.
fn check_workflows(checkout: &Checkout, install: bool) -> Result<()> {
    let dir = checkout.root.join(".github/workflows");
    let mut workflows = Vec::new();
    for entry in fs::read_dir(&dir).while_doing(format_args!("read {}", dir.display()))? {
        workflows.push(entry.while_doing(format_args!("read {}", dir.display()))?.path());
    }
    tools::check_jsonschema(checkout, install)?
        .args(["--builtin-schema", "vendor.github-workflows"])
        .args(&workflows)
        .live()
}

/// By the rules of deny.toml. Advisories are left to the workflow: their database is a git repository, which not
/// every machine can reach.
fn check_dependencies(checkout: &Checkout, install: bool) -> Result<()> {
    tools::cargo_deny(checkout, install)?
        .current_dir(&checkout.root)
        .args(["--workspace", "--locked", "check", "bans", "licenses", "sources"])
        .live()
}
