//! The demo with Docker: a real image build, and a search of the image and its metadata.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::search::{Findings, Needles};
use super::{Build, Scenario, root_fs, say, show};
use crate::failure::{Result, While, failure};
use crate::run::Run;

const BASE: &str = "secrets-bridge-demo-base";
const IMAGE: &str = "secrets-bridge-demo";

const DOCKERFILE: &str = "\
FROM secrets-bridge-demo-base
COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/
COPY needs-the-token.sh /
RUN secrets-bridge exec -e NPM_TOKEN -- ./needs-the-token.sh
";

/// The built image. Dropping it removes the image and its base.
pub(super) struct Image<'a> {
    scenario: &'a Scenario,
}

impl<'a> Image<'a> {
    pub(super) fn build(scenario: &'a Scenario) -> Result<Self> {
        let dir = scenario.dir.path();
        // Dropping this removes the images, also after an error below.
        let image = Self { scenario };
        import_base(dir)?;
        fs::write(dir.join("Dockerfile"), DOCKERFILE).while_doing("write the Dockerfile")?;
        // The token is beside the Dockerfile, as in practice; it must not be part of the build context.
        fs::write(dir.join(".dockerignore"), "*\n!needs-the-token.sh\n")
            .while_doing("write .dockerignore")?;
        show("cat Dockerfile", DOCKERFILE);

        say("An image for COPY --from, once per machine:");
        show("secrets-bridge image | docker load", "");
        load(scenario)?;

        say("The build, as COMMAND of `secrets-bridge run`:");
        show(
            "secrets-bridge run --secret id=NPM_TOKEN,src=token.txt -- \\\n          docker build --build-arg FTP_PROXY -t secrets-bridge-demo .",
            "",
        );
        Run::new(&scenario.binary)
            .current_dir(dir)
            // Only the daemon's own builder sees its images.
            .env("BUILDX_BUILDER", "default")
            .args(["run", "--secret", "id=NPM_TOKEN,src=token.txt", "--"])
            .args(["docker", "build", "--build-arg", "FTP_PROXY", "-t", IMAGE, "."])
            .live()?;
        Ok(image)
    }
}

fn import_base(dir: &Path) -> Result<()> {
    let (root, tar) = (dir.join("base"), dir.join("base.tar"));
    fs::create_dir(&root).while_doing("make the base image's root")?;
    root_fs::fill(&root)?;
    Run::new("tar").arg("--create").arg("--directory").arg(&root).arg(".").write_to(&tar)?;
    Run::new("docker").arg("import").arg(&tar).arg(BASE).text().map(drop)
}

fn load(scenario: &Scenario) -> Result<()> {
    let mut image = Run::new(&scenario.binary).arg("image").output(Stdio::piped()).spawn()?;
    let archive = image.stdout.take().ok_or_else(|| failure!("`secrets-bridge image` has no output"))?;
    let loaded = Run::new("docker").arg("load").input(archive).live();
    let status = image.wait().while_doing("wait for `secrets-bridge image`")?;
    if !status.success() {
        return Err(failure!("`secrets-bridge image` failed: {status}"));
    }
    loaded
}

impl Build for Image<'_> {
    fn search(&self, needles: &Needles) -> Result<Findings> {
        let mut findings = Findings::default();
        for arguments in [["history", "--no-trunc"], ["inspect", "--type=image"]] {
            let name = format!("docker {}", arguments.join(" "));
            let output = Run::new("docker").args(arguments).arg(IMAGE).text()?;
            findings.search(needles, &name, output.as_bytes());
            findings.searched.push(format!("{name}: {} bytes", output.len()));
        }

        let dir = self.scenario.dir.path();
        let (archive, saved) = (dir.join("saved.tar"), dir.join("saved"));
        Run::new("docker").args(["save", IMAGE]).write_to(&archive)?;
        fs::create_dir(&saved).while_doing("make a directory for the saved image")?;
        Run::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&saved).live()?;
        let (files, bytes) = findings.search_dir(needles, "docker save", &saved)?;
        findings
            .searched
            .push(format!("every byte of docker save: {files} files, {bytes} bytes, layers included"));
        Ok(findings)
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        Run::new("docker").args(["rmi", "--force", IMAGE, BASE]).succeeds();
        println!(
            "\n(removed the images {IMAGE} and {BASE}; secrets-bridge:latest stays, for your own builds)"
        );
    }
}
