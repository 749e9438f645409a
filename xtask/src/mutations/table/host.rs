//! Promises 1, 6, 9 and 11, in what runs on the host.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 11,
        name: "approval-digest",
        what: "an approval holds whatever the project file contains by now",
        edits: &[Edit {
            file: "src/host/project_file.rs",
            find: "if approval.digest != self.digest {",
            replace: "if false && approval.digest != self.digest {",
        }],
        tests: &["project::approval::a_changed_or_moved_file_loses_its_approval"],
    },
    Mutation {
        promise: 11,
        name: "approval-paths",
        what: "an approval holds wherever the names in the project file lead by now",
        edits: &[Edit {
            file: "src/host/project_file.rs",
            find: "if now != approval.paths {",
            replace: "if false && now != approval.paths {",
        }],
        tests: &[
            "project::paths::a_path_that_leads_elsewhere_needs_a_new_approval",
            "project::paths::a_changed_known_hosts_file_needs_a_new_approval",
        ],
    },
    Mutation {
        promise: 11,
        name: "allow-config-digest",
        what: "`--allow-config` approves every file",
        edits: &[Edit {
            file: "src/host/project_file.rs",
            find: "if self.digest != *digest {",
            replace: "if false && self.digest != *digest {",
        }],
        tests: &["project::approval::a_digest_on_the_command_line_approves_only_these_bytes"],
    },
    Mutation {
        promise: 11,
        name: "allow-config-links",
        what: "`--allow-config` permits paths through links",
        edits: &[Edit {
            file: "src/host/project_file/paths.rs",
            find: "if by_link && !self.links_allowed {",
            replace: "if false && by_link && !self.links_allowed {",
        }],
        tests: &["project::paths::allow_config_accepts_no_path_through_a_link"],
    },
    Mutation {
        promise: 11,
        name: "paths-out-of-repository",
        what: "a path in the repository may lead out of it",
        edits: &[Edit {
            file: "src/host/project_file/paths.rs",
            find: "if outside && self.is_in_repository(&path) {",
            replace: "if false && outside && self.is_in_repository(&path) {",
        }],
        tests: &["project::approval::a_path_in_the_repository_may_not_lead_out_of_it"],
    },
    Mutation {
        promise: 11,
        name: "project-file-of-others",
        what: "a project file may be one that other users can change",
        edits: &[Edit {
            file: "src/host/project_file/read.rs",
            find: "platform::check_file(&file.metadata().map_err(cannot_read)?).map_err(not_private)?;",
            replace: "let _ = platform::check_file(&file.metadata().map_err(cannot_read)?).map_err(not_private);",
        }],
        tests: &["project::approval::a_file_that_others_can_change_is_refused"],
    },
    Mutation {
        promise: 11,
        name: "records-of-others",
        what: "approvals count in a directory that other users can write to",
        edits: &[Edit {
            file: "src/host/project_file/records.rs",
            find: "platform::check_private(&metadata).map_err(|problem| wrong(problem.to_owned()))?;",
            replace: "let _ = platform::check_private(&metadata).map_err(|problem| wrong(problem.to_owned()));",
        }],
        tests: &["project::approval::records_that_others_could_write_are_refused"],
    },
    Mutation {
        promise: 11,
        name: "approval-ca",
        what: "an approval holds whatever a CA file contains by now",
        edits: &[Edit {
            file: "src/host/project_file/paths.rs",
            find: "contents = Contents::of(bytes.as_deref());",
            replace: "contents = if purpose == Purpose::Ca { Contents::Any } else { Contents::of(bytes.as_deref()) };",
        }],
        tests: &["project::http::a_changed_ca_file_needs_a_new_approval"],
    },
    Mutation {
        promise: 6,
        name: "http-variable",
        what: "COMMAND of `run` gets the variable of an HTTP credential",
        edits: &[Edit {
            file: "src/host/run.rs",
            find: "command.env_remove(variable);",
            replace: "let _ = variable;",
        }],
        tests: &["http::rules::command_does_not_get_the_variable_of_a_credential"],
    },
    Mutation {
        promise: 13,
        name: "scan-http",
        what: "`run --scan` does not search for HTTP credentials",
        edits: &[Edit {
            file: "src/host/scan/searched.rs",
            find: "secrets.chain(http).collect()",
            replace: "secrets.chain(http.take(0)).collect()",
        }],
        tests: &["http::rules::scan_searches_for_credentials_as_for_secrets"],
    },
    Mutation {
        promise: 11,
        name: "engine-of-repository",
        what: "the engine may be a program of the repository",
        edits: &[Edit {
            file: "src/host/scan/engine_choice.rs",
            find: "if path.is_absolute() {",
            replace: "if path.is_absolute() || !is_name {",
        }],
        tests: &["leaks::scan::an_engine_of_the_repository_does_not_run"],
    },
    Mutation {
        promise: 11,
        name: "file-for-image",
        what: "a file with the name of the image is searched instead of it",
        edits: &[Edit {
            file: "src/host/scan/target.rs",
            find: "        text == \".\"\n",
            replace: "        std::path::Path::new(text).exists()\n            || text == \".\"\n",
        }],
        tests: &["leaks::scan::a_file_with_the_name_of_the_image_is_not_searched"],
    },
    Mutation {
        promise: 8,
        name: "log-budget",
        what: "messages have no budget of bytes",
        edits: &[Edit {
            file: "src/messages/log.rs",
            find: "match budget.left.checked_sub(length) {",
            replace: "match budget.left.checked_sub(0 * length) {",
        }],
        tests: &[
            "commands::log::a_flood_of_refusals_fills_neither_audit_nor_log",
            "commands::log::a_hostile_bridge_cannot_flood_the_log_of_a_build",
        ],
    },
    Mutation {
        promise: 6,
        name: "core-limit",
        what: "COMMAND may dump core",
        edits: &[Edit {
            file: "src/harden/unix.rs",
            find: "let _ = setrlimit(Resource::Core,",
            replace: "let _ = (setrlimit, Resource::Core,",
        }],
        tests: &["commands::exec::command_cannot_dump_core"],
    },
    Mutation {
        promise: 6,
        name: "freed-memory",
        what: "freed memory is not wiped",
        edits: &[Edit {
            file: "src/main.rs",
            find: "static ALLOCATOR: ZeroAlloc<Memory> = ZeroAlloc(Memory);",
            replace: "static ALLOCATOR: Memory = Memory;",
        }],
        tests: &["secrets::memory::exec_has_no_copy_of_what_it_handed_over"],
    },
    Mutation {
        promise: 1,
        name: "same-keys",
        what: "every bridge has the same CA and client key",
        edits: &[Edit {
            file: "bridge-host/src/ca/authority.rs",
            find: "None => (KeyPair::generate_for(&PKCS_ED25519)?, ClientSeed::new(random()?), None),",
            replace: "None => {\n                let head = b\"\\x30\\x2e\\x02\\x01\\x00\\x30\\x05\\x06\\x03\\x2b\\x65\\x70\\x04\\x22\\x04\\x20\";\n                let key = [head.as_slice(), &[7; 32]].concat();\n                let _: [u8; 1] = random()?;\n                (KeyPair::try_from(key.as_slice())?, ClientSeed::new([7; 32]), None)\n            }",
        }],
        tests: &["conf::end_of_life::a_second_bridge_on_the_same_port_refuses_the_old_conf"],
    },
    Mutation {
        promise: 6,
        name: "secret-in-log",
        what: "`-v` shows what is sent",
        edits: &[Edit {
            file: "bridge-host/src/session/decide.rs",
            find: "debug!(\"sends {key} ({} bytes)\", secret.len());",
            replace: "debug!(\"sends {key}: {}\", String::from_utf8_lossy(secret.expose()));",
        }],
        tests: &["secrets::secrecy::serve_sources_and_exec_show_nothing_in_argv_logs_or_audit"],
    },
    Mutation {
        promise: 9,
        name: "empty-source",
        what: "an empty source is a value",
        edits: &[Edit {
            file: "bridge-host/src/secrets/source.rs",
            find: "if secret.is_empty() && !self.allow_empty {",
            replace: "if false && secret.is_empty() && !self.allow_empty {",
        }],
        tests: &["secrets::sources::an_empty_source_stops_serve_unless_that_is_allowed"],
    },
    Mutation {
        promise: 9,
        name: "audit-failure",
        what: "a secret is sent though its audit record cannot be written",
        edits: &[Edit {
            file: "bridge-host/src/audit.rs",
            find: "            bytes: length,\n        })?;",
            replace: "            bytes: length,\n        })\n        .ok();",
        }],
        tests: &["commands::audit::a_secret_whose_read_cannot_be_recorded_is_not_sent"],
    },
    Mutation {
        promise: 11,
        name: "files-through-links",
        what: "files are written through links",
        edits: &[
            Edit {
                file: "bridge-host/src/private_file/unix.rs",
                find: ".union(OFlags::NOFOLLOW)",
                replace: "",
            },
            Edit {
                file: "bridge-host/src/private_file/unix.rs",
                find: "    if place::is_link(status) {",
                replace: "    if false && place::is_link(status) {",
            },
            Edit {
                file: "bridge-host/src/private_file/unix.rs",
                find: "!= FileType::RegularFile {",
                replace: "== FileType::Fifo {",
            },
        ],
        tests: &["commands::files_written::no_option_writes_through_a_link_of_a_repository"],
    },
    Mutation {
        promise: 11,
        name: "socket-by-link",
        what: "an approved socket may become a link to another one",
        edits: &[Edit {
            file: "bridge-host/src/named_file.rs",
            find: "Links::Refuse if self.path.canonicalize()? == self.path => Ok(()),",
            replace: "Links::Refuse if self.path.canonicalize().is_ok() => Ok(()),",
        }],
        tests: &["project::paths::a_socket_that_becomes_a_link_is_not_connected_to"],
    },
    Mutation {
        promise: 11,
        name: "git-variables",
        what: "git's variables for a repository reach the host's git",
        edits: &[Edit {
            file: "bridge-host/src/child/git_variables.rs",
            find: "        if is_of_a_repository(&name) {",
            replace: "        if false && is_of_a_repository(&name) {",
        }],
        tests: &["git::host_credentials::variables_of_git_do_not_reach_the_hosts_git"],
    },
    Mutation {
        promise: 11,
        name: "git-ceiling",
        what: "the host's git looks for a repository above its empty directory",
        edits: &[Edit {
            file: "bridge-host/src/secrets/empty_directory.rs",
            find: "        &self.ceiling\n    }",
            replace: "        let _ = &self.ceiling;\n        static NONE: std::sync::LazyLock<OsString> = std::sync::LazyLock::new(OsString::new);\n        &NONE\n    }",
        }],
        tests: &["git::host_credentials::a_temporary_directory_in_a_repository_does_not_matter"],
    },
];
