//! Bundles of CA certificates (PEM): what a tool trusted before, and the CA of the proxy.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::Before;

/// Most bytes of a bundle that is read: those of distributions have 200 to 500 KB.
pub(super) const MAX_BUNDLE: u64 = 4 << 20;

/// Where distributions keep all CA certificates in one file: Debian, Alpine and Arch; Fedora and RHEL; openSUSE; RHEL 7 and
/// its like; Alpine without the package, and macOS. As Go reads them (crypto/x509/root_linux.go).
const IMAGE_BUNDLES: [&str; 6] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/pki/tls/cacert.pem",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/ssl/cert.pem",
];

/// The certificates that a variable names before ours is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// None is named: those of the image.
    Image,
    /// Those in this file or directory.
    Named(PathBuf),
}

/// Certificates that tools of the image trust.
pub(super) struct Roots {
    /// PEM; empty if the image has none.
    image: Vec<u8>,
}

impl Roots {
    /// Reads those of the image.
    pub(super) fn of_image(root: &Path) -> Self {
        let image = IMAGE_BUNDLES.iter().find_map(|path| {
            let found = read_regular(&root.join(path)).ok()?;
            (!found.is_empty()).then_some(found)
        });
        if image.is_none() {
            info!(
                "the image has no CA certificates: curl, git, pip and others reach only servers with a rule \
                 (the package ca-certificates has them)"
            );
        }
        Self { image: image.unwrap_or_default() }
    }

    pub(super) fn image(&self) -> &[u8] {
        &self.image
    }

    /// The certificates of `base`, and `ours`. What cannot be read is left out: more is not trusted than before.
    pub(super) fn with(&self, base: &Base, variable: &str, ours: &str) -> Vec<u8> {
        let mut bundle = match base {
            Base::Image => self.image.clone(),
            Base::Named(path) => named(path).unwrap_or_else(|error| {
                warn!(
                    "cannot read {}, which {variable} names: {error}; its tools trust only servers with a rule",
                    proto::escape(&path.to_string_lossy())
                );
                Vec::new()
            }),
        };
        if !bundle.is_empty() && !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        bundle.extend_from_slice(ours.as_bytes());
        bundle
    }
}

/// What the first of `variables` that is set names.
pub(super) fn base_of(before: &Before<'_>, variables: &[&str]) -> Base {
    let set = variables.iter().find_map(|name| before.variable(name));
    set.map_or(Base::Image, |path| Base::Named(path.into()))
}

/// The certificates in a file, or in a directory as `openssl rehash` makes them.
fn named(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_dir() {
        // Only certificates: some keep a private key in the same file, and everyone can read the bundle.
        return Ok(certificates(&read_regular(path)?));
    }
    let mut names: Vec<PathBuf> = fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_hash));
    names.sort();
    let mut all = Vec::new();
    for path in names {
        all.extend(certificates(&read_regular(&path)?));
        if all.len() as u64 > MAX_BUNDLE {
            return Err(too_large());
        }
    }
    Ok(all)
}

/// `XXXXXXXX.N`: the only names that OpenSSL looks up in a directory.
fn is_hash(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The blocks of `pem` that are certificates.
fn certificates(pem: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in pem.split_inclusive(|byte| *byte == b'\n') {
        let is_label = |label: &[u8]| {
            let rest = line.strip_prefix(label);
            let rest = rest.and_then(|rest| {
                ["TRUSTED ", "X509 ", ""].iter().find_map(|kind| rest.strip_prefix(kind.as_bytes()))
            });
            rest.is_some_and(|rest| rest.trim_ascii_end() == b"CERTIFICATE-----")
        };
        is_inside |= is_label(b"-----BEGIN ");
        if is_inside {
            found.extend_from_slice(line);
        }
        is_inside &= !is_label(b"-----END ");
    }
    if !found.is_empty() && !found.ends_with(b"\n") {
        found.push(b'\n');
    }
    found
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", MAX_BUNDLE >> 20))
}

/// The contents of a regular file of at most [`MAX_BUNDLE`] bytes: a pipe or device would have no end.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut contents =
        Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BUNDLE)).unwrap_or_default());
    File::open(path)?.take(MAX_BUNDLE + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > MAX_BUNDLE { Err(too_large()) } else { Ok(contents) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn the_bundle_of_each_distribution_is_found() {
        for path in IMAGE_BUNDLES {
            let root = tempfile::TempDir::new().unwrap();
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), "roots").unwrap();
            let roots = Roots::of_image(root.path());
            assert_eq!(roots.with(&Base::Image, "A", OURS), format!("roots\n{OURS}").into_bytes(), "{path}");
        }
        let empty = Roots::of_image(tempfile::TempDir::new().unwrap().path());
        assert_eq!(empty.with(&Base::Image, "A", OURS), OURS.as_bytes());
    }

    #[test]
    fn of_a_named_file_only_certificates_are_taken() {
        let place = tempfile::TempDir::new().unwrap();
        let (one, other) = (block("CERTIFICATE", "one"), block("TRUSTED CERTIFICATE", "other"));
        let file = place.path().join("file");
        let key = block("PRIVATE KEY", "secret");
        fs::write(&file, format!("# text\n{one}{key}{}", other.trim_end())).unwrap();
        let roots = Roots { image: b"image".to_vec() };
        let bundle = roots.with(&Base::Named(file), "A", OURS);
        assert_eq!(String::from_utf8(bundle).unwrap(), format!("{one}{other}{OURS}"));
    }

    #[test]
    fn a_named_directory_is_read_as_openssl_reads_it() {
        let place = tempfile::TempDir::new().unwrap();
        let (one, other) = (block("CERTIFICATE", "one"), block("CERTIFICATE", "other"));
        fs::write(place.path().join("0123abcd.0"), &one).unwrap();
        fs::write(place.path().join("0123abcd.1"), &other).unwrap();
        fs::write(place.path().join("ca.pem"), "not looked up").unwrap();
        let roots = Roots { image: Vec::new() };
        let bundle = roots.with(&Base::Named(place.path().to_owned()), "A", OURS);
        assert_eq!(String::from_utf8(bundle).unwrap(), format!("{one}{other}{OURS}"));
    }

    #[test]
    fn what_cannot_be_read_adds_nothing() {
        let place = tempfile::TempDir::new().unwrap();
        let large = place.path().join("large");
        fs::write(&large, block("CERTIFICATE", &"a".repeat(MAX_BUNDLE as usize))).unwrap();
        let roots = Roots { image: b"image".to_vec() };
        for path in [place.path().join("missing"), large, "/dev/zero".into()] {
            assert_eq!(roots.with(&Base::Named(path), "A", OURS), OURS.as_bytes());
        }
    }
}
