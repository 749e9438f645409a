//! The terminal that this process belongs to, whatever stdin and stdout are.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use proto::Secret;
use rustix::fs::{Mode, OFlags};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::code::Codes;
use super::{MAX_PASSPHRASE, PromptError};

/// Always this process's own terminal.
pub(super) const DEVICE: &str = "/dev/tty";
/// An open question checks for an answer in this interval: too short for a person to notice.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest answer that is read, in bytes; the code is shorter.
const MAX_ANSWER: usize = 64;

/// A terminal in whose foreground this process is.
pub(super) struct Terminal(File);

impl Terminal {
    /// For a question that blocks.
    pub(super) fn open(device: &Path) -> Option<Self> {
        Self::open_with(device, OFlags::empty())
    }

    /// For a question while the bridge serves.
    pub(super) fn open_for_answers(device: &Path) -> Option<Self> {
        // A new open file description, so that NONBLOCK does not change the terminal of the shell.
        Self::open_with(device, OFlags::NONBLOCK)
    }

    fn open_with(device: &Path, flags: OFlags) -> Option<Self> {
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let terminal = Self(rustix::fs::open(device, flags, Mode::empty()).ok()?.into());
        (rustix::termios::isatty(&terminal.0) && terminal.is_in_foreground()).then_some(terminal)
    }

    /// Whether this process may read. The system stops a process that reads in the background.
    fn is_in_foreground(&self) -> bool {
        // An error means that it is not the controlling terminal, and only that one stops processes.
        tcgetpgrp(&self.0).map_or(true, |foreground| foreground == getpgrp())
    }

    /// Reads a line without echo.
    pub(super) fn passphrase(mut self, question: &str) -> Result<Secret, PromptError> {
        let raw = RawMode::enter(self.0.try_clone()?)?;
        self.0.write_all(question.as_bytes())?;
        let line = self.read_raw_line();
        drop(raw);
        // The person's Enter was not echoed either.
        self.0.write_all(b"\n")?;
        line
    }

