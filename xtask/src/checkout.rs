//! Where things lie: the checkout, cargo's target directory, and our corner of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Result, While, failure};
use crate::run::Run;

/// Directories that the commands share.
pub(crate) struct Checkout {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, absolute.
    pub(crate) target: PathBuf,
}

impl Checkout {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| failure!("xtask does not lie inside a checkout"))?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Cargo takes a relative one from where it was called; so was this program.
            Some(dir) => env::current_dir().while_doing("find the current directory")?.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// What is published: binaries and their sums.
    pub(crate) fn dist(&self) -> Result<PathBuf> {
        made(self.root.join("dist"))
    }

    /// A directory for things that are worth keeping between runs; `cargo clean` removes them with the rest.
    pub(crate) fn cache_dir(&self, name: &str) -> Result<PathBuf> {
        made(self.target.join("xtask").join(name))
    }

    /// The cargo that runs us, in the checkout, with the same target directory.
    pub(crate) fn cargo(&self) -> Run {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Run::new(cargo).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target)
    }
}

fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).while_doing(format_args!("make {}", dir.display()))?;
    Ok(dir)
}
