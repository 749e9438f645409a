//! Where the lines of the audit go, each with a single call of `write` if the system takes it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use super::AuditTarget;
use crate::private_file;

#[cfg_attr(unix, path = "stderr/unix.rs")]
#[cfg_attr(windows, path = "stderr/windows.rs")]
mod platform;

use platform::Stderr;

pub(super) enum Sink {
    None,
    Stream(Stream),
    /// Appended to, so that a file that `logrotate` truncates in place goes on at its new end.
    File(File),
}

/// A stream, and whether the last line in it is cut.
pub(super) struct Stream {
    to: To,
    cut: bool,
}

enum To {
    Stderr(Stderr),
    Fifo(File),
}

impl Sink {
    /// # Errors
    /// The system's, if the target cannot be opened.
    pub(super) fn open(target: &AuditTarget) -> io::Result<Self> {
        let stream = |to| Self::Stream(Stream { to, cut: false });
        Ok(match target {
            AuditTarget::None => Self::None,
            AuditTarget::Stderr => stream(To::Stderr(Stderr::default())),
            AuditTarget::File(path) => Self::File(private_file::append(path)?),
            AuditTarget::Fifo(path) => stream(To::Fifo(private_file::open_fifo(path)?)),
        })
    }

    /// Writes `line`, which ends with a newline. After a line that was cut, it begins on a new one.
    ///
    /// # Errors
    /// The system's. A part of the line may have been written then.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Stream(Stream { to: To::Stderr(stderr), cut }) => write_line(stderr, line, cut),
            Self::Stream(Stream { to: To::Fifo(fifo), cut }) => write_line(fifo, line, cut),
            Self::File(file) => {
                // Looked up each time: another bridge may write to the same file, and an earlier one may have.
                let mut cut = !is_at_line_start(file).unwrap_or(false);
                write_line(file, line, &mut cut)
            }
        }
    }
}

fn is_at_line_start(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing is read if the file was truncated between the calls.
    Ok(file.read(&mut last)? == 0 || last == *b"\n")
}

/// Writes `line`, on a line of its own if the last one is `cut`; notes in `cut` whether this one is.
fn write_line(to: &mut impl Write, line: &[u8], cut: &mut bool) -> io::Result<()> {
    let with_newline;
    let bytes = if *cut {
        with_newline = [b"\n", line].concat();
        &with_newline
    } else {
        line
    };
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                written += length;
                *cut = bytes.get(..written).is_none_or(|written| !written.ends_with(b"\n"));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Writes as many bytes as each step allows, or fails.
    struct Steps(VecDeque<Result<usize, io::ErrorKind>>, Vec<u8>);

    impl Write for Steps {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = self.0.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.1.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_and_interrupted_writes_make_whole_lines() {
        let steps = [Ok(1), Err(io::ErrorKind::Interrupted), Ok(3), Err(io::ErrorKind::Interrupted), Ok(2)];
        let (mut to, mut cut) = (Steps(steps.into(), Vec::new()), false);
        write_line(&mut to, b"{\"a\":1}\n", &mut cut).unwrap();
        write_line(&mut to, b"{\"b\":2}\n", &mut cut).unwrap();
        assert_eq!(to.1, b"{\"a\":1}\n{\"b\":2}\n");
    }

    #[test]
    fn a_line_after_one_that_was_cut_begins_on_a_new_line() {
        let full = Err(io::ErrorKind::StorageFull);
        for (steps, text) in [
            (vec![full, full], "{\"c\":3}\n"),
            (vec![Ok(3), full, full], "{\"a\n{\"c\":3}\n"),
            // The newline fits, the line does not.
            (vec![Ok(3), full, Ok(1), full], "{\"a\n{\"c\":3}\n"),
            (vec![Ok(3), full, Ok(2), full], "{\"a\n{\n{\"c\":3}\n"),
            (vec![Ok(3), Ok(0), full], "{\"a\n{\"c\":3}\n"),
            // All but the newline.
            (vec![Ok(7), full, full], "{\"a\":1}\n{\"c\":3}\n"),
        ] {
            let (mut to, mut cut) = (Steps(steps.into(), Vec::new()), false);
            write_line(&mut to, b"{\"a\":1}\n", &mut cut).unwrap_err();
            write_line(&mut to, b"{\"b\":2}\n", &mut cut).unwrap_err();
            write_line(&mut to, b"{\"c\":3}\n", &mut cut).unwrap();
            assert_eq!(String::from_utf8_lossy(&to.1), text);
            assert!(!cut);
        }
    }

    #[test]
    fn a_file_that_others_cut_or_truncate_keeps_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        std::fs::write(&path, "{\"a\":1}\n{\"cut").unwrap();
        let mut sink = Sink::open(&AuditTarget::File(path.clone())).unwrap();
        sink.write(b"{\"b\":2}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"cut\n{\"b\":2}\n");
        // As `logrotate` does with copytruncate.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        sink.write(b"{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"c\":3}\n");
    }
}
