//! What masked output still shows of a secret.

use super::tools::Written;

/// Most characters that may be left of a secret: at each end of base64, one that also encodes what stands beside it, and
/// as many where it is masked line by line.
const MAX_LEFT: usize = 4;

const REPLACEMENT: &[u8] = b"***";

/// Whether `shown` shows less of the secret in `file` than [`MAX_LEFT`] characters.
pub(super) fn is_masked(file: &Written, shown: &[u8]) -> bool {
    let variant = file.variant.as_deref().unwrap_or_default();
    let end = common(file.bytes.iter().rev(), variant.iter().rev());
    let differing = common(file.bytes.iter(), variant.iter())..file.bytes.len() - end;
    // A named entity of HTML may be longer than that of the variant.
    let same_length = variant.len() == file.bytes.len();
    let is_secret = |at: usize| differing.contains(&at) && !(same_length && file.bytes[at] == variant[at]);
    let visible = visible(&file.bytes, shown);
    visible.into_iter().filter(|at| is_secret(*at)).count() <= MAX_LEFT
}

/// How many bytes both begin with.
fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// The offsets in `bytes` of all that `shown` has besides its `***`.
fn visible(bytes: &[u8], shown: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut from = 0;
    let mut rest = shown;
    loop {
        let end = position(rest, REPLACEMENT).unwrap_or(rest.len());
        let piece = &rest[..end];
        let at = if end == rest.len() {
            bytes.len() - piece.len()
        } else {
            from + position(&bytes[from..], piece).expect("output that is not masked is unchanged")
        };
        assert_eq!(&bytes[at..at + piece.len()], piece);
        offsets.extend(at..at + piece.len());
        from = at + piece.len();
        match rest.get(end + REPLACEMENT.len()..) {
            Some(next) if end < rest.len() => rest = next,
            _ => return offsets,
        }
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() { Some(0) } else { bytes.windows(wanted.len()).position(|window| window == wanted) }
}
