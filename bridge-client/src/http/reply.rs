//! Answers of the proxy itself.

use http_message::{MessageError, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Duration, timeout};

/// Most characters of a text in the status line. Go and Python show nothing else of an answer to CONNECT.
const MAX_REASON: usize = 200;
/// For how long, and how many bytes, a tool may still send what it has begun to send. To close the connection before would
/// reset it, and the answer would be lost.
const DRAIN_TIME: Duration = Duration::from_secs(2);
const MAX_DRAINED: usize = 1 << 20;

/// An answer without a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// For people. May have several lines.
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// Malformed, or not meant for this proxy.
    pub(crate) fn malformed(error: MessageError) -> Self {
        Self::new(error.status(), format!("the proxy does not understand this request: {error}"))
    }

    /// The bytes of the answer to a request of `version`, after which the connection ends unless it `keeps`.
    pub(crate) fn to_bytes(&self, version: Version, keeps: bool) -> Vec<u8> {
        let body: Vec<String> = self.text.lines().map(proto::escape_line).collect();
        let body = format!("secrets-bridge: {}\n", body.join("\n"));
        let first = body.lines().next().unwrap_or_default();
        let is_shown = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let reason: String = first.chars().filter(is_shown).take(MAX_REASON).collect();
        let version = version.as_str();
        let challenge =
            if self.status == 407 { "Proxy-Authenticate: Basic realm=\"secrets-bridge\"\r\n" } else { "" };
        let end = if keeps { "" } else { "Connection: close\r\n" };
        let (status, length) = (self.status, body.len());
        format!(
            "{version} {status} {reason}\r\n{challenge}{end}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Answers with it, and ends the connection.
    pub(crate) async fn finish(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), version: Version) {
        let writing = async {
            stream.write_all(&self.to_bytes(version, false)).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = timeout(DRAIN_TIME, writing).await {
            close(stream).await;
        }
    }
}

/// Ends the connection properly after an answer.
pub(crate) async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let draining = async {
        stream.shutdown().await?;
        let mut drained = 0;
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                read => drained += read,
            }
            if drained > MAX_DRAINED {
                return std::io::Result::Ok(());
            }
        }
    };
    // A tool that does not end its side is not waited for.
    let _ = timeout(DRAIN_TIME, draining).await;
}
