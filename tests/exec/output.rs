//! Masked output is complete, whatever takes it, or `exec` says what was lost and fails.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::require::{MOUNT_NAMESPACE, NPM, require};
use crate::support::{BINARY, Bridge, Home, LIMIT, Start as _};

/// Secrets of this length are masked.
const TOKEN: &str = "sb-test-token-5f2c81d09a7e";

fn bridge() -> Bridge {
    Bridge::serve(["--secret", &format!("TOKEN={TOKEN}")])
}

/// `exec ARGS` with masking and without the leak check.
fn exec(bridge: &Bridge, args: &[&str]) -> Command {
    bridge.client(["exec", "--leaks=off", "-e", "TOKEN"].iter().chain(args))
}

/// The output of `seq 1 LAST`.
fn numbers(last: usize) -> String {
    (1..=last).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    })
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn set_non_blocking(file: &impl AsFd) {
    fcntl_setfl(file, fcntl_getfl(file).unwrap() | OFlags::NONBLOCK).unwrap();
}

/// Waits until `reader` holds this number of unread bytes.
fn wait_until_held(reader: &impl AsFd, bytes: u64) {
    let end = Instant::now() + LIMIT;
    while rustix::io::ioctl_fionread(reader).unwrap() < bytes {
        assert!(Instant::now() < end, "the output does not fill up");
        std::thread::yield_now();
    }
}

/// `length` bytes, or the test fails.
fn read_within_limit(from: &mut (impl Read + AsFd), length: usize) -> Vec<u8> {
    let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    let mut bytes = vec![0; length];
    let mut count = 0;
    while count < length {
        let ready = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&limit)).unwrap();
        assert!(ready > 0, "no output in time");
        count += from.read(&mut bytes[count..]).unwrap();
    }
    bytes
}

