//! The entries of a tar archive.
//!
//! Not by the crate `tar`, which keeps extension headers of any length in memory, and returns names only: a scan also
//! searches all other bytes of the headers. Ambiguous headers are read as Go's archive/tar reads them, because engines
//! use that.

use std::io::{self, BufRead, Read as _};

use crate::error::{corrupt, truncated};
use crate::limits::{MAX_EXTENSION, MAX_EXTENSIONS};

const BLOCK: usize = 512;

/// An entry. Its content follows in the input.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Its name, from extension headers if they have one.
    pub(crate) path: Vec<u8>,
    /// The target, if it is a link.
    pub(crate) link: Vec<u8>,
    /// Whether the target is relative to the top of the archive, not to the directory of the link.
    pub(crate) is_hard_link: bool,
    /// Length of the content.
    pub(crate) size: u64,
    /// The bytes of all its headers: names, link targets, owners, attributes.
    pub(crate) headers: Vec<u8>,
}

impl Entry {
    /// Length of the content with the padding of its last block.
    pub(crate) fn padded(&self) -> u64 {
        self.size.saturating_add(BLOCK as u64 - 1) / BLOCK as u64 * BLOCK as u64
    }
}

/// Fields of extension headers, which override those of the header that follows.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// What follows in a tar archive.
pub(crate) enum Next {
    Entry(Entry),
    /// The end. Bytes may follow that are not of the archive: these, then the rest of the input.
    End(Vec<u8>),
}

/// The next entry. After the end of an archive, another one may follow (`tar --concatenate`): engines stop before it.
pub(crate) fn next_entry(input: &mut (impl BufRead + ?Sized)) -> io::Result<Next> {
    let mut entry = Entry::default();
    let mut extension = Extension::default();
    let mut after_end = false;
    loop {
        let mut block = [0; BLOCK];
        let length = read_block(input, &mut block)?;
        if !entry.headers.is_empty() && (length == 0 || is_zero(&block)) {
            return Err(corrupt("a tar extension header without an entry"));
        }
        if length == 0 {
            return Ok(Next::End(Vec::new()));
        }
        if length == BLOCK && is_zero(&block) {
            after_end = true;
            continue;
        }
        if after_end && !is_header(&block) {
            return Ok(Next::End(block.get(..length).unwrap_or_default().to_vec()));
        }
        if length < BLOCK {
            return Err(truncated());
        }
        if !is_header(&block) {
            return Err(corrupt("invalid tar header"));
        }
        let header = Header(&block);
        let size = header.size().ok_or_else(|| corrupt("invalid size in a tar header"))?;
        entry.headers.extend_from_slice(&block);
        let kind = header.kind();
        match kind {
            b'x' | b'g' | b'L' | b'K' => {
                let payload = read_extension(input, size)?;
                entry.headers.extend_from_slice(&payload);
                if entry.headers.len() > MAX_EXTENSIONS {
                    return Err(corrupt("the tar headers of one entry are too long"));
                }
                match kind {
                    b'L' => extension.path = Some(until_nul(&payload).to_vec()),
                    b'K' => extension.link = Some(until_nul(&payload).to_vec()),
                    // A global header must set neither path nor size of later entries.
                    b'g' => {}
                    _ => extension.take_records(&payload)?,
                }
            }
            _ => {
                if kind == b'S' {
                    read_sparse_map(input, &block, &mut entry.headers)?;
                }
                entry.path = extension.path.unwrap_or_else(|| header.path());
                entry.link = extension.link.unwrap_or_else(|| header.link());
                entry.is_hard_link = kind == b'1';
                // Links, devices and directories have no content, whatever their size says.
                entry.size = if (b'1'..=b'6').contains(&kind) { 0 } else { extension.size.unwrap_or(size) };
                return Ok(Next::Entry(entry));
            }
        }
    }
}

