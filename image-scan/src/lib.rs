//! Searches container images for secrets. Reads what `docker save` and OCI tools write, once, from start to end, and
//! searches every byte of it: files of all layers, their names and attributes, configs with their history, manifests.
//!
//! The flow, in the order of the files: `archive` reads the blobs from a stream, a file or a directory (`engine` has an
//! engine write one), `blob` decides what each one is, `compression` unpacks it in a thread of its own, `layer` and
//! `tar_entries` read its tar, `packed` what is compressed in its files, `document` its JSON. The `collector` keeps the
//! matches; at the end `manifest` determines which layer a blob is, and the `report` has all of it, redacted. What was not
//! read as what it is ends in an error: `unread` has the reasons. The `budget` bounds the work by the archive's size.
//!
//! The caller provides the search: [`Finder`]. Nothing is written to a disk.

mod archive;
mod blob;
mod budget;
mod collector;
mod compression;
mod digest;
mod document;
mod engine;
mod error;
mod large_memory;
mod layer;
mod limits;
mod manifest;
mod packed;
mod redact;
mod report;
mod search;
mod tar_entries;
mod unread;

pub use archive::{scan_path, scan_stream};
pub use engine::{Engine, program_name};
pub use error::ScanError;
pub use report::{Finding, Layer, NotUnpacked, Outcome, Report, Where};
pub use search::{Finder, Match, Progress, Search};
