//! The demo without Docker: the build's only step runs in a chroot, as COMMAND of `secrets-bridge run`.

use std::fs;
use std::path::PathBuf;

use super::search::{Findings, Needles};
use super::{Build, Scenario, root_fs, say, show};
use crate::failure::{Result, While};
use crate::run::Run;

const STEP: &str = "secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A root file system in which the step has run.
pub(super) struct Root {
    dir: PathBuf,
}

impl Root {
    pub(super) fn build(scenario: &Scenario) -> Result<Self> {
        let dir = scenario.dir.path().join("root");
        fs::create_dir(&dir).while_doing("make the scratch root")?;
        root_fs::fill(&dir)?;
        root_fs::copy(&scenario.binary, &dir.join("usr/local/bin/secrets-bridge"))?;
        root_fs::copy(&scenario.dir.path().join("needs-the-token.sh"), &dir.join("needs-the-token.sh"))?;

        say("One step runs in it, with the bridge conf in FTP_PROXY, as a builder would pass it:");
        let is_root = Run::new("id").arg("-u").text()?.trim() == "0";
        let into: &[&str] = if is_root {
            &["chroot", "root"]
        } else {
            &["unshare", "--user", "--map-root-user", "--root", "root"]
        };
        let shown = format!(
            "secrets-bridge run --secret id=NPM_TOKEN,src=token.txt -- {} sh -c '{STEP}'",
            into.join(" ")
        );
        show(&shown, "");
        Run::new(&scenario.binary)
            .current_dir(scenario.dir.path())
            .clean_env()
            .env("PATH", PATH)
            .args(["run", "--secret", "id=NPM_TOKEN,src=token.txt", "--"])
            // `run` sets two variables for COMMAND; a builder passes on only the one that it was told to.
            .args(["env", "--unset=BRIDGE_CONF"])
            .args(into)
            .args(["/bin/sh", "-c", STEP])
            .live()?;
        Ok(Self { dir })
    }
}

impl Build for Root {
    fn search(&self, needles: &Needles) -> Result<Findings> {
        let mut findings = Findings::default();
        let (files, bytes) = findings.search_dir(needles, "the scratch root", &self.dir)?;
        findings.searched.push(format!("every byte of the scratch root: {files} files, {bytes} bytes"));
        Ok(findings)
    }
}
