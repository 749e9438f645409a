//! Which directories a check covers.
//!
//! In a container, everything outside of mounts may become a layer of an image, so the whole root is searched. Outside of
//! containers, the root belongs to the machine of a developer or a CI runner, and has millions of files that are unrelated
//! to COMMAND. There the check covers the working, the home and the temporary directory, where tools write.
//!
//! The smaller scope requires proof: a container that is mistaken for a host would hide a leak. The reverse only costs time.

#[cfg(target_os = "linux")]
mod host;

/// Which directories a check covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The file system of the root directory, and the one of the working directory if that is another one on a disk.
    FileSystems,
    /// The working directory, the home directory and the temporary directory, each without what is mounted in it.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing proves a host there"))]
    UserDirectories,
}

impl Scope {
    /// The scope for this process. COMMAND could mislead it, so this is to be called before COMMAND starts.
    pub(super) fn detect() -> Self {
        #[cfg(target_os = "linux")]
        if host::System::read().is_plain_host() {
            return Self::UserDirectories;
        }
        Self::FileSystems
    }

    /// The scope in words, with the `places` in which it begins.
    pub(super) fn covers(self, places: &[String]) -> String {
        let listed = match places {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        match (self, places) {
            (Self::FileSystems, [_, _, ..]) => format!("the file systems of {listed}"),
            (Self::FileSystems, _) => format!("the file system of {listed}"),
            (Self::UserDirectories, _) => listed,
        }
    }
}
