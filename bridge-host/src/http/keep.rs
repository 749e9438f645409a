//! Whether a connection is kept after a message (RFC 9112, 9.3).

use std::time::Duration;

use http_message::{AnswerHead, Headers, RequestHead, Version};

/// Whether the tool keeps its connection open after this request. One of HTTP/1.0 is never kept: what the tool would make
/// of an answer in chunks is unknown.
pub(super) fn tool_keeps(head: &RequestHead) -> bool {
    head.version == Version::Http11 && !asks_to_close(&head.headers)
}

/// For how long the server keeps the connection after this answer: `None` if it does not, `Some(None)` if it does not say
/// for how long.
pub(super) fn server_keeps(head: &AnswerHead) -> Option<Option<Duration>> {
    if head.version != Version::Http11 || asks_to_close(&head.headers) {
        return None;
    }
    Some(head.headers.only("Keep-Alive").and_then(timeout))
}

fn asks_to_close(headers: &Headers) -> bool {
    let mut names = headers.all("Connection").flat_map(|value| value.split(|&byte| byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// The seconds of `timeout=N` in a `Keep-Alive` field (RFC 2068, 19.7.1.1), as Node.js and Apache send it.
fn timeout(value: &[u8]) -> Option<Duration> {
    let mut parts = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let seconds = parts.find_map(|part| part.strip_prefix(b"timeout="))?;
    str::from_utf8(seconds).ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Option<Option<Duration>> {
        let text = format!("{head}\r\n\r\n");
        server_keeps(&AnswerHead::parse(text.as_bytes()).unwrap().unwrap().0)
    }

    #[test]
    fn servers_say_whether_and_how_long_they_keep_a_connection() {
        assert_eq!(answer("HTTP/1.1 200 OK"), Some(None));
        assert_eq!(
            answer("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5"),
            Some(Some(Duration::from_secs(5)))
        );
        assert_eq!(
            answer("HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=15"),
            Some(Some(Duration::from_secs(15)))
        );
        assert_eq!(answer("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=x"), Some(None));
        for closed in [
            "HTTP/1.0 200 OK",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive",
            "HTTP/1.1 200 OK\r\nConnection: Close",
            "HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: y , close",
        ] {
            assert_eq!(answer(closed), None, "{closed}");
        }
    }

    #[test]
    fn tools_of_http_1_0_keep_no_connection() {
        let keeps = |head: &str| {
            let text = format!("GET / {head}\r\n\r\n");
            tool_keeps(&RequestHead::parse(text.as_bytes()).unwrap().unwrap().0)
        };
        assert!(keeps("HTTP/1.1") && keeps("HTTP/1.1\r\nConnection: keep-alive, te"));
        assert!(!keeps("HTTP/1.1\r\nConnection: te,close") && !keeps("HTTP/1.0\r\nConnection: keep-alive"));
    }
}
