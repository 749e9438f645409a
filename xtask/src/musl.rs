//! A compiler for static programs with musl as their C library.
//!
//! A static program with glibc loads the modules that `/etc/nsswitch.conf` names as soon as it looks up a user or a host. In an
//! image they are built for another glibc, and it crashes (exit code 139). musl loads nothing: it reads `/etc/passwd`,
//! `/etc/hosts` and `/etc/resolv.conf` itself.
//!
//! musl comes from Debian's package musl-dev, of the same release for x86-64 and arm64, whatever the machine runs. gcc compiles and
//! links with it by a specs file, as Debian's `musl-gcc` does; that one cannot link programs that are static and position
//! independent. Zig could do both too, for ten times the download and without the linker's options that save a seventh.

use std::env::consts::ARCH;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::base_image::KEYRING;
use crate::checkout::Checkout;
use crate::debian_rust;
use crate::failure::{Result, While, failure};
use crate::install::{self, Need};
use crate::newer_debian;
use crate::run::Run;

/// What musl lacks.
const SUPPORT: &str = include_str!("musl_support.c");

const NEEDS: [Need; 5] = [
    Need { what: "gcc", packages: &["gcc"] },
    Need { what: "ar", packages: &["binutils"] },
    Need { what: "ld.lld", packages: &["lld"] },
    Need { what: "dpkg-deb", packages: &["dpkg"] },
    Need { what: KEYRING, packages: &["debian-archive-keyring"] },
];

/// The compiler and the C library, below a directory that is kept between runs.
pub(crate) struct Musl {
    /// Behaves like gcc.
    pub(crate) compiler: PathBuf,
    /// The directory of libc.a.
    pub(crate) libraries: PathBuf,
}

impl Musl {
    /// The one of this checkout, and a Rust compiler for it. What is missing is installed if `install` is set.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn provide(checkout: &Checkout, install: bool) -> Result<Self> {
        debian_rust::provide(install)?;
        install::provide(&NEEDS, install)?;
        // Another version of what is added gets another directory: cargo then links again.
        let mut version = DefaultHasher::new();
        SUPPORT.hash(&mut version);
        let dir = checkout.cache_dir(&format!("musl/{:016x}", version.finish()))?;
        let musl =
            Self { compiler: dir.join("cc"), libraries: dir.join(format!("usr/lib/{ARCH}-linux-musl")) };
        // Written last.
        if musl.compiler.is_file() {
            return Ok(musl);
        }
        if !install {
            return Err(failure!("the C library musl is missing (`--install` fetches it)"));
        }
        musl.create(&dir)?;
        Ok(musl)
    }

    fn create(&self, dir: &Path) -> Result<()> {
        if dir.as_os_str().to_string_lossy().contains(char::is_whitespace) {
            return Err(failure!("{}: gcc's specs files cannot contain paths with spaces", dir.display()));
        }
        let package = newer_debian::unpack("musl-dev")?;
        let copied = Run::new("cp").args(["--recursive", "--force"]).arg(package.path().join("usr")).arg(dir);
        copied.text()?;
        let specs = dir.join("musl.specs");
        let headers = dir.join(format!("usr/include/{ARCH}-linux-musl"));
        write(&specs, &specs_file(&headers, &self.libraries))?;
        let partial = dir.join("cc.partial");
        write(&partial, &format!("#!/bin/sh\nexec gcc \"$@\" -specs {}\n", specs.display()))?;
        Run::new("chmod").arg("755").arg(&partial).text()?;
        self.add_support(dir, &partial)?;
        fs::rename(&partial, &self.compiler).while_doing("write the compiler")
    }

    /// Makes libunwind.a, which std names as a library to link, of [`SUPPORT`].
    fn add_support(&self, dir: &Path, compiler: &Path) -> Result<()> {
        let (source, object) = (dir.join("support.c"), dir.join("support.o"));
        write(&source, SUPPORT)?;
        Run::new(compiler)
            .args(["-O2", "-Wall", "-Werror", "-fPIC", "-ffunction-sections", "-c", "-o"])
            .arg(&object)
            // The compiler would make calls of memcmp of its loop.
            .args(["-ffreestanding", "-fno-tree-loop-distribute-patterns"])
            .arg(&source)
            .text()?;
        let library = self.libraries.join("libunwind.a");
        let _ = fs::remove_file(&library);
        Run::new("ar").arg("crs").arg(&library).arg(&object).text().map(drop)
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).while_doing(format_args!("write {}", file.display()))
}

/// gcc's specs ("Specifying Subprocesses and the Switches to Pass to Them" in its manual): headers and start-up files of musl, and
/// programs that are static and position independent.
fn specs_file(headers: &Path, libraries: &Path) -> String {
    let (headers, libraries) = (headers.display(), libraries.display());
    format!(
        "%rename cpp_options old_cpp_options

*cpp_options:
-nostdinc -isystem {headers} -isystem include%s %(old_cpp_options)

*cc1:
%(cc1_cpu) -nostdinc -isystem {headers} -isystem include%s

*link_libgcc:
-L{libraries} -L .%s

*libgcc:
libgcc.a%s

*startfile:
{libraries}/rcrt1.o {libraries}/crti.o crtbeginS.o%s

*endfile:
crtendS.o%s {libraries}/crtn.o

*link:
-static -pie --no-dynamic-linker -z text -nostdlib

"
    )
}
