//! A hostile step at the proxy's port: requests that two parsers would read differently, or that never end.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use super::site::Site;
use crate::support::https::ruled::{Answer, Ruled};
use crate::support::https::scripted::Then;
use crate::support::require::{MOUNT_NAMESPACE, require};

#[test]
fn requests_with_ambiguous_framing_are_refused() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=GET+POST", site.place("/org"))]);
    let step = ruled.step();
    let host = format!("Host: {}\r\n", site.origin());
    let smuggled = format!("GET /smuggled HTTP/1.1\r\n{host}\r\n");
    let post = |headers: &str, body: &str| format!("POST /org/a HTTP/1.1\r\n{host}{headers}\r\n{body}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let length = smuggled.len();
    for request in [
        post(&format!("Content-Length: {length}\r\n{chunked}"), &format!("0\r\n\r\n{smuggled}")),
        post(&format!("{chunked}Content-Length: 0\r\n"), &format!("0\r\n\r\n{smuggled}")),
        post(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), &smuggled),
        post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
        post("Content-Length: 1, 1\r\n", "x"),
        post("Content-Length: +1\r\n", "x"),
        post("Content-Length: -1\r\n", "x"),
        post("Content-Length: 0x1\r\n", "x"),
        post("Content-Length: 1 1\r\n", "x"),
        post("Content-Length:\r\n", ""),
        post("Content-Length: 18446744073709551616\r\n", "x"),
        post("Transfer-Encoding: identity\r\n", &smuggled),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        post(&format!("{chunked}{chunked}"), "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("Content-Length : 1\r\n", "x"),
        post(" Content-Length: 1\r\n", "x"),
        post("X: a\r\n folded: b\r\nContent-Length: 0\r\n", ""),
        post("X: a\r\n\tContent-Length: 5\r\nContent-Length: 0\r\n", ""),
        post("X: a\rContent-Length: 5\r\nContent-Length: 0\r\n", ""),
        post("X: a\nContent-Length: 5\r\nContent-Length: 0\r\n", ""),
        post("X: a\0b\r\nContent-Length: 0\r\n", ""),
        post(": empty\r\nContent-Length: 0\r\n", ""),
        post("No colon\r\nContent-Length: 0\r\n", ""),
        post("Bad name: x\r\nContent-Length: 0\r\n", ""),
        post("Bäd: x\r\nContent-Length: 0\r\n", ""),
        post("Content-Length: 0\r\n", "").replace("\r\n", "\n"),
        format!("POST  /org/a HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST\t/org/a HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a  HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a b HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a HTTP/1.2\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a HTTP/3.0\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a http/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("POST /org/a\r\n{host}Content-Length: 0\r\n\r\n"),
        format!("\r\n\r\n\r\nX\r\n{host}\r\n"),
        format!("POST /org/a HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(1 << 17)),
        format!("POST /org/a HTTP/1.1\r\n{host}{}\r\n", "X: y\r\n".repeat(20_000)),
    ] {
        let answer = step.asks(&site.origin(), &request);
        assert!(matches!(answer.status(), 400 | 431 | 501 | 505), "{request:.400?}: {answer:?}");
    }
    assert_eq!(site.server.requests().len(), 0, "{:#?}", site.server.requests());
}

#[test]
fn chunks_with_ambiguous_lengths_end_the_request() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=GET+POST", site.place("/org"))]);
    let step = ruled.step();
    let host = format!("Host: {}\r\n", site.origin());
    let smuggled = format!("GET /org/smuggled HTTP/1.1\r\n{host}\r\n");
    for body in [
        format!("0x1\r\nx\r\n0\r\n\r\n{smuggled}"),
        format!("-1\r\nx\r\n0\r\n\r\n{smuggled}"),
        format!("+1\r\nx\r\n0\r\n\r\n{smuggled}"),
        format!(" 1\r\nx\r\n0\r\n\r\n{smuggled}"),
        format!("1\nx\n0\n\n{smuggled}"),
        format!("1\r\nxy\r\n0\r\n\r\n{smuggled}"),
        format!("1\r\nx0\r\n\r\n{smuggled}"),
        format!("10000000000000000\r\n{smuggled}"),
        format!("\r\n{smuggled}"),
        format!("z\r\n{smuggled}"),
        format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(1 << 20)),
    ] {
        let head = format!("POST /org/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n");
        let answer = step.asks(&site.origin(), head + &body);
        assert!(!answer.text().contains("answer to"), "{body:.200?}: {answer:?}");
    }
    // None of these requests was whole for the server, and no second one came out of them.
    assert!(site.server.requests().iter().all(|asked| asked.target() == "/org/a"));
}