#[test]
fn output_that_does_not_fit_fails_a_successful_step() {
    let bridge = bridge();
    // COMMAND succeeds without noticing, however much it writes.
    for last in ["1", "5000", "300000"] {
        let output = exec(&bridge, &["--", "seq", "1", last]).stdout(full()).output().unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{messages}");
        assert!(messages.contains("cannot write COMMAND's output: No space left on device"), "{messages}");
    }
    // Its own failure stays, and the other stream is complete.
    let script = "seq 1 5000 >&2; seq 1 50000; exit 9";
    let output = exec(&bridge, &["--sh", script]).stderr(full()).output().unwrap();
    assert_eq!((output.status.code(), text(output.stdout)), (Some(9), numbers(50_000)));
    let output = exec(&bridge, &["--sh", "seq 1 5000 >&2"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_disk_that_fills_up_fails_the_step() {
    require!(MOUNT_NAMESPACE);
    let bridge = bridge();
    let script =
        "mount -t tmpfs -o size=16k none /mnt && \"$0\" exec --leaks=off -e TOKEN -- seq 1 5000 > /mnt/log
                  echo $?; cat /mnt/log";
    let mut unshare =
        bridge.home.program("unshare", ["--mount", "--map-root-user", "sh", "-c", script, BINARY]);
    let outcome = unshare.env("BRIDGE_CONF", &bridge.conf).outcome().succeeds();
    let printed = outcome.text();
    let (code, log) = printed.split_once('\n').unwrap();
    assert_eq!((code, log.len()), ("125", 16 << 10), "{printed}");
    assert!(numbers(5000).starts_with(log));
    outcome.says("No space left on device");
}

/// Without masking COMMAND gets SIGXFSZ. With masking that is a signal to `exec`, which must not end by it.
#[test]
fn a_limit_of_file_sizes_fails_the_step() {
    let bridge = bridge();
    for reaction in ["", "trap '' XFSZ; "] {
        let script = format!(
            "{reaction}ulimit -f 1; exec \"$0\" exec --leaks=off -e TOKEN --file TOKEN=made -- seq 1 5000 > log"
        );
        let mut shell = bridge.home.program("sh", ["-c", &script, BINARY]);
        shell.env("BRIDGE_CONF", &bridge.conf).outcome().fails().says("File too large");
        let log = bridge.home.read("log");
        assert!([512, 1024].contains(&log.len()) && numbers(5000).starts_with(&log), "{log}");
        assert!(!bridge.home.path("made").exists());
    }
}

/// Every process that shares a pipe can make it non-blocking for all of them.
#[test]
fn non_blocking_output_is_complete() {
    let bridge = bridge();
    let check = |reader: OwnedFd, writer: OwnedFd, last: usize| {
        set_non_blocking(&writer);
        let mut command = exec(&bridge, &["--", "seq", "1", &last.to_string()]);
        let mut child = command.stdout(writer).spawn().unwrap();
        drop(command);
        wait_until_held(&reader, 50_000);
        let mut read = String::new();
        File::from(reader).read_to_string(&mut read).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(read == numbers(last), "{} bytes", read.len());
    };
    let (reader, writer) = pipe().unwrap();
    check(reader.into(), writer.into(), 200_000);
    let (reader, writer) = UnixStream::pair().unwrap();
    check(reader.into(), writer.into(), 200_000);
}

/// node makes its pipes non-blocking, and its children inherit them so.
#[test]
fn output_through_node_is_complete() {
    require!(NPM);
    let bridge = bridge();
    let script = "new (require('net').Socket)({ fd: 1, readable: false, writable: true }).write('begin\\n');
        const child = require('child_process').spawn(process.argv[1], process.argv.slice(2), { stdio: 'inherit' });
        child.on('exit', (code, signal) => process.stderr.write(`ended ${code} ${signal}\\n`));";
    let command = [BINARY, "exec", "--leaks=off", "-e", "TOKEN", "--", "seq", "1", "200000"];
    let mut node = bridge.home.program("node", [&["-e", script], &command[..]].concat());
    let (mut reader, writer) = pipe().unwrap();
    let mut child =
        node.env("BRIDGE_CONF", &bridge.conf).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(node);
    wait_until_held(&reader, 60_000);
    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    child.wait().unwrap();
    assert_eq!(messages, "ended 0 null\n");
    assert!(read == format!("begin\n{}", numbers(200_000)), "{} bytes", read.len());
}

#[test]
fn a_full_stdout_does_not_hold_up_stderr() {
    let bridge = bridge();
    let script = "seq 1 200000 & for i in 1 2 3; do seq 1 20000 >&2; done; echo over >&2; wait";
    let mut child =
        exec(&bridge, &["--sh", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    wait_until_held(&stdout, 60_000);
    // Nothing reads stdout until stderr has come to its end.
    let expected = format!("{}over\n", numbers(20_000).repeat(3));
    let mut stderr = child.stderr.take().unwrap();
    let read = read_within_limit(&mut stderr, expected.len());
    assert!(text(read) == expected);
    let mut read = String::new();
    stdout.read_to_string(&mut read).unwrap();
    assert!(read == numbers(200_000), "{} bytes", read.len());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_stdout_ends_command_as_without_masking() {
    let bridge = bridge();
    for masking in [&["--no-mask"][..], &[]] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = exec(&bridge, &[masking, &["--", "yes"]].concat());
        let status = command.stdout(writer).status().unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(status.signal().or(status.code().map(|code| code - 128)), Some(13), "{status:?}");
    }
}

#[test]
fn a_closed_stream_does_not_close_the_other() {
    let bridge = bridge();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let script = "trap '' PIPE; for i in $(seq 50); do echo err >&2; done; seq 1 50000";
    let output = exec(&bridge, &["--sh", script]).stderr(writer).output().unwrap();
    assert_eq!((output.status.code(), text(output.stdout)), (Some(0), numbers(50_000)));
}

/// Each way to give `exec` its outputs, in a shell, and the lines that the file `log` has then.
#[test]
fn files_get_every_line_of_both_streams() {
    let bridge = bridge();
    let script = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i $TOKEN >&2; i=$((i+1)); done";
    let expected: String = (0..200).map(|i| format!("out {i}\nerr {i} ***\n")).collect();
    for redirected in ["> log 2>&1", ">> log 2>> log", ">> log 2>&1", "> log 2>> log", "> log 2> log"] {
        fs::write(bridge.home.path("log"), "").unwrap();
        let command = format!("exec \"$0\" exec --leaks=off -e TOKEN --sh '{script}' {redirected}");
        let mut shell = bridge.home.program("sh", ["-c", &command, BINARY]);
        shell.env("BRIDGE_CONF", &bridge.conf).outcome().succeeds();
        assert_eq!(bridge.home.read("log"), expected, "{redirected}");
    }
}

#[test]
fn closed_and_full_outputs_change_no_exit_code() {
    let bridge = bridge();
    // With a warning of `exec` itself: COMMAND has put something else in place of the file.
    let script = "echo \"$TOKEN\" >&2; rm made; echo else > made; exit 7";
    for redirected in
        [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2> /dev/full", "> /dev/full 2>&1", "2>&- > log"]
    {
        let command = format!(
            "rm -f made; \"$0\" exec --leaks=off -e TOKEN --file TOKEN=made --sh '{script}' {redirected}; echo $? >&2"
        );
        let mut shell = bridge.home.program("sh", ["-c", &command, BINARY]);
        let outcome = shell.env("BRIDGE_CONF", &bridge.conf).outcome();
        assert!(outcome.stderr.ends_with("7\n"), "{redirected}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{redirected}: {}", outcome.stderr);
        // Where COMMAND cannot start, either.
        let command = format!("\"$0\" exec -e TOKEN -- no-such-command {redirected}; echo $? >&2");
        let mut shell = bridge.home.program("sh", ["-c", &command, BINARY]);
        let outcome = shell.env("BRIDGE_CONF", &bridge.conf).outcome();
        assert!(outcome.stderr.ends_with("127\n"), "{redirected}: {}", outcome.stderr);
    }
}

/// As with a pager that shows the first page.
#[test]
fn a_signal_ends_exec_whose_output_is_not_read() {
    let bridge = bridge();
    let (reader, writer) = pipe().unwrap();
    let script = "echo $$ > started; trap '' TERM; seq 1 20000; echo over > ended";
    let mut command = exec(&bridge, &["--file", "TOKEN=made", "--sh", script]);
    // COMMAND's output fits into the two pipes together, but not into this one.
    let process = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let end = Instant::now() + LIMIT;
    while fs::symlink_metadata(bridge.home.path("ended")).is_err()
        || fs::symlink_metadata(bridge.home.path("made")).is_ok()
    {
        assert!(Instant::now() < end, "COMMAND does not end");
        std::thread::yield_now();
    }
    wait_until_held(&reader, 60_000);
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = process.wait_with_output().unwrap().status;
    assert_eq!(status.code(), Some(128 + 15));
}

#[test]
fn print_to_a_non_blocking_pipe_is_complete() {
    let home = Home::new();
    let value = numbers(100_000);
    home.file("value", &value);
    let bridge = Bridge::serve_in(home, ["--secret", "id=LONG,src=value"]);
    let (reader, writer) = pipe().unwrap();
    set_non_blocking(&writer);
    let mut print = bridge.client(["print", "LONG"]);
    let mut child = print.stdout(writer).spawn().unwrap();
    drop(print);
    wait_until_held(&reader, 60_000);
    let mut read = String::new();
    File::from(OwnedFd::from(reader)).read_to_string(&mut read).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(read == value, "{} bytes", read.len());
}
