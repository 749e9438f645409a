//! What the server answers, and what of it reaches the build.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::site::Site;
use crate::support::Start as _;
use crate::support::https::ruled::{Ruled, TOKEN};
use crate::support::https::scripted::{Scripted, Then};
use crate::support::require::{CURL, MOUNT_NAMESPACE, require};

#[test]
fn a_credential_that_the_server_echoes_is_overwritten() {
    require!(MOUNT_NAMESPACE);
    let encoded = STANDARD.encode(format!("builder:{TOKEN}"));
    let echoed = encoded.clone();
    // The path says at which place the body is cut into chunks.
    let site = Site::new(move |asked, connection| {
        let body = format!("before {TOKEN} between {echoed} after");
        let given = asked.header("authorization").unwrap_or_default();
        let headers = format!("X-Echo: {given}\r\nX-Raw: {TOKEN}\r\n");
        match asked.target().strip_prefix("/chunks/") {
            Some(size) => {
                let head = format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
                connection.write_all(head.as_bytes())?;
                for piece in body.as_bytes().chunks(size.parse().unwrap()) {
                    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                    connection.write_all(&chunk)?;
                }
                connection.write_all(b"0\r\nX-Trailer: dropped\r\n\r\n")?;
            }
            None => connection.answer("200 OK", &headers, body)?,
        }
        Ok(Then::Keep)
    });
    let rule = format!("builder@{},auth=basic", site.place(""));
    let ruled = Ruled::serve(&site.authority, &[&rule]);
    let step = ruled.step();
    let expected = format!("before {TOKEN} between {encoded} after").len();
    for path in ["/whole", "/chunks/1", "/chunks/7", "/chunks/20", "/chunks/1000"] {
        let answer = step.asks(&site.origin(), site.get(path, ""));
        let (head, body) = (&answer.head, answer.text());
        assert_eq!((answer.status(), answer.complete), (200, true), "{answer:?}");
        for secret in [TOKEN, &encoded, &encoded[8..24], &TOKEN[4..20]] {
            assert!(!head.contains(secret), "{path}: {head}");
            assert!(!body.contains(secret), "{path}: {body}");
        }
        assert!(body.starts_with("before ***") && body.ends_with(" after"), "{path}: {body}");
        assert_eq!(body.len(), expected, "{path}: {body}");
        assert!(answer.header("x-trailer").is_none(), "{head}");
    }
}

#[test]
fn a_401_to_our_credential_becomes_a_502_that_says_so() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        let given = asked.header("authorization").unwrap_or_default().to_owned();
        connection.answer("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", format!("no: {given}"))?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&format!("{},own=keep", site.place(""))]);
    let code = ["--write-out", " %{http_code}"];
    let answer = ruled.curl(&[code.as_slice(), &[&site.url("/a")]].concat()).outcome().succeeds();
    assert!(answer.text().ends_with(" 502"), "{answer:?}");
    assert!(answer.text().contains("401") && !answer.text().contains("no: "), "{answer:?}");
    ruled.bridge.process.says("401");
    // The tool's own login was refused: that is its own affair.
    let own = ["--header", "Authorization: Bearer own"];
    let answer = ruled.curl(&[code.as_slice(), &own, &[&site.url("/a")]].concat()).outcome().succeeds();
    assert_eq!(answer.text(), "no: Bearer own 401");
}

#[test]
fn cookies_and_other_ways_to_the_server_are_dropped() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|_, connection| {
        let headers = "Set-Cookie: session=authenticated\r\nset-cookie2: a=b\r\nAlt-Svc: h3=\":443\"\r\n\
                       X-Kept: yes\r\nETag: \"1\"\r\n";
        connection.answer("200 OK", headers, "body")?;
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let answer = ruled.step().asks(&site.origin(), site.get("/", ""));
    for name in ["set-cookie", "set-cookie2", "alt-svc"] {
        assert_eq!(answer.header(name), None, "{}", answer.head);
    }
    assert_eq!((answer.header("x-kept"), answer.header("etag")), (Some("yes"), Some("\"1\"")));
}

#[test]
fn a_redirect_is_the_tools_and_the_credential_does_not_follow() {
    require!(CURL, MOUNT_NAMESPACE);
    let site = Site::echo();
    let elsewhere = Scripted::start(&site.authority, &["127.0.0.1"], |asked, connection| {
        connection.answer("200 OK", "", format!("elsewhere {}", asked.target()))?;
        Ok(Then::Keep)
    });
    let target = format!("https://127.0.0.1:{}/signed?X-Signature=0123456789abcdef", elsewhere.port());
    let location = format!("Location: {target}\r\n");
    let redirecting = Scripted::start(&site.authority, &["redirecting.example"], move |_, connection| {
        connection.answer("302 Found", &location, "")?;
        Ok(Then::Keep)
    });
    let rule = format!("redirecting.example:{}", redirecting.port());
    let ruled = Ruled::serve(&site.authority, &[&rule]);
    let ca = site.authority.file();
    // COMMAND trusts the server elsewhere as well as the proxy.
    let script = "cat \"$SSL_CERT_FILE\" \"$2\" > both.pem && \
                  curl -sS --location-trusted -H 'Authorization: Bearer own' --cacert both.pem \"$1\"";
    let command = ["sh", "-c", script, "sh", &format!("https://{rule}/a"), ca.to_str().unwrap()];
    let outcome = ruled.exec(&[], &command).outcome().succeeds();
    outcome.prints("elsewhere /signed?X-Signature=0123456789abcdef");
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].head.contains(TOKEN), "{}", asked[0].head);
}

#[test]
fn heads_of_any_kind_pass_unchanged() {
    require!(MOUNT_NAMESPACE);
    let site = Site::new(|asked, connection| {
        match asked.target() {
            "/none" => connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
            "/same" => connection.write_all(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")?,
            "/part" => {
                assert_eq!(asked.header("range"), Some("bytes=2-3"));
                connection.answer("206 Partial Content", "Content-Range: bytes 2-3/6\r\n", "cd")?;
            }
            "/close" => {
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")?;
                return Ok(Then::Close);
            }
            "/hints" => {
                connection.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
                connection.answer("200 OK", "", "final")?;
            }
            _ if asked.method() == "HEAD" => {
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")?;
            }
            _ => connection.answer("404 Not Found", "", "nothing here")?,
        }
        Ok(Then::Keep)
    });
    let ruled = Ruled::serve(&site.authority, &[&site.place("")]);
    let step = ruled.step();
    for (path, headers, status, body) in [
        ("/none", "", 204, ""),
        ("/same", "If-None-Match: \"x\"\r\n", 304, ""),
        ("/part", "Range: bytes=2-3\r\n", 206, "cd"),
        ("/close", "", 200, "until the end"),
        ("/missing", "", 404, "nothing here"),
    ] {
        let answer = step.asks(&site.origin(), site.get(path, headers));
        assert_eq!(
            (answer.status(), answer.text().as_str(), answer.complete),
            (status, body, true),
            "{path}"
        );
    }
    let mut tunnel = step.tunnel(&site.origin());
    let head = site.get("/size", "").replacen("GET", "HEAD", 1);
    tunnel.write_all(head.as_bytes()).unwrap();
    tunnel.write_all(site.get("/missing", "").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"nothing here") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut tunnel, &mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.to_ascii_lowercase().contains("content-length: 12345\r\n"), "{text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
}
