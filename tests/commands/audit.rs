//! The audit log: one JSON record for each thing that the bridge does for a client, written before it is done.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use crate::support::require::{MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Home, Start as _, mode};

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["record"] == kind).collect()
}

/// Ends `bridge` and reads its records.
fn end_and_read(bridge: Bridge) -> Vec<Value> {
    bridge.process.signal(rustix::process::Signal::TERM);
    bridge.process.ends().succeeds();
    records(&bridge.home.read("audit.jsonl"))
}

/// A record without the fields that differ from run to run.
fn plain(record: &Value) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    assert!(fields.remove("time").unwrap().as_str().unwrap().ends_with('Z'));
    if let Some(peer) = fields.remove("peer") {
        assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
    }
    fields.remove("session");
    record
}

#[test]
fn a_session_and_every_read_in_it_have_their_records_in_order() {
    let bridge = Bridge::serve(["--secret", "A=hunter2", "--secret", "ci/b=xyz", "--audit", "audit.jsonl"]);
    bridge.client(["exec", "-e", "A", "-e", "B=ci/b", "--", "true"]).outcome().succeeds();
    let port = bridge.port();
    let records = end_and_read(bridge);

    let granted =
        |key, bytes| json!({ "record": "secret-read", "verdict": "granted", "key": key, "bytes": bytes });
    let sent =
        |key, bytes| json!({ "record": "secret-sent", "key": key, "outcome": "completed", "bytes": bytes });
    let plain_records: Vec<Value> = records.iter().map(plain).collect();
    assert_eq!(
        plain_records,
        [
            json!({ "record": "bridge-begun", "port": port, "keys": 2 }),
            json!({ "record": "session-begun", "redial": false }),
            granted("A", 7),
            granted("ci/b", 3),
            sent("A", 7),
            sent("ci/b", 3),
            json!({ "record": "session-ended", "how": "closed" }),
            json!({ "record": "bridge-ended", "why": "ended by its host" }),
        ]
    );
    let session = records[1]["session"].as_str().unwrap();
    assert!(records[2..7].iter().all(|record| record["session"] == session), "{records:?}");
    assert!(records[1..7].iter().all(|record| record["peer"] == records[1]["peer"]), "{records:?}");
}

#[test]
fn the_file_is_private_and_is_appended_to() {
    let bridge = Bridge::serve(["--audit", "audit.jsonl"]);
    assert_eq!(mode(bridge.home.path("audit.jsonl")), 0o600);
    bridge.sigkill();
    let bridge = Bridge::serve_in(bridge.home, ["--audit", "audit.jsonl"]);
    assert_eq!(of_kind(&end_and_read(bridge), "bridge-begun").len(), 2);
}

#[test]
fn a_dash_writes_the_records_to_stderr_between_the_messages() {
    let bridge = Bridge::serve(["--secret", "A=hunter2", "--audit", "-"]);
    bridge.client(["print", "A"]).outcome().succeeds();
    let record: Value = serde_json::from_str(&bridge.process.says("\"secret-read\"")).unwrap();
    assert_eq!(
        plain(&record),
        json!({ "record": "secret-read", "verdict": "granted", "key": "A", "bytes": 7 })
    );
}

#[test]
fn refusals_are_recorded_with_their_reason_and_unproven_claims() {
    let bridge = Bridge::serve([
        "--secret",
        "id=LIMITED,env=HOME,max-reads=1",
        "--secret",
        "id=BROKEN,cmd=exit 1",
        "--max-sessions",
        "5",
        "--no-kill",
        "--audit",
        "audit.jsonl",
    ]);
    for arguments in [
        &["print", "missing"][..],
        &["print", "LIMITED"],
        &["print", "LIMITED"],
        &["print", "BROKEN"],
        &["kill"],
    ] {
        bridge.client(arguments).outcome();
    }
    let records = end_and_read(bridge);
    let refused = |key, reason| json!({ "record": "secret-refused", "verdict": "refused", "reason": reason, "claimed": { "key": key } });
    let found: Vec<Value> = of_kind(&records, "secret-refused").into_iter().map(plain).collect();
    assert_eq!(
        found,
        [
            refused("missing", "unknown-key"),
            refused("LIMITED", "max-reads"),
            refused("BROKEN", "source-failed")
        ]
    );
    let found: Vec<Value> = of_kind(&records, "session-refused").into_iter().map(plain).collect();
    assert_eq!(found, [json!({ "record": "session-refused", "reason": "kill-forbidden" })]);
}

