//! `demo`: the main job, for someone who sees it for the first time. A secret goes into an image build, is used
//! there, and is looked for in everything that the build left.

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

/// What the build has to do with the token. `sha256sum` is there to prove that it arrived whole: a hash is what the
/// build keeps.
const SCRIPT: &str = r#"#!/bin/sh
set -e
test -n "$NPM_TOKEN" || { echo "no token"; exit 1; }
echo "the build has a token of ${#NPM_TOKEN} characters"
printf %s "$NPM_TOKEN" | sha256sum > /token.sha256
"#;

/// What a demo works with.
struct Scenario {
    dir: TempDir,
    /// The static secrets-bridge.
    binary: PathBuf,
    token: String,
    /// SHA-256 of the token, in hex.
    hash: String,
}

impl Scenario {
    fn set(binary: PathBuf) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("secrets-bridge-demo.")
            .tempdir()
            .while_doing("make a temporary directory")?;
        // With characters that a URL has to encode.
        let token = format!("npm_{}+/{}=", letters(18)?, letters(18)?);
        let file = dir.path().join("token.txt");
        fs::write(&file, &token).while_doing("write token.txt")?;
        let hash = Run::new("sha256sum").arg(&file).text()?;
        let hash = hash.split(' ').next().unwrap_or_default().to_owned();
        // A line of its own for each demo, or a builder would find the step in its cache.
        let script = dir.path().join("needs-the-token.sh");
        fs::write(&script, format!("{SCRIPT}# demo {}\n", letters(12)?)).while_doing("write a script")?;
        Run::new("chmod").arg("755").arg(&script).text()?;
        Ok(Self { dir, binary, token, hash })
    }
}

/// Where the job ran, once it has.
trait Build {
    /// Looks through everything that the build left.
    fn search(&self, needles: &Needles) -> Result<Findings>;
}

pub(crate) fn demo(checkout: &Checkout, no_docker: bool) -> Result<ExitCode> {
    let why_no_docker = if no_docker {
        Some("--no-docker was given".to_owned())
    } else if find("docker").is_none() {
        Some("there is no docker here".to_owned())
    } else {
        match docker::probe() {
            Probe::Answers(_) => None,
            Probe::Unusable(why) => Some(why),
            Probe::Nothing => Some("no Docker daemon answers".to_owned()),
        }
    };
    let scenario = Scenario::set(dist::full(checkout)?)?;
    say("A build needs a token, and must not keep it. The token is here:");
    show("cat token.txt", &scenario.token);

    let ran: Box<dyn Build + '_> = match why_no_docker {
        None => {
            say("A Docker daemon answers, so this is a real image build.");
            Box::new(docker_build::Image::build(&scenario)?)
        }
        Some(why) => {
            say(&format!("{why}: a child process in a scratch root stands in for the image build."));
            Box::new(chroot_build::Root::build(&scenario)?)
        }
    };

    say("The build is over and so is the bridge. What did it leave?");
    let findings = ran.search(&Needles::of(&scenario.token, &scenario.hash))?;
    for place in &findings.places {
        println!("    {place}");
    }
    println!("    searched for the token, raw, base64, URL-encoded and in hex, and for any bridge conf");
    if !findings.proof {
        // The search must find what is known to be there, or "nothing found" means nothing.
        return Err(failure!(
            "the hash that the build wrote was not found: the token did not arrive, or the search is blind"
        ));
    }
    println!("    found the SHA-256 of the token that the build wrote: it arrived whole");
    if findings.leaks.is_empty() {
        say("Verdict: nothing found. The build used the token, and the result does not hold it.");
        return Ok(ExitCode::SUCCESS);
    }
    for leak in &findings.leaks {
        println!("    LEAK: {leak}");
    }
    say("Verdict: LEAKED.");
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
