//! git over ssh in environments that are not the one that `exec` made: login shells set `PATH` anew, and images name an ssh.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::require::{OTHER_USERS, ROOT, find, require};
use crate::support::ssh::{SSH_SERVER, Scene};
use crate::support::{BINARY, Bridge, Start as _};

/// A scene with a repository: its URL is the last.
fn scene() -> (Scene, Bridge, String) {
    let scene = Scene::new();
    let repository = scene.repository("app", &[]);
    let bridge = scene.serve(&[]);
    let url = scene.url(&scene.server, &repository.path);
    (scene, bridge, url)
}

#[test]
fn a_login_shell_that_sets_path_still_clones() {
    require!(SSH_SERVER);
    let (scene, bridge, url) = scene();
    scene.home.file(".profile", "PATH=/usr/local/bin:/usr/bin:/bin\nexport PATH\n");
    for shell in ["bash -lc", "sh -lc", "bash --login -c", "env -u PATH bash -lc", "bash -c"] {
        let clone = format!("rm -rf clone && {shell} 'git clone -q {url} clone'");
        scene.exec(&bridge.conf, ["--leaks=off", "--sh", &clone]).outcome().succeeds();
        assert_eq!(scene.home.read("clone/file"), "app\n", "{shell}");
    }
}

#[test]
fn an_environment_with_two_variables_is_enough_for_git() {
    require!(SSH_SERVER);
    let (scene, bridge, url) = scene();
    let clone = format!(
        "env -i PATH=/usr/bin:/bin GIT_SSH_COMMAND=\"$GIT_SSH_COMMAND\" SSH_AUTH_SOCK=\"$SSH_AUTH_SOCK\" git clone -q {url} clone"
    );
    scene.exec(&bridge.conf, ["--leaks=off", "--sh", &clone]).outcome().succeeds();
    let clone =
        format!("env -i PATH=/usr/bin:/bin SSH_AUTH_SOCK=\"$SSH_AUTH_SOCK\" git clone -q {url} other");
    scene
        .exec(&bridge.conf, ["--leaks=off", "--sh", &clone])
        .outcome()
        .exits_with(128)
        .says("Host key verification failed");
}

#[test]
fn sudo_clones_as_the_user_that_may_use_the_agent() {
    require!(ROOT, SSH_SERVER, OTHER_USERS);
    let (scene, bridge, url) = scene();
    let place = tempfile::TempDir::new().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
    // sudo sets PATH.
    for options in ["-E", "--preserve-env=SSH_AUTH_SOCK,GIT_SSH_COMMAND,GIT_SSH_VARIANT"] {
        let clone = format!(
            "cd {0} && sudo {options} -u nobody git clone -q {url} {0}/{1}",
            place.path().display(),
            options.len()
        );
        scene.exec(&bridge.conf, ["--leaks=off", "--ssh", "uid=nobody", "--sh", &clone]).outcome().succeeds();
    }
}

#[test]
fn git_of_a_user_without_the_agent_runs_the_ssh_of_the_system() {
    require!(ROOT, SSH_SERVER, OTHER_USERS);
    let (scene, bridge, url) = scene();
    // It has no host keys, and says so; it can be run.
    let list = format!("cd / && setpriv --reuid=nobody --clear-groups git ls-remote {url}");
    scene
        .exec(&bridge.conf, ["--leaks=off", "--sh", &list])
        .outcome()
        .exits_with(128)
        .says("Host key verification failed")
        .never_says("cannot run");
    // exec in exec: the ssh of the inner one.
    let inner = format!("{BINARY} exec --leaks=off -- bash -lc 'git ls-remote -q {url}'");
    scene.exec(&bridge.conf, ["--leaks=off", "--sh", &inner]).outcome().succeeds().never_says("by its path");
}

#[test]
fn an_ssh_that_the_image_configured_is_kept() {
    require!(SSH_SERVER);
    let (scene, bridge, url) = scene();
    let log = scene.home.path("log");
    let wrapper = format!("#!/bin/sh\necho called >> {}\nexec ssh \"$@\"\n", log.display());
    // By this name git does not ask which options it takes.
    fs::create_dir(scene.home.path("image")).unwrap();
    let wrapper = scene.home.file("image/ssh", wrapper);
    fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).unwrap();
    let list = ["--leaks=off", "--", "git", "ls-remote", &url];
    let calls = || fs::read_to_string(&log).unwrap_or_default().lines().count();

    // In git's configuration, with arguments.
    scene.home.file(".gitconfig", format!("[core]\n\tsshCommand = {} -o BatchMode=yes\n", wrapper.display()));
    scene.exec(&bridge.conf, list).outcome().succeeds();
    assert_eq!(calls(), 1);
    fs::remove_file(scene.home.path(".gitconfig")).unwrap();
    // That of the repository in which git runs.
    scene.program("git", ["init", "-q", "repository"]).outcome().succeeds();
    let config = ["-C", "repository", "config", "core.sshCommand", wrapper.to_str().unwrap()];
    scene.program("git", config).outcome().succeeds();
    let inside = ["--leaks=off", "--", "git", "-C", "repository", "ls-remote", &url];
    scene.exec(&bridge.conf, inside).outcome().succeeds();
    assert_eq!(calls(), 2);
    let mut git = scene.exec(&bridge.conf, list);
    git.env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "Core.SSHcommand")
        .env("GIT_CONFIG_VALUE_0", &wrapper);
    git.outcome().succeeds();
    assert_eq!(calls(), 3);
    // In the environment.
    for variable in ["GIT_SSH", "GIT_SSH_COMMAND"] {
        let mut git = scene.exec(&bridge.conf, list);
        git.env(variable, &wrapper).outcome().succeeds().says(&format!("{variable} names "));
    }
    assert_eq!(calls(), 5);
}

#[test]
fn an_ssh_named_by_its_path_is_warned_of_once() {
    require!(SSH_SERVER);
    let (scene, bridge, url) = scene();
    let ssh = find("ssh").unwrap();
    let mut git = scene.exec(&bridge.conf, ["--leaks=off", "--", "git", "ls-remote", &url]);
    git.env("GIT_SSH_COMMAND", &ssh);
    let outcome =
        git.outcome().exits_with(128).says("Host key verification failed").says("unset GIT_SSH_COMMAND");
    assert_eq!(outcome.stderr.matches("by its path").count(), 1, "{}", outcome.stderr);
    // By its name it is ours.
    git.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes").outcome().succeeds().never_says("by its path");
}
