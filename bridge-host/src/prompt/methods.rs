//! Which ways to the person there are, and in which order they are tried.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// This program.
    Askpass(&'a Path),
    /// The terminal behind this device, if it can be opened.
    Terminal(&'a Path),
}

/// What the environment says about asking.
#[derive(Debug)]
pub(super) struct Ways {
    askpass: Option<PathBuf>,
    require: Require,
    /// Whether a program could open a window.
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

impl Ways {
    pub(super) fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let require = variable("SSH_ASKPASS_REQUIRE").map(|value| value.to_ascii_lowercase());
        Self {
            askpass: variable("SSH_ASKPASS").map(PathBuf::from),
            require: match require.as_deref().and_then(|value| value.to_str()) {
                Some("force") => Require::Force,
                Some("prefer") => Require::Prefer,
                Some("never") => Require::Never,
                Some(_) | None => Require::Unset, // ssh ignores other values, too
            },
            // Some systems name a program for everybody, those included who log in without a screen.
            display: cfg!(windows) || variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some(),
            terminal: super::terminal::DEVICE.into(),
        }
    }

    pub(super) fn for_passphrases(&self) -> impl Iterator<Item = Way<'_>> {
        self.ways(self.require == Require::Prefer && self.display)
    }

    pub(super) fn for_confirmations(&self) -> impl Iterator<Item = Way<'_>> {
        self.ways(self.display)
    }

    /// The last way is tried even if it is unlikely: a program may do without a display.
    fn ways(&self, askpass_first: bool) -> impl Iterator<Item = Way<'_>> {
        let askpass = self.askpass.as_deref().filter(|_| self.require != Require::Never).map(Way::Askpass);
        let terminal = Some(Way::Terminal(&self.terminal)).filter(|_| self.require != Require::Force);
        let both = if askpass_first { [askpass, terminal] } else { [terminal, askpass] };
        both.into_iter().flatten()
    }
}

#[cfg(test)]
impl Ways {
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

    fn ways(variables: &[(&str, &str)]) -> (String, String) {
        let ways = Ways::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        });
        let letters = |ways: &mut dyn Iterator<Item = Way<'_>>| {
            ways.map(|way| if matches!(way, Way::Askpass(_)) { 'a' } else { 't' }).collect()
        };
        (letters(&mut ways.for_passphrases()), letters(&mut ways.for_confirmations()))
    }

    #[test]
    fn the_order_is_as_the_variables_say() {
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
        ] {
            let expected = (passphrases.to_owned(), confirmations.to_owned());
            assert_eq!(ways(variables), expected, "{variables:?}");
        }
    }
}
