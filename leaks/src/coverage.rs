//! Secrets that cannot be masked or searched for, for messages.

use proto::Secret;

use crate::{Finder, Mask};

/// A longer secret is not short, and too seldom common to be worth the time that it takes to find its values.
const MAX_CHECKED: usize = 4 << 10;

/// What cannot be done for `secret` of what is wanted, to follow its key in a message; `None` if all can, or if the
/// secret is empty. `masked`: its occurrences in output are to be masked; `searched`: files are to be searched for it.
pub fn gap(secret: &Secret, masked: bool, searched: bool) -> Option<&'static str> {
    if secret.is_empty() || secret.len() > MAX_CHECKED {
        return None;
    }
    match (masked && !Mask::covers(secret), searched && !Finder::covers(secret)) {
        (false, false) => None,
        (true, false) => Some("is too short or too common to be masked in output"),
        (false, true) => Some("is too short or too common to be searched for in files"),
        (true, true) => Some("is too short or too common to be masked in output or searched for in files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_and_impossible_is_named() {
        let gap = |text: &str, masked, searched| gap(&Secret::new(text.into()), masked, searched);
        assert_eq!(gap("xK9-hunter2", true, true), None);
        assert_eq!(gap("", true, true), None);
        assert_eq!(gap("abc12", false, false), None);
        assert!(gap("hunter2", true, true).unwrap().ends_with("to be searched for in files"));
        assert_eq!(gap("hunter2", true, false), None);
        assert!(gap("abc12", true, true).unwrap().contains("masked in output or searched"));
        assert!(gap("password", true, false).unwrap().ends_with("masked in output"));
    }
}
