//! The leak check: files that COMMAND wrote are searched for its secrets, and a match fails the step.
//!
//! The tests use a scratch root, a small file system of its own: on this machine's root file system the check would be
//! slow, and would find what other tests write.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use crate::support::require::{Need, require};
use crate::support::{BINARY, Bridge, Outcome, Start as _};

const TOKEN: &str = "xK9-hunter2/Qw7+leaks";
const PASSWORD: &str = "pw-5d0c7e21Zx";

/// Mounts this machine's programs into the root `$1` and runs secrets-bridge there. `$2` is the kind of root: `overlay`
/// first mounts an overlay on it, `host` starts in /app.
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
if [ "$kind" = host ]; then
    exec chroot "$root" sh -c 'cd /app && exec /secrets-bridge "$@"' sh "$@"
fi
exec chroot "$root" /secrets-bridge "$@"
"#;

/// What /proc shows on a host: the kernel's initial namespaces, and a disk mounted as root on the rootfs.
const HOST_NAMESPACES: [(&str, &str); 2] = [("pid", "pid:[4026531836]"), ("user", "user:[4026531837]")];
const HOST_MOUNTS: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";

/// A bridge, and a root directory for builds that dial it.
struct Scene {
    bridge: Bridge,
    root: PathBuf,
    kind: &'static str,
}

impl Scene {
    fn new() -> Self {
        Self::of("plain")
    }

    fn of(kind: &'static str) -> Self {
        let bridge = Bridge::serve([
            "--secret",
            &format!("TOKEN={TOKEN}"),
            "--secret",
            "SHORT=hunter2",
            "--secret",
            &format!("netrc=machine git.example login me password {PASSWORD}"),
        ]);
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
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bridge.home.program("unshare", ["--mount"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", ENTER, "enter"]).arg(&self.root).args([self.kind, BINARY]).args(args);
        command.env("BRIDGE_CONF", &self.bridge.conf).env("HOME", "/root").env_remove("TMPDIR");
        command
    }

    /// Makes a link in the root point to `target`.
    fn replace(&self, link: &str, target: &str) {
        let link = self.root.join(link);
        fs::remove_file(&link).unwrap();
        symlink(target, link).unwrap();
    }

    /// `exec -e TOKEN --sh SCRIPT`.
    fn exec(&self, script: &str) -> Outcome {
        self.exec_with(&["-e", "TOKEN"], script)
    }

    fn exec_with(&self, options: &[&str], script: &str) -> Outcome {
        self.command(&[&["exec"], options, &["--sh", script]].concat()).outcome()
    }
}

/// A root directory of the test's own, entered in a mount namespace.
const SCRATCH_ROOT: Need = Need {
    name: "scratch root",
    missing: || {
        static MISSING: OnceLock<Option<String>> = OnceLock::new();
        MISSING.get_or_init(|| cannot_enter("plain")).clone()
    },
    remedy: "run as root, or where ordinary users may make user namespaces",
};

/// As [`SCRATCH_ROOT`], with an overlay mounted on it.
const OVERLAY_ROOT: Need = Need {
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
fn assert_leaks(outcome: Outcome, leaks: &[&str]) {
    let outcome = outcome.exits_with(125).never_says(TOKEN).never_says(PASSWORD);
    let reported: Vec<&str> = outcome.stderr.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(reported, leaks, "{}", outcome.stderr);
    outcome
        .says("secrets-bridge: COMMAND wrote secrets to files")
        .says("\nhint: remove the files in the same step");
}

#[test]
fn a_secret_in_a_new_file_fails_the_step_and_is_named() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // In every directory, not only in the working directory or the user's home.
    assert_leaks(
        scene.exec("cd /app; mkdir -p deep/er; printf 'url = https://x:%s@host\n' $TOKEN > deep/er/config"),
        &["/app/deep/er/config: TOKEN (raw)"],
    );
    assert_leaks(
        scene.exec("echo \"Authorization: $TOKEN\" >> /var/lib/tool/log"),
        &["/var/lib/tool/log: TOKEN (raw)"],
    );
}

#[test]
fn encoded_secrets_are_found() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    for before in ["", "a", "ab"] {
        assert_leaks(
            scene.exec(&format!("printf {before}%s $TOKEN | base64 > /tmp/header")),
            &["/tmp/header: TOKEN (base64)"],
        );
    }
    assert_leaks(
        scene.exec("echo https://h/?t=$TOKEN | sed 's,\\([^/]\\)/Q,\\1%2FQ,; s,+,%2B,' > /tmp/url"),
        &["/tmp/url: TOKEN (url-encoded)"],
    );
    assert_leaks(
        scene.exec("printf %s $TOKEN | od -An -v -tx1 | tr -d ' \n' > /tmp/hex"),
        &["/tmp/hex: TOKEN (hex)"],
    );
}

#[test]
fn each_value_in_a_file_of_secrets_is_searched_for() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    assert_leaks(
        scene.exec_with(&["--file", "netrc=~/.netrc"], "sed 's/.* //' ~/.netrc > /app/copied"),
        &["/app/copied: netrc (a part of it, raw)"],
    );
}

