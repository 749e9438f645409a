//! Reads an ELF file, to tell whether it is static and stripped, and loads nothing of an image.

use std::fs;
use std::path::Path;

use crate::failure::{Result, While, failure};

/// Program header: the path of a dynamic loader. A static program, position independent or not, has none.
const PT_INTERP: u32 = 3;
/// Section header: a symbol table for debuggers.
const SHT_SYMTAB: u32 = 2;

/// Names the modules that glibc loads for look-ups of users and hosts, in static programs too. musl does not read it.
const NAME_SERVICES: &[u8] = b"/etc/nsswitch.conf";

/// Fails unless `file` is a 64-bit little-endian ELF program without loader, symbol table, and glibc's look-ups.
pub(crate) fn require_self_contained(file: &Path) -> Result<()> {
    let bytes = fs::read(file).while_doing(format_args!("read {}", file.display()))?;
    if bytes.windows(NAME_SERVICES.len()).any(|window| window == NAME_SERVICES) {
        return Err(failure!(
            "{} loads modules of the name service: its C library is not musl",
            file.display()
        ));
    }
    match parse(&bytes) {
        None => Err(failure!("{} is not a 64-bit little-endian ELF file", file.display())),
        Some(Headers { interpreter: true, .. }) => Err(failure!("{} is not static", file.display())),
        Some(Headers { symbols: true, .. }) => Err(failure!("{} is not stripped", file.display())),
        Some(Headers { interpreter: false, symbols: false }) => Ok(()),
    }
}

struct Headers {
    interpreter: bool,
    symbols: bool,
}

/// Offsets are those of the ELF-64 file header, program header and section header.
fn parse(bytes: &[u8]) -> Option<Headers> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let mut found = Headers { interpreter: false, symbols: false };
    let (programs, size, count) = (number(bytes, 32, 8)?, number(bytes, 54, 2)?, number(bytes, 56, 2)?);
    for index in 0..count {
        found.interpreter |= number(bytes, programs + index * size, 4)? == u64::from(PT_INTERP);
    }
    let (sections, size, count) = (number(bytes, 40, 8)?, number(bytes, 58, 2)?, number(bytes, 60, 2)?);
    for index in 0..count {
        found.symbols |= number(bytes, sections + index * size + 4, 4)? == u64::from(SHT_SYMTAB);
    }
    Some(found)
}

fn number(bytes: &[u8], at: u64, width: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let field = bytes.get(at..at.checked_add(width)?)?;
    Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_has_a_loader_and_symbols() {
        let this = std::env::current_exe().unwrap();
        let found = parse(&fs::read(this).unwrap()).unwrap();
        assert!(found.interpreter && found.symbols);
    }

    #[test]
    fn truncated_and_other_files_are_rejected() {
        assert!(parse(b"#!/bin/sh\n").is_none());
        assert!(parse(b"\x7fELF\x02\x01\x01\x00").is_none());
    }
}
