//! `replace` puts a link where a file stands, and brings the file back: at the end, or after SIGKILL at the next run. Links on
//! the way to a path do not lead it out of the working directory.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::require::{OTHER_USERS, PTRACE, ROOT, STRACE, require};
use crate::support::{BINARY, Bridge, ForeignProcess, Start as _};

const SECRET: &str = "hunter2hunter2";
const ORIGINAL: &str = "their own\n";

fn bridge() -> Bridge {
    Bridge::serve(["--secret", &format!("TOKEN={SECRET}")])
}

fn exec(bridge: &Bridge, file: &str, script: &str) -> Command {
    bridge.client(["exec", "--no-mask", "--leaks=off", "--file", file, "--sh", script])
}

/// What is in the home, except for the log of strace.
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// `exec` is killed at the `number`th of `calls`. Returns whether there was one.
fn kill_at(bridge: &Bridge, calls: &str, number: usize, file: &str, script: &str) -> bool {
    let inject = format!("inject={calls}:signal=KILL:when={number}");
    let mut strace = bridge.home.program("strace", ["-qq", "-o", "/dev/null", "-e", &inject, BINARY]);
    strace.args(["exec", "--no-mask", "--leaks=off", "--file", file, "--sh", script]);
    let outcome = strace.env("BRIDGE_CONF", &bridge.conf).outcome();
    match outcome.code() {
        Some(0) => false,
        _ => {
            assert!(outcome.text().is_empty() || outcome.text() == SECRET, "{}", outcome.stderr);
            true
        }
    }
}

#[test]
fn after_sigkill_at_any_step_the_next_run_restores_the_file() {
    require!(STRACE, PTRACE);
    let bridge = bridge();
    let path = bridge.home.file("npmrc", ORIGINAL);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&path).unwrap();
    let mut kills = 0;
    for calls in ["symlinkat", "renameat2", "unlinkat", "flock"] {
        for number in 1.. {
            if !kill_at(&bridge, calls, number, "TOKEN=npmrc,replace", "cat npmrc") {
                break;
            }
            kills += 1;
            let saved = bridge.home.path("npmrc.sb-original");
            let has_original =
                |path: &Path| fs::metadata(path).is_ok_and(|found| found.ino() == before.ino());
            assert!(has_original(&path) || has_original(&saved), "{calls} {number}");
            let is_away = !has_original(&path);
            let outcome = exec(&bridge, "TOKEN=npmrc,replace", "cat npmrc").outcome().succeeds();
            assert_eq!(outcome.stderr.contains("an exec that was killed had moved it to"), is_away);
            outcome.prints(SECRET);
            let after = fs::metadata(&path).unwrap();
            let facts =
                |found: &fs::Metadata| (found.ino(), found.mode(), found.mtime(), found.uid(), found.nlink());
            assert_eq!(facts(&after), facts(&before), "{calls} {number}");
            assert_eq!(names(&bridge.home.path(".")), ["npmrc"], "{calls} {number}");
        }
    }
    // The link, two exchanges and a removal at least.
    assert!(kills >= 4, "{kills}");
}

#[test]
fn after_sigkill_of_exec_alone_the_path_is_free_again() {
    let bridge = bridge();
    for (file, original) in [("TOKEN=npmrc,replace", Some(ORIGINAL)), ("TOKEN=token", None)] {
        if let Some(original) = original {
            bridge.home.file("npmrc", original);
        }
        let mut first = exec(&bridge, file, "echo $$; exec cat");
        let first = first.stdin(Stdio::piped()).start();
        let command = ForeignProcess::with_id(&first.prints_line());
        // While it runs, another exec leaves its file alone.
        exec(&bridge, file, "true").outcome().exits_with(125).says("is in use by another exec");
        first.signal(Signal::KILL);
        command.signal(Signal::KILL);
        first.exits();
        exec(&bridge, file, "true").outcome().succeeds();
        let left = if original.is_some() { vec!["npmrc"] } else { Vec::new() };
        assert_eq!(names(&bridge.home.path(".")), left);
        let _ = fs::remove_file(bridge.home.path("npmrc"));
    }
}

#[test]
fn a_file_whose_original_may_be_another_is_named_and_kept() {
    let bridge = bridge();
    bridge.home.file("npmrc", "new");
    bridge.home.file("npmrc.sb-original", "old");
    exec(&bridge, "TOKEN=npmrc,replace", "touch started")
        .outcome()
        .exits_with(125)
        .says("npmrc.sb-original is where an exec that was killed leaves what it had found at ");
    assert_eq!(names(&bridge.home.path(".")), ["npmrc", "npmrc.sb-original"]);
    assert_eq!(
        (bridge.home.read("npmrc"), bridge.home.read("npmrc.sb-original")),
        ("new".into(), "old".into())
    );
}

