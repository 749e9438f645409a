//! Whatever dies in the middle of a transfer, no tool takes half of it for the whole.

use std::fs::File;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;

use super::site::Site;
use crate::support::https::ruled::Ruled;
use crate::support::https::scripted::Then;
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};
use crate::support::{Process, Start as _};

/// How an answer says where it ends.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
    Close,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunks, Framing::Close];

/// Sends half of an answer, says so, and waits until the test lets go: then it breaks the connection.
fn half_a_download(framing: Framing) -> (Site, Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (half, is_half) = channel();
    let (release, released) = channel();
    let released = Mutex::new(released);
    let site = Site::new(move |asked, connection| {
        if asked.target() != "/large" {
            connection.answer("200 OK", "", "small")?;
            return Ok(Then::Keep);
        }
        let head = match framing {
            Framing::Length => "Content-Length: 2000000\r\n",
            Framing::Chunks => "Transfer-Encoding: chunked\r\n",
            Framing::Close => "",
        };
        write!(connection, "HTTP/1.1 200 OK\r\n{head}\r\n")?;
        let piece = vec![b'x'; 100_000];
        for _ in 0..10 {
            match framing {
                Framing::Chunks => {
                    connection.write_all(&[b"186a0\r\n", piece.as_slice(), b"\r\n"].concat())?;
                }
                Framing::Length | Framing::Close => connection.write_all(&piece)?,
            }
        }
        let _ = half.send(());
        let _ = released.lock().unwrap().recv();
        Ok(Then::Cut)
    });
    (site, is_half, release)
}

/// Starts a download, and waits until half of it is there.
fn start_download(ruled: &Ruled, site: &Site, is_half: &Receiver<()>) -> Process {
    // COMMAND says what curl made of it.
    let script = "curl -sS --max-time 50 -o file \"$1\"; echo \"curl: $?\"";
    let process = ruled.exec(&[], &["sh", "-c", script, "sh", &site.url("/large")]).start();
    is_half.recv_timeout(crate::support::LIMIT).unwrap();
    process
}

#[track_caller]
fn assert_curl_failed(process: &Process) {
    let line = process.prints("curl: ");
    assert_ne!(line, "curl: 0", "half of a file passed for all of it; {}", process.stderr());
}

#[test]
fn a_server_that_dies_in_a_download_is_no_success() {
    require!(CURL, MOUNT_NAMESPACE);
    for framing in FRAMINGS {
        let (site, is_half, release) = half_a_download(framing);
        let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
        let process = start_download(&ruled, &site, &is_half);
        release.send(()).unwrap();
        assert_curl_failed(&process);
        process.ends();
        ruled.curl(&[&site.url("/small")]).outcome().succeeds().prints("small");
    }
}

#[test]
fn a_bridge_that_dies_in_a_download_is_no_success_and_a_502_after() {
    require!(CURL, MOUNT_NAMESPACE);
    for framing in FRAMINGS {
        let (site, is_half, _release) = half_a_download(framing);
        let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
        let script = "curl -sS --max-time 50 -o file \"$1\"; echo \"curl: $?\"; \
                      curl -sS --max-time 50 \"$2\"; echo \"again: $?\"";
        let command = ["sh", "-c", script, "sh", &site.url("/large"), &site.url("/small")];
        let process = ruled.exec(&[], &command).start();
        is_half.recv_timeout(crate::support::LIMIT).unwrap();
        ruled.bridge.sigkill();
        assert_curl_failed(&process);
        process.prints("again: ");
        let outcome = process.ends();
        let text = format!("{}{}", outcome.text(), outcome.stderr);
        assert!(text.contains("bridge"), "{outcome:?}");
        assert!(!outcome.text().contains("again: 0") || outcome.text().contains("bridge"), "{outcome:?}");
    }
}

#[test]
fn an_exec_that_dies_in_a_download_is_no_success() {
    require!(CURL, MOUNT_NAMESPACE);
    for framing in FRAMINGS {
        let (site, is_half, _release) = half_a_download(framing);
        let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
        let process = start_download(&ruled, &site, &is_half);
        process.signal(Signal::KILL);
        assert_curl_failed(&process);
    }
}

#[test]
fn a_server_that_answers_early_is_heard() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        if asked.method() == "PUT" {
            // It does not read the body.
            connection.answer("413 Content Too Large", "Connection: close\r\n", "too large")?;
            return Ok(Then::Close);
        }
        connection.answer("200 OK", "", "next")?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=GET+PUT", site.place(""))]);
    let file = ruled.bridge.home.path("large");
    File::create(&file).unwrap().set_len(50_000_000).unwrap();
    let url = site.url("/a");
    let put = ["--upload-file", "large", "--write-out", " %{http_code}", &url];
    let outcome = ruled.curl(&put).outcome();
    assert!(outcome.text().ends_with(" 413"), "{outcome:?}");
    ruled.curl(&[&url]).outcome().succeeds().prints("next");
}

#[test]
fn a_slow_server_is_waited_for_and_one_that_is_absent_is_a_502() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::new(|_, connection| {
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")?;
        for byte in b"dripping" {
            connection.write_all(&[*byte])?;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Ok(Then::Keep)
    });
    let absent = format!("absent.example:{}", free_port());
    let ruled = Ruled::serve(&site.authority, &[&site.place(""), &absent]);
    ruled.curl(&[&site.url("/a")]).outcome().succeeds().prints("dripping");
    let url = format!("https://{absent}/a");
    let outcome = ruled.curl(&["--write-out", " %{http_code}", &url]).outcome().succeeds();
    assert!(outcome.text().ends_with(" 502") && outcome.text().contains("absent.example"), "{outcome:?}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_certificate_of_another_ca_is_a_502() {
    require!(CURL, MOUNT_NAMESPACE);
    let (site, impostor) = (Site::echo(), Site::echo());
    // The rule trusts the CA of one, and the name leads to the other.
    let ruled = Ruled::serve(&site.authority, &[&impostor.place("")]);
    let outcome = ruled.curl(&["--write-out", " %{http_code}", &impostor.url("/a")]).outcome().succeeds();
    assert!(outcome.text().ends_with(" 502") && outcome.text().contains("certificate"), "{outcome:?}");
    assert_eq!(impostor.server.requests().len(), 0);
}
