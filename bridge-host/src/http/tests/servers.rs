//! Servers that break the rules, or seem to.

use std::time::Duration;

use super::harness::{Accepted, Scene, Script, Sent, TOKEN};
use crate::http::stream_io::StreamEnd;

/// What a tool gets from a server with this script, how the connection goes on, and how the audit tells it: outcome and
/// reason.
async fn get(script: Script) -> (String, Option<Sent>, String) {
    let scene = Scene::new(&[], script).await;
    let (answer, end) = scene.get("/").await;
    let told = scene.last_outcome().await;
    (answer, end, told)
}

fn is_502(answer: &str, text: &str) -> bool {
    answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n")
        && answer.contains("\r\n\r\nsecrets-bridge: ")
        && answer.contains(text)
}

macro_rules! answers {
    ($bytes:expr) => {
        |mut server: Accepted| {
            Box::pin(async move {
                server.head().await;
                server.write($bytes).await;
                server.close().await;
            })
        }
    };
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let scripts: [(Script, &str); 9] = [
        (
            answers!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "length and chunks",
        ),
        (answers!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "two lengths"),
        (answers!("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"), "a sign"),
        (answers!("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), "bare line feeds"),
        (answers!("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), "a folded field"),
        (answers!("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"), "a space before the colon"),
        (answers!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "another coding"),
        (answers!("HTTP/2 200 OK\r\n\r\n"), "another version"),
        (answers!("garbage\r\n\r\n"), "no HTTP"),
    ];
    for (script, what) in scripts {
        let (answer, end, told) = get(script).await;
        assert!(is_502(&answer, "is not valid HTTP/1.1"), "{what}: {answer}");
        assert!(matches!(end, Some(Sent::Idle(_))), "{what}");
        assert_eq!(told, "failed malformed-answer", "{what}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let endless = |mut server: Accepted| {
        Box::pin(async move {
            server.head().await;
            server.write("HTTP/1.1 200 OK\r\n").await;
            while server.try_write(b"X-Endless: 0123456789012345678901234567890123456789\r\n").await {}
        }) as _
    };
    let (answer, _, told) = get(endless).await;
    assert!(is_502(&answer, "the head is larger than"), "{answer}");
    assert_eq!(told, "failed malformed-answer");
}

#[tokio::test]
async fn interim_answers_are_skipped_and_not_without_end() {
    let some: Script = answers!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    );
    assert_eq!(get(some).await.0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let flood = |mut server: Accepted| {
        Box::pin(async move {
            server.head().await;
            while server.try_write(b"HTTP/1.1 102 Processing\r\n\r\n").await {}
        }) as _
    };
    let (answer, _, told) = get(flood).await;
    assert!(is_502(&answer, "interim answers"), "{answer}");
    assert_eq!(told, "failed malformed-answer");
    let switch: Script = answers!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    assert!(is_502(&get(switch).await.0, "(101)"));
}

#[tokio::test]
async fn an_answer_that_is_cut_is_never_complete() {
    let scripts: [(Script, &str); 4] = [
        (answers!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), "a length that lies"),
        (answers!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), "no last chunk"),
        (answers!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!"), "a chunk that lies"),
        (
            |mut server: Accepted| {
                Box::pin(async move {
                    server.head().await;
                    server.write("HTTP/1.1 200 OK\r\n\r\nhello").await;
                    server.cut().await;
                })
            },
            "an end without close_notify",
        ),
    ];
    for (script, what) in scripts {
        let scene = Scene::new(&[], script).await;
        let mut tool = scene.tool();
        tool.send(scene.request("GET", "/", ""));
        let (answer, end) = tool.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{what}: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{what}: {answer}");
        assert_eq!(end, None, "{what}");
        assert_eq!(tool.ended().await, StreamEnd::Cut, "{what}");
        assert!(scene.last_outcome().await.starts_with("cut "), "{what}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_by_close_goes_on_in_chunks() {
    let script: Script = answers!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello");
    let (answer, end, told) = get(script).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(answer, format!("{head}5\r\nhello\r\n0\r\n\r\n"));
    assert!(matches!(end, Some(Sent::Idle(_))));
    assert_eq!(told, "completed");
}

#[tokio::test]
async fn trailers_and_extensions_of_chunks_are_dropped() {
    let script: Script = answers!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n"
    );
    let (answer, ..) = get(script).await;
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    assert!(!answer.contains("X-T"), "{answer}");
}

#[tokio::test]
async fn a_connection_with_bytes_left_over_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
    ] {
        ANSWER.with(|shared| shared.set(answer));
        let scene =
            Scene::new(&[], |server| Box::pin(server.always(ANSWER.with(std::cell::Cell::get)))).await;
        for _ in 0..2 {
            assert!(scene.get("/").await.0.ends_with("\r\n\r\nok"), "{answer}");
        }
        assert_eq!((scene.requests().len(), scene.connections()), (2, 2), "{answer}");
    }
}

thread_local! {
    /// What the server of a test answers: the tests' runtimes have one thread.
    static ANSWER: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

#[tokio::test]
async fn an_early_answer_is_delivered_and_then_the_connection_ends() {
    let scene = Scene::new(&[("methods", Some("GET+PUT"))], |mut server| {
        Box::pin(async move {
            if server.head().await.unwrap().starts_with("GET") {
                return server.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
            server.body(1000).await;
            server.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
            // Reads nothing more, and keeps the connection.
            std::future::pending().await
        })
    })
    .await;
    let mut tool = scene.tool();
    tool.send(scene.request("PUT", "/file", "Content-Length: 10000000\r\n"));
    tool.send(vec![b'x'; 200_000]);
    let mut answer = Vec::new();
    while !answer.ends_with(b"big") {
        match tool.next().await {
            Some(Sent::Bytes(bytes)) => answer.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
    // The tool goes on: all of it is read, or it would be reset before it reads the answer.
    tool.send(vec![b'x'; 10_000_000 - 200_000]);
    assert_eq!(tool.next().await, Some(Sent::Finished));
    assert_eq!(tool.ended().await, StreamEnd::Finished);
    assert_eq!(scene.last_outcome().await, "completed");
    scene.get("/").await;
    assert_eq!(scene.connections(), 2);
}

#[tokio::test]
async fn a_credential_that_comes_back_is_overwritten() {
    let scene = Scene::new(&[], |mut server| {
        Box::pin(async move {
            let head = server.head().await.unwrap();
            let value = head.lines().find_map(|line| line.strip_prefix("Authorization: ")).unwrap();
            let body = format!("you sent {value}!");
            let length = body.len();
            server
                .write(format!("HTTP/1.1 200 OK\r\nX-Echo: {value}\r\nContent-Length: {length}\r\n\r\n"))
                .await;
            // In pieces that each look harmless.
            for piece in body.as_bytes().chunks(5) {
                server.write(piece).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    })
    .await;
    let (answer, _) = scene.get("/").await;
    assert!(!answer.contains("hunter2"), "{answer}");
    let stars = "*".repeat(TOKEN.len());
    assert!(answer.contains(&format!("X-Echo: Bearer {stars}\r\n")), "{answer}");
    assert!(answer.ends_with(&format!("you sent Bearer {stars}!")), "{answer}");
}

#[tokio::test]
async fn a_compressed_body_goes_through_untouched() {
    let script: Script = answers!(format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{TOKEN}",
        TOKEN.len()
    ));
    let (answer, ..) = get(script).await;
    assert!(
        answer.ends_with(&format!("Content-Encoding: gzip\r\nContent-Length: 25\r\n\r\n{TOKEN}")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_redirect_is_the_tools_and_a_signed_url_is_told() {
    let scene = Scene::new(&[], |server| {
        Box::pin(server.always(
            "HTTP/1.1 302 Found\r\nLocation: https://store.example/f?sig=1\r\nContent-Length: 0\r\n\r\n",
        ))
    })
    .await;
    let mut tool = scene.tool();
    let request = scene.request("GET", "/f", "");
    tool.send(&request);
    let answer = "HTTP/1.1 302 Found\r\nLocation: https://store.example/f?sig=1\r\nContent-Length: 0\r\n\r\n";
    let expected = [
        Sent::SignedUrl(b"https://store.example/f?sig=1".to_vec()),
        Sent::Bytes(answer.into()),
        Sent::Idle(request.len() as u64),
    ];
    assert_eq!(tool.messages().await, expected);
    let mut told = 1;
    for _ in 0..300 {
        tool.send(&request);
        told += tool.messages().await.iter().filter(|sent| matches!(sent, Sent::SignedUrl(_))).count();
    }
    assert_eq!(told, 256);
}

#[tokio::test]
async fn a_refused_credential_is_told_and_not_passed_on() {
    let scene = Scene::new(&[], |server| {
        Box::pin(
            server
                .always("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
        )
    })
    .await;
    let mut tool = scene.tool();
    tool.send(scene.request("GET", "/", ""));
    let messages = tool.messages().await;
    let Some(Sent::Refusal(text)) = messages.first() else { panic!("{messages:?}") };
    assert!(text.contains("does not accept the credential") && text.contains(&scene.origin), "{text}");
    let Some(Sent::Bytes(answer)) = messages.get(1) else { panic!("{messages:?}") };
    assert!(is_502(&String::from_utf8_lossy(answer), text));
    assert_eq!(scene.last_outcome().await, "failed unauthorized");
    // People are told once.
    tool.send(scene.request("GET", "/", ""));
    assert!(!tool.messages().await.iter().any(|sent| matches!(sent, Sent::Refusal(_))));
}

#[tokio::test]
async fn a_kept_connection_that_turns_out_closed_is_replaced_for_get_only() {
    /// Answers one request on each connection, and closes when it gets another.
    fn once(mut server: Accepted) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let length = if server.head().await.unwrap().starts_with("POST") { 2 } else { 0 };
            server.body(length).await;
            server.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            server.head().await;
            server.close().await;
        })
    }
    let scene = Scene::new(&[("methods", Some("GET+HEAD+POST"))], once).await;
    for (request, connections) in [(1, 1), (2, 2), (3, 3)] {
        assert!(scene.get("/").await.0.ends_with("ok"), "request {request}");
        assert_eq!(scene.connections(), connections);
    }
    let scene = Scene::new(&[("methods", Some("GET+HEAD+POST"))], once).await;
    assert!(scene.get("/").await.0.ends_with("ok"));
    let mut tool = scene.tool();
    tool.send(scene.request("POST", "/", "Content-Length: 2\r\n") + "{}");
    let (answer, _) = tool.answer().await;
    assert!(is_502(&answer, "closed the connection without an answer"), "{answer}");
    assert_eq!((scene.connections(), scene.last_outcome().await.as_str()), (1, "failed no-answer"));
    assert_eq!(scene.requests().len(), 2);
}

#[tokio::test]
async fn a_server_without_an_answer_is_not_asked_again() {
    let (answer, _, told) = get(|mut server| {
        Box::pin(async move {
            server.head().await;
            server.close().await;
        })
    })
    .await;
    assert!(is_502(&answer, "closed the connection without an answer"), "{answer}");
    assert_eq!(told, "failed no-answer");
}

#[tokio::test]
async fn sessions_do_not_share_connections() {
    let scene =
        Scene::new(&[], |server| Box::pin(server.always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
            .await;
    let _spare = scene.stream(2);
    let mut seen = Vec::new();
    for session in [1, 1, 2, 1, 2] {
        let mut tool = scene.stream(session);
        tool.connect(&scene.origin);
        tool.send(scene.request("GET", "/", ""));
        assert!(tool.answer().await.0.ends_with("ok"));
        seen.push(scene.connections());
    }
    assert_eq!(seen, [1, 1, 2, 2, 2]);
}
