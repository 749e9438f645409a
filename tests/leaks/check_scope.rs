//! Which files the leak check searches: those that COMMAND changed, on the file systems that become the image.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::scratch_root::{HOST_MOUNTS, OVERLAY_ROOT, SCRATCH_ROOT, Scene, TOKEN, assert_leaks};
use crate::support::Start as _;
use crate::support::require::{PYTHON, require};

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
    let signs: [(&str, Change); 5] = [
        ("a pid namespace", |scene| scene.replace("proc/self/ns/pid", "pid:[4026532281]")),
        ("a user namespace", |scene| scene.replace("proc/self/ns/user", "user:[4026532280]")),
        ("an overlay", |scene| {
            let mounts = HOST_MOUNTS.replace("ext4", "overlay");
            fs::write(scene.root.join("proc/self/mountinfo"), mounts).unwrap();
        }),
        ("a marker, in mounts of its own", |scene| {
            fs::write(scene.root.join(".dockerenv"), "").unwrap();
            let mounts = HOST_MOUNTS.replace("27 1 ", "512 480 ");
            fs::write(scene.root.join("proc/self/mountinfo"), mounts).unwrap();
        }),
        ("a directory of kaniko", |scene| fs::create_dir(scene.root.join("kaniko")).unwrap()),
    ];
    require!(SCRATCH_ROOT);
    for (sign, change) in signs {
        let scene = Scene::of("host");
        change(&scene);
        let outcome = scene.exec_with(&["-v", "-e", "TOKEN"], "echo $TOKEN > /outside");
        let outcome = outcome.says("leak check of the file system of /");
        assert!(outcome.stderr.contains("  /outside: TOKEN (raw)\n"), "{sign}: {}", outcome.stderr);
        outcome.exits_with(125);
    }
}

#[test]
fn a_disk_made_from_a_container_is_a_host() {
    require!(SCRATCH_ROOT);
    let scene = Scene::of("host");
    // As a virtual machine has it whose disk was made by `docker export`.
    fs::write(scene.root.join(".dockerenv"), "").unwrap();
    scene
        .exec_with(&["-v", "-e", "TOKEN"], "echo $TOKEN > /outside")
        .succeeds()
        .says("leak check of /app, /root and /tmp: ");
}

#[test]
fn what_kaniko_does_not_take_into_the_image_is_not_searched() {
    require!(SCRATCH_ROOT, PYTHON);
    let scene = Scene::of("kaniko");
    // The context is mounted, and is the working directory.
    let script = "for d in /kaniko /kaniko/deep /var/run /tmp/apt-key-gpghome.x /cache/deep /workspace/a; do \
                  mkdir -p $d; echo $TOKEN > $d/file; done; echo $TOKEN > /etc/mtab; echo $TOKEN > here";
    let outcome = scene.exec_with(&["-v", "-e", "TOKEN"], script);
    outcome.succeeds().says("leak check of the file system of /, without what kaniko leaves out: ");
    let script = "for d in /run /var/runner /tmp /app /kaniko2; do mkdir -p $d; echo $TOKEN > $d/file; done";
    let files = ["/app/file", "/kaniko2/file", "/tmp/file", "/var/runner/file"];
    assert_leaks(
        scene.exec(script),
        &files.map(|file| format!("{file}: TOKEN (raw)")).each_ref().map(|s| &**s),
    );
}

#[test]
fn a_mounted_working_directory_is_searched_unless_the_root_is_that_of_a_container() {
    require!(SCRATCH_ROOT);
    let scene = Scene::of("mounted");
    let script = "echo $TOKEN > file";
    let outcome = scene.exec(script);
    let outcome =
        outcome.says("\nsearched: the file systems of / and /workspace (possibly not a container)\n");
    assert_leaks(outcome, &["/workspace/file: TOKEN (raw)"]);
    fs::create_dir_all(scene.root.join("run")).unwrap();
    fs::write(scene.root.join(".dockerenv"), "").unwrap();
    scene.exec(script).succeeds();
}
