//! The local header of a zip entry: APPNOTE.TXT, 4.3.7.

use crate::input::Input;
use crate::limits::MAX_NAME;

pub(crate) const MAGIC: [u8; 4] = *b"PK\x03\x04";
pub(crate) const HEADER: usize = 30;

/// An entry whose content follows.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) content: Content,
}

/// The content of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    /// Its length, or 0 if that follows the content.
    Stored(u64),
    /// The data says where it ends, so the sizes in the header do not matter, which are missing if the entry was written
    /// to a pipe, and are elsewhere in zip64.
    Deflated,
    Encrypted,
    /// By another method.
    Unsupported,
}

/// Reads the header at which `input` is. `None` if it is none: four bytes may be any bytes.
pub(crate) fn read_header(input: &mut dyn Input) -> Option<Entry> {
    let header = Header(input.peek(HEADER).first_chunk().copied()?);
    if !header.is_plausible() {
        return None;
    }
    let (name, extra) = (header.u16(26), header.u16(28));
    let length = HEADER + usize::from(name);
    let name = input.peek(length).get(HEADER..length)?;
    if name.contains(&0) {
        return None;
    }
    let name = String::from_utf8_lossy(name).into_owned();
    input.skip(length as u64 + u64::from(extra));
    Some(Entry { name, content: header.content() })
}

struct Header([u8; HEADER]);

impl Header {
    fn u16(&self, at: usize) -> u16 {
        let bytes = self.0.get(at..).and_then(|bytes| bytes.first_chunk());
        u16::from_le_bytes(bytes.copied().unwrap_or_default())
    }

    fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|bytes| bytes.first_chunk());
        u32::from_le_bytes(bytes.copied().unwrap_or_default())
    }

    fn is_plausible(&self) -> bool {
        // Bits that APPNOTE reserves. The low byte of the version needed is at most 6.3.
        const RESERVED: u16 = 0xc780;
        let method = self.u16(8);
        self.0.starts_with(&MAGIC)
            && self.u16(4) & 0xff <= 63
            && self.u16(6) & RESERVED == 0
            && (method <= 20 || (93..=99).contains(&method))
            && (1..=MAX_NAME).contains(&usize::from(self.u16(26)))
    }

    fn content(&self) -> Content {
        const ENCRYPTED: u16 = 1;
        const SIZES_FOLLOW: u16 = 8;
        let (flags, method, packed) = (self.u16(6), self.u16(8), self.u32(18));
        if packed == 0 && flags & SIZES_FOLLOW == 0 {
            return Content::Empty;
        }
        match method {
            _ if flags & ENCRYPTED != 0 => Content::Encrypted,
            0 => Content::Stored(packed.into()),
            8 => Content::Deflated,
            _ => Content::Unsupported,
        }
    }
}