#[test]
fn a_copy_in_place_of_a_delivered_file_is_found() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let file = ["--file", "TOKEN=/app/token"];
    scene.exec_with(&file, "grep -q xK9 /app/token").succeeds();
    assert!(!scene.root.join("app/token").exists());
    // As `sed -i` and many editors do.
    assert_leaks(
        scene.exec_with(&file, "cp /app/token /app/new && mv /app/new /app/token"),
        &["/app/token: TOKEN (raw)"],
    );
}

#[test]
fn names_and_link_targets_are_searched_and_paths_show_no_secret() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script =
        "cd /app; ln -s \"nowhere/$PW\" link; mkdir \"$PW\"; echo $PW > \"$PW/a\"; mkfifo \"$PW/$PW\"";
    let script = format!("PW=${{NETRC##* }}; {script}");
    assert_leaks(
        scene.exec_with(&["-e", "NETRC=netrc"], &script),
        &[
            "/app/***: netrc (a part of it, raw, in the name)",
            "/app/***/***: netrc (a part of it, raw, in the name)",
            "/app/***/a: netrc (a part of it, raw)",
            "/app/link: netrc (a part of it, raw, in the target of the link)",
        ],
    );
}

#[test]
fn older_files_are_searched_only_after_a_change() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let old = scene.root.join("app/old");
    fs::write(&old, format!("{TOKEN}\n")).unwrap();
    symlink(TOKEN, scene.root.join("app/old-link")).unwrap();
    // Timestamps of files advance only a few hundred times in a second.
    let written = fs::metadata(&old).unwrap();
    let is_past = || {
        let now = fs::metadata(scene.bridge.home.file("now", "")).unwrap();
        (now.ctime(), now.ctime_nsec()) > (written.ctime(), written.ctime_nsec())
    };
    while !is_past() {
        std::thread::yield_now();
    }
    scene.exec("cat /app/old; echo x > /app/new").succeeds().prints("***\n");
    // The modification time can be set, as cp -p and tar do. The change time cannot.
    assert_leaks(scene.exec("touch -d 2001-01-01 /app/old"), &["/app/old: TOKEN (raw)"]);
}

#[test]
fn other_file_systems_are_not_searched() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    scene
        .exec("echo $TOKEN > /run/cache; echo $TOKEN > /dev/shm/sb-test-$$; rm /dev/shm/sb-test-$$")
        .succeeds();
}

