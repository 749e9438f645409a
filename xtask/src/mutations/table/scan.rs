//! Defences of `scan`.

use super::{Edit, Mutation};

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        promise: 13,
        name: "scan-digest",
        what: "the digest in a blob's name is not compared",
        edits: &[Edit {
            file: "image-scan/src/blob.rs",
            find: "            true => content,\n            false => Content::Unread(Unread::Digest),",
            replace: "            true | false => content,",
        }],
        tests: &["leaks::scan_unread::a_blob_with_another_digest_is_never_clean"],
    },
    Mutation {
        promise: 13,
        name: "scan-foreign-layer",
        what: "a foreign layer that is not in the archive counts as searched",
        edits: &[Edit {
            file: "image-scan/src/manifest.rs",
            find: "(None, Kind::Foreign) => Unread::Foreign,",
            replace: "(None, Kind::Foreign) => return None,",
        }],
        tests: &["leaks::scan_unread::what_a_manifest_names_must_be_in_the_archive"],
    },
    Mutation {
        promise: 13,
        name: "scan-no-tar",
        what: "a layer that is not a tar archive counts as searched",
        edits: &[Edit {
            file: "image-scan/src/manifest.rs",
            find: "(Some(Content::Bytes { format, .. }), _) => Unread::NotTar(*format),",
            replace: "(Some(Content::Bytes { .. }), _) => return None,",
        }],
        tests: &["leaks::scan_unread::a_layer_that_is_no_tar_archive_is_never_clean"],
    },
    Mutation {
        promise: 13,
        name: "scan-skippable-frames",
        what: "zstd that begins with a skippable frame is not recognised",
        edits: &[Edit {
            file: "image-scan/src/compression.rs",
            find: "head.starts_with(&zstd::MAGIC) || zstd::is_skippable(head)",
            replace: "head.starts_with(&zstd::MAGIC)",
        }],
        tests: &["leaks::scan_unread::bytes_beside_a_compressed_layer_are_searched"],
    },
    Mutation {
        promise: 13,
        name: "scan-members-twice",
        what: "a manifest may have a member twice",
        edits: &[Edit {
            file: "image-scan/src/document.rs",
            find: "shape.has_member_twice |= std::mem::replace(seen, true);",
            replace: "*seen = true;",
        }],
        tests: &["leaks::scan_unread::a_manifest_that_can_be_read_in_two_ways_is_never_clean"],
    },
    Mutation {
        promise: 13,
        name: "scan-budget",
        what: "an archive may cause any work",
        edits: &[Edit {
            file: "image-scan/src/budget.rs",
            find: "self.spent.load(Ordering::Relaxed) > allowed.saturating_add(WORK_OF_ANY_ARCHIVE)",
            replace: "allowed == u64::MAX",
        }],
        tests: &[
            "image-scan: compression::tests::a_decompression_bomb_is_an_error",
            "image-scan: compression::tests::streams_that_unpack_to_nothing_use_up_the_budget",
        ],
    },
];
