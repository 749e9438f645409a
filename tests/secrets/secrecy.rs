//! Promise 6: secret values and confs appear in no process list, log, error or audit record, on either side.
#![cfg(target_os = "linux")]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal};

use crate::support::require::{ENVIRONMENTS, require};
use crate::support::{Bridge, ForeignProcess, Home, Process, Start as _};

const FROM_FILE: &str = "value-from-the-file-7f3a";
const FROM_STDIN: &str = "value-from-stdin-91cc";
const FROM_COMMAND: &str = "value-from-the-command-d05e";
const VALUES: [&str; 3] = [FROM_FILE, FROM_STDIN, FROM_COMMAND];

/// Secrets from a file, standard input and a command. The command writes its process id to `asked` and waits until
/// something is written to `release`. It is a single shell process, so the id stays valid while the test inspects it.
const SECRETS: [&str; 6] = [
    "--secret",
    "id=FILE,src=value",
    "--secret",
    "STDIN=-",
    "--secret",
    "id=COMMAND,cmd=echo $$ > asked; read -r line < release; printf %s \"$line\"",
];

fn home() -> Home {
    let home = Home::new();
    home.file("value", FROM_FILE);
    home.program("mkfifo", ["asked", "release"]).outcome().succeeds();
    home
}

/// The id of the source's process, once a client asked for its secret.
fn source(home: &Home) -> ForeignProcess {
    ForeignProcess::with_id(&home.program("cat", ["asked"]).outcome().succeeds().text())
}

/// Lets the source finish.
fn release(home: &Home) {
    home.program("sh", ["-c", "cat > release"]).outcome_with(FROM_COMMAND).succeeds();
}