#[test]
fn a_copy_of_the_secret_that_command_put_there_is_removed() {
    let bridge = bridge();
    bridge.home.file("npmrc", ORIGINAL);
    // As npm and other tools write their configuration: a new file takes the place of the old one.
    let rewrite = "cat npmrc > new && echo more >> new && mv new npmrc";
    exec(&bridge, "TOKEN=npmrc,replace", rewrite).outcome().succeeds().says("with the secret at");
    assert_eq!(bridge.home.read("npmrc"), ORIGINAL);
    assert_eq!(names(&bridge.home.path(".")), ["npmrc"]);
}

#[test]
fn what_is_replaced_comes_back_as_it_was() {
    require!(ROOT, OTHER_USERS);
    let bridge = bridge();
    let path = bridge.home.file("file", ORIGINAL);
    fs::hard_link(&path, bridge.home.path("second-name")).unwrap();
    chown(&path, Some(4001), Some(4002)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o4510)).unwrap();
    fs::create_dir(bridge.home.path("directory")).unwrap();
    bridge.home.file("directory/inner", "");
    symlink("second-name", bridge.home.path("link")).unwrap();
    let facts = || {
        ["file", "directory", "link"].map(|name| {
            let found = fs::symlink_metadata(bridge.home.path(name)).unwrap();
            (found.ino(), found.mode(), found.uid(), found.gid(), found.nlink(), found.mtime())
        })
    };
    let before = facts();
    for name in ["file", "directory", "link"] {
        let script = format!("cat {name}; cat second-name");
        exec(&bridge, &format!("TOKEN={name},replace"), &script)
            .outcome()
            .succeeds()
            .prints(format!("{SECRET}{ORIGINAL}"));
    }
    assert_eq!(facts(), before);
    assert_eq!(names(&bridge.home.path(".")), ["directory", "file", "link", "second-name"]);
    // An ordinary user, in a directory that belongs to another.
    fs::set_permissions(bridge.home.path("."), Permissions::from_mode(0o755)).unwrap();
    let mut user =
        bridge.home.program("setpriv", ["--reuid=4003", "--clear-groups", BINARY, "exec", "--leaks=off"]);
    user.args(["--file", "TOKEN=file,replace", "--", "true"]).env("BRIDGE_CONF", &bridge.conf);
    user.outcome().exits_with(125).says("cannot move away ").says("ermission denied");
    assert_eq!(facts(), before);
}

#[test]
fn another_process_at_the_same_path_loses_no_file() {
    let bridge = bridge();
    // Makes files at the path, each with a number, and says which ones it made: another process must find each of them.
    let maker = "n=0; while [ -e go ]; do n=$((n+1)); echo $n > new; ln new npmrc 2>/dev/null && echo $n >> made; rm new; \
                 mv npmrc taken-$n 2>/dev/null; done";
    bridge.home.file("go", "");
    let maker = bridge.home.program("sh", ["-c", maker]).start();
    for _ in 0..12 {
        // Any of these may fail: the path may be taken, or free.
        exec(&bridge, "TOKEN=npmrc,replace", "true").outcome();
    }
    fs::remove_file(bridge.home.path("go")).unwrap();
    maker.exits();
    let mut found: Vec<String> = names(&bridge.home.path("."))
        .iter()
        .map(|name| bridge.home.path(name))
        .filter(|path| path.file_name().unwrap() != "made" && path.is_file() && !path.is_symlink())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    found.sort();
    found.dedup();
    for number in bridge.home.read("made").lines() {
        assert!(
            found.contains(&format!("{number}\n")),
            "{number} is lost: {:?}",
            names(&bridge.home.path("."))
        );
    }
}

#[test]
fn a_planted_link_does_not_lead_a_secret_out_of_the_working_directory() {
    let bridge = bridge();
    let outside = tempfile::TempDir::new().unwrap();
    fs::write(outside.path().join("npmrc"), ORIGINAL).unwrap();
    symlink(outside.path(), bridge.home.path("config")).unwrap();
    fs::create_dir(bridge.home.path("real")).unwrap();
    symlink("real", bridge.home.path("inside")).unwrap();
    let absolute = bridge.home.path("config/token");
    for path in
        ["config/token", "config/new/token", "config/npmrc", "~/config/token", absolute.to_str().unwrap()]
    {
        let script = "touch started";
        exec(&bridge, &format!("TOKEN={path},replace"), script)
            .outcome()
            .exits_with(125)
            .says("config")
            .says("leads through a link out of ")
            .says(&format!("to {}", outside.path().display()));
    }
    assert_eq!(names(outside.path()), ["npmrc"]);
    assert!(!bridge.home.path("started").exists());
    // Links that stay inside, and a path that is meant.
    exec(&bridge, "TOKEN=inside/token", "cat real/token").outcome().succeeds().prints(SECRET);
    let meant = outside.path().join("token");
    exec(&bridge, &format!("TOKEN={}", meant.display()), &format!("cat {}", meant.display()))
        .outcome()
        .succeeds()
        .prints(SECRET);
}
