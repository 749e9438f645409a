//! Are secrets in a container image? Reads what `docker save` and OCI tools write, once, front to back, and has
//! every byte of it searched: files of all layers, their names and attributes, configs with their history, manifests.
//!
//! The flow, in the order of the files: `archive` walks what holds the blobs (a stream, a file, a directory; `engine`
//! has an engine write one), `blob` tells what each one is, `compression` unpacks it in a thread of its own, `layer`
//! and `tar_entries` take its tar apart, `document` its JSON. What was found goes into the `collector`; at the end
//! `manifest` tells which layer a blob was, and the `report` has it all, fit to be shown.
//!
//! What searches is the caller's: [`Finder`]. Nothing is ever written to a disk.

pub mod engine;
pub mod error;
pub mod limits;
pub mod report;
pub mod search;

mod archive;
mod blob;
mod collector;
mod compression;
mod document;
mod layer;
mod manifest;
mod tar_entries;

pub use archive::{scan_path, scan_stream};
pub use engine::Saving;
pub use error::ScanError;
pub use report::{Finding, Layer, Outcome, Report, Where};
pub use search::{Finder, Found, Progress, Search};
