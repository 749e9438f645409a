//! Promise 9, when something breaks: what is tried again, what is given up, and what is reported.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 9,
        name: "retries",
        what: "a connection that breaks before the bridge has answered is not tried again",
        edits: &[Edit {
            file: "bridge-client/src/connect/retry.rs",
            find: "if Instant::now() + wait >= self.end() {",
            replace: "if Instant::now() + wait >= self.began {",
        }],
        tests: &[
            "faults::connections::after_a_cut_the_client_dials_again_and_gets_everything",
            "transport::retry::a_cut_at_any_stage_before_welcome_costs_nothing",
            "transport::retry::every_command_that_dials_tries_again",
        ],
    },
    Mutation {
        promise: 9,
        name: "handshake-deadline",
        what: "a client waits for a handshake without end",
        edits: &[Edit {
            file: "bridge-client/src/connect/dial.rs",
            find: "const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(4000);",
            replace: "const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4000);",
        }],
        tests: &["faults::connections::a_stalled_connection_is_given_up"],
    },
    Mutation {
        promise: 9,
        name: "failed-source",
        what: "the output of a source that failed is a value",
        edits: &[Edit {
            file: "bridge-host/src/secrets/command.rs",
            find: "        if !status.success() {",
            replace: "        if false && !status.success() {",
        }],
        tests: &["secrets::sources::a_failing_source_command_shows_its_stderr_and_not_its_stdout"],
    },
    Mutation {
        promise: 9,
        name: "agent-deadline",
        what: "the bridge waits for an agent's keys without end",
        edits: &[Edit {
            file: "bridge-host/src/agent/upstream.rs",
            find: "const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);",
            replace: "const ANSWER_TIMEOUT: Duration = Duration::from_secs(10_000);",
        }],
        tests: &["faults::processes::an_agent_that_does_not_list_its_keys_delays_no_build_for_long"],
    },
    Mutation {
        promise: 9,
        name: "lost-output",
        what: "output that cannot be written does not fail the step",
        edits: &[Edit {
            file: "bridge-client/src/exec/prepared.rs",
            find: "Finished::Written(Err(error)) if code == 0 =>",
            replace: "Finished::Written(Err(error)) if code == 256 =>",
        }],
        tests: &["faults::resources::output_to_a_full_disk_fails_the_step"],
    },
    Mutation {
        promise: 9,
        name: "kill-of-unreachable",
        what: "`kill` takes a bridge that it cannot reach for one that has ended",
        edits: &[Edit {
            file: "bridge-client/src/connect/error.rs",
            find: "named.all(|attempt| matches!(attempt.cause, Cause::Refused))",
            replace: "named.any(|_| true)",
        }],
        tests: &["commands::serve::kill_fails_if_the_bridge_may_still_run"],
    },
];
