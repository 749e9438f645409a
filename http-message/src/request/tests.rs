use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_HEAD, MAX_HEADERS};

fn parse(text: &[u8]) -> Result<RequestHead, MessageError> {
    RequestHead::parse(text).map(|parsed| parsed.expect("a whole head").0)
}

#[test]
fn a_head_is_parsed_and_written_as_the_same() {
    let bytes = b"GET /a?b HTTP/1.1\r\nHost: h\r\nEmpty:\r\nX:  a \t b \xff \r\n\r\nbody";
    let (head, length) = RequestHead::parse(bytes).unwrap().unwrap();
    assert_eq!(&bytes[length..], b"body");
    assert_eq!(head.write(), b"GET /a?b HTTP/1.1\r\nHost: h\r\nEmpty: \r\nX: a \t b \xff\r\n\r\n");
    assert_eq!(parse(&head.write()).as_ref(), Ok(&head));
    for end in 0..length {
        assert_eq!(RequestHead::parse(&bytes[..end]), Ok(None));
    }
}

#[test]
fn each_form_of_a_target_has_its_methods() {
    let path = |path: &str| Target::Path(path.to_owned());
    let absolute = |scheme: &str, authority: &str, path: &str| Target::Absolute {
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        path: path.to_owned(),
    };
    for (line, target) in [
        ("GET / HTTP/1.1", path("/")),
        ("GET /a%2fb;c?d=/e?f HTTP/1.0", path("/a%2fb;c?d=/e?f")),
        ("GET //h/a HTTP/1.1", path("//h/a")),
        ("GET /\u{fc}{|}\\\"<>^` HTTP/1.1", path("/\u{fc}{|}\\\"<>^`")),
        ("GET HTTPS://H.example:443/a HTTP/1.1", absolute("https", "H.example:443", "/a")),
        ("GET http://h HTTP/1.1", absolute("http", "h", "/")),
        ("GET http://[::1]:80?q HTTP/1.1", absolute("http", "[::1]:80", "/?q")),
        ("OPTIONS * HTTP/1.1", Target::Asterisk),
        ("OPTIONS /a HTTP/1.1", path("/a")),
        ("CONNECT h.example:443 HTTP/1.0", Target::Authority("h.example:443".to_owned())),
    ] {
        let head = parse(format!("{line}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(head.target, target, "{line}");
        assert_eq!(parse(&head.write()), Ok(head));
    }
    for (line, error) in [
        ("GET * HTTP/1.1", MessageError::Target),
        ("GET h.example:443 HTTP/1.1", MessageError::Target),
        ("GET a HTTP/1.1", MessageError::Target),
        ("GET ?a HTTP/1.1", MessageError::Target),
        ("GET ://h/ HTTP/1.1", MessageError::Target),
        ("GET 1http://h/ HTTP/1.1", MessageError::Target),
        ("GET http:///a HTTP/1.1", MessageError::Target),
        ("GET http://u@h/ HTTP/1.1", MessageError::Target),
        ("GET http://u:p@h/ HTTP/1.1", MessageError::Target),
        ("GET http://h\\@x/ HTTP/1.1", MessageError::Target),
        ("GET http:/h/ HTTP/1.1", MessageError::Target),
        ("GET /a#b HTTP/1.1", MessageError::Target),
        ("GET /a\u{a0}b HTTP/1.1", MessageError::Target),
        ("GET /a\u{85}b HTTP/1.1", MessageError::Target),
        ("GET /a\u{2028}b HTTP/1.1", MessageError::Target),
        ("GET /a\tb HTTP/1.1", MessageError::Target),
        ("GET /a\0 HTTP/1.1", MessageError::Target),
        ("GET /a\x7f HTTP/1.1", MessageError::Target),
        ("CONNECT / HTTP/1.1", MessageError::Target),
        ("CONNECT http://h HTTP/1.1", MessageError::Target),
        ("CONNECT u@h:443 HTTP/1.1", MessageError::Target),
        ("CONNECT * HTTP/1.1", MessageError::Target),
    ] {
        assert_eq!(parse(format!("{line}\r\n\r\n").as_bytes()), Err(error), "{line:?}");
    }
    assert_eq!(parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(MessageError::Target));
}

#[test]
fn a_request_line_has_one_form() {
    for (line, error) in [
        ("GET", MessageError::RequestLine),
        ("GET ", MessageError::RequestLine),
        ("GET /", MessageError::Version), // HTTP/0.9
        ("GET / ", MessageError::Version),
        ("GET  / HTTP/1.1", MessageError::RequestLine),
        ("GET /  HTTP/1.1", MessageError::RequestLine),
        ("GET / HTTP/1.1 ", MessageError::RequestLine),
        (" GET / HTTP/1.1", MessageError::RequestLine),
        ("GET / a HTTP/1.1", MessageError::RequestLine),
        ("GET\t/\tHTTP/1.1", MessageError::RequestLine),
        ("GET / http/1.1", MessageError::Version),
        ("GET / HTTP/1.2", MessageError::Version),
        ("GET / HTTP/01.1", MessageError::Version),
        ("GET / HTTP/1.1x", MessageError::Version),
        ("GET / HTTP/0.9", MessageError::Version),
        ("GET / HTTP/3.0", MessageError::Version),
        ("GET / HTTP/2.0", MessageError::Http2),
        ("PRI * HTTP/2.0", MessageError::Http2),
        (" / HTTP/1.1", MessageError::Method),
        ("G(T / HTTP/1.1", MessageError::Method),
        ("G\u{e9}T / HTTP/1.1", MessageError::Method),
        ("GET:x / HTTP/1.1", MessageError::Method),
        ("GET\0 / HTTP/1.1", MessageError::Method),
    ] {
        assert_eq!(parse(format!("{line}\r\n\r\n").as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn a_head_that_could_be_read_in_two_ways_is_refused() {
    for (rest, error) in [
        // Line ends.
        ("A: b\n\r\n", MessageError::LineEnd),
        ("A: b\r\n\n", MessageError::LineEnd),
        ("A: b\rC: d\r\n\r\n", MessageError::LineEnd),
        ("A: b\r\r\n\r\n", MessageError::LineEnd),
        ("\rA: b\r\n\r\n", MessageError::HeaderName),
        ("A\r: b\r\n\r\n", MessageError::HeaderName),
        // Lines that are continued.
        ("A: b\r\n c\r\n\r\n", MessageError::FoldedHeader),
        ("A: b\r\n\tc\r\n\r\n", MessageError::FoldedHeader),
        (" A: b\r\n\r\n", MessageError::FoldedHeader),
        ("A: b\r\n \r\n\r\n", MessageError::FoldedHeader),
        // Names.
        ("A : b\r\n\r\n", MessageError::HeaderName),
        ("A\t: b\r\n\r\n", MessageError::HeaderName),
        (": b\r\n\r\n", MessageError::HeaderName),
        ("A\r\n\r\n", MessageError::HeaderName),
        ("A b: c\r\n\r\n", MessageError::HeaderName),
        ("\u{c5}: b\r\n\r\n", MessageError::HeaderName),
        ("A\0: b\r\n\r\n", MessageError::HeaderName),
        ("[A]: b\r\n\r\n", MessageError::HeaderName),
        ("A\u{b}: b\r\n\r\n", MessageError::HeaderName),
        // Values.
        ("A: b\0\r\n\r\n", MessageError::HeaderValue),
        ("A: \u{b}b\r\n\r\n", MessageError::HeaderValue),
        ("A: b\u{1b}\r\n\r\n", MessageError::HeaderValue),
        ("A: b\u{7f}\r\n\r\n", MessageError::HeaderValue),
    ] {
        assert_eq!(parse(format!("GET / HTTP/1.1\r\n{rest}").as_bytes()), Err(error), "{rest:?}");
    }
    for (text, error) in [
        ("\r\nGET / HTTP/1.1\r\n\r\n", MessageError::EmptyLine),
        ("\nGET / HTTP/1.1\r\n\r\n", MessageError::LineEnd),
        ("GET / HTTP/1.1\n\n", MessageError::LineEnd),
        ("GET / HTTP/1.1\r\r\n\r\n", MessageError::LineEnd),
        ("GET /\rX HTTP/1.1\r\n\r\n", MessageError::LineEnd),
        // Nothing more has to arrive.
        ("GET / HTTP/1.1\n", MessageError::LineEnd),
        ("\r\n", MessageError::EmptyLine),
    ] {
        assert_eq!(RequestHead::parse(text.as_bytes()), Err(error), "{text:?}");
    }
}

#[test]
fn heads_have_limits() {
    let with = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(parse(with(MAX_HEADERS).as_bytes()).is_ok());
    assert_eq!(parse(with(MAX_HEADERS + 1).as_bytes()), Err(MessageError::TooManyHeaders));
    let of = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(length - frame)).into_bytes()
    };
    assert!(parse(&of(MAX_HEAD)).is_ok());
    assert_eq!(RequestHead::parse(&of(MAX_HEAD + 1)), Err(MessageError::HeadTooLarge));
    assert_eq!(RequestHead::parse(&[b'a'; MAX_HEAD - 1]), Ok(None));
    assert_eq!(RequestHead::parse(&[b'a'; MAX_HEAD]), Err(MessageError::HeadTooLarge));
    // What follows a head does not count.
    assert!(parse(&[&of(MAX_HEAD)[..], &[b'x'; 100]].concat()).is_ok());
}

type Fields = Vec<(String, Vec<u8>)>;

/// A second reading of the same bytes, as fields with the method and the target before them.
fn by_httparse(bytes: &[u8]) -> Option<(Fields, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(bytes).ok()? else { return None };
    let line = (format!("{} {}", request.method?, request.version?), request.path?.as_bytes().to_vec());
    let fields =
        request.headers.iter().map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec()));
    Some(([line].into_iter().chain(fields).collect(), length))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_parsed_is_what_httparse_reads(
        line in "(GET|PUT|[A-Z]{1,3}) (/[a-z%?.;/é#]{0,6}|https?://[a-z.:@]{1,5}/?)[ ]? HTTP/1\\.[012]",
        fields in "([A-Za-z_-]{1,4} ?: ?[ -~\t\u{7f}é]{0,8}(\r\n|\n|\r\n ))*",
        end in "(\r\n|\n|\r)",
    ) {
        let text = format!("{line}\r\n{fields}{end}");
        if let Ok(Some((head, length))) = RequestHead::parse(text.as_bytes()) {
            let (expected, other) = by_httparse(text.as_bytes()).unwrap();
            prop_assert_eq!(length, other);
            let version = u8::from(head.version == Version::Http11);
            let target = match &head.target {
                Target::Path(path) => path.clone().into_bytes(),
                Target::Absolute { .. } | Target::Authority(_) | Target::Asterisk => expected[0].1.clone(),
            };
            let line = (format!("{} {version}", head.method), target);
            let fields = head.headers.iter().map(|field| (field.name.clone(), field.value.clone()));
            prop_assert_eq!([line].into_iter().chain(fields).collect::<Vec<_>>(), expected);
            prop_assert_eq!(parse(&head.write()), Ok(head));
        }
    }

    #[test]
    fn a_valid_head_is_parsed(
        method in "[A-Z]{1,8}x",
        path in "/[!-\"$-~é]{0,20}",
        fields in proptest::collection::vec(("[!#-'*+.0-9A-Z^-z|~-]{1,9}", "[!-~é]([ -~\té]{0,9}[!-~é])?"), 0..9),
    ) {
        let mut headers = Headers::default();
        fields.into_iter().for_each(|(name, value)| headers.push(name, value));
        let head = RequestHead { method, target: Target::Path(path), version: Version::Http11, headers };
        prop_assert_eq!(parse(&head.write()), Ok(head));
    }
}
