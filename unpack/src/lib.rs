//! Shows a search what is compressed inside a file.
//!
//! A secret in a wheel, a jar, a `.tgz`, a git object or a pack of them is not in the bytes of the file, so a search of
//! these bytes misses it. [`search`] reads a file once, from start to end, and calls a [`Sink`] with its bytes and with
//! every stream that it can unpack from them, also those inside each other.
//!
//! ```text
//! input    the bytes of one stream, fed to the sink as they are read
//!  -> content   recognises what is compressed in it, by content and never by name
//!      -> gzip, zip, git_pack, tar    the headers of these formats
//!      -> inflate                     unpacks a stream, which is the input of the next depth
//! ```
//!
//! gzip members and zip entries are recognised anywhere, so that a self-extracting archive, a jar that another jar
//! stores, and the members of a tar archive need no format of their own. Zip archives are read by their local headers: the
//! central directory is at the end, and a layer of an image is read forwards only (which is why this is not the crate
//! `zip`: without seeking it can neither skip what it does not know nor read entries whose size follows them). zlib
//! streams and git packs have no magic number that is rare enough, so they are recognised at the start of a file only,
//! including files in tar and zip archives.
//!
//! All of it is bounded: see [`Budget`] and [`Skipped`].

#![forbid(unsafe_code)]

mod content;
mod git_pack;
mod gzip;
mod inflate;
mod inflater;
mod input;
mod limits;
mod sink;
mod tar;
mod zip;

pub use content::search;
pub use limits::Budget;
pub use sink::{Sink, Skipped};
