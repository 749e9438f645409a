//! Packages of a newer release of Debian, unpacked without being installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::base_image::{KEYRING, mirror};
use crate::failure::{Result, While, failure};
use crate::run::{Run, step};

/// The release. bookworm, the one before, has no buildx, and its musl is older than packed relocations.
const SUITE: &str = "trixie";

/// The contents of `package` for this machine's architecture, in a temporary directory.
pub(crate) fn unpack(package: &str) -> Result<TempDir> {
    step(format_args!("fetching {package} from the archive of Debian {SUITE}"));
    let unpacked = tempfile::tempdir().while_doing("create a temporary directory")?;
    let scratch = tempfile::tempdir().while_doing("create a temporary directory")?;
    let deb = download(package, scratch.path())?;
    Run::new("dpkg-deb").arg("--extract").arg(&deb).arg(unpacked.path()).text()?;
    Ok(unpacked)
}

/// apt verifies the archive's signature and the package's sum, as for the machine's own sources.
fn download(package: &str, dir: &Path) -> Result<PathBuf> {
    let options = archive(dir)?;
    apt_get(dir, &options).arg("update").text()?;
    apt_get(dir, &options).args(["download", package]).text()?;
    fs::read_dir(dir)
        .while_doing("list the downloaded package")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| failure!("apt-get download left no package"))
}

/// Options that make apt use that release only, with lists in `dir`.
fn archive(dir: &Path) -> Result<Vec<OsString>> {
    let source = dir.join("sources.list");
    fs::write(&source, format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()))
        .while_doing("write a list of sources")?;
    let lists = dir.join("lists");
    let cache = dir.join("cache");
    for dir in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&dir).while_doing(format_args!("create {}", dir.display()))?;
    }
    let mut options = Vec::new();
    for (name, value) in [
        ("Dir::Etc::SourceList", source.as_path()),
        ("Dir::Etc::SourceParts", Path::new("/dev/null")),
        ("Dir::State::Lists", &lists),
        ("Dir::Cache", &cache),
        ("Acquire::Languages", Path::new("none")),
    ] {
        let mut option = OsString::from(format!("{name}="));
        option.push(value);
        options.extend(["-o".into(), option]);
    }
    Ok(options)
}

fn apt_get(dir: &Path, options: &[OsString]) -> Run {
    Run::new("apt-get")
        .current_dir(dir)
        // apt's unprivileged user could not write into our directory.
        .args(["--quiet=2", "-o", "APT::Sandbox::User="])
        .args(options)
}
