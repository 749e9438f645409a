//! Whether it is certain that this process runs in a container, or on a plain Linux host.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Kind;

/// Targets of the links in /proc/self/ns for the kernel's initial namespaces: PROC_PID_INIT_INO and PROC_USER_INIT_INO in
/// include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// Files that container engines create in the root of a container: Docker, and Podman and Buildah. The root of a virtual
/// machine that was made from a container has them too.
const CONTAINER_MARKERS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// The variable that engines set in a container: <https://systemd.io/CONTAINER_INTERFACE/>.
const CONTAINER_VARIABLE: &str = "container";

/// File systems that hosts have as their root.
const HOST_FILE_SYSTEMS: [&str; 8] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"];

/// File systems that most containers have as their root, and hosts only if they start from a medium or image that they
/// cannot write.
const LAYERED_FILE_SYSTEMS: [&str; 3] = ["overlay", "fuse.fuse-overlayfs", "aufs"];

/// Mount ids that the kernel's rootfs can have, on which the root of a host is mounted. Ids count from 0, and rootfs is among
/// the first two mounts of a boot (it has the id 1 on Linux 6.18). The root of a chroot, or of a mount namespace that was
/// created later, is mounted on another one.
const ROOTFS_MOUNT_IDS: [&str; 2] = ["0", "1"];

/// What /proc, the root and the environment say about this process. `None` is what cannot be read.
#[derive(Debug, Clone, Default)]
pub(super) struct System {
    pid_namespace: Option<String>,
    user_namespace: Option<String>,
    mounts: Option<String>,
    has_container_marker: bool,
    /// Whether `/` is the root of the first process as well. Only root can see that.
    has_root_of_init: Option<bool>,
    /// Whether systemd has started this system: sd_booted(3).
    is_booted: bool,
    /// Whether this is a distribution in the Windows Subsystem for Linux, each of which has a pid namespace.
    is_wsl: bool,
}

