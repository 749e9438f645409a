//! Programs that check the files from which they read secrets accept those of `exec --file`: links to files in memory,
//! which are private and belong to the user.

#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use crate::support;
use crate::support::require::{CURL, GIT, JAVA, PIP, PYTHON, require};
use crate::support::ssh::{SSH_SERVER, Scene};
use crate::support::{Bridge, Start as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn bridge(key: &str, value: &str) -> Bridge {
    Bridge::serve(["--secret", &format!("{key}={value}")])
}

/// `exec --file FILE --sh SCRIPT`, without the leak check: it is not tested here, and is slow where it searches a whole
/// container.
fn exec(bridge: &Bridge, file: &str, script: &str) -> Command {
    bridge.client(["exec", "--leaks=off", "--file", file, "--sh", script])
}

#[test]
fn ssh_takes_a_private_key() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let key = format!("id=key,src={}", scene.key.path.display());
    let bridge = scene.serve_with(&["--secret", &key]);
    let login = format!(
        "ssh -F none -i ~/.ssh/id -oIdentitiesOnly=yes -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null \
         {} echo in",
        scene.destination_words(&scene.server)
    );
    let exec = ["--leaks=off", "--no-ssh-agent", "--file", "key=~/.ssh/id", "--sh", &login];
    scene.exec(&bridge.conf, exec).outcome().succeeds().prints("in\n").never_says("UNPROTECTED");
    scene.has_left_only(&[]);
}

#[test]
fn git_takes_its_configuration_and_its_stored_credentials() {
    require!(GIT);
    let config = bridge("gitconfig", "[user]\n\tname = From the bridge\n");
    exec(&config, "gitconfig=~/.gitconfig", "git config --global user.name")
        .outcome()
        .succeeds()
        .prints("From the bridge\n");

    let stored = bridge("stored", "https://me:hunter2@git.example\n");
    let fill = "printf 'protocol=https\\nhost=git.example\\n\\n' | \
                git -c credential.helper=store credential fill | grep -cx password=hunter2";
    exec(&stored, "stored=~/.git-credentials", fill).outcome().succeeds().prints("1\n");
}

#[test]
fn python_takes_a_netrc_whose_owner_and_mode_it_checks() {
    require!(PYTHON);
    let bridge = bridge("netrc", "machine pypi.example login me password hunter2");
    let reads = "python3 -c 'import netrc; print(len(netrc.netrc().authenticators(\"pypi.example\")[2]))'";
    exec(&bridge, "netrc=~/.netrc", reads).outcome().succeeds().prints("7\n");
    // Python does check the mode: it rejects a file that others can read.
    exec(&bridge, "netrc=~/.netrc,mode=0644", reads)
        .outcome()
        .exits_with(1)
        .says("~/.netrc access too permissive");
}

#[test]
fn curl_takes_a_netrc() {
    require!(CURL);
    let bridge = bridge("netrc", "machine 127.0.0.1 login me password hunter2");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nin\n").unwrap();
        request
    });
    let curl = format!("curl --silent --show-error --netrc {url}");
    exec(&bridge, "netrc=~/.netrc", &curl).outcome().succeeds().prints("in\n");
    let login = format!("Authorization: Basic {}", STANDARD.encode("me:hunter2"));
    assert!(server.join().unwrap().contains(&login));
}

#[test]
fn pip_takes_its_configuration() {
    require!(PIP);
    let bridge = bridge("pip", "[global]\nindex-url = https://me:hunter2@pypi.example/simple/\n");
    let reads = "pip config get global.index-url | grep -c pypi.example";
    exec(&bridge, "pip=~/.config/pip/pip.conf", reads).outcome().succeeds().prints("1\n");
}

#[test]
fn java_takes_a_key_store_and_its_password() {
    require!(JAVA);
    let home = support::Home::new();
    let make =
        ["-genkeypair", "-alias", "deploy", "-keyalg", "EC", "-dname", "CN=deploy", "-keystore", "made.p12"];
    home.program("keytool", make.iter().chain(&["-storepass", "hunter2hunter2"])).outcome().succeeds();
    let store = format!("id=store,src={}", home.path("made.p12").display());
    let bridge = Bridge::serve(["--secret", &store, "--secret", "password=hunter2hunter2"]);
    let list = "keytool -list -keystore ~/store.p12 -storepass:file ~/password | grep -c '^deploy,'";
    let files =
        ["exec", "--file", "store=~/store.p12", "--file", "password=~/password,mode=0400", "--sh", list];
    bridge.client(files).outcome().succeeds().prints("1\n");
}
