//! `structure`: the rules of the tree that a compiler does not check (docs/ARCHITECTURE.md).
//!
//! It reads every crate's modules as syntax ([`modules`]), follows what each file imports ([`imports`]), looks for import
//! circles ([`circles`]), and holds the crates and files against a table ([`rules`]).

mod circles;
mod imports;
mod modules;
mod packages;
mod rules;

use std::process::ExitCode;

use crate::checkout::Checkout;
use crate::failure::Result;
use imports::Imports;
use modules::CrateTree;
use packages::Package;

/// Circles that are one idea in several files. A circle is named by its files, sorted.
const KNOWN_CIRCLES: [Circle; 1] = [Circle {
    files: &[
        "ssh-policy/src/key/certificate.rs",
        "ssh-policy/src/key/public_key.rs",
        "ssh-policy/src/key/signature.rs",
    ],
    reason: "a certificate is a public key that holds a public key and a signature",
}];

struct Circle {
    files: &'static [&'static str],
    reason: &'static str,
}

pub(crate) fn structure(checkout: &Checkout) -> Result<ExitCode> {
    let packages = Package::of_workspace(checkout)?;
    let mut violations = rules::dependencies(&packages);
    let mut circles = Vec::new();
    println!("{:<16} {:>5} {:>7}", "crate", "files", "lines");
    for package in &packages {
        let tree = CrateTree::read(&checkout.root, package)?;
        println!("{:<16} {:>5} {:>7}", package.name, tree.files().count(), tree.lines());
        violations.extend(rules::files(&tree));
        circles.extend(circles::circles(&Imports::of(&tree)));
    }
    for circle in circles {
        match KNOWN_CIRCLES.iter().find(|known| known.files == circle) {
            Some(known) => println!("known import circle ({}): {}", known.reason, circle.join(", ")),
            None => violations.push(format!("import circle: {}", circle.join(", "))),
        }
    }
    for violation in &violations {
        eprintln!("structure: {violation}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
