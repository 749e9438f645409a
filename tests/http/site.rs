//! The server of most of these tests: `site.example`, which answers as a test says.

use std::io;

use crate::support::https::authority::Authority;
use crate::support::https::scripted::{Asked, Connection, Scripted, Then};

/// Its name. No program but the bridge resolves it.
pub const HOST: &str = "site.example";

pub struct Site {
    pub authority: Authority,
    pub server: Scripted,
}

impl Site {
    pub fn new(answer: impl Fn(&Asked, &mut Connection) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let server = Scripted::start(&authority, &[HOST, "other.example"], answer);
        Self { authority, server }
    }

    /// Reads each request, and answers with its target.
    pub fn echo() -> Self {
        Self::new(|asked, connection| {
            connection.body(asked)?;
            connection.answer("200 OK", "", format!("answer to {}", asked.target()))?;
            Ok(Then::Keep)
        })
    }

    /// `host:port`.
    pub fn origin(&self) -> String {
        format!("{HOST}:{}", self.server.port())
    }

    /// The place of a rule: this server, and `path`.
    pub fn place(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.origin())
    }

    /// A GET for a raw connection, with further header lines.
    pub fn get(&self, path: &str, headers: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.origin())
    }

    /// The one request that the server got.
    #[track_caller]
    pub fn only_request(&self) -> Asked {
        let mut requests = self.server.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }
}
