//! What a test needs of the machine besides this checkout, and the only way to skip a test.
//!
//! A test names its needs in its first line: `require!(SSH_SERVER, RSYNC);`. Where one is missing, the test fails and
//! says what is missing and how to get it. libtest has no way to skip a test that runs, so only `cargo xtask test`
//! turns the failure into a skip: it names a file in [`SKIPS`], to which the test adds a line before it returns, and
//! counts the lines.
//!
//! This file needs nothing but std, so that unit tests of other crates can include it by `#[path]`.

#[cfg(unix)]
use std::fs;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fmt};

/// The variable with the file to which skipped tests are added, a line each: `NAME <tab> NEED <tab> REASON`.
pub const SKIPS: &str = "SECRETS_BRIDGE_TEST_SKIPS";

/// The variable with the names of needs, separated by commas, for which a test may be skipped. If it is not set and
/// [`SKIPS`] is, a test may be skipped for any.
pub const ALLOWED: &str = "SECRETS_BRIDGE_TEST_ALLOWED_SKIPS";

/// One thing that a test needs.
#[derive(Clone, Copy)]
pub struct Need {
    /// Its name in messages and for `--allow-skip`.
    pub name: &'static str,
    /// Why it is not available; `None` if it is.
    pub missing: fn() -> Option<String>,
    /// How to get it.
    pub remedy: &'static str,
}

/// What is missing for a test.
struct Missing {
    need: &'static str,
    reason: String,
    remedy: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {}: {}; {}", self.need, self.reason, self.remedy)
    }
}

/// Returns from the test, skipped, or panics, unless the machine has all of these [`Need`]s.
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        // The name of this function contains that of the test. The thread's name does not if tests run one at a time.
        fn here() {}
        if !$crate::support::require::are_met(std::any::type_name_of_val(&here), &[$($need),+]) {
            return;
        }
    };
}
pub(crate) use require;

/// A need for programs of Debian packages.
macro_rules! programs {
    ($name:literal, [$($program:literal),+], $packages:literal) => {
        Need {
            name: $name,
            missing: || first_missing(&[$($program),+]),
            remedy: concat!("install ", $packages, " (or run `cargo xtask test --install`)"),
        }
    };
}

pub const BUILDAH: Need = programs!("buildah", ["buildah"], "buildah");
pub const COMPRESSORS: Need =
    programs!("compressors", ["pzstd", "xz", "bzip2", "pigz", "lz4"], "zstd, xz-utils, bzip2, pigz and lz4");
pub const CURL: Need = programs!("curl", ["curl"], "curl");
/// The tools that write secrets in tests/leaks/tools.
#[allow(dead_code, reason = "only tests/leaks uses it")]
pub const FORMS: Need = programs!(
    "the tools of the table of forms",
    [
        "bash",
        "dash",
        "busybox",
        "zsh",
        "jq",
        "/usr/bin/python3",
        "node",
        "php",
        "java",
        "jar",
        "perl",
        "openssl",
        "xxd",
        "od",
        "hexdump",
        "git",
        "gzip",
        "bzip2",
        "xz",
        "zstd",
        "zip",
        "npm",
        "curl",
        "wget",
        "xmllint",
        "iconv"
    ],
    "busybox, zsh, jq, python3-yaml, nodejs, npm, php-cli, default-jdk-headless, liburi-perl, openssl, xxd, \
     bsdextrautils, git, bzip2, xz-utils, zstd, zip, curl, wget and libxml2-utils"
);
pub const GIT: Need = programs!("git", ["git"], "git");
#[allow(dead_code, reason = "unit tests of leaks use it")]
pub const GPG: Need = programs!("gpg", ["gpg", "gpg-agent"], "gpg and gpg-agent");
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const GIT_LFS: Need = programs!("git-lfs", ["git-lfs"], "git-lfs");
pub const HTTPS_SERVER: Need =
    programs!("an https server for git", ["nginx", "fcgiwrap", "git"], "nginx, fcgiwrap and git");
