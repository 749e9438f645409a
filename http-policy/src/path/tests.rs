use proptest::prelude::*;

use super::*;

fn segments(path: &str) -> Result<Vec<String>, PathFault> {
    Segments::parse(path).map(|segments| segments.0)
}

#[test]
fn ordinary_paths_pass() {
    for (path, expected) in [
        ("/", &[][..]),
        ("/a", &["a"]),
        ("/a/", &["a"]),
        ("/a/b.c", &["a", "b.c"]),
        ("/%61/%2e%2Egitignore", &["a", "..gitignore"]),
        ("/@org%2fname", &["@org", "name"]),
        ("/@org%2Fname/-/name-1.0.0.tgz", &["@org", "name", "-", "name-1.0.0.tgz"]),
        ("/@org/name", &["@org", "name"]),
        ("/simple/pip/", &["simple", "pip"]),
        ("/!azure/sdk/@v/v1.0.0+incompatible.info", &["!azure", "sdk", "@v", "v1.0.0+incompatible.info"]),
        ("/a%20b/c%2bd+e", &["a b", "c+d+e"]),
        ("/pool/main/g/g++_1%3a12.2_amd64.deb", &["pool", "main", "g", "g++_1:12.2_amd64.deb"]),
        ("/~user/.well-known/a;v=1/b,c=(d)'!*$&", &["~user", ".well-known", "a;v=1", "b,c=(d)'!*$&"]),
        ("/B%C3%BCro/\u{fc}/日本", &["Büro", "ü", "日本"]),
        ("/a[0]{b}|^`\"<>", &["a[0]{b}|^`\"<>"]),
    ] {
        assert_eq!(
            segments(path).as_deref(),
            Ok(&expected.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()[..]),
            "{path}"
        );
    }
}

#[test]
fn a_path_that_servers_read_in_two_ways_does_not_pass() {
    for (fault, paths) in [
        (
            PathFault::Empty,
            &[
                "//",
                "//a",
                "/a//b",
                "/a//",
                "/a%2f/b",
                "/a/%2fb",
                "/%2f",
                "/a%2f%2f",
                "/;",
                "/;a/b",
                "/a/;b",
                "/a/%3bb/c",
            ][..],
        ),
        (
            PathFault::Dots,
            &[
                "/.",
                "/..",
                "/a/.",
                "/a/./b",
                "/a/../b",
                "/a/..",
                "/../a",
                "/%2e",
                "/%2E%2e/a",
                "/.%2e",
                "/a%2f..%2fb",
                "/pkg%2f..%2fother",
                "/a/..%2fb",
                "/a%2f%2e%2e%2fb",
                "/..;/a",
                "/a/..;x=y/b",
                "/a/.;/b",
                "/a/..%3b/b",
                "/a/..:/b",
                "/a/..::$INDEX_ALLOCATION/b",
                "/a/%20../b",
                "/a/..%20/b",
                "/a/.%20/b",
                "/a/..%20;x/b",
            ],
        ),
        (
            PathFault::FinalDot,
            &[
                "/a./b",
                "/a.",
                "/a%20/b",
                "/a%20",
                "/a/...",
                "/a/.../b",
                "/a.;b/c",
                "/a%20;b/c",
                "/a;b./c",
                "/a;b%20",
                "/a.:b",
                "/a/%20/b",
                "/a%2e",
            ],
        ),
        (
            PathFault::Percent,
            &["/%", "/a%", "/%2", "/%zz", "/%u002e%u002e/a", "/%-1", "/%+f", "/% 1", "/%2", "/a%2/b"],
        ),
        (
            PathFault::Delimiter,
            &["/a%25", "/%252e%252e/a", "/a%252fb", "/%25%32%65", "/a%3fb", "/a%23b", "/a%3F", "/%2500"],
        ),
        (PathFault::Backslash, &["/a%5cb", "/a\\b", "/..\\a", "/%5C..%5c", "/a/..%5c.."]),
        (
            PathFault::Hidden,
            &[
                "/a%00",
                "/%00/b",
                "/a%0ab",
                "/a%0d%0aX:b",
                "/a%09b",
                "/a%7fb",
                "/a%c2%85b",
                "/a%e2%80%8bb",
                "/.%e2%80%8d./b",
                "/a%c2%adb",
                "/a\u{200b}",
                "/a%e2%80%aeb",
                "/a%ef%bb%bfb",
                "/a%c2%a0",
                "/%e3%80%80a",
                "/a%f3%a0%81%81",
            ],
        ),
        (
            PathFault::Lookalike,
            &[
                "/a/\u{ff0e}\u{ff0e}/b",
                "/%ef%bc%8e%ef%bc%8e/b",
                "/a\u{ff0f}b",
                "/a%e2%88%95b",
                "/a\u{2044}b",
                "/a\u{2216}b",
                "/a\u{ff3c}b",
                "/\u{2025}/b",
                "/\u{2024}\u{2024}/b",
                "/a\u{ff05}2e",
                "/a\u{ff1b}b",
                "/a\u{37e}b",
                "/a\u{ff1f}b",
                "/a\u{ff03}b",
                "/a\u{fe52}b",
                "/a\u{ff1a}b",
                "/a\u{a5}b",
            ],
        ),
        (
            PathFault::NotUtf8,
            &[
                "/%ff",
                "/%c0%ae%c0%ae/a",
                "/a%c0%afb",
                "/%e0%80%ae",
                "/%ed%a0%80",
                "/%f8%80%80%80%ae",
                "/a%80",
                "/%c1%9c",
                "/%fe",
            ],
        ),
    ] {
        for path in paths {
            assert_eq!(segments(path), Err(fault), "{path}");
        }
    }
}

