//! A blob. Its first bytes decide what it is, because its name is only a digest and its manifest may come later.

use std::io::{self, BufRead, Cursor, Read as _};

use crate::collector::{Location, Scan};
use crate::compression::Compression;
use crate::document;
use crate::layer;
use crate::limits::MAX_DOCUMENT;
use crate::search::Finder;
use crate::tar_entries;

/// Searches the blob `name`.
pub(crate) fn scan<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    input: &mut (dyn BufRead + Send),
) -> io::Result<()> {
    with_head(input, |head, input| match Compression::of(head) {
        None => plain(scan, name, head, input),
        Some(compression) => compression.unpack(input, &scan.allowance, |input| {
            with_head(input, |head, mut input| plain(scan, name, head, &mut input))
        }),
    })
}

/// Calls `then` with the first bytes of `input`, and with all of `input`.
pub(crate) fn with_head<T>(
    input: &mut (dyn BufRead + Send),
    then: impl FnOnce(&[u8], &mut (dyn BufRead + Send)) -> io::Result<T>,
) -> io::Result<T> {
    let mut head = Vec::with_capacity(HEAD);
    (&mut *input).take(HEAD as u64).read_to_end(&mut head)?;
    let mut whole = Cursor::new(head.clone()).chain(input);
    then(&head, &mut whole)
}

/// One block of a tar archive.
const HEAD: usize = 512;

fn plain<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    head: &[u8],
    mut input: &mut (dyn BufRead + Send),
) -> io::Result<()> {
    if tar_entries::is_header(head) {
        return layer::scan(scan, name, input);
    }
    let mut kept = Vec::new();
    if head.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| b"{[".contains(first)) {
        (&mut input).take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut kept)?;
    }
    let mut whole = kept.as_slice().chain(input);
    let found = scan.search(&mut whole)?;
    if kept.is_empty() || kept.len() > MAX_DOCUMENT {
        scan.keep(name, || Location::Bytes, found);
    } else if document::scan(scan, name, &kept, found) {
        scan.collected().keep_document(name, kept);
    }
    Ok(())
}
