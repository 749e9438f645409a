//! What unit tests of connections need.

/// The TLS record of a whole ClientHello, with the protocol `a` and no knock.
pub(super) fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 8, 0, 16, 0, 4, 0, 2, 1, b'a']);
    let length = body.len() as u8;
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], body.as_slice()].concat()
}