/// The command line and the environment of a process, as other processes of the machine or the same user can read them.
#[track_caller]
fn visible(pid: Pid) -> String {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    let mut shown = fs::read(format!("{directory}/cmdline")).unwrap();
    assert!(!shown.is_empty(), "process {pid:?} has ended");
    match fs::read(format!("{directory}/environ")) {
        Ok(environment) => {
            // Every process that a test starts has these; an environment without them was not read.
            let has_path =
                environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"PATH="));
            assert!(has_path, "the environment of {pid:?} is not there");
            shown.extend(environment);
        }
        // A process that made itself not dumpable shows its environment to nobody but root: its files in /proc belong to
        // root (proc(5)). Any other reason why it cannot be read proves nothing.
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(fs::metadata(format!("{directory}/environ")).unwrap().uid(), 0, "it is dumpable");
        }
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[track_caller]
fn assert_hidden(text: &str, conf: &str) {
    for secret in VALUES.iter().chain([&conf]) {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
}

/// Neither the process list nor a core dump shows anything of `pid`.
#[track_caller]
fn assert_process_hides(pid: Pid, conf: &str) {
    assert_hidden(&visible(pid), conf);
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let fields: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(fields[4..6], ["0", "0"], "{core}");
}

/// A client that fetches all secrets with the conf from a file. It is inspected while it waits for the source command.
fn fetch_all(home: &Home, conf: &str) -> (Process, ForeignProcess) {
    let secrets = ["-e", "FILE", "-e", "STDIN", "-e", "COMMAND"];
    let script = "printf '%s %s %s' $FILE $STDIN $COMMAND";
    let mut exec = home.command(["exec", "--no-mask", "--leaks=off", "-vv", "-c", "conf"]);
    exec.args(secrets).args(["--sh", script]);
    home.file("conf", conf);
    let client = exec.start();
    let source = source(home);
    assert_process_hides(client.pid, conf);
    assert_process_hides(source.pid, conf);
    (client, source)
}

fn assert_delivered(client: &Process, conf: &str) {
    let outcome = client.ends().succeeds().prints(VALUES.join(" "));
    assert_hidden(&outcome.stderr, conf);
}

#[test]
fn serve_sources_and_exec_show_nothing_in_argv_logs_or_audit() {
    require!(ENVIRONMENTS);
    let home = home();
    let mut command = home.serve(SECRETS);
    command.args(["-vv", "--audit", "audit.jsonl"]);
    let mut process = command.stdin(std::process::Stdio::piped()).start();
    io::Write::write_all(&mut process.stdin.take().unwrap(), FROM_STDIN.as_bytes()).unwrap();
    let conf = process.prints_line();
    assert_process_hides(process.pid, &conf);

    let (client, _source) = fetch_all(&home, &conf);
    assert_process_hides(process.pid, &conf);
    release(&home);
    assert_delivered(&client, &conf);
    assert_process_hides(process.pid, &conf);

    home.command(["print", "-vv", "-c", "conf", "missing"]).outcome().fails();
    process.signal(Signal::TERM);
    assert_hidden(&process.ends().succeeds().says("debug: ").stderr, &conf);
    assert_hidden(&home.read("audit.jsonl"), &conf);
}

#[test]
fn the_background_process_of_serve_shows_nothing_either() {
    require!(ENVIRONMENTS);
    let home = home();
    let mut command = home.serve(SECRETS);
    // A literal is in the arguments of the foreground process, which has ended by now; they must not be passed on.
    command.args([
        "-vv",
        "--audit",
        "audit.jsonl",
        "-d",
        "bridge.log",
        "--secret",
        "LITERAL=value-on-the-line-44b1",
    ]);
    let outcome = command.outcome_with(FROM_STDIN).succeeds();
    let conf = outcome.text().trim().to_owned();
    let (_, rest) = outcome.stderr.split_once("as process ").unwrap();
    let background = ForeignProcess::with_id(rest.split(';').next().unwrap());
    assert!(!visible(background.pid).contains("value-on-the-line"), "{}", visible(background.pid));
    assert_process_hides(background.pid, &conf);

    let (client, _source) = fetch_all(&home, &conf);
    assert_process_hides(background.pid, &conf);
    release(&home);
    assert_delivered(&client, &conf);

    background.signal(Signal::TERM);
    background.ends();
    for file in ["bridge.log", "audit.jsonl"] {
        let text = home.read(file);
        assert_hidden(&text, &conf);
        assert!(!text.is_empty() && !text.contains("value-on-the-line"), "{text}");
    }
}

#[test]
fn run_shows_nothing_and_only_command_has_its_conf() {
    require!(ENVIRONMENTS);
    let home = home();
    let mut command = home.command(["run", "-vv", "--listen", "127.0.0.1:0", "--audit", "audit.jsonl"]);
    command.args(SECRETS).args(["--", "sh", "-c", "echo \"$BRIDGE_CONF\"; read line < done"]);
    home.program("mkfifo", ["done"]).outcome().succeeds();
    let mut process = command.stdin(std::process::Stdio::piped()).start();
    io::Write::write_all(&mut process.stdin.take().unwrap(), FROM_STDIN.as_bytes()).unwrap();
    let conf = process.prints_line();
    assert_process_hides(process.pid, &conf);

    let (client, _source) = fetch_all(&home, &conf);
    release(&home);
    assert_delivered(&client, &conf);
    assert_process_hides(process.pid, &conf);
    home.program("sh", ["-c", "echo > done"]).outcome().succeeds();
    assert_hidden(&process.ends().succeeds().stderr, &conf);
    assert_hidden(&home.read("audit.jsonl"), &conf);
}

#[test]
fn errors_about_invalid_options_do_not_show_possible_values() {
    const VALUE: &str = "hunter2-d41d8cd9";
    let home = Home::new();
    let hides_value = |arguments: &[&str]| {
        for loudness in ["-q", "-vv"] {
            let mut command = home.command([loudness]);
            command.args(arguments.iter().map(|argument| argument.replace("VALUE", VALUE)));
            let outcome = command.outcome().fails();
            assert!(!outcome.stderr.is_empty(), "{arguments:?}");
            assert!(!outcome.stderr.contains(VALUE), "{arguments:?}: {}", outcome.stderr);
        }
    };
    for form in [
        "VALUE VALUE",
        "a key=VALUE",
        "b32:KEY=VALUE",
        "b64:KEY=VALUE!",
        "=VALUE",
        "id=KEY,VALUE",
        "id=KEY,src=f,VALUE=x",
        "id=VALUE VALUE,src=f",
        "id=KEY,type=VALUE",
        "id=KEY,max-reads=VALUE",
        "id=KEY,trim=VALUE",
        "id=KEY,src=VALUE,env=VALUE",
        "id=KEY,\"cmd=VALUE",
        "src=VALUE,id=",
    ] {
        hides_value(&["serve", "--secret", form]);
        hides_value(&["serve", &format!("--secret={form}")]);
        hides_value(&["serve", "-d", "log", "--secret", form]);
        hides_value(&["run", "--secret", form, "--", "true"]);
        hides_value(&["serve", "--secret-from-file", &format!("a key={form}")]);
    }
    for arguments in [
        &["serve", "--secrt=VALUE"][..],
        &["serve", "--secrt", "KEY=VALUE"],
        &["serve", "KEY=VALUE"],
        &["serve", "-xVALUE"],
        &["serve", "--once=VALUE"],
        &["serve", "--timeout", "VALUE"],
        &["serve", "--max-sessions", "VALUE"],
        &["serve", "--max-concurrent", "VALUE"],
        &["serve", "--max-memory", "VALUE"],
        &["serve", "--format", "VALUE"],
        &["serve", "--listen", "VALUE"],
        &["serve", "--allow-from", "VALUE"],
        &["serve", "--endpoint", "VALUE"],
        &["VALUE"],
        &["print", "KEY", "VALUE"],
        &["print", "KEY=VALUE!"],
        &["print", "--secret=VALUE", "KEY"],
        &["exec", "-e", "KEY=VALUE!", "--", "true"],
        &["exec", "--env=b32:VALUE", "--", "true"],
        &["kill", "VALUE"],
        &["test", "VALUE"],
        &["image", "VALUE"],
    ] {
        hides_value(arguments);
    }
}

#[test]
fn errors_about_a_conf_do_not_repeat_it() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    let conf = &bridge.conf;
    // A part of the client key, which is in the middle of the conf: no part of it may be shown.
    let piece = &conf[60..80];
    let other = if conf.as_bytes()[100] == b'x' { 'y' } else { 'x' };
    let mangled = format!("{}{other}{}", &conf[..100], &conf[101..]);
    let bad = [
        &conf[..conf.len() - 1],
        &conf[1..],
        &conf[4..],
        &mangled,
        &conf.replace("sb1_", "sb2_"),
        &conf.replace("sb1_", "SB1_"),
        &format!("FTP_PROXY={conf}"),
        &format!("http://{conf}"),
        &format!("{conf} {conf}"),
    ]
    .map(str::to_owned);
    let hides_conf = |mut command: Command| {
        let outcome = command.outcome().fails();
        assert!(
            !outcome.stderr.is_empty() && !outcome.stderr.contains(piece),
            "{command:?}: {}",
            outcome.stderr
        );
    };
    let home = &bridge.home;
    for bad in &bad {
        for arguments in [&["print", "TOKEN"][..], &["exec", "-e", "TOKEN", "true"], &["test"], &["kill"]] {
            hides_conf(home.command([arguments, &["-vv", "-c", bad]].concat()));
            for variable in ["BRIDGE_CONF", "FTP_PROXY"] {
                let mut command = home.command([&["-vv"], arguments].concat());
                command.env(variable, bad);
                hides_conf(command);
            }
        }
        hides_conf(home.command(["print", "TOKEN", &format!("--bridge-cnf={bad}")]));
        hides_conf(home.command(["print", "TOKEN", bad]));
        hides_conf(home.command(["print", bad]));
        hides_conf(home.command([bad, "print"]));
        hides_conf(home.command(["print", "TOKEN", "--endpoint", bad, "-c", conf]));
        hides_conf(home.serve(["--endpoint", bad]));
    }
}
