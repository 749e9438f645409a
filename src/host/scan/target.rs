//! What `run --scan` and `scan --engine` search: a file, or an image of an engine.
//!
//! The spelling decides, not what exists: in a clone of someone else's repository, a file `app` would otherwise stand for the
//! image `app` that was built, and be found clean.

use std::ffi::OsStr;
use std::fmt;

use bridge_host::NamedFile;

use crate::usage::UsageError;

/// Longest name of an image, in bytes: a domain and a path of 255 each, a tag and a digest.
const MAX_NAME: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScanTarget {
    /// An archive, or a directory in the OCI layout.
    File(NamedFile),
    Image(ImageName),
}

/// The name of an image: an engine does not take it for an option, a path or anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageName(String);

impl ScanTarget {
    /// # Errors
    /// [`UsageError`] if `text` is neither a path nor the name of an image.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, UsageError> {
        if Self::is_file(text) {
            return Ok(Self::File(NamedFile::typed(text)));
        }
        let name = text.to_str().filter(|name| is_image_name(name)).ok_or_else(|| {
            UsageError::option(
                "--scan",
                "must be the name of an image, or the path of a file, which begins with ./, ../ or /",
            )
        })?;
        Ok(Self::Image(ImageName(name.to_owned())))
    }

    /// Whether `text` is a path: it begins with `./`, `../` or `/`, on Windows also with a drive or a backslash.
    pub(crate) fn is_file(text: &OsStr) -> bool {
        let begins = |prefix: &str| text.as_encoded_bytes().starts_with(prefix.as_bytes());
        let windows = || {
            let drive = matches!(text.as_encoded_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
            drive || ["\\", ".\\", "..\\"].iter().any(|prefix| begins(prefix))
        };
        text == "."
            || text == ".."
            || ["./", "../", "/"].iter().any(|prefix| begins(prefix))
            || cfg!(windows) && windows()
    }
}

impl ImageName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The characters of domains (with a port, or IPv6 in brackets), paths, tags and digests. The first is none that begins an
/// option or a hidden file.
fn is_image_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]+".contains(c);
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_like_one_and_everything_else_is_an_image() {
        for path in ["./app", "../app", "/app", ".", "..", "./-x", "/"] {
            let expected = ScanTarget::File(NamedFile::typed(path));
            assert_eq!(ScanTarget::parse(OsStr::new(path)).ok(), Some(expected), "{path}");
        }
        for image in [
            "app",
            "app.tar",
            "app:1.0",
            "sha256:0123abc",
            "registry.example:5000/org/app_x@sha256:0123abc",
            "[::1]:5000/app",
            "localhost/app",
            "dir/app",
        ] {
            let target = ScanTarget::parse(OsStr::new(image)).unwrap();
            assert!(matches!(target, ScanTarget::Image(name) if name.as_str() == image), "{image}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for wrong in
            ["", "-o", "--output=x", "~/app.tar", ".app", "a b", "a\n", "a;b", "a\u{e9}", "@x", &long]
        {
            assert!(ScanTarget::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn drives_and_backslashes_are_paths_on_windows() {
        for path in ["C:\\app.tar", "c:/app.tar", ".\\app.tar", "..\\app.tar", "\\\\server\\share\\app.tar"] {
            assert_eq!(ScanTarget::is_file(OsStr::new(path)), cfg!(windows), "{path}");
        }
    }
}