/// Whether `block` begins with a tar header. Its oldest form has no magic number, so the checksum decides.
pub(crate) fn is_header(block: &[u8]) -> bool {
    let (Some(block), Some(stored)) = (block.get(..BLOCK), block.get(148..156)) else { return false };
    // The checksum field counts as spaces.
    let sum = |from: &[u8]| from.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    octal(stored) == Some(sum(block).saturating_sub(sum(stored)) + 8 * u64::from(b' '))
}

struct Header<'b>(&'b [u8; BLOCK]);

impl Header<'_> {
    fn field(&self, at: usize, length: usize) -> &[u8] {
        self.0.get(at..at + length).unwrap_or_default()
    }

    fn kind(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or_default()
    }

    fn size(&self) -> Option<u64> {
        let field = self.field(124, 12);
        match field.split_first()? {
            // Base 256, as GNU tar writes sizes too large for octal digits. The top bit marks it, the next is the sign.
            (first, rest) if first & 0x80 != 0 => rest
                .iter()
                .try_fold(u64::from(first & 0x7f), |number, byte| {
                    (number >> 55 == 0).then_some(number << 8 | u64::from(*byte))
                })
                .filter(|size| *size < 1 << 62),
            _ => octal(field),
        }
    }

    fn path(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100));
        // Only the POSIX format has a prefix; GNU's has times in its place.
        let prefix = match self.field(257, 6) == b"ustar\0" {
            true => until_nul(self.field(345, 155)),
            false => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    fn link(&self) -> Vec<u8> {
        until_nul(self.field(157, 100)).to_vec()
    }
}

