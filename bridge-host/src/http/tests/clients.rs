//! Tools and clients that do what few do, and those that are hostile.

use std::time::Duration;

use serde_json::json;

use super::harness::{Accepted, Scene, Sent, TOKEN};
use crate::http::stream_io::StreamEnd;
use crate::recorder::HttpCounts;

const POST: &[(&str, Option<&str>)] = &[("methods", Some("GET+HEAD+POST+PUT"))];

/// Answers each request with what it was: its first line and the length of its body.
fn mirror(mut server: Accepted) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        while let Some(head) = server.head().await {
            let mut body = Vec::new();
            if head.contains("Transfer-Encoding: chunked") {
                while !body.ends_with(b"0\r\n\r\n") {
                    body.extend(server.body(1).await);
                }
            } else if let Some(length) = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")) {
                body = server.body(length.parse().unwrap()).await;
            }
            let line = head.lines().next().unwrap();
            let text = format!("{line} {:?}", String::from_utf8_lossy(&body));
            server.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
        }
    })
}

#[tokio::test]
async fn requests_mean_the_same_however_they_are_split() {
    let scene = Scene::new(POST, mirror).await;
    let requests = [
        scene.request("POST", "/a", "Content-Length: 4\r\n") + "abcd",
        scene.request("PUT", "/b", "Transfer-Encoding: chunked\r\n")
            + "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n",
        scene.request("GET", "/c", ""),
    ]
    .concat();
    let mut pieces: Vec<Vec<&[u8]>> =
        vec![vec![requests.as_bytes()], requests.as_bytes().chunks(1).collect()];
    pieces.extend((1..requests.len()).map(|at| {
        let (one, other) = requests.as_bytes().split_at(at);
        vec![one, other]
    }));
    let mut tool = scene.tool();
    let mut received = 0;
    for split in pieces {
        received += requests.len() as u64;
        let mut answers = String::new();
        for piece in split {
            tool.send(piece);
            tokio::task::yield_now().await;
        }
        loop {
            let (answer, end) = tool.answer().await;
            answers += &answer;
            match end {
                Some(Sent::Idle(at)) if at == received => break,
                Some(Sent::Idle(at)) if at < received => {}
                other => panic!("{other:?}"),
            }
        }
        let bodies: Vec<&str> = answers
            .split("HTTP/1.1 200 OK")
            .skip(1)
            .map(|answer| answer.rsplit("\r\n").next().unwrap())
            .collect();
        assert_eq!(bodies[0], "POST /a HTTP/1.1 \"abcd\"");
        assert!(bodies[1].starts_with("PUT /b HTTP/1.1 "), "{answers}");
        assert_eq!(bodies[2], "GET /c HTTP/1.1 \"\"");
        assert_eq!(bodies.len(), 3);
    }
    // The parts of a chunked body are framed anew, without extensions and trailers.
    let server = scene.requests().concat();
    assert!(!server.contains("x=y") && !server.contains("T: 1"));
    assert_eq!(server.matches(TOKEN).count(), scene.requests().len());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::new(&[], mirror).await;
    let mut tool = scene.tool();
    let requests: String = (0..10).map(|number| scene.request("GET", &format!("/{number}"), "")).collect();
    tool.send(&requests);
    let mut answers = String::new();
    let mut idles = 0;
    loop {
        let (answer, end) = tool.answer().await;
        answers += &answer;
        idles += 1;
        if end == Some(Sent::Idle(requests.len() as u64)) {
            break;
        }
    }
    let order: Vec<_> =
        answers.match_indices("GET /").map(|(at, _)| answers[at + 5..at + 6].to_owned()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    // They came in one message: the stream is not idle between them.
    assert_eq!(idles, 1);
}

#[tokio::test]
async fn what_a_rule_does_not_permit_never_reaches_the_server() {
    let scene = Scene::new(&[], mirror).await;
    let mut tool = scene.tool();
    tool.send(scene.request("DELETE", "/pkg?token=hunter2", ""));
    let messages = tool.messages().await;
    let Some(Sent::Refusal(text)) = messages.first() else { panic!("{messages:?}") };
    assert!(text.contains("DELETE /pkg") && text.contains("methods="), "{text}");
    let Some(Sent::Bytes(answer)) = messages.get(1) else { panic!("{messages:?}") };
    let answer = String::from_utf8_lossy(answer);
    assert!(
        answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.ends_with(&format!("{text}\n")),
        "{answer}"
    );
    assert!(matches!(messages.get(2), Some(Sent::Idle(_))));
    // The next request of the same connection is served. One with a body ends it: nothing says when it comes.
    tool.send(scene.request("GET", "/ok", ""));
    assert!(tool.answer().await.0.contains("GET /ok"));
    tool.send(scene.request("POST", "/audit", "Content-Length: 6\r\n") + "GET / ");
    let (answer, end) = tool.answer().await;
    assert!(answer.contains("403 Forbidden") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(end, Some(Sent::Finished));
    assert_eq!(scene.requests().len(), 1);
    let first = scene.audit().swap_remove(0);
    assert_eq!(first["verdict"], "refused");
    assert_eq!(first["reason"], "method");
    assert_eq!(first["rule"], json!(scene.origin));
    assert_eq!(first["claimed"], json!({"method": "DELETE", "origin": scene.origin, "path": "/pkg"}));
    let counts = scene.summary();
    assert_eq!(counts.refusals, 2);
    let of_rule = counts.http[&scene.origin];
    assert_eq!((of_rule.requests, of_rule.refused), (1, 2));
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let scene = Scene::new(&[], mirror).await;
    for request in [
        "GET https://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
        format!("GET https://evil.example/ HTTP/1.1\r\nHost: {}\r\n\r\n", scene.origin),
        format!("GET / HTTP/1.1\r\nHost: {0}\r\nHost: evil.example\r\n\r\n", scene.origin),
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_owned(),
    ] {
        let mut tool = scene.tool();
        tool.send(&request);
        let (answer, _) = tool.answer().await;
        assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{request}: {answer}");
    }
    assert_eq!(scene.requests(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_http_gets_an_answer_and_the_end() {
    let scene = Scene::new(&[], mirror).await;
    for (request, status) in [
        ("GET /\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
    ] {
        let mut tool = scene.tool();
        tool.send(request);
        let (answer, end) = tool.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert_eq!(end, Some(Sent::Finished));
    }
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n", "a".repeat(70_000));
    let mut tool = scene.tool();
    tool.send(endless);
    assert!(tool.answer().await.0.starts_with("HTTP/1.1 431 "));
    for smuggled in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 3\r\nContent-Length: 4\r\n"]
    {
        let mut tool = scene.tool();
        tool.send(scene.request("GET", "/", smuggled) + "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
        let (answer, end) = tool.answer().await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && end == Some(Sent::Finished), "{answer}");
    }
    assert_eq!(scene.requests(), [""; 0]);
}

#[tokio::test]
async fn a_body_whose_framing_breaks_ends_both_connections() {
    let scene = Scene::new(POST, mirror).await;
    let mut tool = scene.tool();
    tool.send(scene.request("POST", "/", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\nX\r\n");
    assert_eq!(tool.answer().await, (String::new(), None));
    assert_eq!(tool.ended().await, StreamEnd::Cut);
    assert_eq!(scene.last_outcome().await, "cut");
}

#[tokio::test]
async fn a_tool_that_goes_away_ends_its_request() {
    let scene = Scene::new(POST, |mut server| {
        Box::pin(async move {
            server.head().await;
            // The end of the connection, and no answer.
            while server.try_read().await {}
            server.note("gone");
        })
    })
    .await;
    let tool = scene.tool();
    tool.send(scene.request("POST", "/", "Content-Length: 10\r\n") + "half");
    scene.wait_for_requests(1).await;
    assert_eq!(tool.end().await, StreamEnd::Closed);
    scene.wait_for_requests(2).await;
    assert_eq!(scene.last_outcome().await, "cut");
    // So it is while the tool only waits for the answer.
    let tool = scene.tool();
    tool.send(scene.request("GET", "/", ""));
    scene.wait_for_requests(3).await;
    assert_eq!(tool.end().await, StreamEnd::Closed);
    scene.wait_for_requests(4).await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let scene = Scene::new(POST, mirror).await;
    let mut tool = scene.tool();
    tool.send(scene.request("POST", "/", "Content-Length: 10\r\n") + "half");
    scene.wait_for_requests(1).await;
    // From here on the clock runs whenever everything waits.
    tokio::time::pause();
    assert_eq!(tool.answer().await, (String::new(), None));
    assert_eq!(tool.ended().await, StreamEnd::Cut);
    let mut tool = scene.tool();
    tool.send("GET / HT");
    assert_eq!(tool.answer().await, (String::new(), None));
    assert_eq!(tool.ended().await, StreamEnd::Cut);
}

#[tokio::test]
async fn a_stream_in_the_wrong_order_is_a_violation() {
    let scene = Scene::new(POST, mirror).await;
    let tool = scene.stream(1);
    tool.send(scene.request("GET", "/", ""));
    assert_eq!(tool.ended().await, StreamEnd::ProtocolError);
    for begun in ["GET / HTTP/1.1\r\n".to_owned(), scene.request("POST", "/", "Content-Length: 9\r\n")] {
        let tool = scene.tool();
        tool.send(begun);
        tool.connect(&scene.origin);
        assert_eq!(tool.ended().await, StreamEnd::ProtocolError);
    }
}

#[tokio::test]
async fn a_tool_of_http_1_0_gets_no_chunks() {
    let scene = Scene::new(&[], |server| {
        Box::pin(
            server.always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        )
    })
    .await;
    let mut tool = scene.tool();
    tool.send(format!("GET / HTTP/1.0\r\nHost: {}\r\nConnection: keep-alive\r\n\r\n", scene.origin));
    assert_eq!(
        tool.answer().await,
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello".to_owned(), Some(Sent::Finished))
    );
    assert_eq!(tool.ended().await, StreamEnd::Finished);
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let scene = Scene::new(&[], |mut server| {
        Box::pin(async move {
            while let Some(head) = server.head().await {
                let answer = match head.split(' ').nth(1).unwrap() {
                    "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                    "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "/none" => "HTTP/1.1 204 No Content\r\n\r\n",
                    _ => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n",
                };
                server.write(answer).await;
            }
        })
    })
    .await;
    let mut tool = scene.tool();
    for (method, path, answer) in [
        ("HEAD", "/head", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        ("HEAD", "/chunked", "HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", "/none", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "/same", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n"),
    ] {
        tool.send(scene.request(method, path, ""));
        let (got, end) = tool.answer().await;
        assert_eq!(got, answer);
        assert!(matches!(end, Some(Sent::Idle(_))));
    }
    assert_eq!(scene.connections(), 1);
}

#[tokio::test]
async fn a_tool_that_waits_for_100_continue_gets_it() {
    let scene = Scene::new(POST, |mut server| {
        Box::pin(async move {
            let head = server.head().await.unwrap();
            assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
            match head.split(' ').nth(1).unwrap() {
                "/asks" => server.write("HTTP/1.1 100 Continue\r\n\r\n").await,
                "/silent" => {}
                _ => return server.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await,
            }
            assert_eq!(server.body(4).await, b"body");
            server.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        })
    })
    .await;
    for path in ["/asks", "/silent"] {
        let mut tool = scene.tool();
        tool.send(scene.request("PUT", path, "Content-Length: 4\r\nExpect: 100-continue\r\n"));
        assert_eq!(tool.next().await, Some(Sent::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())), "{path}");
        tool.send("body");
        let (answer, end) = tool.answer().await;
        assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert!(matches!(end, Some(Sent::Idle(_))));
    }
    let mut tool = scene.tool();
    tool.send(scene.request("PUT", "/refuses", "Content-Length: 4\r\nExpect: 100-continue\r\n"));
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    assert_eq!(tool.next().await, Some(Sent::Bytes(answer.into())));
}

#[tokio::test]
async fn large_bodies_stream_and_a_slow_tool_stops_the_server() {
    const SIZE: usize = 40_000_000;
    let scene = Scene::new(&[], |mut server| {
        Box::pin(async move {
            server.head().await;
            server.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
            let piece = vec![b'x'; 100_000];
            for _ in 0..SIZE / piece.len() {
                server.write(&piece).await;
                server.note("piece");
            }
        })
    })
    .await;
    let mut tool = scene.tool();
    tool.send(scene.request("GET", "/", ""));
    assert!(matches!(tool.next().await, Some(Sent::Bytes(_))));
    // The tool reads nothing more: the server comes to a stop with what the sockets hold.
    let mut written = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = scene.requests().len();
        if now == written {
            break;
        }
        written = now;
    }
    assert!(written < 200, "{written} of 400 pieces were written");
    let (mut length, mut largest) = (0, 0);
    loop {
        match tool.next().await {
            Some(Sent::Bytes(bytes)) => {
                length += bytes.len();
                largest = largest.max(bytes.len());
            }
            end => {
                assert!(matches!(end, Some(Sent::Idle(_))), "{end:?}");
                break;
            }
        }
    }
    assert!(length > SIZE - 20_000 && length < SIZE && largest <= 16 << 10, "{length}, {largest}");
    let counts = HttpCounts { requests: 1, bytes: SIZE as u64, refused: 0 };
    assert_eq!(scene.last_outcome().await, "completed");
    assert_eq!(scene.summary().http[&scene.origin], counts);
}
