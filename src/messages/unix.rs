//! Messages go to stderr, whatever that is: a bridge in the background gets its log as such.

pub(super) use std::io::stderr as output;
