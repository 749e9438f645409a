//! What is compressed inside a file.

use std::io::{BufReader, Write as _};

use ::unpack::{Budget, Sink, Skipped, search};

/// Keeps all streams, and holds the sink's rules.
#[derive(Default)]
struct Streams {
    open: Vec<(String, Vec<u8>)>,
    ended: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Sink for Streams {
    fn feed(&mut self, depth: usize, chunk: &[u8]) {
        assert!(!chunk.is_empty() && depth < self.open.len() && depth <= 6);
        self.bytes += chunk.len();
        self.open[depth].1.extend_from_slice(chunk);
    }

    fn enter(&mut self, what: &str) {
        self.open.push((what.to_owned(), Vec::new()));
    }

    fn leave(&mut self) {
        assert!(self.open.len() > 1);
        self.ended.extend(self.open.pop());
    }

    fn is_stopped(&self) -> bool {
        // Inputs of the fuzzer are small; its time is not spent on bombs.
        self.bytes > 16 << 20
    }
}

fn read(data: &[u8], buffer: usize) -> (Streams, Skipped) {
    let mut streams = Streams { open: vec![Default::default()], ..Streams::default() };
    let mut input = BufReader::with_capacity(buffer, data);
    let skipped = search(&mut input, &mut streams, &Budget::default()).unwrap();
    assert_eq!(streams.open.len(), 1);
    (streams, skipped)
}

/// Every byte of the file is fed once, whatever is recognised in it, and the size of the buffer makes no difference.
pub fn unpack(data: &[u8]) {
    let (whole, skipped) = read(data, data.len().max(1));
    if whole.is_stopped() {
        return;
    }
    let (parts, skipped_in_parts) = read(data, 7);
    assert!(whole.open[0].1 == data && parts.open[0].1 == data);
    assert!(whole.ended == parts.ended && skipped == skipped_in_parts);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = b"kT7xQ2mN9vB4cZ1p and more, and more, and more";
    let level = flate2::Compression::fast();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(text).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(text).unwrap();
    let zlib = zlib.finish().unwrap();
    let deflated = &gzip[10..gzip.len() - 8];
    let entry = |method: u8, flags: u8, size: u8, content: &[u8]| {
        let header =
            [b"PK\x03\x04\x14\0".as_slice(), &[flags, 0, method, 0], &[0; 8], &[size, 0, 0, 0], &[0; 4]];
        [&header.concat(), &b"\x01\0\x02\0nxx"[..], content, b"PK\x07\x08............"].concat()
    };
    let mut tar = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_size(zlib.len() as u64);
    tar.append_data(&mut header, "object", &zlib[..]).unwrap();
    let delta = &b"\x20\x20\x93\x01\x02\x04\x05kT7xQ"[..];
    let pack = |kind: u8, base: &[u8], packed: &[u8]| {
        [b"PACK\0\0\0\x02\0\0\0\x01", &[0x80 | kind << 4, 1][..], base, packed, &[7; 20]].concat()
    };
    let mut packed_delta = flate2::write::ZlibEncoder::new(Vec::new(), level);
    packed_delta.write_all(delta).unwrap();
    let packed_delta = packed_delta.finish().unwrap();
    let zip = [entry(8, 8, 0, deflated), entry(0, 0, 40, &zlib), entry(8, 1, 9, b"encrypted")].concat();
    vec![
        [b"#!/bin/sh\n", &gzip[..], &gzip].concat(),
        entry(0, 0, 99, &entry(8, 8, 0, deflated)),
        tar.into_inner().unwrap(),
        pack(3, b"", &zlib),
        pack(6, &[0x81, 2], &packed_delta),
        pack(7, &[9; 20], &packed_delta),
        b"\xfd7zXZ\0".to_vec(),
        zip,
        zlib,
        gzip,
    ]
}
