use super::*;

#[test]
fn json_that_is_read_in_two_ways_is_refused() {
    for text in [
        "",
        "{",
        "{}{}",
        "{} x",
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"b\":{\"c\":1,\"d\":2,\"c\":1}}]",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1,}",
        "[1,]",
        "// x\n{}",
        "\u{feff}{}",
        "NaN",
        "01",
        "\"\\ud800\"",
        "\"\n\"",
        "{\"a\":\"\\x\"}",
    ] {
        assert_eq!(Json::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Json::parse(b"{\"a\":\"\xff\"}"), None);
    assert_eq!(Json::parse("[".repeat(1000).as_bytes()), None);
    let many: Vec<String> = (0..=MAX_KEYS).map(|index| format!("\"{index}\":1")).collect();
    assert_eq!(Json::parse(format!("{{{}}}", many.join(",")).as_bytes()), None);
}

#[test]
fn numbers_are_whole() {
    let parse = |text: &str| Json::parse(text.as_bytes()).unwrap();
    assert_eq!(parse("18446744073709551615"), Json::Number(u64::MAX));
    for text in ["-1", "1.0", "1e3", "18446744073709551616"] {
        assert_eq!(parse(text), Json::OtherNumber, "{text}");
    }
    assert_eq!(
        parse(" {\"a\":[null,true,\"b\"]} "),
        Json::Object(vec![(
            "a".into(),
            Json::List(vec![Json::Null, Json::Bool(true), Json::Text("b".into())])
        )])
    );
}
