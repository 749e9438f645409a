//! The lines in which git asks for a credential, and in which it is answered (git-credential(1), "INPUT/OUTPUT FORMAT").

use proto::Secret;
use thiserror::Error;

/// The attributes that count here, as far as they are there. Others are tolerated, as git demands it.
#[derive(Debug, Default)]
pub struct GitAttributes {
    /// `https`, mostly.
    pub protocol: Option<Secret>,
    /// Host, with its port if it is not the usual one.
    pub host: Option<Secret>,
    /// Path on the host, without a slash in front.
    pub path: Option<Secret>,
    /// User.
    pub username: Option<Secret>,
    /// Password or token.
    pub password: Option<Secret>,
}

/// A line that is no attribute, or one that is there twice, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {0} is no attribute of a git credential, or contradicts another one")]
pub struct NoAttribute(pub usize);

impl GitAttributes {
    /// Reads up to an empty line or the end.
    ///
    /// # Errors
    /// [`NoAttribute`].
    pub fn parse(text: &[u8]) -> Result<Self, NoAttribute> {
        let mut parsed = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            // As git does it: what comes from Windows may end so.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            parsed.take(line).ok_or(NoAttribute(index + 1))?;
        }
        Ok(parsed)
    }

    fn take(&mut self, line: &[u8]) -> Option<()> {
        let equals = line.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let (name, value) = (line.get(..equals)?, line.get(equals + 1..)?);
        let slot = match name {
            b"protocol" => &mut self.protocol,
            b"host" => &mut self.host,
            b"path" => &mut self.path,
            b"username" => &mut self.username,
            b"password" => &mut self.password,
            // `capability[]`, `wwwauth[]`, and whatever git comes to say.
            _ => return Some(()),
        };
        // Two values of one attribute are two readings.
        let fits = slot.is_none() && !value.iter().any(|byte| b"\0\r".contains(byte));
        fits.then(|| *slot = Some(Secret::new(value.to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: Option<&Secret>) -> Option<&str> {
        secret.map(|secret| std::str::from_utf8(secret.expose()).unwrap())
    }

    #[test]
    fn what_git_sends_is_understood_and_what_it_may_come_to_send_is_tolerated() {
        let request = b"capability[]=authtype\nprotocol=https\r\nhost=h:8443\npath=\nwwwauth[]=Basic realm=\"x\"\nnew=1\n\npassword=p\n";
        let parsed = GitAttributes::parse(request).unwrap();
        assert_eq!(text(parsed.protocol.as_ref()), Some("https"));
        assert_eq!(text(parsed.host.as_ref()), Some("h:8443"));
        assert_eq!(text(parsed.path.as_ref()), Some(""));
        assert!(parsed.username.is_none() && parsed.password.is_none());
        assert!(GitAttributes::parse(b"").unwrap().host.is_none());
    }

    #[test]
    fn a_line_that_is_none_is_told_by_its_number() {
        for (line, number) in [
            ("protocol=https\nhost", 2),
            ("=x", 1),
            ("host=a\nhost=b", 2),
            ("host=a\0b", 1),
            ("path=a\rb", 1),
        ] {
            assert_eq!(GitAttributes::parse(line.as_bytes()).err(), Some(NoAttribute(number)), "{line}");
        }
    }
}