    /// Edits the line as the terminal does in canonical mode. That mode would turn Ctrl-C into a signal, and a process that
    /// is ended by a signal leaves the terminal without echo.
    fn read_raw_line(&mut self) -> Result<Secret, PromptError> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE));
        let mut byte = Zeroizing::new([0_u8]);
        loop {
            match self.0.read(byte.as_mut()) {
                Ok(0) => return Err(PromptError::Cancelled),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            let [byte] = *byte;
            match byte {
                b'\r' | b'\n' => return Ok(Secret::new(std::mem::take(&mut line))),
                key::CTRL_C | key::CTRL_BACKSLASH => return Err(PromptError::Cancelled),
                key::CTRL_D if line.is_empty() => return Err(PromptError::Cancelled),
                key::BACKSPACE | key::DELETE => remove_last_character(&mut line),
                key::CTRL_U => line.clear(),
                _ if line.len() == MAX_PASSPHRASE => return Err(PromptError::TooLong),
                _ => line.push(byte),
            }
        }
    }

    /// Shows `question` and reads one line, which is one of `codes` or a no. The terminal's mode is not changed: COMMAND may use the
    /// same terminal.
    pub(super) async fn confirm(self, question: &str, codes: &Codes) -> Result<Answer, PromptError> {
        // Text typed before the question is not an answer to it.
        tcflush(&self.0, QueueSelector::IFlush).map_err(io::Error::from)?;
        let mut open = OpenQuestion { terminal: self, answered: false };
        open.terminal.write(question.as_bytes()).await?;
        let line = open.terminal.read_line().await?;
        open.answered = true;
        let answer = codes.answer(&line);
        let verdict: &[u8] = match answer {
            Answer::Once => b"allowed, once\n",
            Answer::UntilEnd => b"allowed\n",
            Answer::No => b"refused\n",
        };
        // The answer counts even if this cannot be shown.
        let _ = open.terminal.write(verdict).await;
        Ok(answer)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), PromptError> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                // Output is stopped, by Ctrl-S perhaps.
                Err(error) if is_temporary(&error) => tokio::time::sleep(POLL_INTERVAL).await,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A line, without its end. Polls instead of being woken: kqueue does not support /dev/tty, a thread would swallow what
    /// is typed after the question was withdrawn, and each round can detect that the process was put into the background.
    async fn read_line(&mut self) -> Result<Vec<u8>, PromptError> {
        let mut line = Vec::new();
        let mut buffer = [0; MAX_ANSWER];
        loop {
            if !self.is_in_foreground() {
                return Err(PromptError::NoMethod);
            }
            match self.0.read(&mut buffer) {
                Ok(0) => return Err(PromptError::Cancelled),
                Ok(count) => {
                    for byte in buffer.iter().take(count) {
                        match byte {
                            b'\r' | b'\n' => return Ok(line),
                            _ if line.len() == MAX_ANSWER => return Err(PromptError::TooLong),
                            _ => line.push(*byte),
                        }
                    }
                }
                Err(error) if is_temporary(&error) => tokio::time::sleep(POLL_INTERVAL).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A question that is shown. If it is dropped unanswered, withdrawn or timed out, the terminal says so.
struct OpenQuestion {
    terminal: Terminal,
    answered: bool,
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        if !self.answered && self.terminal.is_in_foreground() {
            // A part of a code would become the beginning of the next command. Errors here do not matter.
            let _ = tcflush(&self.terminal.0, QueueSelector::IFlush);
            let _ = self.terminal.0.write(b"\nno answer: refused\n");
        }
    }
}

/// Turns off echo, line editing and signals from keys, until it is dropped.
struct RawMode {
    terminal: File,
    before: Termios,
}

impl RawMode {
    fn enter(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.local_modes &= !(LocalModes::ECHO
            | LocalModes::ECHONL
            | LocalModes::ICANON
            | LocalModes::ISIG
            | LocalModes::IEXTEN);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Flush: text typed before was echoed, so it is not a passphrase.
        tcsetattr(&terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // An error means that the terminal is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// The bytes of keys that end or edit a line.
mod key {
    pub(super) const CTRL_C: u8 = 0x03;
    pub(super) const CTRL_D: u8 = 0x04;
    pub(super) const BACKSPACE: u8 = 0x08;
    pub(super) const CTRL_U: u8 = 0x15;
    pub(super) const CTRL_BACKSLASH: u8 = 0x1c;
    pub(super) const DELETE: u8 = 0x7f;
}

/// Removes the last character, of one or more bytes in UTF-8.
fn remove_last_character(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::pty::Pty;

    /// What is read when `keys` are typed after the question is shown.
    fn typed(keys: &[u8]) -> Result<Vec<u8>, String> {
        let mut pty = Pty::open();
        let terminal = Terminal::open(&pty.device).unwrap();
        let before = tcgetattr(&terminal.0).unwrap().local_modes;
        let (device, keys) = (pty.device.clone(), keys.to_vec());
        pty.types_and_sees("typed before\n");
        let person = std::thread::spawn(move || {
            pty.shown_until("Passphrase: ");
            pty.types(&keys);
            pty
        });
        let read = terminal.passphrase("Passphrase: ");
        let mut pty = person.join().unwrap();
        let shown = pty.shown_until("\n");
        assert_eq!(shown.trim(), "", "nothing of it is shown");
        assert_eq!(tcgetattr(Terminal::open(&device).unwrap().0).unwrap().local_modes, before);
        read.map(|passphrase| passphrase.expose().to_vec()).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_passphrase_is_read_without_echo_and_can_be_edited() {
        for (keys, read) in [
            (&b"hunter2\r"[..], "hunter2"),
            (b"huntex\x7fr\n", "hunter"),
            ("cl\u{e9}\u{e9}\x7f\n".as_bytes(), "cl\u{e9}"),
            (b"\x7f\x7fwrong\x15right\n", "right"),
            (b"\n", ""),
        ] {
            assert_eq!(typed(keys), Ok(read.into()), "{keys:?}");
        }
    }

    #[test]
    fn keys_for_signals_cancel_and_restore_the_terminal() {
        for keys in [&b"half\x03"[..], b"\x04", b"half\x1c"] {
            assert_eq!(typed(keys), Err("Cancelled".to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn only_a_terminal_is_opened() {
        assert!(Terminal::open(Path::new("/dev/null")).is_none());
        assert!(Terminal::open(Path::new("/nonexistent")).is_none());
    }
}
