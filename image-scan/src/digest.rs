//! The digest in a blob's name, against its bytes: a compressed layer without a checksum of its own (zstd has one only if
//! asked) could be damaged and unpack to something else.

use std::io::{self, BufRead, Read};

use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA512};

/// The path of the blob with a digest, in the OCI layout. skopeo's directories name blobs by the digits alone, and manifests
/// with an ending.
pub(crate) fn path_of_name(name: &str) -> Option<String> {
    if algorithm_and_digits(name).is_some() {
        return Some(name.to_owned());
    }
    let digits = name.strip_suffix(".manifest.json").unwrap_or(name);
    is_digits(digits, &SHA256).then(|| format!("blobs/sha256/{digits}"))
}

/// The names that the blob at `path` of the OCI layout has in skopeo's directories.
pub(crate) fn other_names(path: &str) -> Option<[String; 2]> {
    let digits = path.strip_prefix("blobs/sha256/")?;
    Some([digits.to_owned(), format!("{digits}.manifest.json")])
}

/// Whether the blob `name` has the digest of no bytes.
pub(crate) fn is_of_nothing(name: &str) -> bool {
    Expected::of(name).is_some_and(|expected| expected.matches())
}

fn algorithm_and_digits(path: &str) -> Option<(&'static Algorithm, &str)> {
    let (algorithm, digits) = path.strip_prefix("blobs/")?.split_once('/')?;
    let algorithm = match algorithm {
        "sha256" => &SHA256,
        "sha512" => &SHA512,
        _ => return None,
    };
    is_digits(digits, algorithm).then_some((algorithm, digits))
}

fn is_digits(text: &str, algorithm: &Algorithm) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 2 * algorithm.output_len() && text.bytes().all(is_digit)
}

struct Expected {
    context: Context,
    digits: String,
}

impl Expected {
    fn of(name: &str) -> Option<Self> {
        let path = path_of_name(name)?;
        let (algorithm, digits) = algorithm_and_digits(&path)?;
        Some(Self { context: Context::new(algorithm), digits: digits.to_owned() })
    }

    fn matches(self) -> bool {
        let digest = self.context.finish();
        let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        digits == self.digits
    }
}

/// A reader of a blob that computes its digest.
pub(crate) struct Checked<R> {
    input: R,
    expected: Option<Expected>,
}

impl<R: BufRead> Checked<R> {
    pub(crate) fn new(input: R, name: &str) -> Self {
        Self { input, expected: Expected::of(name) }
    }

    /// Reads the rest of the input. Whether all of it has the digest in the name, or the name has none.
    pub(crate) fn finish(mut self) -> io::Result<bool> {
        loop {
            let length = self.fill_buf()?.len();
            if length == 0 {
                return Ok(self.expected.is_none_or(Expected::matches));
            }
            self.consume(length);
        }
    }
}

impl<R: BufRead> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        if let Some(expected) = &mut self.expected {
            expected.context.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Checked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(expected) = &mut self.expected
            // What is in the buffer already: this reads nothing.
            && let Ok(buffer) = self.input.fill_buf()
        {
            expected.context.update(buffer.get(..amount).unwrap_or(buffer));
        }
        self.input.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_digest_in_a_name_is_compared_with_the_bytes() {
        let is_right = |name: &str, bytes: &[u8]| {
            let mut checked = Checked::new(bytes, name);
            checked.read_exact(&mut [0]).unwrap();
            checked.consume(1);
            checked.finish().unwrap()
        };
        for name in [format!("blobs/sha256/{OF_ABC}"), OF_ABC.to_owned(), format!("{OF_ABC}.manifest.json")] {
            assert!(is_right(&name, b"abc") && !is_right(&name, b"abd"), "{name}");
        }
        for name in ["blobs/sha256/a0", "layer.tar", "blobs/md5/a0", &format!("{OF_ABC}.tar")] {
            assert!(is_right(name, b"abd"), "{name} has none");
        }
        assert!(is_of_nothing("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert!(!is_of_nothing(OF_ABC) && !is_of_nothing("layer.tar"));
    }
}
