//! A blob. Its first bytes decide what it is, because its name is only a digest and its manifest may come later.

use std::io::{self, BufRead, Cursor, Read as _};

use crate::collector::{Content, Location, Scan};
use crate::compression::{Compression, Unpacking};
use crate::digest::Checked;
use crate::document;
use crate::error::truncated;
use crate::large_memory::Owner;
use crate::layer;
use crate::limits::MAX_DOCUMENT;
use crate::search::Finder;
use crate::tar_entries;
use crate::unread::{Unread, foreign_format};

/// Searches the blob `name`, and keeps what it is. Reads `input` to its end even if the blob is damaged.
///
/// # Errors
/// If `input` cannot be read, or the budget is used up.
pub(crate) fn scan<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    input: &mut (dyn BufRead + Send),
) -> io::Result<()> {
    let mut input = Checked::new(input, name);
    let content = match content(scan, name, &mut input) {
        Err(error) if scan.budget.is_exhausted() => return Err(error),
        Err(error) => {
            input.finish()?;
            let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
            let problem = if is_cut { truncated() } else { error };
            Content::Unread(Unread::Broken(problem.to_string()))
        }
        Ok(content) => match input.finish()? {
            true => content,
            false => Content::Unread(Unread::Digest),
        },
    };
    scan.collected().keep_content(name, content);
    Ok(())
}

fn content<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    input: &mut (dyn BufRead + Send),
) -> io::Result<Content> {
    with_head(input, |head, input| match Compression::of(head) {
        None => plain(scan, name, head, input),
        Some(compression) => unpack(scan, name, Owner::Blob, compression, input, |input| {
            with_head(input, |head, input| unpacked(scan, name, compression, head, input))
        }),
    })
}

/// Unpacks `input` for `consume`. What the format carries beside its content is searched as bytes of the blob `name`.
pub(crate) fn unpack<F: Finder, T>(
    scan: &Scan<'_, F>,
    name: &str,
    owner: Owner,
    compression: Compression,
    input: &mut (dyn BufRead + Send),
    consume: impl FnOnce(&mut (dyn BufRead + Send)) -> io::Result<T>,
) -> io::Result<T> {
    let (budget, memory) = (&scan.budget, &scan.memory);
    let bytes = |input: &mut dyn BufRead| {
        let found = scan.search(input)?;
        scan.keep(name, || Location::Bytes, found);
        Ok(())
    };
    // The table in a layer of zstd:chunked is itself compressed.
    let aside = |input: &mut (dyn BufRead + Send)| {
        with_head(input, |head, input| match Compression::of(head) {
            None => bytes(input),
            Some(compression) => {
                let with = Unpacking { budget, memory, owner, aside: &|input| bytes(input) };
                compression.unpack(input, with, |input| bytes(input))
            }
        })
    };
    compression.unpack(input, Unpacking { budget, memory, owner, aside: &aside }, consume)
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

/// Whether a tar archive begins with `head`. That of an empty layer is zeros.
fn is_tar(head: &[u8]) -> bool {
    tar_entries::is_header(head) || head.len() == HEAD && tar_entries::is_zero(head)
}

/// A blob as it is, if it is not compressed.
fn plain<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    head: &[u8],
    mut input: &mut (dyn BufRead + Send),
) -> io::Result<Content> {
    if is_tar(head) {
        return layer::scan(scan, name, input).map(|()| Content::Layer);
    }
    let is_json =
        head.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| b"{[".contains(first));
    let mut kept = Vec::new();
    if is_json {
        (&mut input).take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut kept)?;
    }
    let found = scan.search(&mut kept.as_slice().chain(input))?;
    if is_json && kept.len() <= MAX_DOCUMENT {
        return document::scan(scan, name, kept, found);
    }
    scan.keep(name, || Location::Bytes, found);
    Ok(Content::Bytes { is_json, format: foreign_format(head) })
}

/// What a compressed blob unpacks to: engines read nothing but a tar archive.
fn unpacked<F: Finder>(
    scan: &Scan<'_, F>,
    name: &str,
    outer: Compression,
    head: &[u8],
    input: &mut (dyn BufRead + Send),
) -> io::Result<Content> {
    if is_tar(head) || head.is_empty() {
        return layer::scan(scan, name, input).map(|()| Content::Layer);
    }
    let found = scan.search(input)?;
    scan.keep(name, || Location::Bytes, found);
    Ok(Content::Unread(match Compression::of(head) {
        Some(inner) => Unread::CompressedTwice { outer, inner },
        None => Unread::NotTar(foreign_format(head)),
    }))
}
