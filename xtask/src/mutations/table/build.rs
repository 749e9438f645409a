//! Promises 7, 9, 12 and 13, in what runs in the build.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 7,
        name: "conf-in-environment",
        what: "the conf stays in COMMAND's environment",
        edits: &[Edit {
            file: "bridge-client/src/conf_source.rs",
            find: "std::iter::once(CONF_VARIABLE).chain(PROXY_VARIABLES.into_iter().filter(holds_conf)).collect()",
            replace: "PROXY_VARIABLES.into_iter().filter(holds_conf).collect()",
        }],
        tests: &["commands::exec::the_conf_is_not_in_commands_environment"],
    },
    Mutation {
        promise: 7,
        name: "private-directory",
        what: "the private directory stays",
        edits: &[Edit {
            file: "bridge-client/src/exec/private_dir.rs",
            find: "if let Err(error) = platform::remove(&self.path) {",
            replace: "if self.path.as_os_str().is_empty() && let Err(error) = platform::remove(&self.path) {",
        }],
        tests: &[
            "files::delivery::a_file_is_private_in_memory_and_gone_afterwards",
            "ssh::exec_processes::signals_end_command_and_remove_the_private_directory",
        ],
    },
    Mutation {
        promise: 7,
        name: "replaced-by-command",
        what: "`exec` stays beside COMMAND",
        edits: &[Edit {
            file: "bridge-client/src/exec/prepared.rs",
            find: "            && self.http.is_none()",
            replace: "            && false",
        }],
        tests: &["commands::exec::command_replaces_exec_when_nothing_follows_it"],
    },
    Mutation {
        promise: 9,
        name: "partial-secret",
        what: "a secret of which a part has arrived is complete",
        edits: &[Edit {
            file: "bridge-client/src/fetch.rs",
            find: "let is_over = |progress: &Progress| progress.is_complete() || progress.refused;",
            replace: "let is_over = |progress: &Progress| progress.got > 0 || progress.is_complete() || progress.refused;",
        }],
        tests: &["transport::hostile_bridge::a_partial_secret_is_never_taken_for_a_whole_one"],
    },
    Mutation {
        promise: 9,
        name: "refused-secret",
        what: "COMMAND starts without a secret that was refused",
        edits: &[Edit {
            file: "bridge-client/src/fetch.rs",
            find: "if !self.refused.is_empty() && self.progress",
            replace: "if false && !self.refused.is_empty() && self.progress",
        }],
        tests: &["commands::exec::missing_secrets_stop_exec_and_all_of_them_are_named"],
    },
    Mutation {
        promise: 8,
        name: "announced-length",
        what: "a bridge may send more bytes than it announced",
        edits: &[Edit {
            file: "bridge-client/src/fetch.rs",
            find: "if progress.length.is_none_or(|length| got > length) {",
            replace: "if progress.length.is_none() {",
        }],
        tests: &["transport::hostile_bridge::more_bytes_than_announced_are_rejected"],
    },
    Mutation {
        promise: 12,
        name: "helpers-of-image",
        what: "helpers of the image are asked about our servers, too",
        edits: &[Edit {
            file: "bridge-client/src/git/credential_helper.rs",
            find: "settings.push((key(\"helper\"), String::new()));",
            replace: "",
        }],
        tests: &["git::credentials::helpers_of_the_image_serve_only_other_servers"],
    },
    Mutation {
        promise: 12,
        name: "credential-server",
        what: "git asks us about every server, and gets the credential of any",
        edits: &[
            Edit {
                file: "bridge-client/src/git/credential_helper.rs",
                find: "let key = |name_of: &str| format!(\"credential.https://{name}.{name_of}\");",
                replace: "let key = |name_of: &str| format!(\"credential.{}{name_of}\", &name[..0]);",
            },
            Edit {
                file: "git-credential/src/scope.rs",
                find: "let same_server = self.host == requested.host && self.port == requested.port;",
                replace: "let same_server = self.host.len() + requested.host.len() > 0;",
            },
        ],
        tests: &[
            "git::credentials::a_server_that_is_not_named_gets_no_credential",
            "git::credentials::a_redirect_to_another_server_carries_no_credential",
        ],
    },
    Mutation {
        promise: 12,
        name: "credential-path",
        what: "a credential is for every path of its server",
        edits: &[Edit {
            file: "git-credential/src/scope.rs",
            find: "            own == bare\n",
            replace: "            own == bare || true\n",
        }],
        tests: &["git::credentials::submodules_on_other_paths_have_their_own_credentials"],
    },
    Mutation {
        promise: 13,
        name: "changed-files",
        what: "a file with an old modification time is not searched",
        edits: &[Edit {
            file: "bridge-client/src/leak_check/walk/status.rs",
            find: "changed: time(status.stx_ctime),",
            replace: "changed: time(status.stx_mtime),",
        }],
        tests: &["leaks::check_scope::older_files_are_searched_only_after_a_change"],
    },
    Mutation {
        promise: 13,
        name: "names-of-files",
        what: "names of files are not searched",
        edits: &[Edit {
            file: "bridge-client/src/leak_check/search.rs",
            find: "        search.feed(text);",
            replace: "        search.feed(&text[..0]);",
        }],
        tests: &["leaks::check::names_and_link_targets_are_searched_and_paths_show_no_secret"],
    },
    Mutation {
        promise: 13,
        name: "leak-fails-step",
        what: "a leak does not fail the step",
        edits: &[Edit {
            file: "bridge-client/src/exec/prepared.rs",
            find: "let fails_step = code == 0 && safeguards.leaks == Leaks::Fail;",
            replace: "let fails_step = code != 0 && safeguards.leaks == Leaks::Fail;",
        }],
        tests: &["leaks::check::a_secret_in_a_new_file_fails_the_step_and_is_named"],
    },
    Mutation {
        promise: 13,
        name: "masked-hex",
        what: "secrets in hex are not masked",
        edits: &[Edit {
            file: "leaks/src/encoding.rs",
            find: "    all.push((Form::Hex, copy()));\n",
            replace: "",
        }],
        tests: &["leaks::masking::every_usual_encoding_is_replaced"],
    },
    Mutation {
        promise: 13,
        name: "leaks-in-base64",
        what: "base64 of a secret is found at one alignment only",
        edits: &[Edit {
            file: "leaks/src/encoding.rs",
            find: "for before in 0..3 {",
            replace: "for before in 0..1 {",
        }],
        tests: &["leaks::check::encoded_secrets_are_found"],
    },
    Mutation {
        promise: 13,
        name: "leaks-in-json",
        what: "secrets in JSON strings are not found",
        edits: &[Edit {
            file: "leaks/src/spelling.rs",
            find: "            escapes::steps(value, at, input, from, out);\n",
            replace: "",
        }],
        tests: &["leaks::check::encoded_secrets_are_found"],
    },
    Mutation {
        promise: 13,
        name: "masking-by-time",
        what: "what is held back of a secret is shown after a pause",
        edits: &[
            Edit {
                file: "bridge-client/src/exec/output/masker.rs",
                find: "self.mask.is_holding_short().then(|| Instant::now() + HOLD_TIME);",
                replace: "Some(Instant::now() + HOLD_TIME);",
            },
            Edit {
                file: "bridge-client/src/exec/output/masker.rs",
                find: "self.mask.release_short(&mut out);",
                replace: "self.mask.finish(&mut out);",
            },
        ],
        tests: &["exec::pieces::a_pause_at_any_place_shows_nothing_of_a_secret"],
    },
    Mutation {
        promise: 7,
        name: "real-time-signals",
        what: "real-time signals are not forwarded",
        edits: &[Edit { file: "local-ipc/src/unix/signals.rs", find: "(1..=LAST)", replace: "(1..32)" }],
        tests: &["exec::signals::a_signal_that_ends_command_leaves_nothing_behind"],
    },
];
