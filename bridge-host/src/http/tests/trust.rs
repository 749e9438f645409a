//! Which servers are trusted, and what the build reads when there is none.

use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

use super::harness::Scene;
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
