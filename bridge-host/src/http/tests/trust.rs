//! Which servers are trusted, and what the build reads when there is none.

use std::net::Ipv4Addr;

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::{Scene, TOKEN};
#[cfg(unix)]
use crate::audit::AuditTarget;
use crate::ca::testing::TestCa;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn servers_of_tls_1_2_and_1_3_are_asked() {
    for version in [&TLS12, &TLS13] {
        let ca = TestCa::new();
        let acceptor = TlsAcceptor::from(ca.server("localhost", &[version]));
        let scene = Scene::with(ca, acceptor, &[], |server| Box::pin(server.always(OK))).await;
        assert!(scene.get("/").await.0.ends_with("ok"), "{version:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_gets_no_request() {
    let other = TestCa::new();
    let unknown = TlsAcceptor::from(other.server("localhost", &[&TLS13]));
    let ca = TestCa::new();
    let misnamed = TlsAcceptor::from(ca.server("other.example", &[&TLS13]));
    for (ca, acceptor, text) in [
        (TestCa::new(), unknown, "signed by a CA that the host does not trust: name that CA with ca=FILE"),
        (ca, misnamed, "its certificate is for another name"),
    ] {
        let scene = Scene::with(ca, acceptor, &[], |server| Box::pin(server.always(OK))).await;
        let (answer, _) = scene.get("/").await;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(text), "{answer}");
        assert_eq!(scene.last_outcome().await, "failed certificate");
        assert_eq!(scene.requests(), [""; 0]);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be() {
    let scene = Scene::new(&[], |server| Box::pin(server.always(OK))).await;
    scene.stop_server().await;
    let (answer, _) = scene.get("/").await;
    let text = format!("cannot reach {} from the host: ", scene.origin);
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains(&text), "{answer}");
    assert_eq!(scene.last_outcome().await, "failed unreachable");
    assert!(scene.get("/").await.0.starts_with("HTTP/1.1 502 "), "each request gets the text");
}

#[cfg(unix)]
#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let scene = Scene::recorded_in(&AuditTarget::Fifo(path), |server| Box::pin(server.always(OK))).await;
    assert!(scene.get("/").await.0.ends_with("ok"));
    drop(reader);
    let (answer, _) = scene.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("audit record"), "{answer}");
    assert_eq!(scene.requests().len(), 1);
}

#[tokio::test]
async fn the_hosts_proxy_is_asked_for_the_rules_host() {
    let ca = TestCa::new();
    let acceptor = TlsAcceptor::from(ca.server("registry.example", &[&TLS13]));
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = proxy.local_addr().unwrap().port();
    let url = format!("http://me:secret@127.0.0.1:{port}");
    let scene = Scene::by_proxy("registry.example:443", ca, &url);
    let serving = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut sent = vec![0; 4096];
        let length = stream.read(&mut sent).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        sent.truncate(length);
        [request, sent].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let ((answer, _), [request, sent]) = tokio::join!(scene.get("/"), serving);
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(request.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{request}");
    // Only the server sees the request.
    assert!(sent.contains(TOKEN) && !sent.contains("Proxy-") && !request.contains(TOKEN));
}
