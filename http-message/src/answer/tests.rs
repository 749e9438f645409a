use proptest::prelude::*;

use super::*;

fn parse(text: &[u8]) -> Result<AnswerHead, MessageError> {
    AnswerHead::parse(text).map(|parsed| parsed.expect("a whole head").0)
}

#[test]
fn a_head_is_parsed_and_written_as_the_same() {
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::Http11, 200, "OK"),
        ("HTTP/1.0 404 Not Found", Version::Http10, 404, "Not Found"),
        ("HTTP/1.1 100 ", Version::Http11, 100, ""),
        ("HTTP/1.1 599", Version::Http11, 599, ""),
        ("HTTP/1.1 200  a\tb \u{e9}", Version::Http11, 200, " a\tb \u{e9}"),
    ] {
        let text = format!("{line}\r\nA: b\r\n\r\nbody");
        let (head, length) = AnswerHead::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.version, head.status), (version, status), "{line}");
        assert_eq!(head.reason, reason.as_bytes(), "{line}");
        assert_eq!(&text[length..], "body");
        assert_eq!(parse(&head.write()), Ok(head));
    }
}

#[test]
fn a_status_line_has_one_form() {
    for (line, error) in [
        ("", MessageError::EmptyLine),
        ("OK", MessageError::StatusLine),
        ("HTTP/1.1", MessageError::StatusLine),
        ("HTTP/1.1 ", MessageError::StatusLine),
        ("HTTP/1.1  200 OK", MessageError::StatusLine),
        ("HTTP/1.1\t200 OK", MessageError::StatusLine),
        ("HTTP/1.1 20 OK", MessageError::StatusLine),
        ("HTTP/1.1 2000 OK", MessageError::StatusLine),
        ("HTTP/1.1 099 OK", MessageError::StatusLine),
        ("HTTP/1.1 600 OK", MessageError::StatusLine),
        ("HTTP/1.1 +20 OK", MessageError::StatusLine),
        ("HTTP/1.1 2OO OK", MessageError::StatusLine),
        ("HTTP/1.1 200\tOK", MessageError::StatusLine),
        ("HTTP/1.1 200 a\0", MessageError::StatusLine),
        ("HTTP/1.1 200 a\u{7f}", MessageError::StatusLine),
        ("HTTP/1.1 200 a\rb", MessageError::LineEnd),
        ("HTTP/2.0 200 OK", MessageError::Http2),
        ("HTTP/1.2 200 OK", MessageError::Version),
        ("http/1.1 200 OK", MessageError::Version),
        ("ICY/1.1 200 OK", MessageError::Version),
    ] {
        assert_eq!(AnswerHead::parse(format!("{line}\r\n\r\n").as_bytes()), Err(error), "{line:?}");
    }
    for fields in ["A: b\n", " A: b\r\n", "A : b\r\n", "A\r\n"] {
        assert!(
            AnswerHead::parse(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes()).is_err(),
            "{fields:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_parsed_is_what_httparse_reads(
        line in "HTTP/1\\.[01] [1-5][0-9]{2}( [ -~\té]{0,6})?",
        fields in "([A-Za-z_-]{1,4} ?: ?[ -~\té]{0,8}(\r\n|\n|\r\n ))*",
    ) {
        let text = format!("{line}\r\n{fields}\r\n");
        if let Ok(Some((head, length))) = AnswerHead::parse(text.as_bytes()) {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut other = httparse::Response::new(&mut fields);
            prop_assert_eq!(other.parse(text.as_bytes()), Ok(httparse::Status::Complete(length)));
            prop_assert_eq!(Some(head.status), other.code);
            let others: Vec<_> = other.headers.iter().map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec())).collect();
            let own: Vec<_> = head.headers.iter().map(|field| (field.name.clone(), field.value.trim_ascii().to_vec())).collect();
            prop_assert_eq!(own, others);
            prop_assert_eq!(parse(&head.write()), Ok(head));
        }
    }
}
