//! The batch call of git LFS, whose bodies are read whole.

use super::harness::{Scene, Sent, TOKEN};

const RULE: &[(&str, Option<&str>)] = &[("git", None), ("lfs", None)];
const BATCH: &str = "/org/repo.git/info/lfs/objects/batch";

fn call(scene: &Scene, operation: &str) -> String {
    let oid = "a".repeat(64);
    let body = format!(r#"{{"operation":"{operation}","objects":[{{"oid":"{oid}","size":5}}]}}"#);
    let fields = format!(
        "Content-Type: application/vnd.git-lfs+json\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n",
        body.len()
    );
    scene.request("POST", BATCH, &fields) + &body
}

#[tokio::test]
async fn a_server_that_copies_the_authorization_does_not_hand_it_out() {
    let scene = Scene::new(RULE, |mut server| {
        Box::pin(async move {
            let head = server.head().await.unwrap();
            assert!(head.contains("Accept-Encoding: identity\r\n"), "{head}");
            let value = head.lines().find_map(|line| line.strip_prefix("Authorization: ")).unwrap();
            let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let body = String::from_utf8(server.body(length.parse().unwrap()).await).unwrap();
            assert!(body.contains(r#""operation":"download""#), "{body}");
            let answer = format!(
                r#"{{"objects":[{{"oid":"{}","size":5,"actions":{{"download":{{"href":"https://{host}/f","header":{{"Authorization":"{value}"}}}}}}}}]}}"#,
                "a".repeat(64)
            );
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            server.write(head + &answer).await;
        })
    })
    .await;
    let mut tool = scene.tool();
    tool.send(call(&scene, "download"));
    let (answer, end) = tool.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("/f\""), "{answer}");
    assert!(!answer.contains("header") && !answer.contains("Authorization"), "{answer}");
    assert!(!answer.contains(TOKEN) && matches!(end, Some(Sent::Idle(_))), "{answer}");
    let length: usize =
        answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), length);
    assert_eq!(scene.last_outcome().await, "completed");
}

#[tokio::test]
async fn an_upload_and_a_body_without_end_never_reach_the_server() {
    let scene =
        Scene::new(RULE, |server| Box::pin(server.always("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
            .await;
    let mut tool = scene.tool();
    tool.send(call(&scene, "upload"));
    let (answer, _) = tool.answer().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("git+push"), "{answer}");
    let mut tool = scene.tool();
    let fields = "Content-Type: application/vnd.git-lfs+json\r\nTransfer-Encoding: chunked\r\n";
    tool.send(scene.request("POST", BATCH, fields));
    for _ in 0..70 {
        tool.send(format!("4000\r\n{}\r\n", " ".repeat(0x4000)));
    }
    let mut answer = String::new();
    while !answer.contains("git LFS") {
        match tool.next().await {
            Some(Sent::Bytes(bytes)) => answer += &String::from_utf8_lossy(&bytes),
            Some(Sent::Refusal(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(scene.requests(), [""; 0]);
    let reasons: Vec<_> =
        scene.audit().iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons, ["lfs", "lfs"]);
}

#[tokio::test]
async fn a_compressed_answer_to_a_batch_call_is_none() {
    let scene = Scene::new(RULE, |server| {
        Box::pin(server.always("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"))
    })
    .await;
    let mut tool = scene.tool();
    tool.send(call(&scene, "download"));
    assert!(tool.answer().await.0.starts_with("HTTP/1.1 502 "));
    assert_eq!(scene.last_outcome().await, "failed malformed-answer");
}
