use super::*;
use crate::answer::AnswerHead;
use crate::request::RequestHead;

fn request(version: &str, fields: &str) -> Result<BodyLength, MessageError> {
    let text = format!("POST / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
    RequestHead::parse(text.as_bytes()).unwrap().unwrap().0.body()
}

fn answer(status: &str, fields: &str, method: &str) -> Result<BodyLength, MessageError> {
    let text = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
    AnswerHead::parse(text.as_bytes()).unwrap().unwrap().0.body(method)
}

#[test]
fn a_body_has_one_length() {
    assert_eq!(request("1.1", ""), Ok(BodyLength::None));
    assert_eq!(request("1.0", ""), Ok(BodyLength::None));
    assert_eq!(request("1.1", "Content-Length: 0\r\n"), Ok(BodyLength::Known(0)));
    assert_eq!(request("1.0", "content-length:12\r\n"), Ok(BodyLength::Known(12)));
    let most = BodyLength::Known(999_999_999_999_999_999);
    assert_eq!(request("1.1", "Content-Length: 999999999999999999\r\n"), Ok(most));
    assert_eq!(request("1.1", "Transfer-Encoding: chunked\r\n"), Ok(BodyLength::Chunked));
    assert_eq!(request("1.1", "transfer-encoding: Chunked\r\n"), Ok(BodyLength::Chunked));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for value in [
        "",
        "+1",
        "-1",
        "1 1",
        "1,1",
        "1, 1",
        "0x1",
        "1e1",
        "1.0",
        "01",
        "00",
        "1;",
        "\"1\"",
        "a",
        "1a",
        "\u{661}",
        "1_0",
        "1000000000000000000",
        "18446744073709551616",
        "18446744073709551621",
        "999999999999999999999999",
    ] {
        let field = format!("Content-Length: {value}\r\n");
        assert_eq!(request("1.1", &field), Err(MessageError::ContentLength), "{value}");
        assert_eq!(answer("200", &field, "GET"), Err(MessageError::ContentLength), "{value}");
    }
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\t\"",
        "chunked x",
        "chun\u{138}ed",
    ] {
        let field = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(request("1.1", &field), Err(MessageError::TransferEncoding), "{value}");
        assert_eq!(answer("200", &field, "GET"), Err(MessageError::TransferEncoding), "{value}");
    }
    let twice = "Content-Length: 1\r\nCONTENT-LENGTH: 1\r\n";
    assert_eq!(request("1.1", twice), Err(MessageError::ContentLength));
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(request("1.1", twice), Err(MessageError::TransferEncoding));
    let twice = "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(request("1.1", twice), Err(MessageError::TransferEncoding));
    for both in ["chunked", "identity", ""] {
        let both = format!("Content-Length: 1\r\nTransfer-Encoding: {both}\r\n");
        assert_eq!(request("1.1", &both), Err(MessageError::AmbiguousLength));
        assert_eq!(answer("200", &both, "GET"), Err(MessageError::AmbiguousLength));
        // Even where there is no body.
        assert_eq!(answer("304", &both, "GET"), Err(MessageError::AmbiguousLength));
    }
    assert_eq!(request("1.0", "Transfer-Encoding: chunked\r\n"), Err(MessageError::AmbiguousLength));
}

#[test]
fn an_answer_has_the_body_that_its_request_asks_for() {
    for (status, fields, method, length) in [
        ("200", "", "GET", BodyLength::UntilClose),
        ("200", "Content-Length: 5\r\n", "GET", BodyLength::Known(5)),
        ("200", "Transfer-Encoding: chunked\r\n", "POST", BodyLength::Chunked),
        ("200", "Content-Length: 5\r\n", "HEAD", BodyLength::None),
        ("404", "Transfer-Encoding: chunked\r\n", "HEAD", BodyLength::None),
        // Methods are case-sensitive.
        ("200", "Content-Length: 5\r\n", "head", BodyLength::Known(5)),
        ("204", "Content-Length: 5\r\n", "GET", BodyLength::None),
        ("304", "Content-Length: 5\r\n", "GET", BodyLength::None),
        ("304", "", "GET", BodyLength::None),
        ("100", "", "PUT", BodyLength::None),
        ("103", "", "GET", BodyLength::None),
        ("205", "", "GET", BodyLength::UntilClose),
        ("500", "Content-Length: 0\r\n", "GET", BodyLength::Known(0)),
    ] {
        assert_eq!(answer(status, fields, method), Ok(length), "{status} {fields:?} {method}");
    }
}