pub const JAVA: Need = programs!("keytool", ["keytool"], "default-jre-headless");
/// Runs a Java program from its source.
pub const JDK: Need = programs!("a JDK", ["java", "javac"], "default-jdk-headless");
pub const NGINX: Need = programs!("nginx", ["nginx"], "nginx-light");
pub const NPM: Need = programs!("npm", ["npm"], "npm");
pub const OPENSSH: Need =
    programs!("OpenSSH", ["ssh", "ssh-agent", "ssh-add", "ssh-keygen"], "openssh-client");
pub const OPENSSL: Need = programs!("openssl", ["openssl"], "openssl");
pub const PIP: Need = programs!("pip", ["pip"], "python3-pip");
pub const PYTHON: Need = programs!("python3", ["python3"], "python3");
/// Kills a process at a chosen system call.
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const STRACE: Need = programs!("strace", ["strace"], "strace");
/// Programs that start others as another user.
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const OTHER_USERS: Need = programs!(
    "programs that change the user",
    ["su", "runuser", "setpriv", "sudo", "gosu"],
    "util-linux, sudo and gosu"
);
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const TCPDUMP: Need = programs!("tcpdump", ["tcpdump"], "tcpdump");
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const ZIP: Need = programs!("zip", ["zip"], "zip");
pub const SKOPEO: Need = programs!("skopeo", ["skopeo"], "skopeo");
pub const RSYNC: Need = programs!("rsync", ["rsync"], "rsync");

/// Root, for operations that ordinary users may not do.
pub const ROOT: Need = Need {
    name: "root",
    missing: || output("id", &["-u"]).is_none_or(|id| id != "0").then(|| "this user is not root".to_owned()),
    remedy: "run the tests as root",
};

/// Reading the memory of processes that are not dumpable.
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const PTRACE: Need = Need {
    name: "ptrace",
    missing: no_ptrace,
    remedy: "run the tests as root, outside of a container that drops this capability",
};

/// Reading the environment of our processes, or seeing that this user cannot: root's files in `/proc` belong to root whether
/// or not a process is dumpable.
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const ENVIRONMENTS: Need = Need {
    name: "ptrace",
    missing: || if is_root() { no_ptrace() } else { None },
    remedy: "run the tests as an ordinary user, or outside of a container that drops this capability",
};

#[allow(dead_code, reason = "tests/builders does not use it")]
fn no_ptrace() -> Option<String> {
    // CAP_SYS_PTRACE is bit 19 (capabilities(7)).
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let bits = u64::from_str_radix(effective.trim(), 16).unwrap_or(0);
    (bits >> 19 & 1 == 0).then(|| "this process has no CAP_SYS_PTRACE".to_owned())
}

/// IPv6, at least on loopback.
pub const IPV6: Need = Need {
    name: "IPv6",
    missing: || TcpListener::bind("[::1]:0").err().map(|error| format!("cannot listen on [::1]: {error}")),
    remedy: "run the tests on a machine with IPv6 (sysctl net.ipv6.conf.lo.disable_ipv6=0)",
};

/// A `/dev/shm` in memory.
#[allow(dead_code, reason = "unit tests of bridge-client use it")]
pub const SHARED_MEMORY: Need = Need {
    name: "/dev/shm",
    missing: || (file_system("/dev/shm") != "tmpfs").then(|| "/dev/shm is not a tmpfs".to_owned()),
    remedy: "mount a tmpfs at /dev/shm",
};

/// A `/var/tmp` that is not in memory.
#[allow(dead_code, reason = "unit tests of bridge-client use it")]
pub const DISK: Need = Need {
    name: "/var/tmp",
    missing: || match file_system("/var/tmp").as_str() {
        kind @ ("" | "tmpfs" | "ramfs") => Some(format!("/var/tmp is not on a disk ({kind:?})")),
        _ => None,
    },
    remedy: "run the tests on a machine with /var/tmp on a disk",
};

