//! Paths of the checkout, of cargo's target directory, and of the caches in it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Result, While, failure};
use crate::run::Run;

/// The directories of a checkout.
pub(crate) struct Checkout {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, absolute.
    pub(crate) target: PathBuf,
}

impl Checkout {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| failure!("xtask is not inside a checkout"))?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Cargo resolves a relative path in the directory where it was called, which is this program's too.
            Some(dir) => env::current_dir().while_doing("find the current directory")?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The directory of the release binaries and their sums.
    pub(crate) fn dist(&self) -> Result<PathBuf> {
        create_dir(self.root.join("dist"))
    }

    /// A directory that is kept between runs, until `cargo clean`.
    pub(crate) fn cache_dir(&self, name: &str) -> Result<PathBuf> {
        create_dir(self.target.join("xtask").join(name))
    }

    /// The cargo that runs this program, in the checkout, with the same target directory.
    pub(crate) fn cargo(&self) -> Run {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Run::new(cargo).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target)
    }
}

fn create_dir(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).while_doing(format_args!("create {}", dir.display()))?;
    Ok(dir)
}
