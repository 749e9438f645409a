//! A terminal with a person at it, for tests.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

pub(super) struct Pty {
    person: File,
    /// Keeps the terminal open while no question is asked.
    program: File,
    pub(super) device: PathBuf,
}

impl Pty {
    pub(super) fn open() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_bytes();
        let device = PathBuf::from(std::ffi::OsString::from_vec(name));
        let noctty = rustix::fs::OFlags::NOCTTY.bits() as i32;
        let program = OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&device).unwrap();
        Self { person: person.into(), program, device }
    }

    pub(super) fn types(&mut self, keys: &[u8]) {
        self.person.write_all(keys).unwrap();
    }

    /// Types, and waits for the echo: before it comes, the keys are still on their way to the terminal.
    pub(super) fn types_and_sees(&mut self, keys: &str) {
        if !keys.is_empty() {
            self.types(keys.as_bytes());
            self.shown_until(keys);
        }
    }

    /// Waits until one of the texts `ends`, separated by `|`, is shown, and returns everything up to there.
    pub(super) fn shown_until(&mut self, ends: &str) -> String {
        let mut shown = Vec::new();
        loop {
            let mut byte = [0];
            self.person.read_exact(&mut byte).unwrap();
            shown.extend_from_slice(&byte);
            let text = String::from_utf8_lossy(&shown);
            if ends.split('|').any(|end| text.replace("\r\n", "\n").ends_with(end)) {
                return text.into_owned();
            }
        }
    }

    /// A line as the next program reads it.
    pub(super) fn read_line(&self) -> String {
        let mut line = String::new();
        BufReader::new(&self.program).read_line(&mut line).unwrap();
        line
    }
}
