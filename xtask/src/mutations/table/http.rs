//! Promise 14, in the parser of HTTP messages and in the policy of HTTP requests.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 14,
        name: "http-two-lengths",
        what: "a message may have Content-Length and Transfer-Encoding",
        edits: &[Edit {
            file: "http-message/src/length.rs",
            find: "(true, true) => Err(MessageError::AmbiguousLength),",
            replace: "(true, true) => Ok(Some(BodyLength::Chunked)),",
        }],
        tests: &[
            "http-message: length::tests::what_could_be_read_in_two_ways_is_refused",
            "http-policy: judge::tests::ambiguous_bodies_are_refused",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-repeated-length",
        what: "of several Content-Length the first counts",
        edits: &[Edit {
            file: "http-message/src/length.rs",
            find: "let value = headers.only(\"Content-Length\").ok_or(MessageError::ContentLength)?;",
            replace: "let value = headers.all(\"Content-Length\").next().ok_or(MessageError::ContentLength)?;",
        }],
        tests: &[
            "http-message: length::tests::what_could_be_read_in_two_ways_is_refused",
            "http-policy: judge::tests::ambiguous_bodies_are_refused",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-line-feed",
        what: "a line of a head may end in a line feed alone",
        edits: &[Edit {
            file: "http-message/src/head.rs",
            find: "            _ => return Err(MessageError::LineEnd),",
            replace: "            _ => {}",
        }],
        tests: &["http-message: request::tests::a_head_that_could_be_read_in_two_ways_is_refused"],
    },
    Mutation {
        promise: 14,
        name: "http-folded-header",
        what: "a header field may go on in a second line",
        edits: &[Edit {
            file: "http-message/src/head.rs",
            find: "if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\\t')) {",
            replace: "if line.first().is_some_and(|byte| matches!(byte, b'\\0')) {",
        }],
        tests: &["http-message: request::tests::a_head_that_could_be_read_in_two_ways_is_refused"],
    },
    Mutation {
        promise: 14,
        name: "http-chunk-size",
        what: "the size of a chunk may overflow",
        edits: &[Edit {
            file: "http-message/src/body.rs",
            find: ".filter(|_| digits < MAX_SIZE_DIGITS)",
            replace: ".filter(|_| digits < 99)",
        }],
        tests: &["http-message: body::tests::a_chunk_that_could_be_read_in_two_ways_is_refused"],
    },
    Mutation {
        promise: 14,
        name: "http-authority",
        what: "a request may name another server than its connection",
        edits: &[Edit {
            file: "http-policy/src/authority.rs",
            find: "str::from_utf8(text).is_ok_and(|text| authority_of(text).as_ref() == Some(origin))",
            replace: "str::from_utf8(text).is_ok_and(|text| authority_of(text).is_some())",
        }],
        tests: &["http-policy: judge::tests::a_request_names_the_server_of_its_connection"],
    },
    Mutation {
        promise: 14,
        name: "http-path-dots",
        what: "a path may have segments . and ..",
        edits: &[Edit {
            file: "http-policy/src/path.rs",
            find: "_ if matches!(file.trim(), \".\" | \"..\") => Some(PathFault::Dots),",
            replace: "_ if matches!(file.trim(), \".\" | \"..\") => None,",
        }],
        tests: &[
            "http-policy: path::tests::a_path_that_servers_read_in_two_ways_does_not_pass",
            "http-policy: path::tests::no_server_takes_a_path_that_passes_for_one_outside",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-path-parameters",
        what: "what follows a ; counts as part of a segment",
        edits: &[Edit {
            file: "http-policy/src/path.rs",
            find: "let file = segment.split([';', ':']).next().unwrap_or_default();",
            replace: "let file = segment;",
        }],
        tests: &[
            "http-policy: path::tests::a_path_that_servers_read_in_two_ways_does_not_pass",
            "http-policy: path::tests::no_server_takes_a_path_that_passes_for_one_outside",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-path-twice",
        what: "a path may be encoded twice",
        edits: &[
            Edit {
                file: "http-policy/src/path.rs",
                find: "if matches!(byte, b'%' | b'?' | b'#') {",
                replace: "if matches!(byte, b'?' | b'#') {",
            },
            Edit {
                file: "http-policy/src/path.rs",
                find: "'?' | '#' | '%' => Some(PathFault::Delimiter),",
                replace: "'?' | '#' => Some(PathFault::Delimiter),",
            },
        ],
        tests: &[
            "http-policy: path::tests::a_path_that_servers_read_in_two_ways_does_not_pass",
            "http-policy: path::tests::no_server_takes_a_path_that_passes_for_one_outside",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-path-backslash",
        what: "a path may have a backslash",
        edits: &[Edit {
            file: "http-policy/src/path.rs",
            find: "'\\\\' => Some(PathFault::Backslash),",
            replace: "'\\\\' => None,",
        }],
        tests: &[
            "http-policy: path::tests::a_path_that_servers_read_in_two_ways_does_not_pass",
            "http-policy: path::tests::no_server_takes_a_path_that_passes_for_one_outside",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-path-lookalike",
        what: "a path may have characters that Windows takes for dots and slashes",
        edits: &[Edit {
            file: "http-policy/src/path.rs",
            find: ".filter(|like| r\"/\\.;:?#%\".contains(*like))",
            replace: ".filter(|like| r\"\".contains(*like))",
        }],
        tests: &[
            "http-policy: path::tests::a_path_that_servers_read_in_two_ways_does_not_pass",
            "http-policy: path::tests::no_server_takes_a_path_that_passes_for_one_outside",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-path-near-miss",
        what: "a path that a server could take for one of a longer rule is the shorter rule's",
        edits: &[
            Edit {
                file: "http-policy/src/rules.rs",
                find: "(_, Some((near, _))) => Found::NearMiss(near),",
                replace: "(_, Some((near, _))) if best.is_none() => Found::NearMiss(near),",
            },
            Edit {
                file: "http-policy/src/rules.rs",
                find: "(Some((best, _)), None) => Found::Rule(best),",
                replace: "(Some((best, _)), _) => Found::Rule(best),",
            },
            Edit {
                file: "http-policy/src/rules.rs",
                find: "(None, None) => Found::None,",
                replace: "(None, _) => Found::None,",
            },
        ],
        tests: &["http-policy: rules::tests::what_a_server_could_take_for_a_longer_match_has_no_rule"],
    },
    Mutation {
        promise: 14,
        name: "http-git-push",
        what: "a rule for git permits a push",
        edits: &[Edit {
            file: "http-policy/src/judge.rs",
            find: "(Call::Git(Service::ReceivePack), Git::Fetch, _) => Err(Denied::Push),",
            replace: "(Call::Git(Service::ReceivePack), Git::Fetch, _) => Ok(RequestKind::Plain),",
        }],
        tests: &["http-policy: judge::tests::git::a_git_rule_permits_what_git_does_and_no_more"],
    },
    Mutation {
        promise: 14,
        name: "http-git-like",
        what: "methods beside git permit a push at a path that is written otherwise",
        edits: &[Edit {
            file: "http-policy/src/judge.rs",
            find: "(Call::LikeGit, Git::Fetch | Git::Push, _) => Err(Denied::Git),",
            replace: "(Call::LikeGit, Git::Fetch | Git::Push, _) => by_method(Denied::Git),",
        }],
        tests: &["http-policy: judge::tests::git::methods_beside_git_do_not_permit_a_push"],
    },
    Mutation {
        promise: 14,
        name: "http-upgrade",
        what: "a request may ask for another protocol",
        edits: &[Edit {
            file: "http-policy/src/rewrite.rs",
            find: "Field::Upgrade => return Err(Denied::Upgrade),",
            replace: "Field::Upgrade => {}",
        }],
        tests: &["http-policy: judge::tests::other_protocols_are_refused_with_501"],
    },
    Mutation {
        promise: 14,
        name: "http-body-of-get",
        what: "a GET may have a body",
        edits: &[Edit {
            file: "http-policy/src/judge.rs",
            find: "if matches!(method, Some(Method::Get | Method::Head)) && !body.is_empty() {",
            replace: "if matches!(method, Some(Method::Get | Method::Head)) && false {",
        }],
        tests: &["http-policy: judge::tests::ambiguous_bodies_are_refused"],
    },
    Mutation {
        promise: 14,
        name: "http-cgi-names",
        what: "header fields are told apart that programs behind CGI cannot tell apart",
        edits: &[Edit {
            file: "http-policy/src/fields.rs",
            find: "let map = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };",
            replace: "let map = |c: char| c.to_ascii_lowercase();",
        }],
        tests: &[
            "http-policy: fields::tests::fields_that_name_another_address_or_method_are_known",
            "http-policy: rewrite::tests::fields_of_the_connection_do_not_go_on",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-connection-names",
        what: "fields that Connection names go on",
        edits: &[Edit {
            file: "http-policy/src/rewrite.rs",
            find: "let is_of_connection = connection.iter().any(",
            replace: "let is_of_connection = connection.iter().all(",
        }],
        tests: &["http-policy: rewrite::tests::what_connection_names_does_not_go_on"],
    },
    Mutation {
        promise: 14,
        name: "http-own-credential",
        what: "the tool's own credential goes on",
        edits: &[
            Edit {
                file: "http-policy/src/rewrite.rs",
                find: "name.eq_ignore_ascii_case(\"Authorization\") && rule.own == Own::Keep",
                replace: "name.eq_ignore_ascii_case(\"Authorization\")",
            },
            Edit {
                file: "http-policy/src/rewrite.rs",
                find: "let is_ours = same_name(name, rule.auth().header()) && rule.own == Own::Replace;",
                replace: "let is_ours = false;",
            },
        ],
        tests: &["http-policy: rewrite::tests::the_credential_of_the_tool_goes_only_where_it_may"],
    },
    Mutation {
        promise: 14,
        name: "http-credential-line",
        what: "the credential may have line ends",
        edits: &[
            Edit {
                file: "http-policy/src/credential.rs",
                find: "_ if value.iter().any(u8::is_ascii_control) => Err(CredentialError::Characters),",
                replace: "_ if value.contains(&0) => Err(CredentialError::Characters),",
            },
            Edit {
                file: "http-policy/src/credential.rs",
                find: "let is_printed = value.iter().all(|byte| matches!(byte, b' '..=b'~'));",
                replace: "let is_printed = value.is_ascii();",
            },
        ],
        tests: &["http-policy: credential::tests::a_value_that_would_end_the_field_is_refused"],
    },
    Mutation {
        promise: 14,
        name: "http-cookie",
        what: "a session cookie of the server reaches the build",
        edits: &[Edit {
            file: "http-policy/src/answer.rs",
            find: "\"set-cookie\", \"set-cookie2\", ",
            replace: "",
        }],
        tests: &["http-policy: answer::tests::what_could_be_carried_away_or_lead_elsewhere_is_dropped"],
    },
    Mutation {
        promise: 14,
        name: "http-unauthorized",
        what: "the tool gets a server's 401 to the credential of a rule",
        edits: &[Edit {
            file: "http-policy/src/answer.rs",
            find: "401 if !echo.is_none() =>",
            replace: "401 if false && !echo.is_none() =>",
        }],
        tests: &["http-policy: answer::tests::the_servers_no_to_our_credential_is_not_the_tools"],
    },
    Mutation {
        promise: 14,
        name: "http-echo-head",
        what: "a credential in the head of an answer reaches the build",
        edits: &[Edit {
            file: "http-policy/src/answer.rs",
            find: "if let Some(value) = echo.overwritten(&header.value) {",
            replace: "if let Some(value) = echo.overwritten(b\"\") {",
        }],
        tests: &["http-policy: answer::tests::a_credential_in_the_head_is_overwritten"],
    },
    Mutation {
        promise: 14,
        name: "http-echo-pieces",
        what: "a credential that arrives in two pieces reaches the build",
        edits: &[Edit {
            file: "http-policy/src/echo.rs",
            find: "self.patterns.iter().map(beginning).max().unwrap_or(0)",
            replace: "self.patterns.iter().map(beginning).min().unwrap_or(0).min(1)",
        }],
        tests: &["http-policy: echo::tests::the_value_is_overwritten_across_pieces"],
    },
    Mutation {
        promise: 14,
        name: "http-echo-base64",
        what: "the base64 of a credential reaches the build",
        edits: &[Edit {
            file: "http-policy/src/echo.rs",
            find: "let mut texts = base64_cores(&text);",
            replace: "let mut texts = Vec::new();",
        }],
        tests: &["http-policy: echo::tests::base64_is_overwritten_wherever_the_value_stands_in_it"],
    },
    Mutation {
        promise: 14,
        name: "http-lfs-header",
        what: "an answer of git LFS has the credential",
        edits: &[
            Edit {
                file: "http-policy/src/lfs.rs",
                find: "if !is_ruled.ok_or(LfsError::Unknown)? && !fields.is_empty() {",
                replace: "if !fields.is_empty() {",
            },
            Edit {
                file: "http-policy/src/lfs.rs",
                find: "if fields.iter().any(|(name, value)| is_ours(name) || value.as_str().is_some_and(is_ours)) {",
                replace: "if fields.iter().any(|(name, value)| is_ours(name) && value.as_str().is_some_and(is_ours)) {",
            },
        ],
        tests: &[
            "http-policy: lfs::tests::at_an_origin_with_a_rule_an_answer_has_no_header_fields",
            "http-policy: lfs::tests::elsewhere_an_answer_keeps_what_is_not_our_credential",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-lfs-keys",
        what: "a batch request of git LFS may have a key twice",
        edits: &[Edit {
            file: "http-policy/src/json.rs",
            find: "if object.len() == MAX_KEYS || object.iter().any(|(other, _)| *other == key) {",
            replace: "if object.len() == MAX_KEYS {",
        }],
        tests: &[
            "http-policy: json::tests::json_that_is_read_in_two_ways_is_refused",
            "http-policy: lfs::tests::a_batch_request_with_more_than_is_understood_is_refused",
        ],
    },
    Mutation {
        promise: 14,
        name: "http-lfs-upload",
        what: "a rule for fetching permits an upload of git LFS",
        edits: &[Edit {
            file: "http-policy/src/lfs.rs",
            find: "(Some(\"upload\"), Git::Push) => \"upload\",",
            replace: "(Some(\"upload\"), _) => \"upload\",",
        }],
        tests: &["http-policy: lfs::tests::an_upload_needs_a_rule_for_push"],
    },
];
