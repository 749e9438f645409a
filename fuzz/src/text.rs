//! Text from peers that people see.

use proto::{Untrusted, escape_line, escape_whole};

use crate::checks::{MAX_ESCAPED, assert_shown};

/// Everything that escapes text, for text of any kind.
pub fn escape(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_shown(&proto::escape(&text), MAX_ESCAPED);
    assert_shown(&escape_line(&text), 16 * MAX_ESCAPED);
    assert_shown(&escape_whole(&text), 10 * text.len());
    let untrusted = Untrusted::new(text.clone());
    assert_shown(&untrusted.to_string(), MAX_ESCAPED);
    assert_shown(&format!("{untrusted:?}"), MAX_ESCAPED);
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        assert_eq!(escape_whole(&text), text, "ordinary text is unchanged");
    }
}

pub(crate) fn escape_seeds() -> Vec<Vec<u8>> {
    [
        "a\x1b[31mb\u{9b}c\u{202e}d\ne\x7f",
        "clé_日本-42 %$",
        "\u{200b}\u{feff}\u{e0041}\u{2028}\u{3164}\u{2800}\u{34f}",
        "a          b\t\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into_iter()
    .chain([vec![b'x'; 5000], vec![0xff, 0xc0, 0x80]])
    .collect()
}

/// A proxy's answer to CONNECT, which arrives byte by byte.
pub fn proxy_response(data: &[u8]) {
    let mut end = data.len();
    for length in 0..=data.len() {
        match bridge_client::fuzzing::proxy_response(&data[..length]) {
            Ok(None) => assert!(length <= 8 << 10, "an answer without an end"),
            Ok(Some((status, reason))) => {
                assert!(status <= 999);
                assert_shown(&reason.to_string(), MAX_ESCAPED);
                end = length;
                break;
            }
            Err(_) => break,
        }
        if length > 600 {
            break; // quadratic; the seeds are shorter
        }
    }
    // Nothing after the answer is read: it is the bridge's.
    if end < data.len() {
        let whole = bridge_client::fuzzing::proxy_response(&data[..end]).unwrap();
        assert!(whole.is_some() && data[..end].ends_with(b"\n"));
    }
}

pub(crate) fn proxy_seeds() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 Connection established\r\n\r\nTLS",
        "HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 \u{1b}[31m\u{202e}\r\n\r\n",
        "HTTP/1.1 200\n\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
