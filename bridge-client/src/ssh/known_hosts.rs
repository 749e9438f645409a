//! Writes the bridge's known_hosts lines into a file for ssh.

use proto::agent::KnownHost;

/// The contents of a known_hosts file with `lines` in it, without their comments.
///
/// # Errors
/// The number of the first line, from 1, that does not have the format of sshd(8).
pub(crate) fn file_contents(lines: &[KnownHost]) -> Result<String, usize> {
    let mut contents = String::new();
    for (index, line) in lines.iter().enumerate() {
        let fields = fields(line).ok_or(index + 1)?;
        contents += &fields.join(" ");
        contents.push('\n');
    }
    Ok(contents)
}

/// The marker if there is one, hosts, key type, key.
fn fields(line: &KnownHost) -> Option<Vec<&str>> {
    let mut words = line.as_str().split_ascii_whitespace().peekable();
    let marker = words.next_if(|word| matches!(*word, "@cert-authority" | "@revoked"));
    let (hosts, kind, key) = (words.next()?, words.next()?, words.next()?);
    // An `@` at the start would be a marker that is unknown here.
    let is_valid =
        consists_of(hosts, b"._-:[]*?!,|+/=%") && consists_of(kind, b".@-") && consists_of(key, b"+/=");
    is_valid.then(|| marker.into_iter().chain([hosts, kind, key]).collect())
}

fn consists_of(word: &str, others: &[u8]) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(line: &str) -> Result<String, usize> {
        file_contents(&[line.parse().unwrap()])
    }

    #[test]
    fn ordinary_lines_are_kept_without_their_comments() {
        for line in [
            "github.com ssh-ed25519 AAAAC3Nz+/a=",
            "[git.example.com]:2222,[10.0.0.5]:2222 ecdsa-sha2-nistp256 AAAA",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA",
            "@cert-authority *.example.com,!a?.example.com ssh-rsa AAAA",
            "@revoked * sk-ssh-ed25519@openssh.com AAAA",
        ] {
            assert_eq!(contents(line), Ok(format!("{line}\n")));
            let spaced = format!("{}  a user's \"key\"", line.replace(' ', "  "));
            assert_eq!(contents(&spaced), Ok(format!("{line}\n")));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "github.com ssh-ed25519",
            "@unknown github.com ssh-ed25519 AAAA",
            "git'hub.com ssh-ed25519 AAAA",
            "github.com ssh_ed25519 AAAA",
            "github.com ssh-ed25519 AA;AA",
        ] {
            assert_eq!(contents(line), Err(1), "{line:?}");
        }
        assert_eq!(file_contents(&["a ssh-rsa AAAA".parse().unwrap(), "b".parse().unwrap()]), Err(2));
    }
}
