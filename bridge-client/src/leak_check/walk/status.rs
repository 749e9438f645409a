//! The metadata of a directory entry on Linux, by statx(2) where that is available.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::clock::Time;

pub(super) struct Status {
    pub(super) kind: FileType,
    pub(super) changed: Time,
    /// `None` on file systems that do not record it.
    pub(super) born: Option<Time>,
    pub(super) identity: Identity,
    pub(super) mount: Mount,
    pub(super) links: u64,
    /// Whether it is the root of a mount. Always `false` before Linux 5.8.
    pub(super) is_mount_root: bool,
    /// Whether it has holes, which need not be read.
    pub(super) is_sparse: bool,
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// A mounted file system. The same device may be mounted at several places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// Linux 5.8 and later.
    Id(u64),
    Device(u64),
}

impl Status {
    /// The status of `name` in `directory`.
    pub(super) fn of(directory: impl AsFd, name: &CStr, flags: AtFlags) -> Result<Self, Errno> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
        match rustix::fs::statx(&directory, name, flags, wanted) {
            Ok(status) => {
                let device = u64::from(status.stx_dev_major) << 32 | u64::from(status.stx_dev_minor);
                let has = |what: StatxFlags| status.stx_mask & what.bits() != 0;
                let time = |time: StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
                Ok(Self {
                    kind: FileType::from_raw_mode(status.stx_mode.into()),
                    changed: time(status.stx_ctime),
                    born: has(StatxFlags::BTIME).then(|| time(status.stx_btime)),
                    identity: (device, status.stx_ino),
                    mount: if has(StatxFlags::MNT_ID) {
                        Mount::Id(status.stx_mnt_id)
                    } else {
                        Mount::Device(device)
                    },
                    links: status.stx_nlink.into(),
                    is_mount_root: status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
                    is_sparse: status.stx_blocks.saturating_mul(512) < status.stx_size,
                })
            }
            // Before Linux 4.11, or where seccomp blocks statx(2).
            Err(Errno::NOSYS) => {
                let status = rustix::fs::statat(&directory, name, flags)?;
                Ok(Self {
                    kind: FileType::from_raw_mode(status.st_mode),
                    changed: (status.st_ctime as i64, status.st_ctime_nsec as i64),
                    born: None,
                    identity: (status.st_dev, status.st_ino),
                    mount: Mount::Device(status.st_dev),
                    links: status.st_nlink as u64,
                    is_mount_root: false,
                    is_sparse: (status.st_blocks as i64).saturating_mul(512) < status.st_size as i64,
                })
            }
            Err(error) => Err(error),
        }
    }
}
