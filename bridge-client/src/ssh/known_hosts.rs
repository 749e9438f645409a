//! The host's known_hosts lines, as the bridge sent them: parsed strictly, then written anew.

/// Longest line: an RSA key of 16,384 bits with some names.
const LONGEST_LINE: usize = 8 << 10;
const MOST_LINES: usize = 10_000;

/// The contents of a known_hosts file with `lines` in it. Comments are left out.
///
/// # Errors
/// The number of the first line, from 1, that is not of the form that sshd(8) describes.
pub(crate) fn file(lines: &[String]) -> Result<String, usize> {
    if lines.len() > MOST_LINES {
        return Err(MOST_LINES + 1);
    }
    let mut file = String::new();
    for (index, line) in lines.iter().enumerate() {
        let fields = fields(line).ok_or(index + 1)?;
        file += &fields.join(" ");
        file.push('\n');
    }
    Ok(file)
}

/// Marker if there is one, hosts, key type, key.
fn fields(line: &str) -> Option<Vec<&str>> {
    if line.len() > LONGEST_LINE || !line.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let mut words = line.split_ascii_whitespace().peekable();
    let marker = words.next_if(|word| matches!(*word, "@cert-authority" | "@revoked"));
    let (hosts, kind, key) = (words.next()?, words.next()?, words.next()?);
    // An `@` in front would be a marker that this reader does not know.
    let fits = is_of(hosts, b"._-:[]*?!,|+/=%") && is_of(kind, b".@-") && is_of(key, b"+/=");
    fits.then(|| marker.into_iter().chain([hosts, kind, key]).collect())
}

fn is_of(word: &str, others: &[u8]) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<String, usize> {
        file(&[line.to_owned()])
    }

    #[test]
    fn lines_as_people_have_them_are_kept_without_their_comments() {
        for line in [
            "github.com ssh-ed25519 AAAAC3Nz+/a=",
            "[git.example.com]:2222,[10.0.0.5]:2222 ecdsa-sha2-nistp256 AAAA",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA",
            "@cert-authority *.example.com,!a?.example.com ssh-rsa AAAA",
            "@revoked * sk-ssh-ed25519@openssh.com AAAA",
        ] {
            assert_eq!(of(line), Ok(format!("{line}\n")));
            assert_eq!(
                of(&format!(" {}\tsomebody's \"key\"", line.replace(' ', "\t"))),
                Ok(format!("{line}\n"))
            );
        }
    }

    #[test]
    fn nothing_else_is_written() {
        for line in [
            "",
            "# comment",
            "github.com ssh-ed25519",
            "github.com ssh-ed25519 AAAA\nevil ssh-rsa AAAA",
            "github.com ssh-ed25519 AAAA\r",
            "github.com ssh-ed25519 AAAA \u{1b}[31m",
            "github.com ssh-ed25519 AAAA é",
            "@unknown github.com ssh-ed25519 AAAA",
            "git'hub.com ssh-ed25519 AAAA",
            &format!("github.com ssh-rsa {}", "A".repeat(LONGEST_LINE)),
        ] {
            assert_eq!(of(line), Err(1), "{line:?}");
        }
        assert_eq!(file(&["a ssh-rsa AAAA".into(), "b".into()]), Err(2));
    }
}