#[test]
fn a_request_in_the_body_of_another_is_its_body() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        let body = connection.body(asked)?;
        connection.answer("200 OK", "", [b"got: ", body.as_slice()].concat())?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=GET+POST", site.place("/org"))]);
    let step = ruled.step();
    let inner = site.get("/other", "");
    let head = format!("POST /org/a HTTP/1.1\r\nHost: {}\r\n", site.origin());
    let whole = format!("{head}Content-Length: {}\r\n\r\n{inner}", inner.len());
    assert_eq!(step.asks(&site.origin(), whole).text(), format!("got: {inner}"));
    let chunks =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\nX: y\r\n\r\n", inner.len());
    assert_eq!(step.asks(&site.origin(), chunks).text(), format!("got: {inner}"));
    assert_eq!(site.server.requests().len(), 2);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_judged_one_by_one() {
    require!(MOUNT_NAMESPACE);
    let site = Site::echo();
    let ruled = Ruled::serve(&site.authority, &[&site.place("/org")]);
    let step = ruled.step();
    let mut tunnel = step.tunnel(&site.origin());
    let requests: Vec<String> =
        ["/org/1", "/org/2", "/other", "/org/3"].iter().map(|path| site.get(path, "")).collect();
    tunnel.write_all(requests.concat().as_bytes()).unwrap();
    let answers: Vec<_> = (0..3).map(|_| tunnel.answer()).collect();
    let statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    assert_eq!(statuses, [200, 200, 403], "{answers:?}");
    assert_eq!(answers[1].text(), "answer to /org/2");
    let targets: Vec<String> = site.server.requests().iter().map(|asked| asked.target().to_owned()).collect();
    assert!(!targets.contains(&"/other".to_owned()), "{targets:?}");
}

#[test]
fn a_server_that_splits_its_answer_does_not_answer_the_next_request() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        if asked.target() == "/two" {
            let two = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
            connection.write_all(two.as_bytes())?;
        } else {
            connection.answer("200 OK", "", "proper")?;
        }
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let mut tunnel = step.tunnel(&site.origin());
    tunnel.write_all(site.get("/two", "").as_bytes()).unwrap();
    assert_eq!(tunnel.answer().text(), "one");
    for _ in 0..3 {
        assert_eq!(step.asks(&site.origin(), site.get("/next", "")).text(), "proper");
    }
}

#[test]
fn an_ambiguous_answer_is_a_502() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        let answer = match asked.target() {
            "/both" => {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            }
            "/twice" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            "/fold" => "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            "/cr" => "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
            "/version" => "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "/status" => "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
            "/switch" => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
            "/endless" => {
                connection.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    connection.write_all(b"X-Endless: header\r\n")?;
                }
            }
            "/hints" => loop {
                connection.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
            },
            _ => "garbage\r\n\r\n",
        };
        connection.write_all(answer.as_bytes())?;
        Ok(Then::Close)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    for path in [
        "/both", "/twice", "/fold", "/cr", "/version", "/status", "/switch", "/garbage", "/endless", "/hints",
    ] {
        let answer = step.asks(&site.origin(), site.get(path, ""));
        assert!(answer.status() == 502 && answer.complete, "{path}: {answer:?}");
    }
    assert!(ruled.bridge.process.is_running());
}

#[test]
fn a_body_that_is_cut_is_not_a_whole_one_for_the_server() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        let whole = connection.body(asked).is_ok();
        connection.answer("200 OK", "", format!("whole: {whole}"))?;
        assert!(!whole, "the server takes a cut body for a whole one");
        Ok(Then::Close)
    });
    let ruled = Ruled::serve(&site.authority, &[&format!("{},methods=POST", site.place(""))]);
    let step = ruled.step();
    for (framing, body) in [("Content-Length: 100", "half"), ("Transfer-Encoding: chunked", "4\r\nhalf\r\n")]
    {
        let before = site.server.requests().len();
        let mut tunnel = step.tunnel(&site.origin());
        let head = format!("POST /a HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n{body}", site.origin());
        tunnel.write_all(head.as_bytes()).unwrap();
        site.server.waits_for_requests(before + 1);
        tunnel.tcp().shutdown(Shutdown::Both).unwrap();
        drop(tunnel);
        site.server.waits_for_ends(before + 1);
    }
}

#[test]
fn answers_that_are_never_read_hold_the_server_back() {
    require!(MOUNT_NAMESPACE);
    let (sent, count) = std::sync::mpsc::channel();
    let site = Site::new(move |asked, connection| {
        if asked.target() != "/large" {
            connection.answer("200 OK", "", "small")?;
            return Ok(Then::Keep);
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        let piece = vec![b'x'; 1_000_000];
        for number in 0..1000 {
            connection.write_all(&piece)?;
            let _ = sent.send(number);
        }
        Ok(Then::Close)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    let mut stalled = step.tunnel(&site.origin());
    stalled.write_all(site.get("/large", "").as_bytes()).unwrap();
    let mut some = [0; 10];
    stalled.read_exact(&mut some).unwrap();
    // Others are served meanwhile, for as long as it takes until the server is held back.
    loop {
        assert_eq!(step.asks(&site.origin(), site.get("/small", "")).text(), "small");
        let Ok(number) = count.recv_timeout(std::time::Duration::from_secs(1)) else { break };
        assert!(number < 100, "{number} MB were taken from the server, and none was read");
    }
    drop(stalled);
    assert_eq!(step.asks(&site.origin(), site.get("/small", "")).text(), "small");
}
