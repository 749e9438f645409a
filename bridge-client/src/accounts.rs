//! Ids of users and groups by their names, from `/etc/passwd` and `/etc/group` alone: name service modules would be code of
//! the image that runs in this process.

use std::fs::File;
use std::io::{self, Read as _};

use thiserror::Error;

/// Larger files are not read.
const MAX_FILE: u64 = 4 << 20;

/// Where a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `/etc/passwd`.
    Users,
    /// `/etc/group`.
    Groups,
}

/// Why a name has no id.
#[derive(Debug, Error)]
pub enum AccountError {
    #[error("{file} has no {what} of that name: write the number")]
    Unknown { what: &'static str, file: &'static str },
    #[error("cannot read {file}: {source}: write the number")]
    File { file: &'static str, source: io::Error },
    #[error("must be a number from 0 to 4294967294, or a name")]
    Invalid,
}

impl Names {
    fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/passwd",
            Self::Groups => "/etc/group",
        }
    }

    /// The id that `text` is, or names.
    ///
    /// # Errors
    /// [`AccountError`], which does not contain `text`.
    pub fn id(self, text: &str) -> Result<u32, AccountError> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number(text).ok_or(AccountError::Invalid);
        }
        if !is_name(text) {
            return Err(AccountError::Invalid);
        }
        let file = self.file();
        let mut lines = Vec::new();
        let read = File::open(file).and_then(|found| found.take(MAX_FILE + 1).read_to_end(&mut lines));
        match read {
            Ok(length) if length as u64 > MAX_FILE => {
                Err(AccountError::File { file, source: io::ErrorKind::FileTooLarge.into() })
            }
            Ok(_) => id_in(&lines, text).ok_or(AccountError::Unknown { what: self.what(), file }),
            Err(source) => Err(AccountError::File { file, source }),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Groups => "group",
        }
    }
}

/// The largest number means "unchanged" to chown(2).
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) || byte >= 0x80;
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

/// The third field of the first line whose first field is `name` (passwd(5), group(5)).
fn id_in(lines: &[u8], name: &str) -> Option<u32> {
    let fields = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.next()? == name.as_bytes()).then(|| fields.nth(1).map(<[u8]>::to_vec))?
    };
    let id = lines.split(|byte| *byte == b'\n').find_map(fields)?;
    let id = String::from_utf8(id).ok()?;
    if id.bytes().all(|byte| byte.is_ascii_digit()) { number(&id) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_id_of_its_line() {
        let lines = b"root:x:0:0::/root:/bin/sh\n\nnodejs\nnode:x:1000:1001::/home/node:\nbad:x:-1:\nhuge:x:4294967295:0\n";
        assert_eq!(id_in(lines, "root"), Some(0));
        assert_eq!(id_in(lines, "node"), Some(1000));
        for absent in ["nod", "nodejs", "x", "bad", "huge"] {
            assert_eq!(id_in(lines, absent), None, "{absent}");
        }
    }

    #[test]
    fn numbers_need_no_file_and_odd_texts_are_refused() {
        assert_eq!(Names::Users.id("1000").unwrap(), 1000);
        for wrong in ["", "4294967295", "99999999999", "-1", "+1", "a:b", "a b", "a\nb", "$(id)"] {
            assert!(matches!(Names::Groups.id(wrong), Err(AccountError::Invalid)), "{wrong}");
        }
        assert!(Names::Users.id("no-such-user-here").is_err());
    }
}
