//! Answers that the gateway gives by itself: why a request was refused, or why the server cannot be asked.

use http_message::{AnswerHead, Headers, Version};

/// Whether the tool's connection stays open after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// The tool may send its next request.
    Open,
    /// It ends with the answer.
    Close,
}

/// An answer of the gateway: a status and a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalAnswer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl LocalAnswer {
    /// The server gave no answer that can go on.
    pub(super) fn bad_gateway(text: impl Into<String>) -> Self {
        Self { status: 502, text: text.into() }
    }

    /// The bytes of the answer to a request with this method.
    pub(super) fn write(&self, method: &str, connection: Connection) -> Vec<u8> {
        let body = format!("secrets-bridge: {}\n", self.text);
        let mut headers = Headers::default();
        headers.push("Content-Type", "text/plain; charset=utf-8");
        headers.push("Content-Length", body.len().to_string());
        // What is refused now may be permitted in the next run.
        headers.push("Cache-Control", "no-store");
        if connection == Connection::Close {
            headers.push("Connection", "close");
        }
        let reason = reason(self.status).as_bytes().to_vec();
        let mut bytes = AnswerHead { version: Version::Http11, status: self.status, reason, headers }.write();
        if method != "HEAD" {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_ours_has_a_length_and_says_how_the_connection_goes_on() {
        let answer = LocalAnswer { status: 403, text: "no".to_owned() };
        let text = |method, connection| String::from_utf8(answer.write(method, connection)).unwrap();
        let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n\
                    Cache-Control: no-store\r\n";
        assert_eq!(text("GET", Connection::Open), format!("{head}\r\nsecrets-bridge: no\n"));
        assert_eq!(text("HEAD", Connection::Close), format!("{head}Connection: close\r\n\r\n"));
    }
}
