//! Who can use what COMMAND gets: a file with a secret, or the agent's socket. In BuildKit's words, `uid`, `gid` and `mode`.

use std::io;

use thiserror::Error;

#[cfg_attr(unix, path = "access/unix.rs")]
#[cfg_attr(windows, path = "access/windows.rs")]
mod platform;

#[cfg(unix)]
pub(in crate::delivery) use platform::explained;
pub(crate) use platform::{give, may_execute, unreachable_directory};

/// Owner, group and permission bits. Ignored on Windows, where nothing but the defaults can be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The user, if not the one that this process runs as.
    pub uid: Option<u32>,
    /// The group, if not the one that this process runs with.
    pub gid: Option<u32>,
    /// From 0 to 0o777.
    pub mode: u32,
}

impl Access {
    /// For the user that this process runs as.
    pub const fn own(mode: u32) -> Self {
        Self { uid: None, gid: None, mode }
    }

    /// Whether other users than the own one are meant to use it.
    pub(crate) fn is_for_others(&self) -> bool {
        self.names_owner() || self.mode & 0o077 != 0
    }

    /// Whether it says more than a mode.
    pub(crate) fn names_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }
}

/// Why a file or socket cannot be given to a user.
#[derive(Debug, Error)]
pub enum AccessError {
    #[error(
        "cannot give it to {owner}: this process runs as user {own} without the capability CAP_CHOWN; run `exec` as root, \
         or as that user"
    )]
    NotAllowed { owner: String, own: u32 },
    /// User namespaces know only some ids.
    #[error(
        "cannot give it to {owner}: this user namespace has no such id (see /proc/self/uid_map and gid_map)"
    )]
    NotMapped { owner: String },
    #[error("cannot set its owner or mode: {0}")]
    System(#[from] io::Error),
}

/// Users and groups besides the own user that have to reach something in a private directory.
#[cfg(any(unix, test))]
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Visitors {
    pub(crate) users: Vec<u32>,
    pub(crate) groups: Vec<u32>,
    pub(crate) everyone: bool,
}

#[cfg(any(unix, test))]
impl Visitors {
    /// Those whom one of `all` names. `own_user` and `own_group` are those of this process.
    pub(crate) fn of(all: impl IntoIterator<Item = Access>, own_user: u32, own_group: u32) -> Self {
        let mut visitors = Self::default();
        for Access { uid, gid, mode } in all {
            if let Some(uid) = uid.filter(|uid| *uid != own_user && !visitors.users.contains(uid)) {
                visitors.users.push(uid);
            }
            let gid = gid.unwrap_or(own_group);
            if mode & 0o070 != 0 && !visitors.groups.contains(&gid) {
                visitors.groups.push(gid);
            }
            visitors.everyone |= mode & 0o007 != 0;
        }
        visitors
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_are_those_whom_owner_and_mode_name() {
        let of = |all: &[Access]| Visitors::of(all.iter().copied(), 0, 0);
        assert!(of(&[]).is_empty());
        assert!(of(&[Access::own(0o600), Access { uid: Some(0), gid: Some(5), mode: 0o400 }]).is_empty());
        let user = Access { uid: Some(1000), gid: Some(1000), mode: 0o600 };
        let expected = Visitors { users: vec![1000], ..Visitors::default() };
        assert_eq!(of(&[user, user]), expected);
        let group = Access { uid: None, gid: Some(50), mode: 0o440 };
        assert_eq!(of(&[group]), Visitors { groups: vec![50], ..Visitors::default() });
        assert!(of(&[Access::own(0o604)]).everyone);
    }
}
