//! Promises 2, 3, 4 and 10, in what both sides share. Each rebuilds everything.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 2,
        name: "any-client-key",
        what: "the bridge accepts every client certificate",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "        known\n            .then(ClientCertVerified::assertion)",
            replace: "        (known || true)\n            .then(ClientCertVerified::assertion)",
        }],
        tests: &["transport::handshake::another_client_key_gets_the_alert_access_denied"],
    },
    Mutation {
        promise: 2,
        name: "client-key-unproven",
        what: "a client need not have the private key",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "verify_tls13_signature(message, certificate, signature, &self.algorithms)",
            replace: "verify_tls13_signature(message, certificate, signature, &self.algorithms)\n            .or(Ok(HandshakeSignatureValid::assertion()))",
        }],
        tests: &["transport::handshake::a_public_key_without_its_private_key_is_refused"],
    },
    Mutation {
        promise: 3,
        name: "pin",
        what: "a client accepts any CA",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "if verify_slices_are_equal(&pin_of(&spki).0, &self.pin.0).is_ok() {",
            replace: "if verify_slices_are_equal(&pin_of(&spki).0, &self.pin.0).is_ok() || true {",
        }],
        tests: &["transport::impostor::an_impostor_with_a_ca_of_its_own_learns_nothing"],
    },
    Mutation {
        promise: 3,
        name: "leaf-signature",
        what: "a client accepts a leaf that its pinned CA has not signed",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "            self.algorithms.all,\n        )?;",
            replace: "            self.algorithms.all,\n        )\n        .ok();",
        }],
        tests: &["transport::impostor::an_impostor_with_the_true_ca_and_another_leaf_learns_nothing"],
    },
    Mutation {
        promise: 3,
        name: "bridge-key-unproven",
        what: "a bridge need not have the private key of its leaf",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "verify_tls13_signature(message, leaf, signature, &self.algorithms)",
            replace: "verify_tls13_signature(message, leaf, signature, &self.algorithms)\n            .or(Ok(HandshakeSignatureValid::assertion()))",
        }],
        tests: &["transport::impostor::an_impostor_with_the_chain_without_its_key_learns_nothing"],
    },
    Mutation {
        promise: 4,
        name: "x25519",
        what: "both sides use X25519 alone",
        edits: &[Edit {
            file: "proto/src/tls.rs",
            find: "KeyExchange::Hybrid => vec![kx_group::X25519MLKEM768],",
            replace: "KeyExchange::Hybrid => vec![kx_group::X25519MLKEM768, kx_group::X25519],",
        }],
        tests: &[
            "transport::handshake::x25519_alone_is_refused_unless_tls_compat_permits_it",
            "transport::impostor::a_client_hello_offers_only_tls_1_3_and_ml_kem_and_no_name",
        ],
    },
    Mutation {
        promise: 10,
        name: "bidirectional-controls",
        what: "only control characters are escaped",
        edits: &[Edit {
            file: "proto/src/escape.rs",
            find: "} else if is_in(table::ESCAPED, c) {",
            replace: "} else if is_in(table::ESCAPED, c) && c.is_control() {",
        }],
        tests: &[
            "commands::escaping::python_agrees_on_what_is_not_drawn",
            "commands::escaping::names_of_files_commands_and_variables_are_escaped",
        ],
    },
    Mutation {
        promise: 10,
        name: "long-strings",
        what: "long strings are not cut",
        edits: &[Edit {
            file: "proto/src/escape.rs",
            find: "        if count == limit {",
            replace: "        if count == limit.saturating_mul(1 << 20) {",
        }],
        tests: &[
            "commands::escaping::stderr_of_a_source_is_escaped_and_cut_on_both_sides",
            "transport::hostile_bridge::the_detail_of_a_refusal_is_escaped_and_cut",
        ],
    },
    Mutation {
        promise: 10,
        name: "combining-marks",
        what: "any number of combining marks is shown",
        edits: &[Edit {
            file: "proto/src/escape.rs",
            find: "room_for_marks.saturating_sub(1)",
            replace: "room_for_marks.saturating_sub(0)",
        }],
        tests: &["proto: escape::tests::marks_are_bounded_and_need_a_character_before_them"],
    },
];
