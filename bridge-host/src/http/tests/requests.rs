//! Requests of ordinary tools to ordinary servers.

use serde_json::json;

use super::harness::{Scene, Sent, TOKEN};
use crate::http::stream_io::StreamEnd;
use crate::recorder::HttpCounts;

#[tokio::test]
async fn a_get_has_the_credential_on_the_host_only() {
    let scene = Scene::new(&[], |server| {
        Box::pin(server.always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello"))
    })
    .await;
    let mut tool = scene.tool();
    let request = scene.request("GET", "/pkg?x=1", "Authorization: Bearer ${NPM_TOKEN}\r\nAccept: */*\r\n");
    tool.send(&request);
    let (answer, end) = tool.answer().await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(end, Some(Sent::Idle(request.len() as u64)));
    let sent = format!(
        "GET /pkg?x=1 HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        scene.origin
    );
    assert_eq!(scene.requests(), [sent]);

    // The same stream for another connection of a tool: the server's connection is used again.
    tool.connect(&scene.origin);
    tool.send(&request);
    assert_eq!(tool.answer().await.1, Some(Sent::Idle(2 * request.len() as u64)));
    assert_eq!((scene.requests().len(), scene.connections()), (2, 1));
    assert_eq!(tool.end().await, StreamEnd::Closed);

    let who = json!({"session": "01".repeat(16), "peer": "192.0.2.1:1"});
    let mut expected = Vec::new();
    for request in [1, 2] {
        expected.push(json!({
            "record": "http-request", "session": who["session"], "peer": who["peer"], "request": request,
            "verdict": "granted", "rule": scene.origin, "method": "GET", "origin": scene.origin, "path": "/pkg",
        }));
        expected.push(json!({
            "record": "http-answered", "session": who["session"], "peer": who["peer"], "request": request,
            "rule": scene.origin, "status": 200, "outcome": "completed", "sent": 0, "received": 5,
        }));
    }
    assert_eq!(scene.audit(), expected);
    let counts = HttpCounts { requests: 2, bytes: 10, refused: 0 };
    assert_eq!(scene.summary().http, [(scene.origin.clone(), counts)].into());
}
