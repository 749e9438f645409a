//! Promises 2 and 8, in the bridge: what bounds its peers.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 2,
        name: "no-knock",
        what: "a hello without a knock passes",
        edits: &[Edit {
            file: "bridge-host/src/net/knocks.rs",
            find: "let knock = Knock::from_protocol(&hello.protocol).ok_or(HandshakeRefusal::NoKnock)?;",
            replace: "let Some(knock) = Knock::from_protocol(&hello.protocol) else { return Ok(()) };",
        }],
        tests: &["transport::handshake::the_client_key_without_a_knock_is_refused"],
    },
    Mutation {
        promise: 2,
        name: "unproven-knock",
        what: "a knock of another conf, or a forged one, passes",
        edits: &[Edit {
            file: "bridge-host/src/net/knocks.rs",
            find: "        })?;\n",
            replace: "        })\n        .or(Ok::<(), HandshakeRefusal>(()))?;\n",
        }],
        tests: &[
            "transport::handshake::the_knock_of_another_conf_is_refused_and_explained",
            "transport::handshake::the_client_key_without_a_knock_is_refused",
        ],
    },
    Mutation {
        promise: 2,
        name: "used-nonces",
        what: "a knock is accepted as often as it is sent",
        edits: &[Edit {
            file: "bridge-host/src/net/knocks.rs",
            find: "if self.used.insert(knock.nonce) {",
            replace: "if self.used.insert(knock.nonce) || true {",
        }],
        tests: &[
            "transport::handshake::a_knock_is_accepted_once",
            "transport::strangers::a_flood_of_one_knock_that_was_used_is_harmless",
        ],
    },
    Mutation {
        promise: 2,
        name: "nonce-window",
        what: "the nonces of used knocks are kept without limit",
        edits: &[Edit {
            file: "bridge-host/src/net/knocks.rs",
            find: "if self.order.len() == REMEMBERED\n",
            replace: "if self.order.len() == usize::MAX\n",
        }],
        tests: &["bridge-host: net::knocks::tests::a_nonce_is_new_once_among_the_last_65536"],
    },
    Mutation {
        promise: 8,
        name: "silent-peers",
        what: "any number of silent peers is kept",
        edits: &[Edit {
            file: "bridge-host/src/net/silent_peers.rs",
            find: "let oldest = if self.peers.len() >= self.limit {",
            replace: "let oldest = if self.peers.len() >= usize::MAX - self.limit {",
        }],
        tests: &["transport::strangers::of_too_many_silent_connections_the_oldest_yields"],
    },
    Mutation {
        promise: 8,
        name: "silent-time",
        what: "a silent peer has no time limit",
        edits: &[Edit {
            file: "bridge-host/src/net/silent_peers.rs",
            find: "< HELLO_TIMEOUT {",
            replace: "< 1000 * HELLO_TIMEOUT {",
        }],
        tests: &["transport::handshake::a_broken_handshake_is_counted_and_a_stalled_one_is_ended"],
    },
    Mutation {
        promise: 8,
        name: "late-hello",
        what: "a peer that yields loses a hello that has arrived",
        edits: &[Edit {
            file: "bridge-host/src/net/silent_peers.rs",
            find: "let outcome = self.read().and_then(|hello| hello.ok_or(cause));",
            replace: "let outcome = self.read().and(Err(cause));",
        }],
        tests: &["bridge-host: net::silent_peers::tests::what_has_arrived_counts_when_a_peer_yields"],
    },
    Mutation {
        promise: 8,
        name: "handshakes",
        what: "any number of handshakes runs",
        edits: &[Edit {
            file: "bridge-host/src/net/handshakes.rs",
            find: "if table.running.len() >= self.max_running {",
            replace: "if table.running.len() >= usize::MAX - self.max_running {",
        }],
        tests: &[
            "bridge-host: net::handshakes::tests::those_in_line_start_in_their_order_as_places_become_free",
        ],
    },
    Mutation {
        promise: 8,
        name: "handshake-line",
        what: "any number of peers waits for its handshake",
        edits: &[Edit {
            file: "bridge-host/src/net/handshakes/line.rs",
            find: "let is_full = self.length >= limit;",
            replace: "let is_full = self.length >= usize::MAX - limit;",
        }],
        tests: &[
            "bridge-host: net::handshakes::tests::those_in_line_start_in_their_order_as_places_become_free",
        ],
    },
    Mutation {
        promise: 8,
        name: "handshake-yields",
        what: "a handshake without an answer keeps its place",
        edits: &[Edit {
            file: "bridge-host/src/net/handshakes.rs",
            find: "let limit = self.patience.limit(now)?;",
            replace: "let limit = self.patience.limit(now)? * 1000;",
        }],
        tests: &[
            "bridge-host: net::handshakes::tests::only_a_handshake_that_is_1_s_old_yields",
            "transport::strangers::handshakes_without_answer_keep_no_client_out",
        ],
    },
    Mutation {
        promise: 8,
        name: "handshake-patience",
        what: "handshakes yield at once, whether clients prove themselves or not",
        edits: &[Edit {
            file: "bridge-host/src/net/handshakes/patience.rs",
            find: "        self.while_few_succeed().or((!is_moving).then_some(YIELDS_AFTER))",
            replace: "        (is_moving || !is_moving).then_some(Duration::ZERO)",
        }],
        tests: &[
            "transport::strangers::clients_at_the_same_instant_do_not_evict_each_other",
            "bridge-host: net::handshakes::patience::tests::while_clients_prove_themselves_none_yields",
        ],
    },
    Mutation {
        promise: 8,
        name: "handshake-time",
        what: "a place is kept for 1 s although nearly no peer is a client",
        edits: &[Edit {
            file: "bridge-host/src/net/handshakes/patience.rs",
            find: "|_| self.share < FEW)",
            replace: "|_| self.share < FEW - FEW)",
        }],
        tests: &[
            "bridge-host: net::handshakes::patience::tests::where_few_succeed_a_place_is_kept_for_twice_as_long_as_clients_need",
        ],
    },
    Mutation {
        promise: 8,
        name: "line-turns",
        what: "many clients at one address keep others waiting",
        edits: &[
            Edit {
                file: "bridge-host/src/net/handshakes/line.rs",
                find: "            self.turns.push_back(source);\n        }\n        Some(knocked)",
                replace: "            self.turns.push_front(source);\n        }\n        Some(knocked)",
            },
            Edit {
                file: "bridge-host/src/net/handshakes.rs",
                find: "if places > most.0 {",
                replace: "if most.1.is_none() {",
            },
        ],
        tests: &[
            "bridge-host: net::handshakes::tests::sources_take_turns_in_line",
            "bridge-host: net::handshakes::tests::the_source_with_the_most_places_yields",
        ],
    },
    Mutation {
        promise: 8,
        name: "ended-tasks",
        what: "tasks that have ended are kept",
        edits: &[Edit {
            file: "bridge-host/src/net/tasks.rs",
            find: "while self.0.try_join_next().is_some() {}",
            replace: "let _ = &mut self.0;",
        }],
        tests: &["bridge-host: net::tasks::tests::a_loop_that_only_accepts_keeps_no_ended_task"],
    },
    Mutation {
        promise: 8,
        name: "allow-from",
        what: "every address may connect",
        edits: &[Edit {
            file: "bridge-host/src/net/accept_loop.rs",
            find: "if !self.allow_from.admits(peer.ip(), &self.own_addresses) {",
            replace: "if false && !self.allow_from.admits(peer.ip(), &self.own_addresses) {",
        }],
        tests: &["transport::handshake::peers_outside_of_allow_from_get_no_byte_of_tls"],
    },
    Mutation {
        promise: 8,
        name: "session-memory",
        what: "a session may take the whole pool",
        edits: &[Edit {
            file: "bridge-host/src/memory.rs",
            find: "room: Semaphore::new(MAX_SESSION),",
            replace: "room: Semaphore::new(1 << 40),",
        }],
        tests: &["bridge-host: memory::tests::all_bytes_come_back"],
    },
    Mutation {
        promise: 8,
        name: "memory-pool",
        what: "sessions may take any amount of memory together",
        edits: &[Edit {
            file: "bridge-host/src/memory.rs",
            find: "free: Semaphore::new(free.min(Semaphore::MAX_PERMITS)),",
            replace: "free: Semaphore::new((free + (1 << 40)).min(Semaphore::MAX_PERMITS)),",
        }],
        tests: &[
            "bridge-host: memory::tests::a_sure_share_stays_when_the_pool_is_used_up",
            "transport::memory::unfinished_frames_take_no_more_than_the_budget",
        ],
    },
    Mutation {
        promise: 8,
        name: "stalled-sessions",
        what: "a session without progress keeps its memory",
        edits: &[Edit {
            file: "bridge-host/src/memory.rs",
            find: "if ledger.reserved - ledger.kept > ledger.sure || self.pool",
            replace: "if ledger.reserved - ledger.kept > usize::MAX - self.sure || 1 > 1 && self.pool",
        }],
        tests: &["transport::memory::a_session_that_holds_memory_without_progress_is_ended"],
    },
    Mutation {
        promise: 8,
        name: "kept-binds",
        what: "the binds that a channel keeps are not counted",
        edits: &[Edit {
            file: "bridge-host/src/agent/connection.rs",
            find: "self.binds.iter().map(|bind| 2 * bind.len() + BIND_OVERHEAD).sum()",
            replace: "self.binds.iter().map(|bind| 0 * bind.len() * BIND_OVERHEAD).sum()",
        }],
        tests: &["transport::memory::binds_take_no_more_than_the_budget"],
    },
    Mutation {
        promise: 8,
        name: "session-places",
        what: "any number of sessions has a place",
        edits: &[Edit {
            file: "bridge-host/src/session/registry.rs",
            find: "(table.placed < self.places).then_some(Stage::Placed)",
            replace: "(table.placed < usize::MAX - self.places).then_some(Stage::Placed)",
        }],
        tests: &["transport::concurrency::a_session_over_the_limit_waits_for_its_turn"],
    },
    Mutation {
        promise: 8,
        name: "session-line",
        what: "any number of clients waits in line",
        edits: &[Edit {
            file: "bridge-host/src/session/line.rs",
            find: "self.waiters.len() >= self.capacity {",
            replace: "self.waiters.len() >= usize::MAX - self.capacity {",
        }],
        tests: &["transport::concurrency::a_full_line_refuses_and_kill_needs_no_place"],
    },
    Mutation {
        promise: 8,
        name: "redials-first",
        what: "a redial waits behind newcomers",
        edits: &[Edit {
            file: "bridge-host/src/session/line.rs",
            find: "Position { kind, number",
            replace: "Position { kind: Kind::Newcomer.max(kind), number",
        }],
        tests: &["transport::concurrency::redials_come_first_in_line"],
    },
    Mutation {
        promise: 8,
        name: "nested-sessions",
        what: "a nested session needs a place of its own",
        edits: &[Edit {
            file: "bridge-host/src/session/registry.rs",
            find: "&& table.nested < self.nested {",
            replace: "&& table.nested < self.nested.min(0) {",
        }],
        tests: &[
            "transport::concurrency::a_nested_session_needs_no_place",
            "transport::concurrency::exec_within_exec_finishes_with_one_place",
        ],
    },
    Mutation {
        promise: 8,
        name: "sent-in-line",
        what: "what a client in line has sent is lost",
        edits: &[Edit {
            file: "bridge-host/src/net/connection.rs",
            find: "wanted.sent = sent;",
            replace: "drop(sent);",
        }],
        tests: &["transport::concurrency::what_a_client_in_line_sends_is_answered_later"],
    },
    Mutation {
        promise: 8,
        name: "line-counts",
        what: "clients in line do not count for `--max-sessions`",
        edits: &[Edit {
            file: "bridge-host/src/session/registry.rs",
            find: "self.limit.is_some_and(|limit| table.counted >= u64::from(limit))",
            replace: "self.limit.is_some_and(|limit| table.begun >= u64::from(limit))",
        }],
        tests: &["transport::concurrency::clients_in_line_count_for_max_sessions"],
    },
    Mutation {
        promise: 8,
        name: "silent-clients",
        what: "a client that is silent after its handshake yields to no other",
        edits: &[Edit {
            file: "bridge-host/src/net/slots.rs",
            find: "if taken.len() >= self.capacity",
            replace: "if taken.len() >= usize::MAX - self.capacity",
        }],
        tests: &[
            "bridge-host: net::slots::tests::the_oldest_connection_yields",
            "transport::concurrency::of_too_many_silent_clients_the_oldest_yields",
        ],
    },
    Mutation {
        promise: 8,
        name: "requests",
        what: "a connection may make any number of requests",
        edits: &[
            Edit {
                file: "bridge-host/src/session/reader.rs",
                find: "if u64::from(first) + keys.len() as u64 > MAX_REQUESTS.into() =>",
                replace: "if u64::from(first) + keys.len() as u64 > u64::from(MAX_REQUESTS) << 8 =>",
            },
            Edit {
                file: "proto/src/message/field.rs",
                find: "(MAX_REQUESTS - 1).into()",
                replace: "(MAX_REQUESTS << 8).into()",
            },
        ],
        tests: &["transport::limits::a_connection_makes_16384_requests_and_no_more"],
    },
    Mutation {
        promise: 8,
        name: "channels",
        what: "a session may open any number of channels",
        edits: &[Edit {
            file: "bridge-host/src/agent/channels.rs",
            find: "if self.open.len() == MAX_CHANNELS {",
            replace: "if self.open.len() == 1000 * MAX_CHANNELS {",
        }],
        tests: &["agent::channels::a_violation_of_the_channel_rules_closes_the_connection"],
    },
    Mutation {
        promise: 8,
        name: "agent-connections",
        what: "an agent gets any number of connections",
        edits: &[Edit {
            file: "bridge-host/src/agent/upstream_pool.rs",
            find: "in_use: Semaphore::new(MAX_CONNECTIONS),",
            replace: "in_use: Semaphore::new(100 * MAX_CONNECTIONS),",
        }],
        tests: &["agent::upstream_connections::many_builds_use_32_connections_to_an_agent"],
    },
    Mutation {
        promise: 8,
        name: "agent-turns",
        what: "one session may use all connections to an agent",
        edits: &[Edit {
            file: "bridge-host/src/agent/upstream_pool.rs",
            find: "Self(Semaphore::new(MAX_IN_USE_BY_ONE))",
            replace: "Self(Semaphore::new(MAX_IN_USE_BY_ONE * 2))",
        }],
        tests: &["agent::upstream_connections::one_build_cannot_take_all_connections"],
    },
    Mutation {
        promise: 8,
        name: "audit-budget",
        what: "what clients cause in the audit has no budget of bytes",
        edits: &[Edit {
            file: "bridge-host/src/audit/budget.rs",
            find: "match self.left.checked_sub(bytes as u64) {",
            replace: "match self.left.checked_sub(0 * bytes as u64) {",
        }],
        tests: &["commands::log::a_flood_of_refusals_fills_neither_audit_nor_log"],
    },
];
