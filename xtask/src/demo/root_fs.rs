//! The root file system of the demo: this machine's shell and `sha256sum` with their libraries. The demo therefore
//! needs neither a network nor a registry.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Result, While, failure};
use crate::run::{Run, find};

/// The programs that the script calls.
const PROGRAMS: [&str; 2] = ["sh", "sha256sum"];

/// Fills the empty directory `root`.
pub(super) fn fill(root: &Path) -> Result<()> {
    for name in PROGRAMS {
        let program = find(name).ok_or_else(|| failure!("cannot find {name} in PATH"))?;
        copy(&program, &root.join("bin").join(name))?;
        for library in libraries(&program) {
            let inside = library.strip_prefix("/").unwrap_or(&library);
            copy(&library, &root.join(inside))?;
        }
    }
    let local = root.join("usr/local/bin");
    fs::create_dir_all(&local).while_doing(format_args!("make {}", local.display()))
}

/// The paths that ldd prints: libraries and the loader. ldd fails for a static program, which has none.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = Run::new("ldd").arg(program).text().unwrap_or_default();
    listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect()
}

/// Copies the file that `from` resolves to: each of these is a symbolic link on some machine.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    let dir = to.parent().unwrap_or(to);
    fs::create_dir_all(dir).while_doing(format_args!("make {}", dir.display()))?;
    fs::copy(from, to).while_doing(format_args!("copy {} to {}", from.display(), to.display())).map(drop)
}
