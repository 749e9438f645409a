//! Every length and count that a peer can influence.

/// Most bytes of a head, with its empty line.
pub const MAX_HEAD: usize = 64 << 10;

/// Most header fields of a message.
pub const MAX_HEADERS: usize = 256;

/// Most bytes of the line before a chunk (its size and extensions), and of all trailers together.
pub(crate) const MAX_LINE_OF_CHUNK: usize = 4 << 10;

/// Most digits of a chunk's size. A size of 15 hexadecimal digits is an exabyte and cannot overflow.
pub(crate) const MAX_SIZE_DIGITS: usize = 15;

/// Most digits of a Content-Length: 18 cannot overflow.
pub(crate) const MAX_LENGTH_DIGITS: usize = 18;
