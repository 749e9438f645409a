//! Which directories a check covers: those that can become part of what the step produces.
//!
//! In a container, everything outside of mounts may become a layer of an image, so the file system of the root is searched.
//! Mounts never do: builders discard cache, bind and secret mounts and volumes. What one builder leaves out besides is in
//! [`left_out`]. Outside of containers, the root belongs to the machine of a developer or a CI runner, and has millions of
//! files that are unrelated to COMMAND. There the check covers the working, the home and the temporary directory, where
//! tools write.
//!
//! The smaller scopes require proof: a container that is mistaken for a host would hide a leak. Without proof of either, the
//! root and the disk of the working directory are searched, for a limited time.

#[cfg(target_os = "linux")]
mod host;
mod left_out;

pub(super) use left_out::LeftOut;

/// What a check covers.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// What the builder does not take into the image, although it is in no mount.
    pub(super) left_out: LeftOut,
    /// Whether `/` is a part of an overlay, not the whole. Its birth time then says nothing about the upper layer.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has overlays"))]
    pub(super) is_part_of_overlay: bool,
}

/// Where this process runs, as far as that is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The file system of the root directory is searched.
    Container,
    /// The working directory, the home directory and the temporary directory are searched, each without what is mounted in
    /// it.
    Host,
    /// The file system of the root directory is searched, and the one of the working directory if that is another one on a
    /// disk.
    Unknown,
}

impl Scope {
    /// The scope for this process. COMMAND could mislead it, so this is to be called before COMMAND starts.
    pub(super) fn detect() -> Self {
        let left_out = LeftOut::of_builder();
        #[cfg(target_os = "linux")]
        let (kind, is_part_of_overlay) = {
            let system = host::System::read();
            (if left_out.is_empty() { system.kind() } else { Kind::Container }, system.is_part_of_overlay())
        };
        // There are no containers with macOS in them.
        #[cfg(all(unix, not(target_os = "linux")))]
        let (kind, is_part_of_overlay) = (Kind::Host, false);
        #[cfg(windows)]
        let (kind, is_part_of_overlay) = (windows_kind(), false);
        Self { kind, left_out, is_part_of_overlay }
    }

    /// The scope in words, with the `places` in which it begins.
    pub(super) fn covers(&self, places: &[String]) -> String {
        let listed = match places {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        let file_system = if places.len() > 1 { "the file systems of" } else { "the file system of" };
        match self.kind {
            Kind::Container if self.left_out.is_empty() => format!("{file_system} {listed}"),
            Kind::Container => {
                format!("{file_system} {listed}, without what {} leaves out", self.left_out.builder())
            }
            Kind::Unknown => format!("{file_system} {listed} (possibly not a container)"),
            Kind::Host => listed,
        }
    }
}

/// The users of Windows containers, which no other system has.
#[cfg(windows)]
fn windows_kind() -> Kind {
    let user = std::env::var_os("USERNAME").unwrap_or_default();
    if ["ContainerAdministrator", "ContainerUser"].iter().any(|name| user.eq_ignore_ascii_case(name)) {
        Kind::Container
    } else {
        Kind::Unknown
    }
}
