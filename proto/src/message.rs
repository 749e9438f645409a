//! The messages, and the upgrade request that comes before them.
//!
//! A message is one binary websocket frame holding one CBOR array, whose first item is the message's number. Numbers
//! below 16 go from client to bridge, the others from bridge to client.

mod client;
mod field;
mod hello;
mod host;
mod number;
mod session_id;
mod stream;
mod upgrade_refusal;

pub use client::ClientMessage;
pub use hello::{Hello, Purpose};
pub use host::{HostMessage, RefusalReason};
pub use session_id::SessionId;
pub use stream::{StreamAnswer, StreamRequest};
pub use upgrade_refusal::UpgradeRefusal;

/// The websocket subprotocol, with its version.
pub const SUBPROTOCOL: &str = "secrets-bridge.v1";

/// Header of the upgrade request that carries the [`Hello`].
pub const HELLO_HEADER: &str = "secrets-bridge-hello";

/// Path of the upgrade request.
pub const UPGRADE_PATH: &str = "/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::{GitKey, Identity};
    use crate::error::WireError;
    use crate::escape::Untrusted;
    use crate::http::RuledOrigin;
    use crate::key::Key;
    use crate::limits::MAX_SECRET;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    /// The number of an encoded message: the first item of its array.
    fn cbor_number(message: &[u8]) -> u8 {
        match message[1] {
            0x18 => message[2],
            short => short,
        }
    }

    #[test]
    fn non_canonical_forms_and_trailing_bytes_are_refused() {
        for bad in [
            &[0x83, 0x12, 0x01, 0x58, 0x01, 0x61][..], // a length in a longer form
            &[0x83, 0x12, 0x18, 0x01, 0x41, 0x61],     // a request in a longer form
            &[0x83, 0x18, 0x12, 0x01, 0x41, 0x61],     // a number in a longer form
            &[0x83, 0x12, 0x01, 0x41, 0x61, 0x00],     // a byte too many
            &[0x83, 0x12, 0x01, 0x42, 0x61],           // a byte too few
            &[0x83, 0x12, 0x01, 0x40],                 // no bytes at all
        ] {
            assert!(HostMessage::decode(bad).is_err(), "{bad:02x?}");
        }
        let good = HostMessage::Length { request: 1, length: 5 }.encode();
        assert_eq!(good, [0x83, 0x11, 0x01, 0x05]);
        for bad in [
            &[0x83, 0x11, 0x01, 0x05, 0x00][..],
            &[0x83, 0x18, 0x11, 0x01, 0x05],
            &[0x83, 0x11, 0x01, 0x18, 0x05],
            &[0x9f, 0x11, 0x01, 0x05, 0xff],
            &[0x84, 0x11, 0x01, 0x05, 0x00],
            &[0x83, 0x11, 0x01],
        ] {
            assert!(HostMessage::decode(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn the_head_of_a_chunk_and_its_bytes_are_the_message() {
        for (request, length) in [(0, 1), (23, 23), (24, 24), (300, 256), (70_000, 65_536)] {
            let bytes = vec![7; length];
            let message = HostMessage::Chunk { request, bytes: &bytes }.encode();
            assert_eq!([HostMessage::chunk_head(request, length), bytes].concat(), message);
        }
    }

    #[test]
    fn announced_lengths_over_the_limit_are_refused() {
        let huge = HostMessage::Length { request: 0, length: MAX_SECRET + 1 }.encode();
        assert_eq!(
            HostMessage::decode(&huge),
            Err(WireError::OverLimit { what: "secret", limit: MAX_SECRET })
        );
    }

    #[test]
    fn as_many_keys_as_capacity_counts_fit_into_the_header() {
        for length in [1, 23, 24, 128] {
            let many: Vec<Key> = (0..5000).map(|_| "k".repeat(length).parse().unwrap()).collect();
            let fit = Hello::capacity(&many);
            let hello = Hello {
                purpose: Purpose::Session,
                session: SessionId([7; 16]),
                resume: true,
                parent: Some(SessionId([8; 16])),
                keys: many[..fit].to_vec(),
                agent: Some("a".repeat(128).parse().unwrap()),
                http: true,
            };
            assert_eq!(Hello::from_header(&hello.to_header()).unwrap(), hello, "length {length}, {fit} keys");
        }
    }

    #[test]
    fn a_hello_whose_fields_do_not_fit_its_purpose_is_refused() {
        let session = Hello {
            purpose: Purpose::Session,
            session: SessionId([7; 16]),
            ..Hello::without_session(Purpose::Session)
        };
        let test = Hello::without_session(Purpose::Test);
        let stream = Hello { purpose: Purpose::Stream, ..session.clone() };
        for good in [&session, &test, &stream, &Hello::without_session(Purpose::Kill)] {
            assert_eq!(Hello::from_header(&good.to_header()).as_ref(), Ok(good));
        }
        for bad in [
            Hello { session: SessionId::NONE, ..session.clone() },
            Hello { parent: Some(session.session), ..session.clone() },
            Hello { parent: Some(SessionId::NONE), ..session.clone() },
            Hello { session: SessionId([7; 16]), ..test.clone() },
            Hello { resume: true, ..test.clone() },
            Hello { parent: Some(SessionId([7; 16])), ..test.clone() },
            Hello { keys: keys(&["k"]), ..test.clone() },
            Hello { agent: Some("default".parse().unwrap()), ..test.clone() },
            Hello { purpose: Purpose::Kill, ..session.clone() },
            Hello { http: true, ..test.clone() },
            Hello { session: SessionId::NONE, ..stream.clone() },
            Hello { resume: true, ..stream.clone() },
            Hello { http: true, ..stream.clone() },
            Hello { keys: keys(&["k"]), ..stream.clone() },
        ] {
            assert!(Hello::from_header(&bad.to_header()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let refused = HostMessage::Refused {
            request: 0,
            reason: RefusalReason::SourceFailed,
            detail: Untrusted::new("é".repeat(2000)),
        };
        assert!(matches!(HostMessage::decode(&refused.encode()), Ok(HostMessage::Refused { .. })));
    }

    #[test]
    fn every_message_survives_a_round_trip_and_no_prefix_of_it_does() {
        let messages = [
            HostMessage::Welcome { agents: vec!["default".parse().unwrap()] },
            HostMessage::Length { request: 3, length: 70_000 },
            HostMessage::Chunk { request: 3, bytes: b"abc" },
            HostMessage::Refused { request: 4, reason: RefusalReason::Unknown, detail: Untrusted::default() },
            HostMessage::Offers {
                keys: keys(&["a", "b/c"]),
                agents: vec![],
                origins: vec!["npm.example:443".parse().unwrap()],
            },
            HostMessage::Ending,
            HostMessage::Agent {
                known_hosts: vec!["git.example ssh-ed25519 AAAA".parse().unwrap()],
                git_keys: vec![GitKey { repository: "git.example/a/b".parse().unwrap(), key: vec![1, 2] }],
            },
            HostMessage::Identities {
                fixed: true,
                identities: vec![Identity { key: vec![3], comment: b"deploy".to_vec() }],
            },
            HostMessage::Answer {
                channel: 7,
                answer: vec![5].into(),
                refusal: Untrusted::new("host evil.example is not allowed"),
            },
            HostMessage::Waiting,
            HostMessage::Origins {
                origins: vec![RuledOrigin { origin: "npm.example:443".parse().unwrap(), plain: true }],
            },
        ];
        let numbers = messages.iter().map(|message| cbor_number(&message.encode()));
        assert!(numbers.eq(HostMessage::NUMBERS.map(|(number, _)| number)), "each message once");
        for message in messages {
            let bytes = message.encode();
            assert_eq!(HostMessage::decode(&bytes), Ok(message));
            for end in 0..bytes.len() {
                assert!(HostMessage::decode(&bytes[..end]).is_err());
            }
        }
        let messages = [
            ClientMessage::Get { first: 9, keys: keys(&["x"]) },
            ClientMessage::Agent { channel: 3, message: &[11] },
            ClientMessage::Close { channel: 3 },
            ClientMessage::ListAgain,
        ];
        let numbers = messages.iter().map(|message| cbor_number(&message.encode()));
        assert!(numbers.eq(ClientMessage::NUMBERS.map(|(number, _)| number)), "each message once");
        for message in messages {
            let bytes = message.encode();
            assert_eq!(ClientMessage::decode(&bytes), Ok(message));
            for end in 0..bytes.len() {
                assert!(ClientMessage::decode(&bytes[..end]).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_meaning(bytes: Vec<u8>) {
            if let Ok(message) = HostMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes.clone());
            }
            if let Ok(message) = ClientMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn arbitrary_headers_never_panic(value in "[ -~]{0,200}") {
            let _ = Hello::from_header(&value);
        }
    }
}
