//! A COMMAND that gives up root uses files, the agent and git credentials as the user whom `uid=` names, and no other user
//! can.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::git_server::{Account, GitServer};
use crate::support::require::{HTTPS_SERVER, OTHER_USERS, PID_NAMESPACE, ROOT, require};
use crate::support::ssh::{SSH_SERVER, Scene};
use crate::support::{BINARY, Bridge, Home, Start as _};

/// A directory that every user can enter, unlike the home of a test.
struct Shared(TempDir);

impl Shared {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Programs that run `sh -c SCRIPT` as a user; the environment stays as it is.
const WAYS: [&str; 5] = [
    "setpriv --reuid=USER --clear-groups sh -c",
    "su -m -s /bin/sh USER -c",
    "runuser -u USER -- sh -c",
    // Debian's sudo sets PATH.
    "sudo -E -u USER env PATH=\"$PATH\" sh -c",
    "gosu USER sh -c",
];

fn way(way: &str, user: &str, script: &str) -> String {
    format!("{} '{script}'", way.replace("USER", user))
}

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2hunter2"])
}

#[test]
fn the_named_user_reads_a_file_and_a_third_user_does_not() {
    require!(ROOT, OTHER_USERS);
    let (bridge, shared) = (bridge(), Shared::new());
    let path = shared.path("new/token");
    let request = format!("TOKEN={},uid=nobody,gid=nogroup,mode=0400", path.display());
    let exec = |file: &str, script: &str| {
        let options = ["exec", "--no-mask", "--leaks=off", "--file", file, "--sh", script];
        bridge.client(options).env("FILE", &path).outcome()
    };
    for program in WAYS {
        let read = "cat \"${FILE-$TOKEN}\"";
        exec(&request, &way(program, "nobody", read)).succeeds().prints("hunter2hunter2");
        exec(&request, &way(program, "games", read)).exits_with(1).prints("").says("Permission denied");
        // By a variable that names the path.
        let script = format!("unset FILE; {}", way(program, "nobody", read));
        exec("TOKEN,uid=nobody", &script).succeeds().prints("hunter2hunter2");
        let script = format!("unset FILE; {}", way(program, "games", read));
        exec("TOKEN,uid=nobody", &script).exits_with(1).prints("").says("Permission denied");
    }
    exec(&request, "stat -L -c '%a %U %G' $FILE; stat -c %U $FILE; stat -c '%a %U' $(dirname $FILE)")
        .succeeds()
        .prints("400 nobody nogroup\nnobody\n755 nobody\n");
    // Without uid, no user but root.
    let request = format!("TOKEN={}", path.display());
    exec(&request, &way(WAYS[0], "nobody", "cat \"$FILE\"")).exits_with(1).says("Permission denied");
    assert!(!shared.path("new").exists());
}

#[test]
fn a_mode_means_what_it_says_whatever_the_umask() {
    require!(ROOT, OTHER_USERS);
    let (bridge, shared) = (bridge(), Shared::new());
    let path = shared.path("new/token");
    // The user, the group's member, and another user.
    let read =
        ["--reuid=nobody --clear-groups", "--reuid=games --groups=operator", "--reuid=games --clear-groups"];
    for (mode, readers) in
        [("0400", "1"), ("0440", "1 2"), ("0444", "1 2 3"), ("0604", "1 3"), ("0777", "1 2 3")]
    {
        for umask in ["000", "022", "077", "777"] {
            let file = format!("TOKEN={},uid=nobody,gid=operator,mode={mode}", path.display());
            let mut script = "stat -L -c %04a \"$FILE\"\n".to_owned();
            for (number, identity) in (1..).zip(read) {
                script +=
                    &format!("setpriv {identity} cat \"$FILE\" >/dev/null 2>&1 && printf '{number} '\n");
            }
            let exec =
                format!("umask {umask}; exec {BINARY} exec --leaks=off --file \"$1\" --sh \"$2 true\"");
            let mut shell = bridge.home.program("sh", ["-c", &exec, "sh", &file, &script]);
            shell.env("BRIDGE_CONF", &bridge.conf).env("FILE", &path);
            let text = shell.outcome().succeeds().text();
            assert_eq!(text, format!("{mode}\n{readers} "), "umask {umask}");
        }
    }
}

