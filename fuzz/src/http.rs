//! HTTP messages: of the tools in a build, and of the servers that answer them.

use http_message::{
    AnswerHead, BodyLength, BodyReader, Headers, MAX_HEAD, MAX_HEADERS, MessageError, RequestHead,
};

use crate::checks::Input;

/// A request's head, as a tool in the build sends it.
pub fn http_request(data: &[u8]) {
    let parsed = RequestHead::parse(data);
    if let Some((head, length)) = check_head(data, &parsed, |head| &head.headers) {
        let line = format!("{} {} {}", head.method, head.target, head.version.as_str());
        // The scheme is in lower case, and a path is never empty.
        if !matches!(head.target, http_message::Target::Absolute { .. }) {
            assert!(data.starts_with(format!("{line}\r\n").as_bytes()));
        }
        assert!(head.target.to_string().chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '#'));
        let again = RequestHead::parse(&head.write()).unwrap().unwrap().0;
        assert_eq!((&again, again.body()), (head, head.body()));
        assert!(!matches!(head.body(), Ok(BodyLength::UntilClose)));
        for end in (0..*length).take(300) {
            assert!(matches!(RequestHead::parse(&data[..end]), Ok(None)));
        }
    }
}

/// An answer's head, as a server on the host's side sends it.
pub fn http_answer(data: &[u8]) {
    let parsed = AnswerHead::parse(data);
    if let Some((head, length)) = check_head(data, &parsed, |head| &head.headers) {
        assert!((100..=599).contains(&head.status));
        let again = AnswerHead::parse(&head.write()).unwrap().unwrap().0;
        assert_eq!((&again, again.body("GET")), (head, head.body("GET")));
        assert!(head.body("HEAD").is_err() || head.body("HEAD") == Ok(BodyLength::None));
        for end in (0..*length).take(300) {
            assert!(matches!(AnswerHead::parse(&data[..end]), Ok(None)));
        }
    }
}

/// What holds for heads of both kinds.
fn check_head<'p, T>(
    data: &[u8],
    parsed: &'p Result<Option<(T, usize)>, MessageError>,
    headers: fn(&T) -> &Headers,
) -> Option<&'p (T, usize)> {
    let (head, length) = match parsed {
        Ok(Some(parsed)) => (&parsed.0, parsed.1),
        Ok(None) => {
            assert!(data.len() < MAX_HEAD, "a head without an end");
            return None;
        }
        Err(_) => return None,
    };
    let text = &data[..length];
    assert!(length <= MAX_HEAD && text.ends_with(b"\r\n\r\n"));
    // A second reading: every line end is CR LF, and there are as many lines as fields.
    let feeds = text.iter().filter(|&&byte| byte == b'\n').count();
    let returns = text.iter().filter(|&&byte| byte == b'\r').count();
    let ends = text.windows(2).filter(|pair| pair == b"\r\n").count();
    let lines = headers(head).iter().count();
    assert_eq!((feeds, returns, ends), (lines + 2, lines + 2, lines + 2));
    assert!(lines <= MAX_HEADERS);
    for (field, line) in headers(head).iter().zip(text.split(|&byte| byte == b'\n').skip(1)) {
        assert!(
            !field.name.is_empty() && field.name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        );
        assert!(!field.value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':').unwrap());
        assert_eq!((field.name.as_bytes(), &*field.value), (name, value[1..].trim_ascii()));
    }
    parsed.as_ref().ok()?.as_ref()
}

pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    [
        "GET /@org%2fname?a=b HTTP/1.1\r\nHost: h.example\r\nAccept: */*\r\nAuthorization: Bearer ${T}\r\n\r\n",
        "POST https://h.example/a/git-upload-pack HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:\t a \r\n\r\n0\r\n\r\n",
        "CONNECT [::1]:443 HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\nD : e\nF: g\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn answer_seeds() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: a\r\n\r\nabc",
        "HTTP/1.0 404\r\n\r\n",
        "HTTP/1.1 302 \u{e9}\r\nLocation: https://h/a?b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// The framing of a body: the kind of length, the length, the size of the pieces that arrive, and then what arrives.
pub fn http_body(data: &[u8]) {
    let mut input = Input::new(data);
    let (kind, known, size) = (input.byte(), input.byte(), usize::from(input.byte()).max(1));
    let length = match kind % 4 {
        0 => BodyLength::None,
        1 => BodyLength::Known(known.into()),
        2 => BodyLength::Chunked,
        _ => BodyLength::UntilClose,
    };
    let read = read(length, input.rest(), size);
    assert_eq!(read, self::read(length, input.rest(), input.rest().len().max(1)), "the same in other pieces");
    match (length, read) {
        (BodyLength::None, Ok((body, read, end))) => assert!(body.is_empty() && read == 0 && end),
        (BodyLength::UntilClose, Ok((body, _, end))) => assert!(body == input.rest() && !end),
        (BodyLength::Known(known), Ok((body, read, end))) => {
            let expected = &input.rest()[..input.rest().len().min(usize::try_from(known).unwrap())];
            assert!(body == expected && read == body.len() && end == (read as u64 == known));
        }
        (BodyLength::Chunked, Ok((body, read, true))) => {
            assert_eq!(simply(&input.rest()[..read]), Some(body), "a second decoder");
        }
        (BodyLength::Chunked, Ok((_, _, false)) | Err(_)) => {
            // No prefix of it is a whole body for a stricter decoder, either.
            assert!(simply(input.rest()).is_none());
        }
        (BodyLength::None | BodyLength::Known(_) | BodyLength::UntilClose, Err(error)) => panic!("{error}"),
    }
}

type Read = Result<(Vec<u8>, usize, bool), MessageError>;

fn read(length: BodyLength, input: &[u8], size: usize) -> Read {
    let (mut reader, mut body, mut at, mut arrived) = (BodyReader::new(length), Vec::new(), 0, 0);
    loop {
        let part = reader.read(&input[at..arrived])?;
        assert!(part.consumed >= part.data.len());
        body.extend_from_slice(part.data);
        at += part.consumed;
        if part.end {
            assert!(reader.may_close());
            return Ok((body, at, true));
        }
        if part.consumed == 0 && arrived == input.len() {
            return Ok((body, at, false));
        }
        if part.consumed == 0 {
            arrived = input.len().min(arrived + size);
        }
    }
}

/// Decodes a whole chunked body, line by line.
fn simply(mut input: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (line, rest) = line(input)?;
        let (size, extension) =
            line.split_at(line.iter().position(|&byte| byte == b';').unwrap_or(line.len()));
        let is_size = (1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
        if !is_size || extension.len() > 4096 {
            return None;
        }
        let size = usize::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        input = rest;
        if size == 0 {
            break;
        }
        body.extend_from_slice(input.get(..size)?);
        input = input.get(size..)?.strip_prefix(b"\r\n")?;
    }
    let mut trailers = 0;
    loop {
        let (line, rest) = line(input)?;
        input = rest;
        if line.is_empty() {
            return input.is_empty().then_some(body);
        }
        trailers += line.len() + 2;
        if trailers >= 4098 {
            return None;
        }
    }
}

/// The first line, without its end.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &input[..end];
    let is_text = line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    is_text.then_some((line, &input[end + 2..]))
}

pub(crate) fn body_seeds() -> Vec<Vec<u8>> {
    [
        "\x02\x00\x013\r\nabc\r\n0\r\n\r\nnext",
        "\x02\x00\x03A;a=b\r\n0123456789\r\n000;x\r\nX: y\r\nZ:\r\n\r\n",
        "\x02\x00\x02ffffffffffffffff\r\nabc",
        "\x02\x00\x021\r\na\n0\r\n\r\n",
        "\x01\x05\x02abcdefgh",
        "\x03\x00\x02abc",
        "\x00\x00\x02abc",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