impl Extension {
    /// PAX records: `LENGTH KEY=VALUE\n`, where LENGTH includes itself.
    fn take_records(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            let record = split_record(&mut records).ok_or_else(|| corrupt("invalid PAX header"))?;
            match record {
                (b"path" | b"GNU.sparse.name", value) => self.path = Some(value.to_vec()),
                (b"linkpath", value) => self.link = Some(value.to_vec()),
                (b"size", value) => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                    let size = size.filter(|size| *size < 1 << 62);
                    self.size = Some(size.ok_or_else(|| corrupt("invalid size in a PAX header"))?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn split_record<'r>(records: &mut &'r [u8]) -> Option<(&'r [u8], &'r [u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    *records = records.get(length..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?))
}

/// Reads a block, or what is left of the input. Returns its length.
fn read_block(input: &mut (impl BufRead + ?Sized), block: &mut [u8; BLOCK]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

/// Whether `block` is the end of an archive.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn read_extension(input: &mut (impl BufRead + ?Sized), size: u64) -> io::Result<Vec<u8>> {
    if size > MAX_EXTENSION {
        return Err(corrupt("a tar extension header is too long"));
    }
    let mut payload = Vec::new();
    let padded = size.div_ceil(BLOCK as u64) * BLOCK as u64;
    if input.take(padded).read_to_end(&mut payload)? as u64 != padded {
        return Err(truncated());
    }
    payload.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(payload)
}

/// The map of a sparse file in the old GNU format continues in further blocks while a flag is set.
fn read_sparse_map(
    input: &mut (impl BufRead + ?Sized),
    header: &[u8; BLOCK],
    headers: &mut Vec<u8>,
) -> io::Result<()> {
    let mut continues = header.get(482).is_some_and(|flag| *flag != 0);
    while continues {
        let mut block = [0; BLOCK];
        input.read_exact(&mut block)?;
        continues = block.get(504).is_some_and(|flag| *flag != 0);
        headers.extend_from_slice(&block);
        if headers.len() > MAX_EXTENSIONS {
            return Err(corrupt("the map of a sparse file is too long"));
        }
    }
    Ok(())
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tar_with(name: &str, pax: &[(&str, &[u8])], content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(pax.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap()
    }

    fn first(tar: &[u8]) -> Entry {
        match next_entry(&mut &tar[..]).unwrap() {
            Next::Entry(entry) => entry,
            Next::End(_) => panic!("no entry"),
        }
    }

    /// The paths of all entries, and the bytes after the end.
    fn all(mut tar: &[u8]) -> io::Result<(Vec<String>, Vec<u8>)> {
        let mut paths = Vec::new();
        loop {
            match next_entry(&mut tar)? {
                Next::Entry(entry) => {
                    paths.push(String::from_utf8(entry.path.clone()).unwrap());
                    tar = tar.get(usize::try_from(entry.padded()).unwrap()..).ok_or_else(truncated)?;
                }
                Next::End(rest) => return Ok((paths, [&rest, tar].concat())),
            }
        }
    }

    #[test]
    fn an_archive_ends_at_its_end_and_another_one_may_follow() {
        let (one, two) = (tar_with("one", &[], b"1"), tar_with("two", &[], b"2"));
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        assert_eq!(all(&[0; 1024]).unwrap(), (Vec::new(), Vec::new()));
        assert_eq!(all(&[&one[..], &two].concat()).unwrap(), (paths(&["one", "two"]), Vec::new()));
        // Without an end, as Go's archive/tar accepts it.
        assert_eq!(all(&one[..1024]).unwrap(), (paths(&["one"]), Vec::new()));
        for rest in [&b"rest"[..], &[7; 700]] {
            assert_eq!(all(&[&one[..], rest].concat()).unwrap(), (paths(&["one"]), rest.to_vec()));
            assert!(all(&[&one[..1024], rest].concat()).is_err(), "not after an end");
        }
    }

    #[test]
    fn sizes_that_are_no_lengths_are_refused() {
        let with_size = |field: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[124..136].copy_from_slice(field);
            header.set_cksum();
            let header = header.as_bytes().to_vec();
            next_entry(&mut &header[..]).map(|next| match next {
                Next::Entry(entry) => entry.size,
                Next::End(_) => panic!("no entry"),
            })
        };
        assert_eq!(with_size(b"00000000017\0").unwrap(), 15);
        assert_eq!(with_size(b"\x80\0\0\0\0\0\0\x02\0\0\0\0").unwrap(), 2 << 32);
        for field in [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80\0\0\0\x7f\0\0\0\0\0\0\0"] {
            assert!(with_size(field).is_err());
        }
        assert!(with_size(b"-0000000017\0").is_err() && with_size(b"0x000000017\0").is_err());
        for size in ["-1", "1e3", "9999999999999999999999", ""] {
            let tar = tar_with("a", &[("size", size.as_bytes())], b"");
            assert!(next_entry(&mut &tar[..]).is_err(), "{size}");
        }
    }

    #[test]
    fn names_of_any_length_are_read() {
        for length in [1, 99, 100, 101, 155, 200, 3000] {
            let name = vec!["d"; length].join("/");
            let tar = tar_with(&name, &[], b"x");
            let entry = first(&tar);
            assert_eq!((entry.path, entry.size), (name.into_bytes(), 1));
        }
    }

    #[test]
    fn pax_path_size_and_attributes_are_read() {
        let tar =
            tar_with("a", &[("SCHILY.xattr.user.k", b"value"), ("path", b"b"), ("size", b"9000000000")], b"");
        let entry = first(&tar);
        assert_eq!((entry.path.as_slice(), entry.size), (&b"b"[..], 9_000_000_000));
        assert!(entry.headers.windows(5).any(|window| window == b"value"));
    }

    #[test]
    fn an_endless_extension_header_is_refused_before_it_is_read() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'a'));
        assert!(next_entry(&mut io::BufReader::new(endless)).is_err());
    }

    proptest! {
        #[test]
        fn truncated_and_changed_archives_never_panic(at in 0usize..2600, byte: u8, end in 0usize..3000) {
            let mut tar = tar_with(&"d/".repeat(200), &[("SCHILY.xattr.user.k", b"value")], &[7; 600]);
            if let Some(changed) = tar.get_mut(at) { *changed = byte; }
            let mut input = tar.get(..end).unwrap_or(&tar);
            while let Ok(Next::Entry(_)) = next_entry(&mut input) {}
        }
    }
}
