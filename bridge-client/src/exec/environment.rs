//! COMMANDs that drop the variables which they get: that is said before a tool fails because of it.

use std::ffi::OsString;
use std::path::Path;

use crate::exec::child::CommandLine;

/// How `command` drops the variables that it gets, and what to write instead; `None` if it is not known to do so.
pub(crate) fn dropped_by(command: &CommandLine) -> Option<&'static str> {
    let name = Path::new(&command.program).file_name()?.to_str()?;
    let options = || command.arguments.iter().filter_map(|argument: &OsString| argument.to_str());
    let has = |wanted: &[&str]| {
        options().take_while(|word| word.starts_with('-')).any(|word| wanted.contains(&word))
    };
    match name {
        "sudo" => {
            let keeps = |word: &str| {
                word.starts_with("--preserve-env") || (word.starts_with("-E") && !word.starts_with("--"))
            };
            (!options().any(keeps)).then_some("sudo drops variables: write `sudo -E`, or --preserve-env=…")
        }
        "su" | "runuser" => {
            let is_login = options().any(|word| ["-", "-l", "--login"].contains(&word));
            is_login.then_some("a login of su drops variables: write `su USER -c`, without -")
        }
        "env" => has(&["-i", "-", "--ignore-environment"])
            .then_some("env -i drops variables: name those that are needed after it, NAME=\"$NAME\""),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_drops_variables_is_found() {
        let dropped = |line: &str| {
            let mut words = line.split(' ').map(OsString::from);
            let command = CommandLine::new(words.next().unwrap(), words.collect());
            dropped_by(&command).is_some()
        };
        for line in [
            "sudo npm ci",
            "/usr/bin/sudo -u app npm ci",
            "su - app -c true",
            "su app -l",
            "su --login app",
            "runuser -l app",
            "env -i true",
            "env - A=b true",
            "env --ignore-environment true",
        ] {
            assert!(dropped(line), "{line}");
        }
        for line in [
            "sudo -E npm ci",
            "sudo --preserve-env=TOKEN -u app npm ci",
            "sudo --preserve-env npm ci",
            "su app -c true",
            "runuser -u app -- ls -i",
            "env A=b grep -i x",
            "env grep -i x",
            "setpriv --reuid=app sh",
            "sh -l -c true",
        ] {
            assert!(!dropped(line), "{line}");
        }
    }
}