/// The type of the file system that `path` is on; empty if that is unknown.
#[allow(dead_code, reason = "unit tests of bridge-client use it")]
fn file_system(path: &str) -> String {
    output("stat", &["--file-system", "--format=%T", path]).unwrap_or_default()
}

/// A mount namespace with tmpfs in it.
pub const MOUNT_NAMESPACE: Need = Need {
    name: "mount namespace",
    missing: || cannot_unshare(&["--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"]),
    remedy: NAMESPACES,
};

/// A network namespace, in which nothing is reachable.
#[allow(dead_code, reason = "tests/builders does not use it")]
pub const NETWORK_NAMESPACE: Need = Need {
    name: "network namespace",
    missing: || cannot_unshare(&["--net", "--map-root-user", "true"]),
    remedy: NAMESPACES,
};

/// A process namespace in which a program is process 1.
pub const PID_NAMESPACE: Need = Need {
    name: "pid namespace",
    missing: || cannot_unshare(&["--pid", "--fork", "--mount-proc", "true"]),
    remedy: "run the tests as root, outside of a container that forbids namespaces",
};

const NAMESPACES: &str =
    "run the tests where namespaces are allowed (`unshare --map-root-user --mount true`)";

fn cannot_unshare(args: &[&str]) -> Option<String> {
    output("unshare", args).is_none().then(|| format!("`unshare {}` fails", args.join(" ")))
}

/// The output of a program; `None` if it fails.
fn output(program: &str, args: &[&str]) -> Option<String> {
    // A shell reports success by a line, because a process that inherited SIGCHLD as ignored gets no exit status.
    let mut child = Command::new("sh")
        .args(["-c", "\"$@\" && echo succeeded", "sh", program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = Vec::new();
    let read = child.stdout.take()?.read_to_end(&mut stdout);
    let _ = child.wait();
    read.ok()?;
    Some(String::from_utf8_lossy(&stdout).trim_end().strip_suffix("succeeded")?.trim().to_owned())
}

/// The first of `programs` that is not in a directory of PATH or among the programs of system services.
pub fn first_missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| find(program).is_none()).map(|program| format!("there is no {program}"))
}

/// The path of `program`: in PATH or, as an ordinary user's PATH has no services, in their directories. Root's PATH has
/// them: what root does not find there is hidden on purpose.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let services = ["/usr/sbin", "/usr/local/sbin"].into_iter().filter(|_| !is_root()).map(PathBuf::from);
    env::split_paths(&path)
        .chain(services)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Whether the test whose function is `test` can run with these `needs`; [`require!`] calls it.
///
/// # Panics
///
/// If one is missing and may not be skipped.
#[track_caller]
pub fn are_met(test: &str, needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find_map(Need::look) else { return true };
    // `crate::module::test::here`
    let test = test.strip_suffix("::here").unwrap_or(test);
    let test = test.split_once("::").map_or(test, |(_, test)| test);
    skip(test, &missing);
    false
}

impl Need {
    fn look(&self) -> Option<Missing> {
        let reason = (self.missing)()?;
        Some(Missing { need: self.name, reason: one_line(&reason), remedy: self.remedy })
    }

    /// For helpers that cannot work without it, where a test forgot to require it.
    ///
    /// # Panics
    ///
    /// If it is missing.
    pub fn assert(&self) {
        if let Some(missing) = self.look() {
            panic!("{missing}");
        }
    }
}

/// Records that `test` is skipped.
#[track_caller]
fn skip(test: &str, missing: &Missing) {
    let is_allowed = match env::var(ALLOWED) {
        Ok(allowed) => allowed.split(',').any(|name| name == missing.need),
        Err(_) => true,
    };
    let Some(file) = env::var_os(SKIPS).filter(|_| is_allowed) else { panic!("this test {missing}") };
    let line = format!("{test}\t{}\t{}\n", missing.need, missing.reason);
    // In a single write, because other tests append to this file too.
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("cannot write to {}: {error}", PathBuf::from(file).display());
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace('\t', " ")
}
