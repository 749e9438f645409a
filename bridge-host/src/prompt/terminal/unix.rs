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

use super::code::Code;
use super::{MAX_PASSPHRASE, PromptError};

/// Always this process's own terminal.
pub(super) const DEVICE: &str = "/dev/tty";
/// How often an open question looks for an answer: no person notices, and it costs nothing while nothing is asked.
const TICK: Duration = Duration::from_millis(50);
/// Longest line that is kept of an answer; the code is shorter.
const MAX_ANSWER: usize = 64;

/// A terminal that can be asked at: this process is in its foreground.
pub(super) struct Terminal(File);

impl Terminal {
    /// For a question that is waited for.
    pub(super) fn open(device: &Path) -> Option<Self> {
        Self::open_with(device, OFlags::empty())
    }

    /// For a question while everything else goes on.
    pub(super) fn open_for_answers(device: &Path) -> Option<Self> {
        // Opened anew, so that NONBLOCK is this file's alone and no shell finds its terminal changed.
        Self::open_with(device, OFlags::NONBLOCK)
    }

    fn open_with(device: &Path, flags: OFlags) -> Option<Self> {
        let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let terminal = Self(rustix::fs::open(device, flags, Mode::empty()).ok()?.into());
        (rustix::termios::isatty(&terminal.0) && terminal.is_ours()).then_some(terminal)
    }

    /// Whether this process may read. The system stops one that reads in the background, and the bridge with it.
    fn is_ours(&self) -> bool {
        // An error says that it is not the terminal which this process belongs to; such a one cannot stop it.
        tcgetpgrp(&self.0).map_or(true, |foreground| foreground == getpgrp())
    }

    /// Reads a line that is not shown.
    pub(super) fn passphrase(mut self, question: &str) -> Result<Secret, PromptError> {
        let hidden = Hidden::begin(self.0.try_clone()?)?;
        self.0.write_all(question.as_bytes())?;
        let line = self.read_hidden_line();
        drop(hidden);
        // The person's Enter was not shown either.
        self.0.write_all(b"\n")?;
        line
    }

    /// Does what the terminal itself does in its usual mode, which waits for a signal with Ctrl-C, though, and a
    /// process that ends by one leaves the terminal without echo.
    fn read_hidden_line(&mut self) -> Result<Secret, PromptError> {
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

    /// Shows `question` and reads one line; `true` if it is `code`. The terminal stays in the mode in which it is:
    /// it may be shared with a build's command.
    pub(super) async fn confirm(self, question: &str, code: &Code) -> Result<bool, PromptError> {
        // What was typed before the question was there is no answer to it.
        tcflush(&self.0, QueueSelector::IFlush).map_err(io::Error::from)?;
        let mut question_open = Question { terminal: self, answered: false };
        question_open.terminal.write(question.as_bytes()).await?;
        let line = question_open.terminal.read_line().await?;
        question_open.answered = true;
        let yes = code.is(&line);
        let verdict: &[u8] = if yes { b"allowed, once\n" } else { b"refused\n" };
        // The verdict stands, shown or not.
        let _ = question_open.terminal.write(verdict).await;
        Ok(yes)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), PromptError> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                // Output is stopped, by Ctrl-S perhaps.
                Err(error) if is_not_now(&error) => tokio::time::sleep(TICK).await,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A line, without its end. Looks now and then instead of being woken: kqueue does not take /dev/tty, a thread
    /// would swallow what is typed after the question was withdrawn, and before each look there is a new chance to
    /// see that the process was put into the background.
    async fn read_line(&mut self) -> Result<Vec<u8>, PromptError> {
        let mut line = Vec::new();
        let mut buffer = [0; MAX_ANSWER];
        loop {
            if !self.is_ours() {
                return Err(PromptError::NoWayToAsk);
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
                Err(error) if is_not_now(&error) => tokio::time::sleep(TICK).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A question on the screen. Dropped unanswered, because it was withdrawn or stood too long, it says so.
struct Question {
    terminal: Terminal,
    answered: bool,
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.answered && self.terminal.is_ours() {
            // Half a code would become the start of the next command. Neither of the two is worth an error.
            let _ = tcflush(&self.terminal.0, QueueSelector::IFlush);
            let _ = self.terminal.0.write(b"\nno answer: refused\n");
        }
    }
}

/// No echo, no lines, no signals from keys, until it is dropped.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn begin(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes &= !(LocalModes::ECHO
            | LocalModes::ECHONL
            | LocalModes::ICANON
            | LocalModes::ISIG
            | LocalModes::IEXTEN);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Flush: what was typed before was shown, so it is no passphrase.
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// What keys send that end or edit a line.
mod key {
    pub(super) const CTRL_C: u8 = 0x03;
    pub(super) const CTRL_D: u8 = 0x04;
    pub(super) const BACKSPACE: u8 = 0x08;
    pub(super) const CTRL_U: u8 = 0x15;
    pub(super) const CTRL_BACKSLASH: u8 = 0x1c;
    pub(super) const DELETE: u8 = 0x7f;
}

/// The last byte, and in UTF-8 the whole character that it ends.
fn remove_last_character(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::pty::Pty;

    /// What is read while `keys` are typed once the question is shown.
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
    fn keys_that_would_end_the_process_cancel_and_restore_the_terminal() {
        for keys in [&b"half\x03"[..], b"\x04", b"half\x1c"] {
            assert_eq!(typed(keys), Err("Cancelled".to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn what_is_no_terminal_is_not_asked_at() {
        assert!(Terminal::open(Path::new("/dev/null")).is_none());
        assert!(Terminal::open(Path::new("/nonexistent")).is_none());
    }
}
