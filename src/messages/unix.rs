//! Messages go to stderr; the background half of `serve -d` is started with its log as stderr.

pub(super) use std::io::stderr as output;
