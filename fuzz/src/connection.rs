//! What a connection carries before and below the messages: ClientHello, knock, websocket frames.

use std::sync::Arc;

use bridge_host::fuzzing::{Frame, frames};
use proto::client_hello::{ClientHello, ClientHelloReader, InvalidHello};
use proto::knock::{Knock, KnockKey, Nonce};
use proto::limits::{MAX_CLIENT_HELLO, MAX_FRAME};
use proto::{ClientSeed, Pin, tls};

use crate::checks::{Input, MAX_ERROR, assert_shown};

/// The first bytes of a peer, which may arrive in any pieces: a byte for their size, then the bytes.
pub fn client_hello(data: &[u8]) {
    let mut input = Input::new(data);
    let step = usize::from(input.byte()) + 1;
    let bytes = input.rest();
    let whole = read_hello(bytes, bytes.len().max(1));
    match (&whole, read_hello(bytes, step)) {
        // What follows the message is seen only if it comes together with the end of the message.
        (Err(_), Ok(Some(hello))) => assert!(hello.to_record().len() < bytes.len()),
        // Which of two faults is seen first may depend on the pieces.
        (Err(_), Err(_)) => {}
        (whole, in_pieces) => assert_eq!(*whole, in_pieces, "the sizes of pieces make a difference"),
    }
    match whole {
        Ok(Some(hello)) => {
            let record = hello.to_record();
            assert!(record.len() <= bytes.len() && record.len() <= MAX_CLIENT_HELLO);
            assert_eq!(read_hello(&record, record.len()), Ok(Some(hello)));
        }
        Ok(None) => assert!(bytes.len() < MAX_CLIENT_HELLO, "it is waited for more"),
        Err(error) => assert_shown(&error.to_string(), MAX_ERROR),
    }
}

fn read_hello(bytes: &[u8], step: usize) -> Result<Option<ClientHello>, InvalidHello> {
    let mut reader = ClientHelloReader::default();
    for piece in bytes.chunks(step) {
        if let Some(hello) = reader.push(piece)? {
            return Ok(Some(hello));
        }
    }
    Ok(None)
}

pub(crate) fn client_hello_seeds() -> Vec<Vec<u8>> {
    let config = tls::client_config(Pin([1; 32]), &ClientSeed::new([7; 32])).unwrap();
    let mut client =
        rustls::ClientConnection::new(Arc::new(config.for_connection(Nonce([3; 8]))), tls::server_name())
            .unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    // The same message in two records.
    let (header, message) = hello.split_at(5);
    let (one, other) = message.split_at(100);
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&header[..3], &length, part].concat()
    };
    let in_two = [record(one), record(other)].concat();
    let with_step = |step: u8, bytes: &[u8]| [&[step], bytes].concat();
    vec![
        with_step(255, &hello),
        with_step(6, &in_two),
        with_step(0, &hello),
        with_step(9, b"GET / HTTP/1.1\r\n\r\n"),
    ]
}

/// An ALPN protocol. Only the knock that the key makes is accepted.
pub fn knock(data: &[u8]) {
    let Some(knock) = Knock::from_protocol(data) else { return };
    assert_eq!(knock.to_protocol(), data);
    for seed in [7, 8] {
        let key = KnockKey::new(&ClientSeed::new([seed; 32]));
        let is_genuine = key.knock(knock.nonce) == knock;
        assert_eq!(key.verify(&knock).is_ok(), is_genuine);
    }
}

pub(crate) fn knock_seeds() -> Vec<Vec<u8>> {
    [7, 8, 9]
        .map(|seed| KnockKey::new(&ClientSeed::new([seed; 32])).knock(Nonce([3; 8])).to_protocol())
        .to_vec()
}

/// Websocket frames, as a bridge reads them.
pub fn websocket_frames(data: &[u8]) {
    let (read, violated) = frames(data).unwrap();
    let (expected, expected_violation) = read_frames(data);
    assert_eq!((&read, violated), (&expected, expected_violation));
    let length = |frame: &Frame| match frame {
        Frame::Message(bytes) => bytes.len(),
        Frame::Ping(bytes) => bytes.len() + MAX_FRAME - 125,
        Frame::Pong | Frame::Close => 0,
    };
    assert!(read.iter().all(|frame| length(frame) <= MAX_FRAME));
}

/// A second reading (RFC 6455, 5.2), which stops at the first violation too.
fn read_frames(mut data: &[u8]) -> (Vec<Frame>, bool) {
    let (mut frames, mut message) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let mut rest = data;
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            Some(taken)
        };
        let Some(&[first, second]) = take(2) else { return (frames, false) };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & 0x80 != 0;
        let Some(bytes) = take(extended) else { return (frames, false) };
        let length = match bytes {
            [] => u64::from(second & 0x7f),
            bytes => bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let Some(mask) = take(if masked { 4 } else { 0 }) else { return (frames, false) };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode >= 8;
        let is_known = matches!(opcode, 0 | 2 | 8 | 9 | 10);
        let before = message.as_ref().map_or(0, Vec::len) as u64;
        let fits = if is_control { length <= 125 } else { before.saturating_add(length) <= MAX_FRAME as u64 };
        let in_order = is_control || (opcode == 0) == message.is_some();
        if first & 0x70 != 0 || !masked || !is_known || !fits || !in_order || (is_control && !is_final) {
            return (frames, true);
        }
        let Some(payload) = take(usize::try_from(length).unwrap()) else { return (frames, false) };
        let payload: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        match opcode {
            8 if payload.len() != 1 => frames.push(Frame::Close),
            9 => frames.push(Frame::Ping(payload)),
            10 => frames.push(Frame::Pong),
            0 | 2 => {
                let mut whole = message.take().unwrap_or_default();
                whole.extend(payload);
                if is_final {
                    frames.push(Frame::Message(whole));
                } else {
                    message = Some(whole);
                }
            }
            _ => return (frames, true),
        }
        data = rest;
    }
}

pub(crate) fn websocket_seeds() -> Vec<Vec<u8>> {
    let frame = |first: u8, payload: &[u8]| {
        let length = payload.len();
        let head = match length {
            0..126 => vec![first, 0x80 | length as u8],
            _ => vec![first, 0x80 | 126, (length >> 8) as u8, length as u8],
        };
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        [head, mask.to_vec(), masked].concat()
    };
    vec![
        [frame(0x82, b"message"), frame(0x89, b"ping"), frame(0x8a, b""), frame(0x88, &[3, 0xe8])].concat(),
        [frame(0x02, b"one"), frame(0x89, &[]), frame(0x00, b""), frame(0x80, &[5; 300])].concat(),
        [frame(0x81, b"text")].concat(),
        [frame(0x82, &[7; 200]), frame(0x88, &[3])].concat(),
    ]
}
