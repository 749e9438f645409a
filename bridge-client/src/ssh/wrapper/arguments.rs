//! Parses ssh's command line as ssh does, far enough to know which repository git wants.

use std::ffi::OsString;

use crate::ssh::git_keys::{SSH_PORT, SshRepository};

/// Options of ssh(1) that take a value, up to OpenSSH 10.
const OPTIONS_WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// What the command line says. `~/.ssh/config` may map the host to another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SshCall {
    host: String,
    port: Option<u16>,
    command: String,
}

impl SshCall {
    /// `None` if there is no host or no command.
    pub(super) fn parse(arguments: &[OsString]) -> Option<Self> {
        let arguments: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
        let mut arguments = arguments?.into_iter();
        let (mut destination, mut port) = (None, None);
        let mut options_ended = false;
        // ssh accepts options before and after the destination, until the command begins.
        let first = loop {
            let argument = arguments.next()?;
            if argument == "--" && !options_ended {
                options_ended = true;
            } else if argument.len() > 1 && argument.starts_with('-') && !options_ended {
                if let Some((option, value)) = option_with_value(argument, &mut arguments)? {
                    port = port.or_else(|| port_in(option, value));
                }
            } else if destination.is_none() {
                destination = Some(argument);
            } else {
                break argument;
            }
        };
        let command = std::iter::once(first).chain(arguments).collect::<Vec<_>>().join(" ");
        let (host, port_of_url) = host(destination?)?;
        Some(Self { host, port: port.or(port_of_url), command })
    }

    /// The repository that the command opens on the server, if it is a command of git.
    pub(super) fn repository(&self) -> Option<SshRepository> {
        let words = words(&self.command)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (program, mut rest) = words.split_first()?;
        let mut program = (*program).rsplit('/').next()?.to_owned();
        if program == "git" {
            let (service, others) = rest.split_first()?;
            program = format!("git-{service}");
            rest = others;
        }
        let path = match program.as_str() {
            "git-upload-pack" | "git-receive-pack" | "git-upload-archive" => rest.last()?,
            // The operation follows.
            "git-lfs-authenticate" | "git-lfs-transfer" => rest.first()?,
            _ => return None,
        };
        SshRepository::new(&self.host, self.port.unwrap_or(SSH_PORT), path)
    }
}

/// The last option of a cluster such as `-4vp22`, if it takes a value: the rest of the word, or the next word. The outer
/// `None` means that the value is missing.
fn option_with_value<'a>(
    cluster: &'a str,
    arguments: &mut impl Iterator<Item = &'a str>,
) -> Option<Option<(char, &'a str)>> {
    let mut letters = cluster.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        if OPTIONS_WITH_VALUE.contains(letter) {
            let value = Some(letters.as_str()).filter(|rest| !rest.is_empty()).or_else(|| arguments.next());
            return value.map(|value| Some((letter, value)));
        }
    }
    Some(None)
}

fn port_in(option: char, value: &str) -> Option<u16> {
    match option {
        'p' => value.parse().ok(),
        'o' => {
            let (name, value) = value.trim().split_once(|c: char| c == '=' || c.is_ascii_whitespace())?;
            let value = value.trim_start_matches(|c: char| c == '=' || c.is_ascii_whitespace());
            if name.eq_ignore_ascii_case("port") { value.parse().ok() } else { None }
        }
        _ => None,
    }
}

/// `[user@]host` or `ssh://[user@]host[:port]`.
fn host(destination: &str) -> Option<(String, Option<u16>)> {
    let without_user = |text: &str| text.rsplit('@').next().map(str::to_owned);
    let Some(url) = destination.strip_prefix("ssh://") else {
        return Some((without_user(destination)?, None));
    };
    let host = without_user(url.split('/').next()?)?;
    match host.split_once(':') {
        Some((host, port)) => Some((host.to_owned(), Some(port.parse().ok()?))),
        None => Some((host, None)),
    }
}

/// Splits `command` as the shell on the server does; `None` if it is more complex than the commands of git.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => words.extend(word.take()),
            '\'' | '"' => {
                let (quoted, rest) = letters.as_str().split_once(letter)?;
                if letter == '"' && quoted.contains(['$', '`', '\\']) {
                    return None;
                }
                word.get_or_insert_default().push_str(quoted);
                letters = rest.chars();
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '#' | '*' | '?' | '[' => return None,
            letter if letter.is_control() => return None,
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(line: &[&str]) -> Option<SshRepository> {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        SshCall::parse(&arguments)?.repository()
    }

    #[test]
    fn commands_of_git_and_git_lfs_name_a_repository() {
        let upload = "git-upload-pack '/org/repo.git'";
        let lines: [(&[&str], u16); 18] = [
            (&["git@h", upload], 22),
            (&["-o", "SendEnv=GIT_PROTOCOL", "git@H", upload], 22),
            (&["-4", "-p", "2222", "git@h", upload], 2222),
            (&["-4vp2222", "git@h", upload], 2222),
            (&["git@h", "-p", "2222", upload], 2222),
            (&["-oPort=2222", "-p", "3", "git@h", upload], 2222),
            (&["-o", "port 2222", "h", upload], 2222),
            (&["-o", "Port = 2222", "h", upload], 2222),
            (&["-i", "h", "-l", "git", "-F", "/dev/null", "h", upload], 22),
            (&["ssh://git@h:2222/", upload], 2222),
            (&["ssh://h", upload], 22),
            (&["--", "h", upload], 22),
            (&["h", "--", upload], 22),
            (&["h", "git-receive-pack", "org/repo"], 22),
            (&["h", "git upload-pack 'org/repo.git'"], 22),
            (&["h", "git-upload-archive '/org/repo'"], 22),
            (&["h", "git-lfs-authenticate org/repo.git download"], 22),
            (&["h", "/usr/bin/git-upload-pack --strict \"/org/repo.git/\""], 22),
        ];
        for (line, port) in lines {
            assert_eq!(repository(line), SshRepository::new("h", port, "org/repo"), "{line:?}");
        }
    }

    #[test]
    fn other_command_lines_name_no_repository() {
        let lines: [&[&str]; 13] = [
            &[],
            &["h"],
            &["-V"],
            &["-p"],
            &["-p", "22", "h"],
            &["h", "ls", "org/repo"],
            &["h", "git-upload-pack"],
            &["h", "git"],
            &["h", "git-upload-pack 'org/repo"],
            &["h", "git-upload-pack 'org/repo'; true"],
            &["h", "git-upload-pack \"$HOME\""],
            &["h", "git-upload-pack '../repo'"],
            &["-W", "h", "git-upload-pack 'org/repo'"],
        ];
        for line in lines {
            assert_eq!(repository(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_command_of_rsync_names_no_repository() {
        assert_eq!(repository(&["-l", "u", "h", "rsync", "--server", "-e.LsfxCIvu", ".", "org/repo"]), None);
    }
}
