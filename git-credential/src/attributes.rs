//! The lines of git's requests for a credential, and of the answers (git-credential(1), "INPUT/OUTPUT FORMAT").

use proto::Secret;
use thiserror::Error;

/// The attributes that are used here. Others are ignored, as git demands.
#[derive(Debug, Default)]
pub struct GitAttributes {
    /// Usually `https`.
    pub protocol: Option<Secret>,
    /// With the port, unless it is the protocol's usual one.
    pub host: Option<Secret>,
    /// Without a leading slash.
    pub path: Option<Secret>,
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}

/// The number of a line that is not an attribute, or repeats one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {0} is not an attribute of a git credential, or repeats one")]
pub struct AttributeError(pub usize);

impl GitAttributes {
    /// Parses up to an empty line or the end.
    pub fn parse(text: &[u8]) -> Result<Self, AttributeError> {
        let mut parsed = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            // As git does, for helpers on Windows.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            parsed.take(line).ok_or(AttributeError(index + 1))?;
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
            // `capability[]`, `wwwauth[]`, and attributes of later versions of git.
            _ => return Some(()),
        };
        // A repeated attribute is ambiguous.
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
    fn requests_of_git_are_parsed_and_unknown_attributes_ignored() {
        let request = b"capability[]=authtype\nprotocol=https\r\nhost=h:8443\npath=\nwwwauth[]=Basic realm=\"x\"\nnew=1\n\npassword=p\n";
        let parsed = GitAttributes::parse(request).unwrap();
        assert_eq!(text(parsed.protocol.as_ref()), Some("https"));
        assert_eq!(text(parsed.host.as_ref()), Some("h:8443"));
        assert_eq!(text(parsed.path.as_ref()), Some(""));
        assert!(parsed.username.is_none() && parsed.password.is_none());
        assert!(GitAttributes::parse(b"").unwrap().host.is_none());
    }

    #[test]
    fn an_invalid_line_is_reported_by_its_number() {
        for (line, number) in [
            ("protocol=https\nhost", 2),
            ("=x", 1),
            ("host=a\nhost=b", 2),
            ("host=a\0b", 1),
            ("path=a\rb", 1),
        ] {
            assert_eq!(GitAttributes::parse(line.as_bytes()).err(), Some(AttributeError(number)), "{line}");
        }
    }
}