impl System {
    pub(super) fn read() -> Self {
        let namespace = |path| Some(fs::read_link(path).ok()?.to_str()?.to_owned());
        let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            pid_namespace: namespace("/proc/self/ns/pid"),
            user_namespace: namespace("/proc/self/ns/user"),
            mounts: fs::read("/proc/self/mountinfo")
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            has_container_marker: CONTAINER_MARKERS.into_iter().any(|path| may_exist(Path::new(path)))
                || std::env::var_os(CONTAINER_VARIABLE).is_some(),
            has_root_of_init: identity("/proc/1/root/")
                .ok()
                .zip(identity("/").ok())
                .map(|(init, own)| init == own),
            is_booted: Path::new("/run/systemd/system").is_dir(),
            is_wsl: kernel.to_lowercase().contains("microsoft") && Path::new("/run/WSL").is_dir(),
        }
    }

    /// Everything must prove a host. Signs of a container need no proof; the file system of the root is searched in any case.
    pub(super) fn kind(&self) -> Kind {
        let roots = self.roots();
        let is_initial_user = self.user_namespace.as_deref() == Some(INITIAL_USER_NAMESPACE);
        let is_initial = self.pid_namespace.as_deref() == Some(INITIAL_PID_NAMESPACE) && is_initial_user;
        let has_host_root = !roots.is_empty() && roots.iter().all(MountInfo::is_whole_disk);
        let is_on_rootfs = !roots.is_empty() && roots.iter().all(MountInfo::is_on_rootfs);
        // The mount namespace of the boot: markers in the root are left from where the disk was made.
        if is_initial && is_on_rootfs && has_host_root {
            return Kind::Host;
        }
        if !self.has_container_marker {
            // A mount namespace that was created later, as systemd does for services, among them CI runners; or a root that
            // is an overlay, as of live systems and images of clouds.
            let is_of_init =
                self.has_root_of_init.unwrap_or(self.is_booted) && self.has_root_of_init != Some(false);
            if is_initial && is_of_init && (has_host_root || is_on_rootfs && self.is_booted) {
                return Kind::Host;
            }
            if self.is_wsl && is_initial_user && has_host_root {
                return Kind::Host;
            }
        }
        let is_container_root = roots.iter().any(|root| root.is_layered() || root.is_directory());
        if self.has_container_marker || is_container_root { Kind::Container } else { Kind::Unknown }
    }

    /// Whether `/` is a directory of an overlay, not the whole.
    pub(super) fn is_part_of_overlay(&self) -> bool {
        self.roots().last().is_some_and(|root| root.is_layered() && root.root != "/")
    }

    /// What is mounted at `/`.
    fn roots(&self) -> Vec<MountInfo<'_>> {
        let mounts = self.mounts.as_deref().unwrap_or_default().lines().filter_map(MountInfo::parse);
        mounts.filter(|mount| mount.point == "/").collect()
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

    /// Whether the whole of a disk is mounted. If a directory of the host is the root of a container, the root of the mount is
    /// that directory: Buildah's chroot isolation with the vfs driver has neither pid and user namespaces nor an overlay.
    fn is_whole_disk(&self) -> bool {
        HOST_FILE_SYSTEMS.contains(&self.file_system) && !self.is_directory()
    }

    /// The root of a host may be a subvolume of btrfs, and a directory in a subvolume is not one.
    fn is_directory(&self) -> bool {
        let is_subvolume = self.file_system == "btrfs"
            && self.options.split(',').any(|option| option.strip_prefix("subvol=") == Some(self.root));
        self.root != "/" && !is_subvolume
    }

    fn is_layered(&self) -> bool {
        LAYERED_FILE_SYSTEMS.contains(&self.file_system)
    }

    fn is_on_rootfs(&self) -> bool {
        ROOTFS_MOUNT_IDS.contains(&self.parent_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "22 27 0:21 / /proc rw,relatime shared:7 - proc proc rw\n\
                        27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n\
                        30 27 0:27 / /tmp rw,nosuid - tmpfs tmpfs rw\n";
    /// The mount namespace of a service.
    const SERVICE: &str = "512 480 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n";
    const OVERLAY: &str = "27 1 0:40 / / rw - overlay overlay rw,lowerdir=/l\n";

    fn host() -> System {
        System {
            pid_namespace: Some(INITIAL_PID_NAMESPACE.to_owned()),
            user_namespace: Some(INITIAL_USER_NAMESPACE.to_owned()),
            mounts: Some(HOST.to_owned()),
            ..System::default()
        }
    }

    fn with(mounts: &str, change: impl FnOnce(&mut System)) -> Kind {
        let mut system = System { mounts: Some(mounts.to_owned()), ..host() };
        change(&mut system);
        system.kind()
    }

    #[test]
    fn each_single_doubt_rules_out_a_plain_host() {
        assert_eq!(host().kind(), Kind::Host);
        type Change = fn(&mut System);
        let doubts: [(&str, Change); 6] = [
            ("nothing can be read", |system| *system = System::default()),
            ("another pid namespace", |system| system.pid_namespace = Some("pid:[4026532281]".into())),
            ("no pid namespace", |system| system.pid_namespace = None),
            ("another user namespace", |system| system.user_namespace = Some("user:[4026532280]".into())),
            ("no user namespace", |system| system.user_namespace = None),
            ("no mounts", |system| system.mounts = None),
        ];
        for (doubt, change) in doubts {
            assert_eq!(with(HOST, change), Kind::Unknown, "{doubt}");
        }
    }

    #[test]
    fn a_marker_in_the_disk_of_a_machine_is_no_container() {
        assert_eq!(with(HOST, |system| system.has_container_marker = true), Kind::Host);
        assert_eq!(with(SERVICE, |system| system.has_container_marker = true), Kind::Container);
    }

    #[test]
    fn a_service_with_its_own_mounts_is_on_a_host() {
        assert_eq!(with(SERVICE, |_| {}), Kind::Unknown);
        assert_eq!(with(SERVICE, |system| system.has_root_of_init = Some(true)), Kind::Host);
        assert_eq!(with(SERVICE, |system| system.is_booted = true), Kind::Host);
        // A chroot into a disk, with /run of the host in it.
        let chroot = |system: &mut System| (system.is_booted, system.has_root_of_init) = (true, Some(false));
        assert_eq!(with(SERVICE, chroot), Kind::Unknown);
    }

    #[test]
    fn an_overlay_is_the_root_of_a_host_only_if_it_was_booted_from() {
        assert_eq!(with(OVERLAY, |_| {}), Kind::Container);
        assert_eq!(with(OVERLAY, |system| system.has_root_of_init = Some(true)), Kind::Container);
        assert_eq!(with(OVERLAY, |system| system.is_booted = true), Kind::Host);
        let later = OVERLAY.replace("27 1 ", "512 480 ");
        assert_eq!(with(&later, |system| system.is_booted = true), Kind::Container);
        let in_namespace = |system: &mut System| {
            (system.is_booted, system.pid_namespace) = (true, Some("pid:[4026532281]".into()));
        };
        assert_eq!(with(OVERLAY, in_namespace), Kind::Container);
    }

    #[test]
    fn a_distribution_in_windows_is_a_host() {
        let wsl = |system: &mut System| {
            (system.is_wsl, system.pid_namespace) = (true, Some("pid:[4026532281]".into()));
        };
        assert_eq!(with(SERVICE, wsl), Kind::Host);
        let container = |system: &mut System| {
            wsl(system);
            system.has_container_marker = true;
        };
        assert_eq!(with(SERVICE, container), Kind::Container);
        assert_eq!(with(OVERLAY, wsl), Kind::Container);
    }

    #[test]
    fn the_root_mount_decides() {
        use Kind::{Container, Host, Unknown};
        let cases = [
            ("a disk", Host, "27 1 254:0 / / rw - ext4 /dev/vda rw\n"),
            ("rootfs with the id 0", Host, "18 0 8:1 / / rw shared:1 master:2 - xfs /dev/sda1 rw\n"),
            ("a subvolume", Host, "29 1 0:25 /@ / rw - btrfs /dev/sda2 rw,ssd,subvolid=256,subvol=/@\n"),
            (
                "a directory of btrfs",
                Container,
                "29 1 0:25 /@/vfs/dir/a / rw - btrfs /dev/sda2 rw,subvol=/@\n",
            ),
            ("an overlay", Container, OVERLAY),
            ("fuse-overlayfs", Container, "27 1 0:40 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw\n"),
            ("aufs", Container, "27 1 0:40 / / rw - aufs none rw,si=1\n"),
            ("memory", Unknown, "27 1 0:40 / / rw - tmpfs none rw\n"),
            ("a directory of the host", Container, "27 1 254:0 /var/lib/vfs/dir/a / rw - ext4 /dev/vda rw\n"),
            ("a chroot into a disk", Unknown, "312 27 254:16 / / rw - ext4 /dev/vdb rw\n"),
            (
                "two roots, one of them an overlay",
                Container,
                "27 1 254:0 / / rw - ext4 /dev/vda rw\n99 27 0:40 / / rw - overlay overlay rw\n",
            ),
            ("a chroot into a directory", Unknown, "22 27 0:21 / /proc rw - proc proc rw\n"),
            ("a cut line", Unknown, "27 1 254:0 / / rw - ext4"),
            ("nothing", Unknown, ""),
        ];
        for (case, expected, mounts) in cases {
            assert_eq!(with(mounts, |_| {}), expected, "{case}");
        }
    }

    #[test]
    fn a_part_of_an_overlay_is_recognised() {
        let is_part =
            |mounts: &str| System { mounts: Some(mounts.to_owned()), ..host() }.is_part_of_overlay();
        assert!(!is_part(OVERLAY) && !is_part(HOST) && !is_part(""));
        assert!(is_part("27 1 0:40 /root / rw - overlay overlay rw,lowerdir=/l\n"));
    }
}
