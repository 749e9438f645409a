//! Sparse files on Linux.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Reads the data of a sparse file without its holes. `/var/log/lastlog`, for one, can have a length of gigabytes.
pub(super) struct SparseReader {
    file: File,
    at: u64,
    /// Where the next hole begins.
    until: u64,
}

impl SparseReader {
    pub(super) fn of(file: File) -> Self {
        Self { file, at: 0, until: 0 }
    }
}

impl Read for SparseReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.until {
            match rustix::fs::seek(&self.file, SeekFrom::Data(self.at)) {
                Ok(at) => self.at = at,
                Err(Errno::NXIO) => return Ok(0), // nothing but a hole follows
                Err(error) => return Err(error.into()),
            }
            self.until = rustix::fs::seek(&self.file, SeekFrom::Hole(self.at))?;
            self.file.seek(io::SeekFrom::Start(self.at))?;
        }
        let wanted = usize::try_from(self.until - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn holes_are_skipped() {
        let file = tempfile::tempfile().unwrap();
        file.write_at(b"begin", 0).unwrap();
        file.write_at(b"middle", 1 << 30).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut read = Vec::new();
        SparseReader::of(file).read_to_end(&mut read).unwrap();
        read.retain(|byte| *byte != 0);
        assert_eq!(read, b"beginmiddle");
    }
}
