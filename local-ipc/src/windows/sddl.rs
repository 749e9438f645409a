//! Judges security descriptors by their text:
//! <https://learn.microsoft.com/en-us/windows/win32/secauthz/security-descriptor-string-format>.

/// Accounts that are this user, or can become it: SYSTEM, the Administrators, the owner of the object.
const TRUSTED: [&str; 3] = ["SY", "BA", "OW"];

/// Whether `descriptor` names a trusted owner and grants access only to `user` (as Windows writes it) and to accounts that
/// can become any user. What cannot be parsed counts as granting everything.
pub(super) fn is_private_to(descriptor: &str, user: &str) -> bool {
    is_trusted(owner(descriptor).unwrap_or_default(), user)
        && entries(descriptor).is_some_and(|entries| {
            entries.iter().all(|entry| {
                let fields: Vec<&str> = entry.split(';').collect();
                match fields.as_slice() {
                    // A denial grants nothing. Neither does an inherit-only entry, which applies to new objects inside a
                    // directory.
                    ["D" | "OD", ..] => true,
                    ["A", flags, ..] if flags.as_bytes().chunks(2).any(|flag| flag == b"IO") => true,
                    ["A", _, _, "", "", who] => is_trusted(who, user),
                    _ => false,
                }
            })
        })
}

/// Whether `owner` is `user`, or an account that can become it.
pub(super) fn is_trusted(owner: &str, user: &str) -> bool {
    owner == user || TRUSTED.contains(&owner)
}

/// The owner that `descriptor` names.
pub(super) fn owner(descriptor: &str) -> Option<&str> {
    let rest = descriptor.strip_prefix("O:")?;
    // An alias has two letters; a SID contains none of the letters that begin the next part.
    let end = ["G:", "D:", "S:"].into_iter().filter_map(|part| rest.find(part)).min();
    Some(rest.get(..end.unwrap_or(rest.len()))?).filter(|owner| !owner.is_empty())
}

/// The entries of its access list; `None` if there is no list, which grants everything to every account, or if it is malformed.
fn entries(descriptor: &str) -> Option<Vec<&str>> {
    let (_, list) = descriptor.split_once("D:")?;
    let list = list.split("S:(").next()?;
    let (_flags, entries) = match list.find('(') {
        Some(at) => list.split_at(at),
        // An empty list grants nothing, unless this is `NO_ACCESS_CONTROL`.
        None => return (!list.contains("NO_ACCESS")).then(Vec::new),
    };
    let entries = entries.strip_prefix('(')?.strip_suffix(')')?;
    Some(entries.split(")(").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1-2-3-1001";

    fn of(list: &str) -> bool {
        is_private_to(&format!("O:{USER}G:S-1-5-21-1-2-3-513D:{list}"), USER)
    }

    #[test]
    fn accounts_that_can_become_the_user_are_trusted() {
        assert!(of(&format!("P(A;;FA;;;{USER})")));
        assert!(of(&format!("PAI(A;;FA;;;{USER})(A;ID;FA;;;SY)(A;ID;FA;;;BA)")));
        assert!(of("(D;;FA;;;WD)(A;OICIIO;GA;;;CO)"));
        assert!(of("P"));
        assert!(is_private_to("O:BAD:(A;;FA;;;SY)", USER));
        // The built-in account is written by its alias, for the user as for the entry.
        assert!(is_private_to("O:LAD:(A;;FA;;;LA)", "LA"));
    }

    #[test]
    fn an_entry_for_another_account_is_not_private() {
        for list in [
            "(A;;FR;;;WD)",
            "(A;CIOI;FR;;;WD)",
            "P(A;;FA;;;BU)",
            "(A;;0x120089;;;S-1-5-21-1-2-3-1002)",
            "(A;;FA;;;S-1-5-21-1-2-3-10011)",
            "(XA;;FX;;;S-1-1-0;(@User.Title==\"PM\"))",
            "(OA;;CR;00000000-0000-0000-0000-000000000000;;BA)",
            "NO_ACCESS_CONTROL",
            "(A;;FA;;;SY",
            "(",
        ] {
            assert!(!of(list), "{list}");
        }
        assert!(!is_private_to("D:(A;;FA;;;SY)", USER), "no owner");
        assert!(!is_private_to(&format!("O:{USER}"), USER), "no list");
        assert!(!is_private_to("O:S-1-5-21-1-2-3-1002D:(A;;FA;;;SY)", USER));
        assert!(!is_private_to("", ""));
    }
}