#[test]
fn links_are_not_followed_and_special_files_do_not_block() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script = "cd /app; ln -s / root; ln -s /run away; echo $TOKEN > away/file; ln -s gone dangling; \
                  mkfifo fifo; echo $TOKEN > one; ln one two; truncate -s 100G holes; echo ok >> holes";
    let outcome = scene.exec(script).exits_with(125);
    // A file with several hard links is reported once, by any of them.
    let reported: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(
        matches!(reported.as_slice(), ["  /app/one: TOKEN (raw)" | "  /app/two: TOKEN (raw)"]),
        "{}",
        outcome.stderr
    );
    // Data between the holes of a sparse file is searched.
    assert_leaks(
        scene
            .exec("cd /app; rm -f one two; truncate -s 1G holes; echo $TOKEN >> holes; truncate -s 2G holes"),
        &["/app/holes: TOKEN (raw)"],
    );
}

#[test]
fn the_exit_code_of_command_stays_and_the_leak_is_reported() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    scene
        .exec("echo $TOKEN > /app/f; exit 7")
        .exits_with(7)
        .says("warning: COMMAND wrote a secret to a file: /app/f: TOKEN (raw)");
    scene.exec("echo $TOKEN > /app/f; kill -KILL $$").exits_with(137).says("/app/f: TOKEN (raw)");
}

#[test]
fn the_check_can_warn_or_be_off_for_all_or_one_key() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script = "echo $TOKEN > /app/f";
    let options = ["-e", "TOKEN", "--leaks", "warn"];
    scene
        .exec_with(&options, script)
        .succeeds()
        .says("warning: COMMAND wrote a secret to a file: /app/f: TOKEN");
    let outcome = scene.exec_with(&["-e", "TOKEN", "--leaks", "off"], script).succeeds();
    assert_eq!(outcome.stderr, "");
    scene.exec_with(&["-e", "TOKEN,leaks=off"], script).succeeds().never_says("TOKEN");
    let one = ["-e", "TOKEN,leaks=off", "--file", "netrc=/app/netrc"];
    assert_leaks(
        scene.exec_with(&one, &format!("{script}; cp -L /app/netrc /app/g")),
        &["/app/g: netrc (raw)"],
    );
    scene
        .exec_with(&["-e", "TOKEN", "--leaks", "maybe"], script)
        .fails()
        .says("invalid --leaks: must be fail, warn or off");
}

#[test]
fn a_clean_step_prints_nothing_without_verbose() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let outcome = scene.exec("echo harmless > /app/f").succeeds();
    assert_eq!(outcome.stderr, "");
    scene
        .exec_with(&["-v", "-e", "TOKEN"], "echo harmless > /app/f")
        .says("leak check of the file system of /: ")
        .says(" files checked, ");
}

#[test]
fn command_replaces_exec_if_no_secret_can_be_searched_for() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // Each program on the way to `exec` is replaced by the next one. If COMMAND replaces `exec` too, it is a child of
    // this test.
    let is_our_child = |key| {
        let outcome =
            scene.exec_with(&["--no-mask", "-e", key], "echo $PPID; echo $SHORT > /app/f").succeeds();
        outcome.text().trim() == std::process::id().to_string()
    };
    assert!(is_our_child("SHORT"));
    assert!(!is_our_child("TOKEN"));
}

