//! A bridge to attack.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::memory::resident;
use super::{Scene, guarded};
use crate::failure::{Result, While, failure};
use crate::run::Run;

/// The secret that good clients print.
pub(super) const KEY: &str = "TOKEN";
pub(super) const VALUE: &str = "a small secret";

/// A `serve` that runs. It is killed when this is dropped.
pub(super) struct Bridge {
    process: Child,
    pub(super) conf: String,
    log: PathBuf,
    audit: PathBuf,
}

impl Bridge {
    /// Starts `serve` with the secret [`KEY`], an audit file, and `arguments`, at all addresses of this machine.
    pub(super) fn start(scene: &Scene, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::spawn(scene, guarded(scene.cpus.bridge, &scene.binary), arguments)
    }

    /// Starts one of another binary.
    pub(super) fn start_of(scene: &Scene, binary: &Path) -> Result<Self> {
        Self::spawn(scene, guarded(scene.cpus.bridge, binary), &[""; 0])
    }

    /// Starts one that may have `limit` open descriptors, and may not raise that.
    pub(super) fn start_with_descriptors(scene: &Scene, limit: u64) -> Result<Self> {
        let limited = guarded(scene.cpus.bridge, "prlimit".as_ref());
        Self::spawn(scene, limited.arg(format!("--nofile={limit}:{limit}")).arg(&scene.binary), &[""; 0])
    }

    /// `program` must become the bridge.
    fn spawn(scene: &Scene, program: Run, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        let (log, audit) = (scene.dir.path().join("log"), scene.dir.path().join("audit"));
        let _ = (fs::remove_file(&log), fs::remove_file(&audit));
        let mut process = program
            .args(["serve", "--listen", ":0", "--secret", &format!("{KEY}={VALUE}")])
            .arg("--audit")
            .arg(&audit)
            .args(arguments)
            .current_dir(scene.dir.path())
            .log(&log)?
            .output(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| failure!("serve has no standard output"))?;
        let mut bridge = Self { process, conf: String::new(), log, audit };
        BufReader::new(stdout).read_line(&mut bridge.conf).while_doing("read the conf of serve")?;
        bridge.conf.truncate(bridge.conf.trim_end().len());
        if bridge.conf.is_empty() {
            let said = fs::read_to_string(&bridge.log).unwrap_or_default();
            return Err(failure!("serve printed no conf: {}", said.trim()));
        }
        Ok(bridge)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its resident memory, in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        resident(self.pid())
    }

    /// Its open descriptors.
    pub(super) fn descriptors(&self) -> Result<u64> {
        let path = format!("/proc/{}/fd", self.pid());
        Ok(fs::read_dir(&path).while_doing(format_args!("read {path}"))?.count() as u64)
    }

    /// Bytes that it wrote so far: audit records, and lines of its log.
    pub(super) fn written(&self) -> (u64, u64) {
        let size = |path| fs::metadata(path).map_or(0, |file| file.len());
        (size(&self.audit), size(&self.log))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