#[test]
fn a_path_of_no_restricted_rule_may_be_almost_anything() {
    for path in ["/", "/a//b", "/./Packages", "/a/../b", "/100%", "/a%25b", "/%ff", "/a\\b", "/c%23"] {
        assert!(Segments::parse_any(path).is_ok(), "{path}");
    }
    for path in [
        "//evil.example/a",
        "/%2fevil.example",
        "/\\evil.example",
        "/%5cevil.example",
        "/a%0d%0aHost:b",
        "/a%00",
        "/a%7f",
    ] {
        assert!(Segments::parse_any(path).is_err(), "{path}");
    }
}

#[test]
fn paths_are_encoded_in_one_form() {
    for (path, encoded) in [("/", ""), ("/%61%20b/@c%2fd/", "/a%20b/@c/d"), ("/ü/%7e\"", "/%C3%BC/~%22")] {
        let parsed = Segments::parse(path).unwrap();
        assert_eq!(parsed.encode(), encoded);
        assert_eq!(Segments::parse(encoded), Ok(parsed));
    }
}

/// What a lenient server does with a path, each bit one habit.
fn as_a_server_reads_it(path: &str, habits: u16) -> String {
    let has = |habit: u16| habits & (1 << habit) != 0;
    let mut path = path.split('?').next().unwrap().to_owned();
    if has(0) {
        path = without_dots(&path);
    }
    for _ in 0..=(habits >> 12 & 3) {
        path = decode_leniently(path.as_bytes());
        if has(1) {
            path = path.replace("%u002e", ".").replace("%u002f", "/");
        }
    }
    if has(2) {
        path = path.split('\0').next().unwrap().to_owned();
    }
    if has(3) {
        path = path.split(['?', '#']).next().unwrap().to_owned();
    }
    if has(4) {
        path = path.replace(['\u{fffd}', '\u{200d}'], "");
    }
    if has(5) {
        path = path.chars().map(|c| looks_like(c).unwrap_or(c)).collect();
    }
    if has(6) {
        path = path.replace('\\', "/");
    }
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    for segment in &mut segments {
        if has(7) {
            *segment = segment.split(';').next().unwrap().to_owned();
        }
        if has(8) {
            *segment = segment.split(':').next().unwrap().to_owned();
        }
        if has(9) && !segment.trim().chars().all(|c| c == '.') {
            *segment = segment.trim_end_matches(['.', ' ']).to_owned();
        }
        if has(9) {
            *segment = segment.trim().to_owned();
        }
    }
    path = segments.join("/");
    while has(10) && path.contains("//") {
        path = path.replace("//", "/");
    }
    path = without_dots(&path);
    if has(11) { path.to_uppercase().to_lowercase() } else { path }
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    kept.iter().map(|segment| format!("/{segment}")).collect()
}

fn is_below(path: &str, rule: &str) -> bool {
    path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Parts of hostile paths.
pub(crate) fn hostile_path() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &[
        "/",
        "/",
        "/",
        "/org",
        "/repo",
        "/secret",
        "/ORG",
        "/Repo",
        "/SECRET",
        ".git",
        "org",
        "repo",
        "secret",
        "%6frg",
        "%2f",
        "%2F",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "/..",
        "/../",
        "/./",
        "%5c",
        "\\",
        "/..%5c",
        ";",
        "%3b",
        "..;",
        ";a=b",
        "%25",
        "/%252e%252e/",
        "/\u{ff0e}\u{ff0e}/",
        "/%ef%bc%8e%ef%bc%8e/",
        "%252e",
        "%252f",
        "%00",
        "%20",
        "%0a",
        "%",
        "%u002e",
        "%u002f",
        "%c0%ae",
        "%c0%af",
        "\u{ff0e}",
        "\u{ff0f}",
        "%ef%bc%8e",
        "\u{200d}",
        ":",
        "::$DATA",
        "?",
        "#",
        "%3f",
        "%23",
        "~1",
        "é",
        "\u{17f}ecret",
        "\u{212a}",
        "\u{ff53}ecret",
    ];
    proptest::collection::vec(proptest::sample::select(PARTS), 0..8)
        .prop_map(|parts| format!("/{}", parts.concat().trim_start_matches('/')))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn no_server_takes_a_path_that_passes_for_one_outside(path in hostile_path(), habits in any::<u16>(), rule in "(/org|/org/repo)") {
        let path = path.split('?').next().unwrap();
        let own = Segments::parse(&rule).unwrap();
        if let Ok(segments) = Segments::parse(path) && own.covers(&segments, false) {
            let read = as_a_server_reads_it(path, habits);
            prop_assert!(is_below(&read, &rule), "{path} is {read}");
        }
    }

    #[test]
    fn no_server_takes_a_path_for_one_of_a_longer_rule(path in hostile_path(), habits in any::<u16>()) {
        let path = path.split('?').next().unwrap();
        let longer = Segments::parse("/org/repo/secret").unwrap();
        if let Ok(segments) = Segments::parse(path) && !longer.could_cover(&segments) {
            let read = as_a_server_reads_it(path, habits);
            prop_assert!(!is_below(&read.replace(".git", ""), "/org/repo/secret"), "{path} is {read}");
        }
    }

    #[test]
    fn what_passes_is_read_as_the_same_once_encoded(path in hostile_path()) {
        if let Ok(segments) = Segments::parse(path.split('?').next().unwrap()) {
            prop_assert_eq!(Segments::parse(&segments.encode()), Ok(segments));
        }
    }
}
