//! `demo`: shows the product to a newcomer. A build uses a secret, and the demo searches everything that the build
//! left for it.

mod chroot_build;
mod docker_build;
mod root_fs;
mod search;

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use tempfile::TempDir;

use crate::checkout::Checkout;
use crate::dist;
use crate::docker::{self, Probe};
use crate::failure::{Result, While, failure};
use crate::run::{Run, find};
use search::{Findings, Needles};

/// What the build does with the token. It keeps the SHA-256, which proves that the token arrived unchanged.
const SCRIPT: &str = r#"#!/bin/sh
set -e
test -n "$NPM_TOKEN" || { echo "no token"; exit 1; }
echo "the build has a token of ${#NPM_TOKEN} characters"
printf %s "$NPM_TOKEN" | sha256sum > /token.sha256
"#;

/// The files of one demo.
struct Scenario {
    dir: TempDir,
    /// The static secrets-bridge.
    binary: PathBuf,
    token: String,
    /// SHA-256 of the token, in hex.
    hash: String,
}

impl Scenario {
    fn prepare(binary: PathBuf) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("secrets-bridge-demo.")
            .tempdir()
            .while_doing("make a temporary directory")?;
        // With characters that URL encoding changes.
        let token = format!("npm_{}+/{}=", letters(18)?, letters(18)?);
        let file = dir.path().join("token.txt");
        fs::write(&file, &token).while_doing("write token.txt")?;
        let hash = Run::new("sha256sum").arg(&file).text()?;
        let hash = hash.split(' ').next().unwrap_or_default().to_owned();
        // A different line for each demo: otherwise the step would come from the builder's cache.
        let script = dir.path().join("needs-the-token.sh");
        fs::write(&script, format!("{SCRIPT}# demo {}\n", letters(12)?)).while_doing("write a script")?;
        Run::new("chmod").arg("755").arg(&script).text()?;
        Ok(Self { dir, binary, token, hash })
    }
}

/// A finished build.
trait Build {
    /// Searches everything that the build left.
    fn search(&self, needles: &Needles) -> Result<Findings>;
}

pub(crate) fn demo(checkout: &Checkout, no_docker: bool) -> Result<ExitCode> {
    let why_no_docker = if no_docker {
        Some("--no-docker was given".to_owned())
    } else if find("docker").is_none() {
        Some("docker is not installed".to_owned())
    } else {
        match docker::probe() {
            Probe::Answers(_) => None,
            Probe::Unusable(why) => Some(why),
            Probe::Nothing => Some("no Docker daemon answers".to_owned()),
        }
    };
    let scenario = Scenario::prepare(dist::full(checkout)?)?;
    say("A build needs a token, and must not keep it. The token:");
    show("cat token.txt", &scenario.token);

    let built: Box<dyn Build + '_> = match why_no_docker {
        None => {
            say("A Docker daemon answers: this is a real image build.");
            Box::new(docker_build::Image::build(&scenario)?)
        }
        Some(why) => {
            say(&format!("{why}: a child process in a chroot takes the place of the image build."));
            Box::new(chroot_build::Root::build(&scenario)?)
        }
    };

    say("The build and the bridge have ended. What did they leave?");
    let findings = built.search(&Needles::of(&scenario.token, &scenario.hash))?;
    for part in &findings.searched {
        println!("    {part}");
    }
    println!("    searched for the token, raw, base64, URL-encoded and in hex, and for any bridge conf");
    if !findings.proof {
        // If the search does not find what is known to be there, its result is worthless.
        return Err(failure!(
            "the hash that the build wrote was not found: the token did not arrive, or the search does not work"
        ));
    }
    println!("    found the SHA-256 of the token, which the build wrote: the token arrived unchanged");
    if findings.leaks.is_empty() {
        say("Result: no leak. The build used the token, and its result does not contain it.");
        return Ok(ExitCode::SUCCESS);
    }
    for leak in &findings.leaks {
        println!("    LEAK: {leak}");
    }
    say("Result: LEAKED.");
    Ok(ExitCode::FAILURE)
}

fn say(text: &str) {
    println!("\n* {text}");
}

fn show(command: &str, output: &str) {
    println!("    $ {command}");
    for line in output.lines() {
        println!("    {line}");
    }
}

/// Random letters and digits, from the kernel.
fn letters(count: usize) -> Result<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = vec![0; count];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .while_doing("read /dev/urandom")?;
    Ok(bytes
        .into_iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|c| char::from(*c))
        .collect())
}