#[test]
fn test_and_kill_are_recorded() {
    let bridge = Bridge::serve(["--audit", "audit.jsonl"]);
    bridge.client(["test"]).outcome().succeeds();
    bridge.client(["kill"]).outcome().succeeds();
    bridge.process.ends().succeeds();
    let records = records(&bridge.home.read("audit.jsonl"));
    let kinds: Vec<&str> = records.iter().map(|record| record["record"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["bridge-begun", "tested", "killed", "bridge-ended"]);
    assert_eq!(records[3]["why"], "ended by a client's `kill`");
}

#[test]
fn refused_handshakes_share_one_record() {
    let bridge = Bridge::serve(["--audit", "audit.jsonl"]);
    for _ in 0..5 {
        let mut stream = TcpStream::connect(bridge.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bridge\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // The bridge counts it before it closes the connection.
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let records = end_and_read(bridge);
    let refused = of_kind(&records, "handshakes-refused");
    let [refused] = refused.as_slice() else { panic!("not one record: {refused:?}") };
    assert_eq!(refused["count"], 5);
    let causes = refused["causes"].as_object().unwrap();
    assert_eq!(causes.values().filter_map(Value::as_u64).sum::<u64>(), 5);
    assert!(of_kind(&records, "session-begun").is_empty());
}

#[test]
fn a_file_that_cannot_be_written_stops_serve() {
    let home = Home::new();
    for (file, problem) in [
        ("no/such/directory/audit", "No such file"),
        (".", "Is a directory"),
        ("/dev/full", "not a regular file"),
        ("/dev/stderr", "symbolic link"),
        ("fifo:nowhere", "No such file"),
    ] {
        let shown = file.trim_start_matches("fifo:");
        home.serve(["--secret", "A=hunter2", "--audit", file])
            .outcome()
            .fails()
            .says(&format!("cannot write the audit file {shown}"))
            .says(problem);
    }
}

#[test]
fn a_fifo_gets_the_records_by_its_own_form() {
    let home = Home::new();
    home.program("mkfifo", ["fifo"]).outcome().succeeds();
    home.serve(["--audit", "fifo"]).outcome().fails().says("not a regular file");
    home.serve(["--audit", "fifo:fifo"]).outcome().fails().says("no process reads this FIFO");
    let options = OFlags::RDONLY | OFlags::NONBLOCK;
    let mut reader: File = rustix::fs::open(home.path("fifo"), options, Mode::empty()).unwrap().into();
    let bridge = Bridge::serve_in(home, ["--secret", "A=hunter2", "--audit", "fifo:fifo"]);
    bridge.client(["print", "A"]).outcome().succeeds();
    bridge.end().succeeds();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let records = records(&text);
    assert_eq!(of_kind(&records, "secret-read").len(), 1);
    assert_eq!(records.last().unwrap()["record"], "bridge-ended");
}

#[test]
fn a_secret_whose_read_cannot_be_recorded_is_not_sent() {
    // The file may grow to 2 blocks. A write over that limit is an error, as with a full disk, and not a signal.
    let home = Home::new();
    let script = "trap '' XFSZ; ulimit -f 2; exec \"$0\" serve --listen 127.0.0.1:0 --secret A=hunter2 --audit audit.jsonl";
    let command = home.program("sh", ["-c", script, BINARY]);
    let bridge = Bridge::start(home, command);

    let mut sent = 0;
    let refused = loop {
        let outcome = bridge.client(["print", "A"]).outcome();
        if outcome.status.success() {
            sent += 1;
            assert!(sent < 100, "the limit never took effect");
        } else {
            break outcome;
        }
    };
    refused.fails().says("the host cannot write its audit record");
    bridge.client(["exec", "-e", "A", "--", "echo", "started"]).outcome().fails();
    bridge
        .client(["test"])
        .outcome()
        .fails()
        .says("the host cannot write its audit record, so it gives nothing");
    bridge.client(["kill"]).outcome().fails();

    assert!(sent > 0);
    let text = bridge.home.read("audit.jsonl");
    let complete_lines = text.rsplit_once('\n').unwrap().0;
    assert!(of_kind(&records(complete_lines), "secret-read").len() >= sent, "{text}");
    bridge.end().succeeds().says("cannot write an audit record").never_says("hunter2");
}

#[test]
fn a_record_after_a_full_disk_stands_on_its_own_line() {
    require!(MOUNT_NAMESPACE);
    // A file system of 8 pages, of which the audit can have 2, until the rest is removed.
    const SCRIPT: &str = "mount -t tmpfs -o size=32k none disk && head -c 24576 /dev/zero >disk/rest || exit
        exec \"$0\" serve --listen 127.0.0.1:0 --secret A=hunter2 --audit disk/audit.jsonl";
    let home = Home::new();
    std::fs::create_dir(home.path("disk")).unwrap();
    let command = home.program("unshare", ["--mount", "--map-root-user", "sh", "-c", SCRIPT, BINARY]);
    let bridge = Bridge::start(home, command);
    let disk = Path::new("/proc")
        .join(bridge.process.pid.as_raw_nonzero().to_string())
        .join("root")
        .join(bridge.home.path("disk").strip_prefix("/").unwrap());
    let mut sent = 0;
    let mut print_until_refused = |bridge: &Bridge| loop {
        let outcome = bridge.client(["print", "A"]).outcome();
        if !outcome.status.success() {
            outcome.fails().says("the host cannot write its audit record").never_says("hunter2");
            break;
        }
        sent += 1;
        assert!(sent < 200, "the disk was never full");
    };
    print_until_refused(&bridge);
    // The disk is still full.
    print_until_refused(&bridge);
    std::fs::remove_file(disk.join("rest")).unwrap();
    bridge.client(["print", "A"]).outcome().succeeds().prints("hunter2");
    sent += 1;

    let text = std::fs::read_to_string(disk.join("audit.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    let parsed: Vec<Result<Value, _>> = text.lines().map(serde_json::from_str).collect();
    let whole: Vec<Value> = parsed.iter().filter_map(|line| line.as_ref().ok().cloned()).collect();
    assert_eq!(parsed.len() - whole.len(), 1, "one record was cut: {text}");
    assert!(of_kind(&whole, "secret-read").len() >= sent, "{text}");
    let after_the_cut = parsed.iter().skip_while(|line| line.is_ok()).skip(1).count();
    assert!(after_the_cut >= 3, "session, read and sending of the last client: {text}");
    bridge.end().succeeds().says("cannot write an audit record");
}

#[test]
fn a_file_that_logrotate_moves_or_truncates_goes_on() {
    let bridge = Bridge::serve(["--secret", "A=hunter2", "--audit", "audit.jsonl"]);
    let print = || bridge.client(["print", "A"]).outcome().succeeds();
    print();
    std::fs::copy(bridge.home.path("audit.jsonl"), bridge.home.path("copy")).unwrap();
    // copytruncate
    File::options().write(true).open(bridge.home.path("audit.jsonl")).unwrap().set_len(0).unwrap();
    print();
    let text = bridge.home.read("audit.jsonl");
    assert!(text.starts_with("{\"time\""), "{text:.40?}");
    assert_eq!(of_kind(&records(&text), "secret-read").len(), 1);
    // Moved: the bridge writes to the file that it opened.
    std::fs::rename(bridge.home.path("audit.jsonl"), bridge.home.path("audit.jsonl.1")).unwrap();
    print();
    assert!(!bridge.home.path("audit.jsonl").exists());
    assert_eq!(of_kind(&records(&bridge.home.read("audit.jsonl.1")), "secret-read").len(), 2);
}

#[test]
fn a_reader_of_standard_error_that_pauses_stops_no_bridge() {
    let home = Home::new();
    let mut serve = home.serve(["--secret", "A=hunter2", "--audit", "-"]);
    let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut conf = String::new();
    std::io::BufRead::read_line(&mut BufReader::new(child.stdout.as_mut().unwrap()), &mut conf).unwrap();
    let client = |args: [&str; 2]| home.command(args).env("BRIDGE_CONF", conf.trim()).outcome();
    // The pipe takes 64 KiB, and its reader does not read: records that permit something fail, and so do those reads.
    let refused = (0..2000).map(|_| client(["print", "A"])).find(|outcome| !outcome.status.success());
    refused.unwrap().fails().says("cannot write its audit record");
    // It goes on where there is room again.
    let mut text = vec![0; 32 << 10];
    child.stderr.as_mut().unwrap().read_exact(&mut text).unwrap();
    client(["print", "A"]).succeeds().prints("hunter2");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_client_that_dies_midway_is_recorded_as_cut() {
    let home = Home::new();
    home.file("value", vec![b'x'; 100 << 20]);
    let bridge =
        Bridge::serve_in(home, ["--secret", "id=A,src=value", "--secret", "B=small", "--audit", "-"]);
    let mut client = bridge.client(["print", "A"]).stdout(Stdio::piped()).spawn().unwrap();
    // The transfer has begun and cannot end: the pipe is full.
    client.stdout.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();

    let sent: Value = serde_json::from_str(&bridge.process.says("\"secret-sent\"")).unwrap();
    assert_eq!((&sent["outcome"], &sent["key"]), (&json!("cut"), &json!("A")));
    assert!((1000..100 << 20).contains(&sent["bytes"].as_u64().unwrap()), "{sent}");
    let ended: Value = serde_json::from_str(&bridge.process.says("\"session-ended\"")).unwrap();
    assert_eq!(ended["how"], "broken");
    // Other clients are served as before.
    bridge.client(["print", "B"]).outcome().succeeds().prints("small");
}

#[test]
fn a_bridge_that_ends_midway_records_cut_and_the_client_fails() {
    let home = Home::new();
    home.file("value", vec![b'x'; 100 << 20]);
    let bridge = Bridge::serve_in(home, ["--secret", "id=A,src=value", "--audit", "audit.jsonl"]);
    let mut client =
        bridge.client(["-q", "print", "A"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = client.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    let records = end_and_read(bridge);
    assert_eq!(of_kind(&records, "secret-sent")[0]["outcome"], "cut");
    assert_eq!(of_kind(&records, "session-ended")[0]["how"], "bridge-ended");
    assert_eq!(records.last().unwrap()["record"], "bridge-ended");
    // The client redials a few times without success.
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 100 << 20);
    assert_eq!(client.wait().unwrap().code(), Some(125));
}
