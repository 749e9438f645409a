//! Who may use the proxy: who knows the password, and the processes of COMMAND.

use std::net::SocketAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use http_message::Headers;
use proto::{Encoding, Secret};

use super::owner::{self, Owner};
use super::reply::Reply;

/// The user name in the proxy's URL.
pub(crate) const USER: &str = "sb";

/// The password of one proxy, as it stands in its URL.
pub(crate) struct Password {
    text: String,
    /// `sb:PASSWORD` in base64, as in a header.
    expected: Secret,
}

/// The two addresses of a connection of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Password {
    /// A random one of 128 bits. `None` without randomness.
    pub(crate) fn new() -> Option<Self> {
        let mut random = [0; 16];
        rand::fill(&mut random).ok()?;
        // Without characters that a URL would have to encode.
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let pair = Secret::from(format!("{USER}:{text}"));
        Some(Self { text, expected: Encoding::Base64.encode(pair) })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the request with these headers, on a connection with these addresses, may be served.
    ///
    /// # Errors
    /// The answer to it otherwise: 407 if the tool may have the password and wait to be asked, as git does; 403 if not.
    pub(crate) fn admit(&self, headers: &Headers, addresses: Addresses) -> Result<(), Reply> {
        if headers.only("Proxy-Authorization").is_some_and(|sent| self.is_in(sent)) {
            return Ok(());
        }
        let status = match (addresses.owner(), headers.contains("Proxy-Authorization")) {
            (Owner::Command, _) => return Ok(()),
            (Owner::Unknown, false) => 407,
            (Owner::Unknown, true) | (Owner::OtherUser, _) => 403,
        };
        Err(Reply::new(
            status,
            "this proxy serves COMMAND of `secrets-bridge exec` only: other processes need the user name and password in \
             HTTPS_PROXY",
        ))
    }

    fn is_in(&self, header: &[u8]) -> bool {
        let Some((scheme, value)) = header.split_at_checked(6) else { return false };
        scheme.eq_ignore_ascii_case(b"Basic ")
            && verify_slices_are_equal(value.trim_ascii_start(), self.expected.expose()).is_ok()
    }
}

impl Addresses {
    /// Whose the other end is.
    pub(crate) fn owner(self) -> Owner {
        owner::owner_of(self.peer, self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> Headers {
        let mut headers = Headers::default();
        for value in values {
            headers.push("Proxy-Authorization", *value);
        }
        headers
    }

    #[test]
    fn strangers_need_the_password() {
        let password = Password::new().unwrap();
        let other = Password::new().unwrap();
        let (right, wrong) = (&password.expected, &other.expected);
        let (right, wrong) =
            (str::from_utf8(right.expose()).unwrap(), str::from_utf8(wrong.expose()).unwrap());
        // No connection has these addresses.
        let addresses =
            Addresses { peer: "127.0.0.1:1".parse().unwrap(), local: "127.0.0.1:2".parse().unwrap() };
        let status = |values: &[&str]| {
            password.admit(&headers(values), addresses).map_or_else(|reply| reply.status, |()| 200)
        };
        assert_eq!(status(&[&format!("Basic {right}")]), 200);
        assert_eq!(status(&[&format!("basic  {right}")]), 200);
        assert_eq!(status(&[]), 407);
        assert_eq!(status(&[&format!("Basic {wrong}")]), 403);
        assert_eq!(status(&[&format!("Bearer {right}")]), 403);
        assert_eq!(status(&["Basic"]), 403);
        assert_eq!(status(&["Basic "]), 403);
        assert_eq!(status(&[""]), 403);
        // Two of them: which one counts would be a question of who reads it.
        assert_eq!(status(&[&format!("Basic {wrong}"), &format!("Basic {right}")]), 403);
    }
}
