//! Much at once, much at a time, and nothing for a while.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::site::Site;
use crate::is_long;
use crate::support::https::authority::Authority;
use crate::support::https::front::{Content, Front, Login, Site as FrontSite};
use crate::support::https::ruled::{Ruled, TOKEN};
use crate::support::https::scripted::Then;
use crate::support::require::{CURL, MOUNT_NAMESPACE, NGINX, require};
use crate::support::{LIMIT, Outcome, Start as _};

/// nginx with files that only the token opens, and a bridge with a rule for it.
fn files() -> (Front, Ruled) {
    let authority = Authority::new();
    let login = Login::Bearer(TOKEN.to_owned());
    let front = Front::start(&authority, &[FrontSite::new("files.example", login, Content::Files)]);
    let place = format!("files.example:{}", front.port());
    let ruled = Ruled::serve(&authority, &[&place]);
    (front, ruled)
}

#[test]
fn downloads_in_parallel_are_all_whole() {
    require!(CURL, NGINX, MOUNT_NAMESPACE);
    let (front, ruled) = files();
    let mut urls = Vec::new();
    // More than the streams that a session may have at once: the others wait in line.
    let count = 160;
    for number in 0..count {
        let contents = format!("{number} ").repeat(20_000);
        std::fs::write(front.root().join(number.to_string()), contents).unwrap();
        urls.push(format!("https://files.example:{}/{number}", front.port()));
    }
    for parallel in ["64", "200"] {
        let directory = format!("got{parallel}");
        std::fs::create_dir(ruled.bridge.home.path(&directory)).unwrap();
        let options = ["--fail", "--parallel", "--parallel-immediate", "--parallel-max", parallel];
        let mut arguments = options.map(str::to_owned).to_vec();
        for (number, url) in urls.iter().enumerate() {
            arguments.extend(["--output".to_owned(), format!("{directory}/{number}"), url.clone()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ruled.curl(&arguments).outcome().succeeds();
        for number in 0..count {
            let got = ruled.bridge.home.read(&format!("{directory}/{number}"));
            assert!(got == format!("{number} ").repeat(20_000), "{parallel}: file {number}");
        }
    }
}

#[test]
fn two_commands_at_once_have_a_proxy_each() {
    require!(CURL, NGINX, MOUNT_NAMESPACE);
    let (front, ruled) = files();
    std::fs::write(front.root().join("a"), "contents").unwrap();
    let url = format!("https://files.example:{}/a", front.port());
    let script = "echo \"$https_proxy\"; read -r go; for i in 1 2 3 4 5 6 7 8; do curl -sSf \"$1\"; done";
    let start = || {
        let mut exec = ruled.exec(&[], &["sh", "-c", script, "sh", &url]);
        exec.stdin(Stdio::piped()).start()
    };
    let (mut first, mut second) = (start(), start());
    assert_ne!(first.prints_line(), second.prints_line());
    drop((first.stdin.take(), second.stdin.take()));
    for process in [first, second] {
        assert!(process.ends().succeeds().text().ends_with(&"contents".repeat(8)));
    }
}

#[test]
fn a_large_file_arrives_whole_in_little_memory() {
    require!(CURL, NGINX, MOUNT_NAMESPACE);
    let (front, ruled) = files();
    let size: u64 = if is_long() { 2_200_000_000 } else { 200_000_000 };
    // Sparse: it takes no space.
    std::fs::File::create(front.root().join("large")).unwrap().set_len(size).unwrap();
    let url = format!("https://files.example:{}/large", front.port());
    let script = "curl -sSf --max-time 600 \"$1\" | cmp -n \"$2\" - /dev/zero && \
                  curl -sSf --max-time 600 -o /dev/null -w '%{size_download}' \"$1\" && \
                  grep VmHWM /proc/$PPID/status >&2";
    let size_text = size.to_string();
    let command = ["sh", "-c", script, "sh", url.as_str(), &size_text];
    let outcome = ruled.exec(&[], &command).start().ends_within(LIMIT * 10).succeeds();
    assert_eq!(outcome.text(), size_text);
    let exec = peak(&outcome.stderr);
    let bridge = peak(&std::fs::read_to_string(status(&ruled)).unwrap());
    // Unoptimised programs; the figures of the released ones are in docs/PERFORMANCE.md.
    assert!(exec < 64_000 && bridge < 64_000, "exec took {exec} KB, the bridge {bridge} KB");
}

fn status(ruled: &Ruled) -> std::path::PathBuf {
    let pid = ruled.bridge.process.pid.as_raw_nonzero().to_string();
    Path::new("/proc").join(pid).join("status")
}

/// `VmHWM`, in KB.
fn peak(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_connection_survives_silence() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let mut tunnel = step.tunnel(&site.origin());
    for round in 0..2 {
        tunnel.write_all(site.get("/a", "").as_bytes()).unwrap();
        assert_eq!(tunnel.answer().text(), "answer to /a", "round {round}");
        if round == 0 {
            std::thread::sleep(Duration::from_secs(if is_long() { 310 } else { 4 }));
        }
    }
    // The server closed its connection meanwhile, as servers do: the next request gets a new one.
    let closing = Site::new(|asked, connection| {
        connection.answer("200 OK", "", format!("answer to {}", asked.target()))?;
        Ok(Then::Close)
    });
    let ruled = Ruled::serve(&closing.authority, &[&closing.place("")]);
    let step = ruled.step();
    let mut tunnel = step.tunnel(&closing.origin());
    for _ in 0..5 {
        tunnel.write_all(closing.get("/a", "").as_bytes()).unwrap();
        assert_eq!(tunnel.answer().text(), "answer to /a");
    }
}

#[test]
fn open_connections_are_used_again() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let mut tunnel = step.tunnel(&site.origin());
    for _ in 0..20 {
        tunnel.write_all(site.get("/a", "").as_bytes()).unwrap();
        assert_eq!(tunnel.answer().text(), "answer to /a");
    }
    drop(tunnel);
    for _ in 0..20 {
        assert_eq!(step.asks(&site.origin(), site.get("/a", "")).text(), "answer to /a");
    }
    assert!(site.server.connections() <= 3, "{} connections to the server", site.server.connections());
}

#[test]
fn a_git_clone_of_many_objects_arrives() {
    require!(crate::support::require::HTTPS_SERVER, MOUNT_NAMESPACE);
    let authority = Authority::new();
    let login = Login::Basic("builder".to_owned(), TOKEN.to_owned());
    let front = Front::start(&authority, &[FrontSite::new("git.example", login, Content::Git)]);
    let files: Vec<(String, String)> =
        (0..500).map(|number| (format!("d{}/f{number}", number % 20), format!("{number}\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let commit = front.repository("org/repo.git", &files);
    let place = format!("builder@git.example:{}/org,auth=basic,git", front.port());
    let ruled = Ruled::serve(&authority, &[&place]);
    let url = format!("https://git.example:{}/org/repo.git", front.port());
    let script = "git clone -q \"$1\" work && cd work && git fsck && git rev-parse HEAD && \
                  git -c user.name=n -c user.email=e commit -q --allow-empty -m two && git push -q origin main";
    let mut exec = ruled.exec(&[], &["sh", "-c", script, "sh", &url]);
    isolate(&mut exec);
    let pushed: Outcome = exec.outcome();
    assert_ne!(pushed.code(), Some(0), "a push with a rule for clones only");
    assert_eq!(pushed.text().trim(), commit, "{}", pushed.stderr);
    let text = &pushed.stderr;
    assert!(text.contains("403") && text.contains("git+push"), "{text}");
    let bare = front.root().join("org/repo.git");
    let mut head = Command::new("git");
    head.arg("--git-dir").arg(bare).args(["rev-parse", "main"]);
    assert_eq!(head.outcome().succeeds().text().trim(), commit);
    // The token may push: with a rule that permits it, it does.
    let place = format!("builder@git.example:{}/org,auth=basic,git+push", front.port());
    let may_push = Ruled::serve(&authority, &[&place]);
    let mut exec = may_push.exec(&[], &["sh", "-c", script, "sh", &url]);
    isolate(&mut exec);
    exec.outcome().succeeds();
}

fn isolate(command: &mut Command) {
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
}

#[test]
fn a_large_upload_arrives_whole() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        let body = connection.body(asked)?;
        let whole = body.iter().all(|byte| *byte == 7);
        connection.answer("200 OK", "", format!("{} {whole}", body.len()))?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=PUT", site.place(""))]);
    let size = 50_000_000;
    ruled.bridge.home.file("upload", vec![7; size]);
    let url = site.url("/a");
    for header in ["Expect: 100-continue", "Expect:", "Transfer-Encoding: chunked"] {
        let outcome = ruled.curl(&["--header", header, "--upload-file", "upload", &url]).outcome();
        assert_eq!(outcome.succeeds().text(), format!("{size} true"), "{header}");
    }
}
