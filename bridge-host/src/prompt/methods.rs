//! By which methods a person can be asked, and in which order they are tried.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use proto::escape;

use crate::program::find_program;

/// A method to ask a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method<'a> {
    /// By this program.
    Askpass(&'a Path),
    /// At the terminal of this device, if it can be opened.
    Terminal(&'a Path),
}

/// The methods that the environment allows.
#[derive(Debug)]
pub(super) struct Methods {
    askpass: Option<PathBuf>,
    require: Require,
    /// Whether the program can open a window.
    display: bool,
    terminal: PathBuf,
}

/// `SSH_ASKPASS_REQUIRE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Require {
    Unset,
    Force,
    Prefer,
    Never,
}

impl Methods {
    pub(super) fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let require = variable("SSH_ASKPASS_REQUIRE").map(|value| value.to_ascii_lowercase());
        Self {
            askpass: variable("SSH_ASKPASS").and_then(|program| locate(&program)),
            require: match require.as_deref().and_then(|value| value.to_str()) {
                Some("force") => Require::Force,
                Some("prefer") => Require::Prefer,
                Some("never") => Require::Never,
                Some(_) | None => Require::Unset, // ssh ignores other values too
            },
            // Some systems set SSH_ASKPASS for all users, even for logins without a display.
            display: cfg!(windows) || variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some(),
            terminal: super::terminal::DEVICE.into(),
        }
    }

    pub(super) fn for_passphrases(&self) -> impl Iterator<Item = Method<'_>> {
        self.in_order(self.require == Require::Prefer && self.display)
    }

    pub(super) fn for_confirmations(&self) -> impl Iterator<Item = Method<'_>> {
        self.in_order(self.display)
    }

    /// The program is a method even without a display: it may not need one.
    fn in_order(&self, askpass_first: bool) -> impl Iterator<Item = Method<'_>> {
        let askpass = self.askpass.as_deref().filter(|_| self.require != Require::Never).map(Method::Askpass);
        let terminal = Some(Method::Terminal(&self.terminal)).filter(|_| self.require != Require::Force);
        let both = if askpass_first { [askpass, terminal] } else { [terminal, askpass] };
        both.into_iter().flatten()
    }
}

/// The program of `SSH_ASKPASS`: an absolute path, or a name in `PATH`. A relative path would lead into the working directory,
/// which may be a clone of someone else's repository.
fn locate(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).is_absolute() {
        return Some(PathBuf::from(program));
    }
    let found = find_program(program);
    if found.is_none() {
        tracing::warn!(
            "SSH_ASKPASS is ignored: {} is neither an absolute path nor a program in PATH",
            escape(&program.to_string_lossy())
        );
    }
    found
}

#[cfg(test)]
impl Methods {
    pub(super) fn only_askpass(program: PathBuf) -> Self {
        Self { askpass: Some(program), require: Require::Force, display: true, terminal: PathBuf::new() }
    }

    pub(super) fn only_terminal(device: PathBuf) -> Self {
        Self { askpass: None, require: Require::Unset, display: false, terminal: device }
    }

    pub(super) fn none() -> Self {
        Self::only_terminal("/nonexistent/terminal".into())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn methods(variables: &[(&str, &str)]) -> (String, String) {
        let methods = Methods::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        });
        let letters = |methods: &mut dyn Iterator<Item = Method<'_>>| {
            methods.map(|method| if matches!(method, Method::Askpass(_)) { 'a' } else { 't' }).collect()
        };
        (letters(&mut methods.for_passphrases()), letters(&mut methods.for_confirmations()))
    }

    #[test]
    fn the_variables_determine_methods_and_order() {
        const ASKPASS: (&str, &str) = ("SSH_ASKPASS", "/usr/bin/ask");
        const DISPLAY: (&str, &str) = ("WAYLAND_DISPLAY", "wayland-0");
        let require = |value| ("SSH_ASKPASS_REQUIRE", value);
        for (variables, passphrases, confirmations) in [
            (&[][..], "t", "t"),
            (&[DISPLAY], "t", "t"),
            (&[ASKPASS], "ta", "ta"),
            (&[ASKPASS, DISPLAY], "ta", "at"),
            (&[ASKPASS, require("prefer")], "ta", "ta"),
            (&[ASKPASS, DISPLAY, require("Prefer")], "at", "at"),
            (&[ASKPASS, require("force")], "a", "a"),
            (&[ASKPASS, DISPLAY, require("never")], "t", "t"),
            (&[require("force")], "", ""),
            // Relative to the working directory, as sh is to /bin.
            (&[("SSH_ASKPASS", "./sh"), DISPLAY], "t", "t"),
            (&[("SSH_ASKPASS", "bin/sh"), DISPLAY], "t", "t"),
            (&[("SSH_ASKPASS", "sh"), DISPLAY], "ta", "at"),
        ] {
            let expected = (passphrases.to_owned(), confirmations.to_owned());
            assert_eq!(methods(variables), expected, "{variables:?}");
        }
    }
}