#[test]
fn in_an_overlay_only_the_upper_layer_is_searched() {
    require!(OVERLAY_ROOT);
    let scene = Scene::of("overlay");
    fs::write(scene.root.join("app/config"), "[remote]\n").unwrap();
    for number in 0..500 {
        let image = scene.root.join(format!("app/in/the/image/{number}"));
        fs::create_dir_all(&image).unwrap();
        fs::write(image.join("file"), "x").unwrap();
    }
    let outcome =
        scene.exec_with(&["-v", "-e", "TOKEN"], "cat /app/in/the/image/*/file > /app/in/all").succeeds();
    let (before, _) = outcome.stderr.split_once(" files checked").unwrap();
    let checked: u32 = before.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(checked < 500, "{checked}");
    let script = "echo $TOKEN >> /app/config; echo $TOKEN > /app/in/the/image/7/new; \
                  echo $TOKEN >> /app/in/the/image/8/file; echo $TOKEN > /fresh";
    assert_leaks(
        scene.exec(script),
        &[
            "/app/config: TOKEN (raw)",
            "/app/in/the/image/7/new: TOKEN (raw)",
            "/app/in/the/image/8/file: TOKEN (raw)",
            "/fresh: TOKEN (raw)",
        ],
    );
    // A file that is in the upper layer already is found after it moved.
    let script = "echo x > /fresh; rm /app/in/the/image/7/new; echo x > /app/config; \
                  mkdir /moved; mv /app/in/the/image/8/file /moved; echo more >> /moved/file";
    assert_leaks(scene.exec(script), &["/moved/file: TOKEN (raw)"]);
    // And one whose directory has not changed since.
    let script = "echo $TOKEN >> /app/config; echo x > /moved/file";
    assert_leaks(scene.exec(script), &["/app/config: TOKEN (raw)"]);
}

#[test]
fn on_a_plain_host_only_the_user_directories_are_searched() {
    require!(SCRATCH_ROOT);
    let scene = Scene::of("host");
    let elsewhere = "echo $TOKEN > /var/lib/tool/log; echo $TOKEN > /outside";
    scene
        .exec_with(&["-v", "-e", "TOKEN"], elsewhere)
        .succeeds()
        .says("leak check of /app, /root and /tmp: ");
    let script =
        format!("{elsewhere}; for d in /app/deep /root /tmp; do mkdir -p $d; echo $TOKEN > $d/file; done");
    let files = ["/app/deep/file: TOKEN (raw)", "/root/file: TOKEN (raw)", "/tmp/file: TOKEN (raw)"];
    assert_leaks(scene.exec(&script), &files);
    // In a tmpfs too, and each file only once if one directory contains another.
    let mut command = scene.command(&[
        "exec",
        "-e",
        "TOKEN",
        "--sh",
        "mkdir /run/tmp; echo $TOKEN | tee new > /run/tmp/new",
    ]);
    let outcome = command.env("HOME", "/").env("TMPDIR", "/run/").outcome();
    assert_leaks(outcome, &["/app/new: TOKEN (raw)", "/run/tmp/new: TOKEN (raw)"]);
}

#[test]
fn any_sign_of_a_container_searches_the_whole_root() {
    type Change = fn(&Scene);
    let signs: [(&str, Change); 4] = [
        ("a pid namespace", |scene| scene.replace("proc/self/ns/pid", "pid:[4026532281]")),
        ("a user namespace", |scene| scene.replace("proc/self/ns/user", "user:[4026532280]")),
        ("an overlay", |scene| {
            let mounts = HOST_MOUNTS.replace("ext4", "overlay");
            fs::write(scene.root.join("proc/self/mountinfo"), mounts).unwrap();
        }),
        ("a marker", |scene| fs::write(scene.root.join(".dockerenv"), "").unwrap()),
    ];
    require!(SCRATCH_ROOT);
    for (sign, change) in signs {
        let scene = Scene::of("host");
        change(&scene);
        let outcome = scene.exec_with(&["-v", "-e", "TOKEN"], "echo $TOKEN > /outside");
        let outcome = outcome.says("leak check of the file system of /: ");
        assert!(outcome.stderr.contains("  /outside: TOKEN (raw)\n"), "{sign}: {}", outcome.stderr);
        outcome.exits_with(125);
    }
}

#[test]
fn a_signal_ends_the_check() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // Blocks that are allocated and not written: reading them takes the check longer than this test.
    let script = "fallocate -l 3G /app/large || { rm -f /app/large; echo no room; }";
    let process = scene.command(&["exec", "-e", "TOKEN", "--sh", script]).start();
    process.says("searching what COMMAND wrote for secrets");
    process.signal(Signal::TERM);
    process.ends().exits_with(128 + Signal::TERM.as_raw());
}
