use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection};

use super::*;
use crate::conf::{ClientSeed, Pin};
use crate::knock::{Knock, KnockKey, Nonce};
use crate::tls::{client_config, server_name};

type Outcome = Result<Option<ClientHello>, InvalidHello>;

/// Reads `bytes` in pieces of at most `piece` bytes, up to the first error or the whole message.
fn read_in(piece: usize, bytes: &[u8]) -> Outcome {
    let mut reader = ClientHelloReader::default();
    for part in bytes.chunks(piece) {
        match reader.push(part) {
            Ok(None) => {}
            end => return end,
        }
    }
    Ok(None)
}

fn read(bytes: &[u8]) -> Outcome {
    ClientHelloReader::default().push(bytes)
}

/// The protocol of `bytes`, which must be a whole ClientHello.
fn protocol(bytes: &[u8]) -> Vec<u8> {
    read(bytes).unwrap().unwrap().protocol
}

/// What the product's client sends first.
fn real() -> Vec<u8> {
    let tls = client_config(Pin([1; 32]), &ClientSeed::new([2; 32])).unwrap();
    written(tls.for_connection(Nonce([3; 8])))
}

fn written(config: ClientConfig) -> Vec<u8> {
    let mut connection = ClientConnection::new(Arc::new(config), server_name()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// A small ClientHello with these extensions, as its message.
fn message(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, content)| {
            [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
        })
        .collect();
    let mut body = vec![3, 3];
    body.extend([0x42; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    of_body(&body)
}

fn of_body(body: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = body.len().to_be_bytes();
    [&[CLIENT_HELLO, high, middle, low], body].concat()
}

/// `message` in records of at most `length` bytes.
fn in_records(message: &[u8], length: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let [.., high, low] = part.len().to_be_bytes();
        [&[HANDSHAKE, 3, 1, high, low], part].concat()
    };
    message.chunks(length).flat_map(record).collect()
}

fn in_record(message: &[u8]) -> Vec<u8> {
    in_records(message, 1 << 14)
}

/// An ALPN extension with one protocol.
const KNOCKS: (u16, &[u8]) = (ALPN, &[0, 4, 3, b'a', b'b', b'c']);

#[test]
fn the_hello_of_rustls_has_the_knock() {
    let expected = KnockKey::new(&ClientSeed::new([2; 32])).knock(Nonce([3; 8]));
    let written = real();
    let hello = read(&written).unwrap().unwrap();
    assert_eq!(Knock::from_protocol(&hello.protocol), Some(expected));
    assert_eq!(hello.to_record(), written);
}

/// Written by Python 3.11's `ssl` over OpenSSL 3.0.17, with `set_alpn_protocols(["sb1.example"])`.
#[test]
fn the_hello_of_openssl_is_read() {
    let hello: Vec<u8> = include_str!("openssl_hello.hex")
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    assert_eq!(protocol(&hello), b"sb1.example");
}

#[test]
fn a_truncated_hello_is_incomplete_at_every_byte() {
    let hello = real();
    for length in 0..hello.len() {
        assert_eq!(read(&hello[..length]), Ok(None), "{length}");
    }
}

#[test]
fn a_hello_is_read_at_every_split() {
    let hello = real();
    let whole = read(&hello);
    for split in 0..=hello.len() {
        let mut reader = ClientHelloReader::default();
        let (first, second) = hello.split_at(split);
        let early = reader.push(first);
        let outcome = if early == Ok(None) { reader.push(second) } else { early };
        assert_eq!(outcome, whole, "{split}");
    }
    for piece in 1..hello.len() {
        assert_eq!(read_in(piece, &hello), whole, "{piece}");
    }
}

#[test]
fn a_hello_in_several_records_is_read_and_joined() {
    let hello = real();
    let (_, message) = hello.split_at(RECORD_HEAD);
    for length in [3, 4, 5, 100, message.len() - 1, message.len()] {
        let records = in_records(message, length);
        for piece in [1, 7, records.len()] {
            assert_eq!(read_in(piece, &records).unwrap().unwrap().to_record(), hello, "{length} {piece}");
        }
    }
}

#[test]
fn what_is_not_tls_is_rejected_at_its_first_wrong_byte() {
    for (bytes, length) in [
        (&b"GET / HTTP/1.1\r\n"[..], 1),
        (b"SSH-2.0-x\r\n", 1),
        (&[21, 3, 1, 0, 2, 2, 40], 1), // an alert
        (&[23, 3, 3, 0, 2, 2, 40], 1), // application data
        (&[0x80, 0x2e, 1, 0, 2], 1),   // SSL 2
        (&[22, 2], 2),                 // another major version
        (&[22, 3, 0], 3),              // SSL 3
        (&[22, 3, 4], 3),              // a version that no record has
        (&[22, 3, 1, 0, 4, 2], 6),     // a ServerHello
    ] {
        let early = &bytes[..length - 1];
        assert_eq!(read(early), Ok(None), "{bytes:?}");
        assert_eq!(read(&bytes[..length]), Err(InvalidHello::NotTls), "{bytes:?}");
        assert_eq!(read_in(1, bytes), Err(InvalidHello::NotTls), "{bytes:?}");
    }
}

#[test]
fn lengths_over_the_limit_are_rejected_at_their_byte() {
    let record = MAX_CLIENT_HELLO - RECORD_HEAD;
    let [.., high, low] = record.to_be_bytes();
    assert_eq!(read(&[22, 3, 1, high, low]), Ok(None));
    assert_eq!(read(&[22, 3, 1, high, low + 1]), Err(InvalidHello::TooLong));
    assert_eq!(read(&[22, 3, 1, high + 1]), Err(InvalidHello::TooLong));
    assert_eq!(read(&[22, 3, 1, 1, 0, 1, 1]), Err(InvalidHello::TooLong));
    assert_eq!(read(&[22, 3, 1, 1, 0, 1, 0, high + 1]), Err(InvalidHello::TooLong));
    // The headers of its records count too.
    let many = in_records(&[1, 0, 0x0d, 0x00, 3, 3], 1);
    assert_eq!(read(&many), Ok(None));
    let longest = [1, 0, 0x0f, 0xf0, 3, 3];
    assert_eq!(read(&in_records(&longest, 3)), Err(InvalidHello::TooLong));
}

#[test]
fn a_hello_of_the_maximum_length_is_read_and_a_longer_one_is_not() {
    let with_padding = |length: usize| {
        let shortest = in_record(&message(&[KNOCKS, (21, &[])])).len();
        in_record(&message(&[KNOCKS, (21, &vec![0; length - shortest])]))
    };
    assert_eq!(with_padding(MAX_CLIENT_HELLO).len(), MAX_CLIENT_HELLO);
    assert_eq!(protocol(&with_padding(MAX_CLIENT_HELLO)), b"abc");
    for piece in [1, 1000, 5000] {
        assert_eq!(read_in(piece, &with_padding(MAX_CLIENT_HELLO + 1)), Err(InvalidHello::TooLong));
    }
    let whole = with_padding(MAX_CLIENT_HELLO);
    assert_eq!(read_in(1000, &in_records(&whole[RECORD_HEAD..], 2000)), Err(InvalidHello::TooLong));
}

#[test]
fn bytes_after_the_message_are_rejected() {
    let message = message(&[KNOCKS]);
    assert_eq!(protocol(&in_record(&message)), b"abc");
    // In the same record, in a record of their own, and without a record.
    let longer = [message.as_slice(), &[0]].concat();
    assert_eq!(read(&in_record(&longer)), Err(InvalidHello::Malformed));
    let another = [in_record(&message), vec![20, 3, 3, 0, 1, 1]].concat();
    assert_eq!(read(&another), Err(InvalidHello::Malformed));
    assert_eq!(read(&[in_record(&message), vec![0]].concat()), Err(InvalidHello::Malformed));
    // The record's length alone shows it.
    let mut claims_more = in_record(&message);
    claims_more[4] += 1;
    assert_eq!(read(&claims_more[..RECORD_HEAD + MESSAGE_HEAD]), Err(InvalidHello::Malformed));
    let no_content = [&[22, 3, 1, 0, 0], in_record(&message).as_slice()].concat();
    assert_eq!(read(&no_content), Err(InvalidHello::Malformed));
}

#[test]
fn only_one_alpn_extension_with_one_protocol_is_accepted() {
    let versions: (u16, &[u8]) = (43, &[2, 3, 4]);
    assert_eq!(protocol(&in_record(&message(&[versions, KNOCKS, (21, &[0; 9])]))), b"abc");
    let outcome = |extensions: &[(u16, &[u8])]| read(&in_record(&message(extensions))).unwrap_err();
    assert_eq!(outcome(&[]), InvalidHello::NoProtocol);
    assert_eq!(outcome(&[versions]), InvalidHello::NoProtocol);
    assert_eq!(outcome(&[KNOCKS, KNOCKS]), InvalidHello::Malformed);
    assert_eq!(outcome(&[versions, KNOCKS, versions]), InvalidHello::Malformed);
    for (content, expected) in [
        (&[][..], InvalidHello::Malformed),
        (&[0, 0], InvalidHello::Malformed),
        (&[0, 1, 0], InvalidHello::Malformed),
        (&[0, 3, 1, b'a'], InvalidHello::Malformed),
        (&[0, 2, 2, b'a'], InvalidHello::Malformed),
        (&[0, 2, 1, b'a', 0], InvalidHello::Malformed),
        (&[0, 4, 1, b'a', 1, b'b'], InvalidHello::NoProtocol),
        (&[0, 3, 1, b'a', 0], InvalidHello::NoProtocol),
    ] {
        assert_eq!(outcome(&[(ALPN, content)]), expected, "{content:?}");
    }
}

#[test]
fn a_message_with_contradicting_lengths_is_malformed() {
    let good = message(&[KNOCKS]);
    let body = &good[MESSAGE_HEAD..];
    let changed = |at: usize, value: u8| {
        let mut body = body.to_vec();
        body[at] = value;
        read(&in_record(&of_body(&body)))
    };
    // Version; then the lengths of session id, cipher suites, compression methods, and the method.
    for (at, value) in [(0, 2), (1, 4), (34, 33), (35, 1), (36, 0), (36, 3), (39, 0), (39, 2), (40, 1)] {
        assert_eq!(changed(at, value), Err(InvalidHello::Malformed), "{at} {value}");
    }
    let (before, after) = (&body[..35], &body[39..]);
    for suites in [&[0, 0][..], &[0, 3, 0x13, 1, 0x13]] {
        let body = [before, suites, after].concat();
        assert_eq!(read(&in_record(&of_body(&body))), Err(InvalidHello::Malformed), "{suites:?}");
    }
    for length in 34..body.len() {
        let expected = if length == 41 { InvalidHello::NoProtocol } else { InvalidHello::Malformed };
        assert_eq!(read(&in_record(&of_body(&body[..length]))), Err(expected), "{length}");
    }
    assert_eq!(read(&in_record(&of_body(&[body, &[0]].concat()))), Err(InvalidHello::Malformed));
}

#[test]
fn a_hello_has_at_most_64_extensions() {
    let with = |count: u16| {
        let others = (100..100 + count - 1).map(|kind| (kind, &[][..]));
        let all: Vec<(u16, &[u8])> = others.chain([KNOCKS]).collect();
        read(&in_record(&message(&all)))
    };
    assert!(matches!(with(64), Ok(Some(_))));
    assert_eq!(with(65), Err(InvalidHello::Malformed));
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_pieces(
        change in prop::option::of((0usize..2000, any::<u8>())),
        cut in 0usize..2000,
        record in 1usize..600,
        sizes in prop::collection::vec(1usize..400, 1..8),
    ) {
        let mut bytes = in_records(&real()[RECORD_HEAD..], record);
        if let Some((at, value)) = change && at < bytes.len() {
            bytes[at] = value;
        }
        bytes.truncate(cut.max(10));
        let mut reader = ClientHelloReader::default();
        let (mut rest, mut outcome) = (bytes.as_slice(), Ok(None));
        for size in sizes.iter().cycle() {
            if rest.is_empty() || outcome != Ok(None) {
                break;
            }
            let (part, after) = rest.split_at((*size).min(rest.len()));
            rest = after;
            outcome = reader.push(part);
        }
        // A piece may end with the message, and bytes after it are found only by a later one.
        let at_once = read(&bytes);
        prop_assert!(outcome == at_once || matches!(outcome, Ok(Some(_))) && !rest.is_empty());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, body: Vec<u8>) {
        let _ = read(&bytes);
        let _ = read(&in_record(&of_body(&[&[3, 3], body.as_slice()].concat())));
    }
}