#[test]
fn the_named_user_logs_in_with_the_agent_and_a_third_user_does_not() {
    require!(ROOT, SSH_SERVER, OTHER_USERS);
    let scene = Scene::new();
    let (bridge, shared) = (scene.serve(&[]), Shared::new());
    let there = scene.destination_words(&scene.server);
    let repository = scene.repository("app", &[]);
    let url = scene.url(&scene.server, &repository.path);
    let exec = |ssh: &str, script: &str| {
        scene.exec(&bridge.conf, ["--leaks=off", "--ssh", ssh, "--sh", script]).outcome()
    };
    for (number, program) in WAYS.into_iter().enumerate() {
        let login = format!(
            "ssh -F none {there} echo in; cd / && git clone -q {url} {}",
            shared.path(&number.to_string()).display()
        );
        exec("default,uid=nobody", &way(program, "nobody", &login)).succeeds().prints("in\n");
        assert!(shared.path(&format!("{number}/file")).exists());
        exec("default,uid=nobody", &way(program, "games", "ssh-add -l"))
            .exits_with(2)
            .says("Permission denied");
    }
    exec("uid=nobody,mode=0600", "stat -c '%a %U %F' \"$SSH_AUTH_SOCK\"")
        .succeeds()
        .prints("600 nobody socket\n");
    // Root finds the programs in this directory first, so that the user must not replace them.
    let replace = "d=${SSH_AUTH_SOCK%/*}; rm -f $d/bin/ssh; mv $d/bin $d/other; echo x > $d/known_hosts; echo x > $d/bin/ssh";
    let script = format!("{}; ls ${{SSH_AUTH_SOCK%/*}}/bin", way(WAYS[0], "nobody", replace));
    exec("uid=nobody", &script).succeeds().prints("git-remote-sb\nscp\nsftp\nssh\n");
    // Without uid, no user but root.
    exec("default", &way(WAYS[0], "nobody", "ssh-add -l")).exits_with(2).says("Permission denied");
}

#[test]
fn git_of_the_named_user_gets_credentials_and_that_of_a_third_user_does_not() {
    require!(ROOT, HTTPS_SERVER, OTHER_USERS);
    let account = Account { path: "/one/", user: "bob", password: "hunter2hunter2" };
    let server = GitServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &["localhost"], &[account]);
    server.repository("one/app.git", &[], &[]);
    let home = Home::new();
    let credential = format!("localhost:{}=ONE", server.port);
    let mut serve = home.serve(["--secret", "ONE", "--git-credential", &credential]);
    serve.env("ONE", "bob:hunter2hunter2");
    let (bridge, shared) = (Bridge::start(home, serve), Shared::new());
    let url = server.url("localhost", "one/app.git");
    let exec =
        |option: &str, script: &str| bridge.client(["exec", "--leaks=off", option, "--sh", script]).outcome();
    for (number, program) in WAYS.into_iter().enumerate() {
        let clone = format!(
            "cd / && git -c http.sslVerify=false clone -q {url} {}",
            shared.path(&number.to_string()).display()
        );
        exec("--git-credentials=uid=nobody", &way(program, "nobody", &clone)).succeeds();
        assert!(shared.path(&format!("{number}/file")).exists());
        let other = clone + "-other";
        exec("--git-credentials=uid=nobody", &way(program, "games", &other))
            .exits_with(128)
            .says("Permission denied");
    }
}

#[test]
fn only_root_can_give_a_file_to_another_user() {
    require!(ROOT, OTHER_USERS, PID_NAMESPACE);
    let (bridge, shared) = (bridge(), Shared::new());
    let exec = |identity: &[&str], request: &str| {
        let mut command = bridge.home.program(identity[0], &identity[1..]);
        command.args([
            BINARY,
            "exec",
            "--no-mask",
            "--leaks=off",
            "--file",
            request,
            "--sh",
            "cat \"$TOKEN\"",
        ]);
        command.env("BRIDGE_CONF", &bridge.conf).env("HOME", "/nonexistent").current_dir(shared.path("."));
        command.outcome()
    };
    let user = ["setpriv", "--reuid=4001", "--regid=4001", "--clear-groups"];
    exec(&user, "TOKEN,uid=4001,gid=4001,mode=0400").succeeds().prints("hunter2hunter2");
    exec(&user, "TOKEN,uid=4002").exits_with(125).says(
        "cannot deliver TOKEN as a file: cannot give it to user 4002: this process runs as user 4001 without",
    );
    exec(&user, "TOKEN,gid=4002").exits_with(125).says("cannot give it to group 4002");
    let no_chown = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"];
    exec(&no_chown, "TOKEN,uid=4002").exits_with(125).says("CAP_CHOWN");
    let namespace = ["unshare", "--user", "--map-root-user"];
    exec(&namespace, "TOKEN,uid=0").succeeds().prints("hunter2hunter2");
    exec(&namespace, "TOKEN,uid=4002").exits_with(125).says("this user namespace has no such id");
}

#[test]
fn a_command_that_drops_its_variables_is_warned_of() {
    require!(ROOT, OTHER_USERS);
    let bridge = bridge();
    let exec = |words: &[&str]| {
        bridge.client([&["exec", "--no-mask", "--leaks=off", "-e", "TOKEN", "--"], words].concat()).outcome()
    };
    for words in [&["sudo", "printenv", "TOKEN"][..], &["env", "-i", "printenv", "TOKEN"]] {
        exec(words).exits_with(1).prints("").says("COMMAND will not get its variables");
    }
    exec(&["sudo", "-E", "printenv", "TOKEN"]).succeeds().prints("hunter2hunter2\n").never_says("variables");
}

#[test]
fn a_directory_that_the_user_cannot_search_is_named() {
    require!(ROOT, OTHER_USERS);
    let bridge = bridge();
    fs::set_permissions(bridge.home.path("."), Permissions::from_mode(0o700)).unwrap();
    let exec = ["exec", "--leaks=off", "--file", "TOKEN=~/.token,uid=nobody", "--", "true"];
    bridge
        .client(exec)
        .outcome()
        .succeeds()
        .says("TOKEN: user 65534 cannot reach ")
        .says("it may not search");
}
