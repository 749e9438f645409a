//! Masking: secrets in COMMAND's output are replaced, unless it goes to a terminal, and all other bytes are unchanged.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support;
use crate::support::{Bridge, Start as _};

const TOKEN: &str = "hunter2-is/a+secret";

fn bridge() -> Bridge {
    Bridge::serve([
        "--secret",
        &format!("TOKEN={TOKEN}"),
        "--secret",
        "netrc=machine h login me password swordfish99",
        "--secret",
        "npmrc=//registry.example/:_authToken=npm_0123456789abcdefQWERTZ",
    ])
}

/// `exec ARGS` with masking and without the leak check.
fn exec(bridge: &Bridge, args: &[&str]) -> Command {
    bridge.client(["exec", "--leaks=off"].iter().chain(args))
}

/// `length` bytes, or the test fails.
fn read_within_limit(mut from: impl Read + AsFd, length: usize) -> Vec<u8> {
    let limit = Timespec { tv_sec: support::LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    let mut bytes = vec![0; length];
    for byte in &mut bytes {
        let ready = poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&limit)).unwrap();
        assert!(ready > 0, "no output in time");
        from.read_exact(std::slice::from_mut(byte)).unwrap();
    }
    bytes
}

#[test]
fn values_are_replaced_on_both_streams() {
    let bridge = bridge();
    let outcome = exec(&bridge, &["-e", "TOKEN", "--sh", "echo a $TOKEN b; echo c $TOKEN d >&2"]).outcome();
    outcome.succeeds().says("c *** d\n").never_says("hunter2").prints("a *** b\n");
}

#[test]
fn every_usual_encoding_is_replaced() {
    let bridge = bridge();
    let percent = |text: String| text.replace('/', "%2F").replace('+', "%2B");
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let encodings = [
        STANDARD.encode(TOKEN),
        URL_SAFE_NO_PAD.encode(TOKEN),
        STANDARD.encode(format!("{TOKEN}\n")),
        percent(TOKEN.to_owned()),
        percent(TOKEN.to_owned()).to_lowercase(),
        hex.to_uppercase(),
        hex,
        TOKEN.replace('/', "\\/"),
    ];
    bridge.home.file("encodings", encodings.join("\n"));
    exec(&bridge, &["-e", "TOKEN", "--sh", "cat encodings"])
        .outcome()
        .succeeds()
        .prints(vec!["***"; encodings.len()].join("\n"));
    // With a prefix, as in a header, only the characters that also encode other bytes are left.
    for user in ["a:", "ab:", "abc:"] {
        let header = STANDARD.encode(format!("{user}{TOKEN}"));
        bridge.home.file("header", &header);
        let outcome = exec(&bridge, &["-e", "TOKEN", "--sh", "cat header"]).outcome().succeeds();
        let (shown, text) = (header.split_at(header.len() / 2).1, outcome.text());
        assert!(text.contains("***") && !text.contains(shown), "{text} for {header}");
    }
}

#[test]
fn each_value_in_a_file_is_masked() {
    let bridge = bridge();
    let script = "cut -d' ' -f5- \"$netrc\"; sed 's/.*Token=/token /' \"$npmrc\"";
    exec(&bridge, &["--file", "netrc", "--file", "npmrc", "--sh", script])
        .outcome()
        .succeeds()
        .prints("password ***\ntoken ***");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_line_of_a_key_is_replaced_and_its_armour_is_not() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_der();
    let lines: Vec<String> = STANDARD.encode(key).as_bytes().chunks(64).map(text).collect();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let home = support::Home::new();
    home.file("key", &key);
    let bridge = Bridge::serve_in(home, ["--secret", "id=KEY,src=key,trim"]);
    // Line by line: the whole key at once would be replaced by a single ***.
    let script = "echo \"$KEY\" | while read -r line; do echo \"> $line\"; done";
    let shown = |line: &str| if line.starts_with("-----") { format!("> {line}\n") } else { "> ***\n".into() };
    let expected: String = key.trim_end().lines().map(shown).collect();
    assert!(expected.matches("***").count() > 3, "{expected}");
    exec(&bridge, &["-e", "KEY", "--sh", script]).outcome().succeeds().prints(expected);
}

