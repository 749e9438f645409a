//! Whether it is certain that this process runs on a plain Linux host: not in a container, a chroot or a sandbox.

use std::fs;
use std::io;
use std::path::Path;

/// Targets of the links in /proc/self/ns for the kernel's initial namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO in
/// include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// Files that container engines create in the root of a container: Docker, Podman and Buildah, kaniko.
const CONTAINER_MARKERS: [&str; 3] = ["/.dockerenv", "/run/.containerenv", "/kaniko"];

/// File systems that hosts have as their root. Containers mostly have overlays. Any other file system proves nothing.
const HOST_FILE_SYSTEMS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"];

/// Mount ids that the kernel's rootfs can have, on which the root of a host is mounted. Ids count from 0, and rootfs is among
/// the first two mounts of a boot (it has the id 1 on Linux 6.18). The root of a chroot, or of a mount namespace that was
/// created later, is mounted on another one.
const ROOTFS_MOUNT_IDS: [&str; 2] = ["0", "1"];

/// What /proc and the root tell about this process. `None` is what cannot be read.
#[derive(Debug, Clone, Default)]
pub(super) struct System {
    pid_namespace: Option<String>,
    user_namespace: Option<String>,
    mounts: Option<String>,
    has_container_marker: bool,
}

impl System {
    pub(super) fn read() -> Self {
        let namespace = |path| Some(fs::read_link(path).ok()?.to_str()?.to_owned());
        Self {
            pid_namespace: namespace("/proc/self/ns/pid"),
            user_namespace: namespace("/proc/self/ns/user"),
            mounts: fs::read("/proc/self/mountinfo")
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            has_container_marker: CONTAINER_MARKERS.into_iter().any(|path| may_exist(Path::new(path))),
        }
    }

    /// Whether everything proves a plain host. `false` only means that something is in doubt.
    pub(super) fn is_plain_host(&self) -> bool {
        let has_host_root = self.mounts.as_deref().is_some_and(|mounts| {
            let mut roots =
                mounts.lines().filter_map(MountInfo::parse).filter(|mount| mount.point == "/").peekable();
            roots.peek().is_some() && roots.all(|root| root.is_root_of_host())
        });
        self.pid_namespace.as_deref() == Some(INITIAL_PID_NAMESPACE)
            && self.user_namespace.as_deref() == Some(INITIAL_USER_NAMESPACE)
            && has_host_root
            && !self.has_container_marker
    }
}

/// `false` only if it is certain that there is no such file.
fn may_exist(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// One line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
struct MountInfo<'a> {
    parent_id: &'a str,
    /// The directory of the file system that is mounted.
    root: &'a str,
    point: &'a str,
    file_system: &'a str,
    /// Options of the file system, separated by commas.
    options: &'a str,
}

impl<'a> MountInfo<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // The number of fields before the separator varies.
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(1);
        let (parent_id, _device, root, point) = (mount.next()?, mount.next()?, mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let (file_system, _source, options) = (file_system.next()?, file_system.next()?, file_system.next()?);
        Some(Self { parent_id, root, point, file_system, options })
    }

    fn is_root_of_host(&self) -> bool {
        // If a directory of the host is the root of a container, the root of the mount is that directory: Buildah's chroot
        // isolation with the vfs driver has neither pid and user namespaces nor an overlay. The root of a host may be a
        // subvolume of btrfs, and a directory in a subvolume is not one.
        let is_subvolume = self.file_system == "btrfs"
            && self.options.split(',').any(|option| option.strip_prefix("subvol=") == Some(self.root));
        HOST_FILE_SYSTEMS.contains(&self.file_system)
            && (self.root == "/" || is_subvolume)
            && ROOTFS_MOUNT_IDS.contains(&self.parent_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "22 27 0:21 / /proc rw,relatime shared:7 - proc proc rw\n\
                        27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n\
                        30 27 0:27 / /tmp rw,nosuid - tmpfs tmpfs rw\n";

    fn host() -> System {
        System {
            pid_namespace: Some(INITIAL_PID_NAMESPACE.to_owned()),
            user_namespace: Some(INITIAL_USER_NAMESPACE.to_owned()),
            mounts: Some(HOST.to_owned()),
            has_container_marker: false,
        }
    }

    #[test]
    fn each_single_doubt_rules_out_a_plain_host() {
        assert!(host().is_plain_host());
        type Change = fn(&mut System);
        let doubts: [(&str, Change); 7] = [
            ("nothing can be read", |system| *system = System::default()),
            ("another pid namespace", |system| system.pid_namespace = Some("pid:[4026532281]".into())),
            ("no pid namespace", |system| system.pid_namespace = None),
            ("another user namespace", |system| system.user_namespace = Some("user:[4026532280]".into())),
            ("no user namespace", |system| system.user_namespace = None),
            ("no mounts", |system| system.mounts = None),
            ("a marker of an engine", |system| system.has_container_marker = true),
        ];
        for (doubt, change) in doubts {
            let mut system = host();
            change(&mut system);
            assert!(!system.is_plain_host(), "{doubt}");
        }
    }

    #[test]
    fn the_root_mount_decides() {
        let cases = [
            ("a disk", true, "27 1 254:0 / / rw - ext4 /dev/vda rw\n"),
            ("rootfs with the id 0", true, "18 0 8:1 / / rw shared:1 master:2 - xfs /dev/sda1 rw\n"),
            ("a subvolume", true, "29 1 0:25 /@ / rw - btrfs /dev/sda2 rw,ssd,subvolid=256,subvol=/@\n"),
            ("a directory of btrfs", false, "29 1 0:25 /@/vfs/dir/a / rw - btrfs /dev/sda2 rw,subvol=/@\n"),
            ("an overlay", false, "27 1 0:40 / / rw - overlay overlay rw,lowerdir=/l\n"),
            ("fuse-overlayfs", false, "27 1 0:40 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n"),
            ("aufs", false, "27 1 0:40 / / rw - aufs none rw,si=1\n"),
            ("memory", false, "27 1 0:40 / / rw - tmpfs none rw\n"),
            ("a directory of the host", false, "27 1 254:0 /var/lib/vfs/dir/a / rw - ext4 /dev/vda rw\n"),
            ("a chroot into a disk", false, "312 27 254:16 / / rw - ext4 /dev/vdb rw\n"),
            (
                "two roots, one of them an overlay",
                false,
                "27 1 254:0 / / rw - ext4 /dev/vda rw\n99 27 0:40 / / rw - overlay overlay rw\n",
            ),
            ("a chroot into a directory", false, "22 27 0:21 / /proc rw - proc proc rw\n"),
            ("a cut line", false, "27 1 254:0 / / rw - ext4"),
            ("nothing", false, ""),
        ];
        for (case, expected, mounts) in cases {
            let system = System { mounts: Some(mounts.to_owned()), ..host() };
            assert_eq!(system.is_plain_host(), expected, "{case}");
        }
    }
}
