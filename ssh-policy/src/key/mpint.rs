//! SSH's `mpint` (RFC 4251, section 5): positive numbers in their one shortest form.

use proto::agent::{Malformed, Reader, Writer};

/// The number's bytes, without a leading zero.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    match reader.string()? {
        [] => Err(Malformed),
        // The first bit is the sign, so a zero byte precedes exactly those numbers whose first bit is set.
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
        [0 | 0x80.., ..] => Err(Malformed),
        bytes => Ok(bytes),
    }
}

/// Writes what [`read`] read.
pub(crate) fn write(writer: &mut Writer, bytes: &[u8]) {
    if bytes.first().is_some_and(|first| *first >= 0x80) {
        writer.u32(bytes.len() as u32 + 1).u8(0).bytes(bytes); // no overflow: a key has at most 256 KiB
    } else {
        writer.string(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_encoding() {
        for (encoded, number) in [(&[1][..], &[1][..]), (&[0x7f, 0], &[0x7f, 0]), (&[0, 0x80], &[0x80])] {
            let mut string = Writer::inner();
            string.string(encoded);
            let string = string.finish();
            assert_eq!(read(&mut Reader::new(&string)), Ok(number));
            let mut again = Writer::inner();
            write(&mut again, number);
            assert_eq!(again.finish(), string);
        }
        for wrong in [&[][..], &[0], &[0, 1], &[0, 0, 0x80], &[0x80]] {
            let mut string = Writer::inner();
            string.string(wrong);
            assert_eq!(read(&mut Reader::new(&string.finish())), Err(Malformed));
        }
    }
}