/// COMMAND writes pieces of one to nine bytes. If it is delayed between two pieces, the beginning of a secret may be
/// shown. The letters of the secret occur nowhere else, so the output around it can be compared all the same.
#[test]
fn a_secret_is_masked_in_pieces_of_any_size() {
    const LETTERS: &str = "QXZJKVWYHQXZJ";
    let bridge = Bridge::serve(["--secret", &format!("TOKEN={LETTERS}")]);
    let rest = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().filter(|byte| !LETTERS.as_bytes().contains(byte)).collect()
    };
    let around = rest(&(0..=255).collect::<Vec<u8>>());
    let mut all = Vec::new();
    let mut expected = Vec::new();
    for part in around.chunks(17) {
        all.extend([part, LETTERS.as_bytes()].concat());
        expected.extend([part, b"***"].concat());
    }
    let mut left = all.as_slice();
    let mut names = Vec::new();
    let mut random = 7u32;
    while !left.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, more) = left.split_at((1 + random as usize % 9).min(left.len()));
        let name = format!("{:03}", names.len());
        bridge.home.file(&name, piece);
        names.push(name);
        left = more;
    }
    let mut cat = vec!["-e", "TOKEN", "--", "cat"];
    cat.extend(names.iter().map(String::as_str));
    let outcome = exec(&bridge, &cat).outcome().succeeds();
    assert!(!outcome.stdout.windows(LETTERS.len()).any(|window| window == LETTERS.as_bytes()));
    assert_eq!(rest(&outcome.stdout), expected);
}

#[test]
fn a_prompt_is_shown_even_if_a_secret_may_follow() {
    let bridge = bridge();
    // The prompt ends as the secret begins.
    let script =
        "printf 'name? h'; read -r name; printf unter; read -r go; printf '2-is/a'; printf +secret; exit 7";
    let mut exec = exec(&bridge, &["-e", "TOKEN", "--sh", script]);
    let mut exec = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(read_within_limit(exec.stdout.as_mut().unwrap(), 7), b"name? h");
    exec.stdin.as_mut().unwrap().write_all(b"me\ngo\n").unwrap();
    let output = exec.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = text(&output.stdout);
    assert!(!text.contains("2-is/a+secret"), "{text}");
}

#[test]
fn other_output_is_unchanged_on_both_streams() {
    let bridge = bridge();
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    bridge.home.file("every", &every);
    exec(&bridge, &["-e", "TOKEN", "--sh", "cat every"]).outcome().succeeds().prints(&every);
    let mut exec = exec(&bridge, &["-q", "-e", "TOKEN", "--sh", "cat every >&2"]);
    assert!(exec.output().unwrap().stderr == every);
}

#[test]
fn both_streams_in_one_pipe_keep_their_order() {
    let bridge = bridge();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i $TOKEN >&2; i=$((i+1)); done";
    let mut exec = exec(&bridge, &["-e", "TOKEN", "--sh", script]);
    let mut child = exec.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(exec);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let expected: String = (0..500).map(|i| format!("out {i}\nerr {i} ***\n")).collect();
    assert_eq!(text, expected);
}

/// Users see what they type, and full-screen programs get their output unchanged.
#[test]
fn output_to_a_terminal_is_not_masked_other_output_is() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let bridge = bridge();
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    let script =
        "test -t 0 && test -t 1 && printf '%s? ' $TOKEN; read -r line; echo got $line; echo $TOKEN >&2";
    let mut exec = exec(&bridge, &["-q", "-e", "TOKEN", "--sh", script]);
    exec.stdin(theirs.try_clone().unwrap()).stdout(theirs).stderr(Stdio::piped()).process_group(0);
    let child = exec.spawn().unwrap();
    drop(exec); // closes its copies of the terminal
    let mut ours = File::from(ours);
    let prompt = format!("{TOKEN}? ");
    assert_eq!(text(&read_within_limit(&ours, prompt.len())), prompt);
    ours.write_all(b"me\n").unwrap();
    // The terminal shows what is typed.
    assert_eq!(text(&read_within_limit(&ours, 12)), "me\r\ngot me\r\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"***\n".as_slice()));
}

#[test]
fn a_child_left_running_does_not_block_the_step() {
    let bridge = bridge();
    let outcome = exec(&bridge, &["-e", "TOKEN", "--sh", "sleep 600 & echo $!"]).outcome().succeeds();
    let id = outcome.text();
    support::ForeignProcess::with_id(id.lines().next().unwrap_or_default().trim())
        .signal(rustix::process::Signal::KILL);
}

#[test]
fn no_mask_switches_masking_off() {
    let bridge = bridge();
    let outcome = exec(&bridge, &["--no-mask", "-e", "TOKEN", "--sh", "echo $TOKEN"]).outcome();
    outcome.succeeds().prints(format!("{TOKEN}\n"));
}
