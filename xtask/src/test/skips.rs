//! Skipped tests: tests write their own skips to a file (tests/support/require.rs), and cargo prints ignored tests.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::checkout::Checkout;
use crate::failure::{Result, While};

/// A test that did not run, and why.
#[derive(Debug, PartialEq)]
pub(super) struct Skip {
    pub(super) test: String,
    /// The name of the missing need, as in `--allow-skip`.
    pub(super) need: String,
    pub(super) reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.test, self.need, self.reason)
    }
}

impl Skip {
    /// From cargo's line `test NAME ... ignored, NEED: REASON`.
    pub(super) fn of_ignored(line: &str) -> Option<Self> {
        let (test, reason) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
        let reason = reason.trim_start_matches(", ");
        let (need, reason) = reason.split_once(": ").unwrap_or((reason, ""));
        Some(Self { test: test.to_owned(), need: need.to_owned(), reason: reason.to_owned() })
    }

    fn of_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Self { test: fields.next()?, need: fields.next()?, reason: fields.next()? })
    }
}

/// The needs whose absence may skip tests.
#[derive(Clone)]
pub(super) struct AllowedSkips {
    /// `None` allows all.
    names: Option<Vec<String>>,
}

impl AllowedSkips {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names: Some(names).filter(|names| !names.is_empty()) }
    }

    pub(super) fn contains(&self, need: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|name| name == need))
    }
}

/// The file to which the tests of one `cargo test` append their skips.
pub(super) struct SkipFile(PathBuf);

impl SkipFile {
    pub(super) fn new(checkout: &Checkout) -> Result<Self> {
        let path = checkout.cache_dir("test")?.join("skips");
        // An earlier run may have left one.
        let _ = fs::remove_file(&path);
        Ok(Self(path))
    }

    pub(super) fn vars(&self, allowed: &AllowedSkips) -> Vec<(&'static str, OsString)> {
        let mut vars = vec![("SECRETS_BRIDGE_TEST_SKIPS", self.0.clone().into_os_string())];
        if let Some(names) = &allowed.names {
            vars.push(("SECRETS_BRIDGE_TEST_ALLOWED_SKIPS", names.join(",").into()));
        }
        vars
    }

    pub(super) fn read(self) -> Result<Vec<Skip>> {
        if !self.0.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&self.0).while_doing(format_args!("read {}", self.0.display()))?;
        let mut skips: Vec<Skip> = text.lines().filter_map(Skip::of_line).collect();
        skips.sort_by(|one, other| one.test.cmp(&other.test));
        Ok(skips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(test: &str, need: &str, reason: &str) -> Skip {
        Skip { test: test.into(), need: need.into(), reason: reason.into() }
    }

    #[test]
    fn an_ignored_test_names_its_need() {
        let line = "test agent::keys::a_key ... ignored, sk-token: needs a token";
        assert_eq!(Skip::of_ignored(line), Some(skip("agent::keys::a_key", "sk-token", "needs a token")));
        assert_eq!(Skip::of_ignored("test a ... ignored"), Some(skip("a", "", "")));
        assert_eq!(Skip::of_ignored("test a ... ok"), None);
    }

    #[test]
    fn a_line_of_the_file_has_a_test_a_need_and_a_reason() {
        assert_eq!(
            Skip::of_line("a::b\tsshd\tthere is no sshd"),
            Some(skip("a::b", "sshd", "there is no sshd"))
        );
        assert_eq!(Skip::of_line("half a line"), None);
    }

    #[test]
    fn all_skips_are_allowed_unless_needs_are_named() {
        assert!(AllowedSkips::new(vec![]).contains("sshd"));
        let allowed = AllowedSkips::new(vec!["sk-token".to_owned()]);
        assert!(allowed.contains("sk-token") && !allowed.contains("sshd"));
    }
}
