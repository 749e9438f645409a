//! Fields that say who can use what COMMAND gets: `uid=`, `gid=` and `mode=`, as BuildKit spells them.

use bridge_client::Access;
use bridge_client::accounts::Names;

use crate::usage::UsageError;

/// Sets what `name=value` says in `access`. Returns whether it is one of these fields.
///
/// # Errors
/// [`UsageError`] for an invalid value.
pub(super) fn set(
    access: &mut Access,
    option: &'static str,
    name: &str,
    value: &str,
) -> Result<bool, UsageError> {
    match name {
        "mode" => access.mode = mode(option, value)?,
        "uid" => access.uid = Some(id(option, name, Names::Users, value)?),
        "gid" => access.gid = Some(id(option, name, Names::Groups, value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Only permission bits: set-user-ID and sticky bits mean nothing for a secret, and a file that its owner cannot read is of
/// no use.
fn mode(option: &'static str, text: &str) -> Result<u32, UsageError> {
    let wrong =
        || UsageError::option(option, "mode must be an octal number such as 0600 that lets its owner read");
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal).ok_or_else(wrong)?;
    if mode > 0o777 || mode & 0o400 == 0 { Err(wrong()) } else { Ok(mode) }
}

fn id(option: &'static str, field: &str, names: Names, text: &str) -> Result<u32, UsageError> {
    if cfg!(windows) {
        let problem = format!("{field}= has no meaning on Windows: only this user can read the file");
        return Err(UsageError::option(option, problem));
    }
    names.id(text).map_err(|error| UsageError::option(option, format!("{field}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> Result<Access, String> {
        let mut access = Access::own(0o600);
        for (name, value) in fields {
            set(&mut access, "--file", name, value).map_err(|error| error.to_string())?;
        }
        Ok(access)
    }

    #[test]
    #[cfg(unix)]
    fn owner_group_and_mode_are_numbers_or_names() {
        let access = parsed(&[("uid", "1000"), ("gid", "1001"), ("mode", "0440")]);
        assert_eq!(access, Ok(Access { uid: Some(1000), gid: Some(1001), mode: 0o440 }));
        assert_eq!(parsed(&[("uid", "root")]).unwrap().uid, Some(0));
        for wrong in ["", "-1", "4294967295", "a:b", "no-such-user-here"] {
            assert!(parsed(&[("uid", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mode_has_permission_bits_only() {
        for (text, mode) in [("600", 0o600), ("0444", 0o444), ("00777", 0o777)] {
            assert_eq!(parsed(&[("mode", text)]).unwrap().mode, mode);
        }
        for wrong in ["", "9", "0o600", "+600", "u=r", "4600", "2600", "1600", "07777", "0200", "0"] {
            assert!(parsed(&[("mode", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(windows)]
    fn an_owner_is_refused_with_the_reason() {
        assert!(parsed(&[("uid", "1000")]).unwrap_err().contains("Windows"));
    }
}
