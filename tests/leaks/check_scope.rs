//! Which files the leak check searches: those that COMMAND changed, on the file systems that become the image.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::scratch_root::{HOST_MOUNTS, OVERLAY_ROOT, SCRATCH_ROOT, Scene, TOKEN, assert_leaks};
use crate::support::Start as _;
use crate::support::require::require;

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
