//! The home directory of this user, without the system's name service.

use std::path::PathBuf;

/// `$HOME`, or else what the system says of this user; `None` if it does not know a home directory.
///
/// std's own function asks the C library, and glibc loads the modules that `/etc/nsswitch.conf` names. In an image these are
/// code of that image, of another version of the library: a static program crashes in them.
pub fn home_directory() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or_else(platform::home)
}

#[cfg(all(unix, not(target_os = "macos")))]
mod platform {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io::Read as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;

    const FILE: &str = "/etc/passwd";
    /// Limit of what is read of it, in bytes. Some images map tens of thousands of users.
    const MAX_SIZE: u64 = 16 << 20;

    pub(super) fn home() -> Option<PathBuf> {
        // To open a pipe waits for a process that writes to it.
        if !std::fs::metadata(FILE).ok()?.is_file() {
            return None;
        }
        let mut users = Vec::new();
        File::open(FILE).ok()?.take(MAX_SIZE).read_to_end(&mut users).ok()?;
        home_of(&users, rustix::process::getuid().as_raw())
    }

    /// The sixth field of the first line for this user (passwd(5)).
    pub(super) fn home_of(users: &[u8], uid: u32) -> Option<PathBuf> {
        let uid = uid.to_string();
        users
            .split(|byte| *byte == b'\n')
            .find_map(|line| {
                let mut fields = line.split(|byte| *byte == b':');
                (fields.nth(2)? == uid.as_bytes()).then(|| fields.nth(2)).flatten()
            })
            .filter(|home| !home.is_empty())
            .map(|home| OsStr::from_bytes(home).into())
    }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
mod platform {
    use std::path::PathBuf;

    #[expect(clippy::disallowed_methods, reason = "these systems have no modules that an image could bring")]
    pub(super) fn home() -> Option<PathBuf> {
        std::env::home_dir()
    }
}

#[cfg(all(test, unix, not(target_os = "macos")))]
mod tests {
    use super::platform::home_of;

    #[test]
    fn the_home_is_that_of_the_users_first_line() {
        let users = b"root:x:0:0:root:/root:/bin/bash\n# comment\n\nbroken:x:1000\n\
            app:x:1000:1000:App, of 1001:/srv/app:/bin/sh\ntwin:x:1000:1000::/other:\n\
            bytes:x:7:7::/\xff:\nnone:x:8:8:::/bin/sh\nlast:x:9:9::/last";
        let home = |uid| home_of(users, uid).map(std::path::PathBuf::into_os_string);
        assert_eq!(home(0).unwrap(), "/root");
        assert_eq!(home(1000).unwrap(), "/srv/app");
        assert_eq!(std::os::unix::ffi::OsStrExt::as_bytes(home(7).unwrap().as_os_str()), b"/\xff");
        assert_eq!(home(9).unwrap(), "/last");
        for unknown in [8, 1, 100, 1001] {
            assert_eq!(home(unknown), None);
        }
        assert_eq!(home_of(b"", 0), None);
    }
}
