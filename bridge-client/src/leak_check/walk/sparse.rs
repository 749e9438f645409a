//! Files of Linux with holes.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// The bytes of a file that are on disk, without the zeros between them: `/var/log/lastlog` may say that it has
/// gigabytes.
pub(super) struct WithoutHoles {
    file: File,
    at: u64,
    /// Where the next hole begins.
    until: u64,
}

impl WithoutHoles {
    pub(super) fn of(file: File) -> Self {
        Self { file, at: 0, until: 0 }
    }
}

impl Read for WithoutHoles {
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
    fn a_file_with_holes_is_read_without_them() {
        let file = tempfile::tempfile().unwrap();
        file.write_at(b"begin", 0).unwrap();
        file.write_at(b"middle", 1 << 30).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut read = Vec::new();
        WithoutHoles::of(file).read_to_end(&mut read).unwrap();
        read.retain(|byte| *byte != 0);
        assert_eq!(read, b"beginmiddle");
    }
}
