//! Where the next file of a tar archive begins. Its bytes are not packed, but files in it may be.

const BLOCK: u64 = 512;
pub(crate) const HEADER: usize = 512;

/// Number of bytes from the start of the header in `block` to the next header. `None` if it is no header: POSIX and GNU
/// write `ustar` into it.
pub(crate) fn next_header(block: &[u8]) -> Option<u64> {
    if block.get(257..262)? != b"ustar" {
        return None;
    }
    let kind = block.get(156)?;
    // Links, devices and directories have no content, whatever their size says.
    let size = if (b'1'..=b'6').contains(kind) { 0 } else { size(block.get(124..136)?)? };
    Some(BLOCK + size.div_ceil(BLOCK) * BLOCK)
}

fn size(field: &[u8]) -> Option<u64> {
    // Octal digits, or base 256 after a byte of 0x80: beyond 8 GiB.
    if let Some([0x80, digits @ ..]) = field.first_chunk::<12>() {
        let low = digits.last_chunk::<8>()?;
        return Some(u64::from_be_bytes(*low)).filter(|size| *size < 1 << 62);
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}
