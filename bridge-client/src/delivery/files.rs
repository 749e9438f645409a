//! Secrets as files, where COMMAND expects them. They are removed when COMMAND has ended, and so are directories that were
//! created for them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use proto::{Key, Secret};
use tracing::warn;

use crate::delivery::access::{self, Access};
use crate::delivery::error::{DeliveryError, FileProblem};
use crate::delivery::request::FileTarget;
use crate::exec::private_dir::PrivateDir;

#[cfg_attr(unix, path = "files/unix.rs")]
#[cfg_attr(windows, path = "files/windows.rs")]
mod platform;

use platform::Placed;

/// Files that are in place. Dropping this removes them, the last one first.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<Placed>);

impl Files {
    /// Puts each file into its place. Returns the variables for their paths.
    ///
    /// # Errors
    /// [`DeliveryError::File`]. All files are removed then.
    pub(crate) fn place(
        directory: &PrivateDir,
        files: Vec<(Key, FileTarget, Secret)>,
    ) -> Result<(Self, Vec<(String, OsString)>), DeliveryError> {
        let mut placed = Self::default();
        let mut variables = Vec::new();
        let bounds = bounds();
        for (number, (key, target, contents)) in files.into_iter().enumerate() {
            let failed = |problem| DeliveryError::File { key: key.clone(), problem };
            // The number distinguishes keys such as `a/b` and `a_b`. The key is for people, who see the path in messages of
            // tools.
            let name = format!("{number}-{}", key.as_str().replace('/', "_"));
            platform::check(directory).map_err(failed)?;
            let path = match &target.path {
                Some(path) => {
                    let path = absolute(path).map_err(failed)?;
                    let it = Placed::put(directory, &name, &path, &bounds, &target, &contents);
                    placed.0.push(it.map_err(failed)?);
                    warn_if_unreachable(&key, &path, target.access);
                    path
                }
                None => platform::keep(directory, &name, target.access, &contents).map_err(failed)?,
            };
            if let Some(variable) = target.variable {
                variables.push((variable, path.into_os_string()));
            }
        }
        Ok((placed, variables))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        while let Some(placed) = self.0.pop() {
            drop(placed);
        }
    }
}

/// Directories with files of others, such as a repository or the image: links in them must not lead a secret out of them.
fn bounds() -> Vec<PathBuf> {
    let home = local_ipc::home_directory().filter(|home| home.is_absolute());
    std::env::current_dir().ok().into_iter().chain(home).collect()
}

/// The file is usable only if the directories above it are.
fn warn_if_unreachable(key: &Key, path: &Path, access: Access) {
    if let (Some(closed), Some(uid)) = (access::unreachable_directory(path, access), access.uid) {
        warn!("{key}: user {uid} cannot reach {}: it may not search {}", path.display(), closed.display());
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileProblem + use<> {
    let path = path.to_owned();
    move |source| FileProblem::Place { what, path, source }
}

fn report(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        warn!("cannot restore {}: {error}", path.display());
    }
}

fn report_replaced(at: &Path) {
    warn!("COMMAND put something else at {}, which may hold the secret", at.display());
}

fn absolute(path: &Path) -> Result<PathBuf, FileProblem> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => local_ipc::home_directory()
            .filter(|home| home.is_absolute())
            .ok_or(FileProblem::NoHome)?
            .join(rest),
        Err(_) => path.to_owned(),
    };
    Ok(std::path::absolute(path)?)
}
