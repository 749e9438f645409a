//! The variables by which git names a repository and passes on configuration.
//!
//! git sets them for its hooks, and wrappers set them. A program that the bridge starts for itself would inherit them, and the
//! git in it would read the configuration of that repository: a credential helper there is a command of the repository's.

use std::ffi::OsStr;
use std::process::Command;

/// What `git rev-parse --local-env-vars` lists (git 2.47), and what older versions listed.
const LOCAL: [&str; 17] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_SUPER_PREFIX",
    "GIT_WORK_TREE",
];
/// Others that belong to one repository or one operation of git.
const OTHERS: [&str; 3] = ["GIT_ATTR_SOURCE", "GIT_NAMESPACE", "GIT_QUARANTINE_PATH"];
/// What follows is a number: the keys and values that `GIT_CONFIG_COUNT` counts.
const NUMBERED: [&str; 2] = ["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];

/// Removes them from the environment of `command`. The user's own choice of configuration stays: `GIT_CONFIG_GLOBAL`,
/// `GIT_CONFIG_SYSTEM` and `GIT_CONFIG_NOSYSTEM`, and `GIT_ASKPASS`.
pub(super) fn remove(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if is_of_a_repository(&name) {
            command.env_remove(name);
        }
    }
}

fn is_of_a_repository(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    // Names of variables have no case on Windows.
    let upper = if cfg!(windows) { name.to_ascii_uppercase() } else { name.to_owned() };
    LOCAL.contains(&upper.as_str())
        || OTHERS.contains(&upper.as_str())
        || NUMBERED.iter().any(|prefix| upper.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::require::{GIT, require};

    #[test]
    fn everything_that_git_calls_local_is_removed() {
        require!(GIT);
        let output = Command::new("git").args(["rev-parse", "--local-env-vars"]).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(listed.lines().any(|name| name == "GIT_DIR"), "{listed}");
        for name in listed.lines().chain(["GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_12", "GIT_NAMESPACE"]) {
            assert!(is_of_a_repository(OsStr::new(name)), "{name} is not removed");
        }
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_ASKPASS", "GIT_SSH_COMMAND", "PATH"] {
            assert!(!is_of_a_repository(OsStr::new(name)), "{name} is removed");
        }
    }
}
