//! A root directory of its own for each test of the leak check, entered in a mount namespace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::require::Need;
use crate::support::{BINARY, Bridge, Outcome, Start as _};

pub(super) const TOKEN: &str = "xK9-hunter2/Qw7+leaks";
pub(super) const PASSWORD: &str = "pw-5d0c7e21Zx";

/// Mounts this machine's programs into the root `$1` and runs secrets-bridge there. `$2` is the kind of root: `overlay`
/// first mounts an overlay on it, `host` starts in /app, `mounted` in /workspace, which is another mount, and `kaniko` also
/// by a process with the name and the arguments of kaniko's executor.
const ENTER: &str = r#"
set -e
root=$1 kind=$2 binary=$3
shift 3
if [ "$kind" = overlay ]; then
    mkdir -p "$root-layers/upper" "$root-layers/work"
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$root-layers/upper,workdir=$root-layers/work" "$root"
fi
for name in usr bin sbin lib lib32 lib64 dev; do
    if [ -d "/$name" ] && [ ! -L "/$name" ]; then mount --rbind "/$name" "$root/$name"; fi
done
mount -t tmpfs tmpfs "$root/run"
mount --bind "$binary" "$root/secrets-bridge"
# Directories of PATH other than these do not exist in the root.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ "$kind" = kaniko ] || [ "$kind" = mounted ]; then
    mkdir -p "$root/workspace" "$root-workspace"
    mount --bind "$root-workspace" "$root/workspace"
fi
if [ "$kind" = mounted ]; then
    exec chroot "$root" sh -c 'cd /workspace && exec /secrets-bridge "$@"' sh "$@"
fi
if [ "$kind" = kaniko ]; then
    mkdir -p "$root/proc"
    mount --rbind /proc "$root/proc"
    exec chroot "$root" /usr/bin/python3 -c 'import os, sys
os.execv("/usr/bin/python3", ["/kaniko/executor", "-c", "import os, subprocess, sys; os.chdir(\"/workspace\"); sys.exit(subprocess.call([\"/secrets-bridge\"] + sys.argv[2:]))", "--ignore-path=/cache"] + sys.argv[1:])' "$@"
fi
if [ "$kind" = host ]; then
    exec chroot "$root" sh -c 'cd /app && exec /secrets-bridge "$@"' sh "$@"
fi
exec chroot "$root" /secrets-bridge "$@"
"#;

/// What /proc shows on a host: the kernel's initial namespaces, and a disk mounted as root on the rootfs.
const HOST_NAMESPACES: [(&str, &str); 2] = [("pid", "pid:[4026531836]"), ("user", "user:[4026531837]")];
pub(super) const HOST_MOUNTS: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";

/// A bridge, and a root directory for builds that dial it.
pub(super) struct Scene {
    pub(super) bridge: Bridge,
    pub(super) root: PathBuf,
    kind: &'static str,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::of("plain")
    }

    pub(super) fn of(kind: &'static str) -> Self {
        Self::serving(
            kind,
            &[
                "--secret",
                &format!("TOKEN={TOKEN}"),
                "--secret",
                "SHORT=hunter2",
                "--secret",
                &format!("netrc=machine git.example login me password {PASSWORD}"),
            ],
        )
    }

    /// With other secrets.
    pub(super) fn serving(kind: &'static str, options: &[impl AsRef<OsStr>]) -> Self {
        let bridge = Bridge::serve(options);
        let root = bridge.home.path("root");
        for name in ["app", "root", "run", "tmp", "var/lib/tool", "usr", "bin", "sbin", "dev"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
            let (here, inside) = (PathBuf::from("/").join(name), root.join(name));
            if let Ok(target) = fs::read_link(&here) {
                let _ = fs::remove_dir(&inside);
                symlink(target, inside).unwrap();
            } else if here.is_dir() {
                fs::create_dir_all(inside).unwrap();
            }
        }
        fs::write(root.join("secrets-bridge"), "").unwrap();
        if kind == "kaniko" {
            fs::create_dir_all(root.join("kaniko")).unwrap();
            fs::create_dir_all(root.join("etc")).unwrap();
        }
        if kind == "host" {
            fs::create_dir_all(root.join("proc/self/ns")).unwrap();
            for (name, namespace) in HOST_NAMESPACES {
                symlink(namespace, root.join("proc/self/ns").join(name)).unwrap();
            }
            fs::write(root.join("proc/self/mountinfo"), HOST_MOUNTS).unwrap();
        }
        Self { bridge, root, kind }
    }

    /// `secrets-bridge ARGS` in the root.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bridge.home.program("unshare", ["--mount"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", ENTER, "enter"]).arg(&self.root).args([self.kind, BINARY]).args(args);
        command.env("BRIDGE_CONF", &self.bridge.conf).env("HOME", "/root").env_remove("TMPDIR");
        command
    }

    /// Makes a link in the root point to `target`.
    pub(super) fn replace(&self, link: &str, target: &str) {
        let link = self.root.join(link);
        fs::remove_file(&link).unwrap();
        symlink(target, link).unwrap();
    }

    /// `exec -e TOKEN --sh SCRIPT`.
    pub(super) fn exec(&self, script: &str) -> Outcome {
        self.exec_with(&["-e", "TOKEN"], script)
    }

    pub(super) fn exec_with(&self, options: &[&str], script: &str) -> Outcome {
        self.command(&[&["exec"], options, &["--sh", script]].concat()).outcome()
    }
}

/// A root directory of the test's own, entered in a mount namespace.
pub(super) const SCRATCH_ROOT: Need = Need {
    name: "scratch root",
    missing: || {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        MISSING.get_or_init(|| cannot_enter("plain")).clone()
    },
    remedy: "run as root, or where ordinary users may make user namespaces",
};

/// As [`SCRATCH_ROOT`], with an overlay mounted on it.
pub(super) const OVERLAY_ROOT: Need = Need {
    name: "overlay root",
    missing: || {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        MISSING.get_or_init(|| cannot_enter("overlay")).clone()
    },
    remedy: "run as root with TMPDIR on a file system that can be below an overlay",
};

fn cannot_enter(kind: &'static str) -> Option<String> {
    let tried = Scene::of(kind).command(&["--version"]).outcome();
    (tried.code() != Some(0)).then_some(tried.stderr)
}

/// `exec` fails and reports exactly `leaks`, without the values.
#[track_caller]
pub(super) fn assert_leaks(outcome: Outcome, leaks: &[&str]) {
    let outcome = outcome.exits_with(125).never_says(TOKEN).never_says(PASSWORD);
    let reported: Vec<&str> = outcome.stderr.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(reported, leaks, "{}", outcome.stderr);
    outcome
        .says("secrets-bridge: COMMAND wrote secrets to files")
        .says("\nsearched: ")
        .says("\nhint: remove the files in the same step");
}
