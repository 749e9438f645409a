//! Runs the tools that write the secrets.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What one tool wrote of one text.
pub(super) struct Written {
    pub(super) tool: String,
    pub(super) form: String,
    /// The name of the text; `all` for a file that has all of them.
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    /// What it wrote of the variant; `None` for what is compressed, and not masked.
    pub(super) variant: Option<Vec<u8>>,
}

/// A script, and the program that runs it.
const SCRIPTS: [(&[&str], &str, &[&str]); 11] = [
    (&["bash"], "bash.sh", &[]),
    (&["dash"], "dash.sh", &["dash"]),
    (&["busybox", "sh"], "dash.sh", &["busybox"]),
    // In the locale C it writes each byte beyond ASCII in a notation of its own.
    (&["env", "LC_ALL=C.UTF-8", "zsh", "-f"], "zsh.sh", &[]),
    (&["bash"], "programs.sh", &["URL"]),
    (&["bash"], "jq.sh", &[]),
    (&["/usr/bin/python3"], "python.py", &[]),
    (&["node"], "node.js", &[]),
    (&["php"], "php.php", &[]),
    (&["java", "-XX:TieredStopAtLevel=1"], "Forms.java", &[]),
    (&["perl"], "perl.pl", &[]),
];

/// Runs all tools on the files of `inputs`, where the name of a variant ends with `~`. What they write is collected below `out`.
pub(super) fn run(home: &Path, inputs: &Path, out: &Path) -> Vec<Written> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/leaks/tools");
    let url = accept_any_request();
    fs::create_dir(out).unwrap();
    let mut running = Vec::new();
    for (program, script, more) in SCRIPTS {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(scripts.join(script)).args([inputs, out]);
        command.args(more.iter().map(|arg| if *arg == "URL" { url.as_str() } else { arg }));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home)
            .current_dir(home);
        running.push((script, thread::spawn(move || command.output().unwrap())));
    }
    for (script, running) in running {
        let output = running.join().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{script}: {stderr}");
    }
    collect(out)
}

fn collect(out: &Path) -> Vec<Written> {
    let mut all = Vec::new();
    for tool in entries(out) {
        for form in entries(&tool) {
            for path in entries(&form) {
                let text = name(&path);
                if text.ends_with('~') {
                    continue;
                }
                let variant = fs::read(form.join(format!("{text}~"))).ok();
                let bytes = fs::read(&path).unwrap();
                assert!(!bytes.is_empty(), "{} is empty", path.display());
                all.push(Written { tool: name(&tool), form: name(&form), text, bytes, variant });
            }
        }
    }
    all
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The URL of a server that answers every request with an empty page. It ends with the process.
fn accept_any_request() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(&chunk[..length]),
                }
            }
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    url
}
