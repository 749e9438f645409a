use std::io::{BufReader, Read, Write as _};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::limits::Allowance;

const SECRET: &[u8] = b"kT7xQ2mN9vB4cZ1p";

/// Keeps all streams with how they are packed.
#[derive(Default)]
struct Streams {
    open: Vec<(String, Vec<u8>)>,
    ended: Vec<(String, Vec<u8>)>,
    deepest: usize,
}

impl Sink for Streams {
    fn feed(&mut self, depth: usize, chunk: &[u8]) {
        assert!(!chunk.is_empty());
        self.open[depth].1.extend_from_slice(chunk);
    }

    fn enter(&mut self, what: &str) {
        self.open.push((what.to_owned(), Vec::new()));
        self.deepest = self.deepest.max(self.open.len());
    }

    fn leave(&mut self) {
        let (what, bytes) = self.open.pop().unwrap();
        let around: Vec<&str> = self.open.iter().skip(1).map(|(what, _)| what.as_str()).collect();
        self.ended.push(([&around[..], &[&what]].concat().join(" > "), bytes));
    }
}

fn read(input: impl Read, buffer: usize) -> (Streams, Skipped) {
    let mut streams = Streams { open: vec![Default::default()], ..Streams::default() };
    let mut input = BufReader::with_capacity(buffer, input);
    let skipped = search(&mut input, &mut streams, &Budget::default()).unwrap();
    assert_eq!(streams.open.len(), 1);
    (streams, skipped)
}

/// How the streams of `file` that hold the secret are packed. The file itself must not hold it.
fn found(file: &[u8]) -> Vec<String> {
    let (streams, _) = read(file, 4 << 10);
    assert!(streams.open[0].1 == file, "not every byte was fed once");
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(!holds(file));
    streams.ended.into_iter().filter(|(_, bytes)| holds(bytes)).map(|(what, _)| what).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip entry. Without sizes, as when it is written to a pipe, they follow the content.
fn entry(name: &str, method: u16, flags: u16, content: &[u8]) -> Vec<u8> {
    let size = if flags & 8 == 0 { u32::try_from(content.len()).unwrap() } else { 0 };
    let mut entry = b"PK\x03\x04\x14\0".to_vec();
    entry.extend(flags.to_le_bytes());
    entry.extend(method.to_le_bytes());
    entry.extend([0; 8]);
    entry.extend(size.to_le_bytes());
    entry.extend(size.to_le_bytes());
    entry.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    entry.extend([0; 2]);
    entry.extend(name.as_bytes());
    entry.extend(content);
    if flags & 8 != 0 {
        entry.extend(b"PK\x07\x08............");
    }
    entry
}

fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    let padding = content.len().next_multiple_of(512) - content.len();
    [&header, content, &vec![0; padding]].concat()
}

/// Text that is compressed, with the secret in it.
fn text() -> Vec<u8> {
    let lines = (0..2000).map(|line| format!("line {line}\n")).collect::<String>();
    [lines.as_bytes(), SECRET, lines.as_bytes()].concat()
}

/// The type of an object, the reference to its base, and its content.
type Object<'a> = (u8, &'a [u8], &'a [u8]);

fn pack(objects: &[Object<'_>]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(objects.len()).unwrap().to_be_bytes());
    for (kind, base, content) in objects {
        // The length is not read.
        pack.extend([0x80 | kind << 4, 0x81, 0]);
        pack.extend(*base);
        pack.extend(zlib(content));
    }
    pack.extend([7; 20]);
    pack
}

#[test]
fn gzip_is_found_at_the_start_and_inside_of_other_bytes() {
    assert_eq!(found(&gzip(&text())), ["gzip"]);
    let mut script = b"#!/bin/sh\n# \x1f\x8b\x08 is no header here\nexit\n".to_vec();
    script.extend(gzip(&text()));
    script.extend(b"the end");
    assert_eq!(found(&script), ["gzip"]);
}

#[test]
fn members_of_gzip_are_one_stream() {
    let (begin, rest) = SECRET.split_at(7);
    assert_eq!(found(&[gzip(begin), gzip(b""), gzip(rest)].concat()), ["gzip"]);
}

#[test]
fn header_fields_of_gzip_are_skipped() {
    let plain = gzip(&text());
    let all = [&plain[..3], &[2 | 4 | 8 | 16], &plain[4..10], b"\x03\0abcname\0comment\0cc", &plain[10..]];
    assert_eq!(found(&all.concat()), ["gzip"]);
}

#[test]
fn a_zlib_stream_is_found_at_the_start_of_a_file() {
    assert_eq!(found(&zlib(&text())), ["zlib"]);
    let archive = [tar("one", b"x"), tar("two", &zlib(&text())), tar("three", b"y")].concat();
    assert_eq!(found(&archive), ["zlib"]);
    assert_eq!(found(&gzip(&archive)), ["gzip > zlib"]);
    assert_eq!(found(&entry("objects/ab", 0, 0, &zlib(&text()))), ["zip entry objects/ab, zlib"]);
}

#[test]
fn zip_entries_are_found_with_and_without_sizes() {
    for flags in [0, 8] {
        let archive = [
            entry("dir/", 0, 0, b""),
            entry("a", 8, flags, &deflate(b"nothing")),
            entry("b", 0, 0, b"stored"),
            entry("c", 8, flags, &deflate(&text())),
        ];
        assert_eq!(found(&archive.concat()), ["zip entry c"], "{flags}");
        assert_eq!(found(&[b"#!/usr/bin/env python3\n", &archive.concat()[..]].concat()), ["zip entry c"]);
    }
}

#[test]
fn archives_inside_of_archives_are_found() {
    let jar = entry("a.properties", 8, 8, &deflate(&text()));
    assert_eq!(found(&entry("lib/a.jar", 0, 0, &jar)), ["zip entry a.properties"]);
    let war = entry("lib/a.jar", 8, 8, &deflate(&jar));
    assert_eq!(found(&war), ["zip entry lib/a.jar > zip entry a.properties"]);
    let archive = gzip(&tar("app.war", &war));
    assert_eq!(found(&archive), ["gzip > zip entry lib/a.jar > zip entry a.properties"]);
    assert_eq!(found(&entry("b.tgz", 0, 0, &gzip(&tar("x", &text())))), ["zip entry b.tgz, gzip"]);
}

#[test]
fn objects_of_a_git_pack_are_found() {
    let delta = [&[0x90, 0x4e, 0x90, 0x4e, 0xb3, 1, 2, 3, 4, 5, 9][..], &[0; 0], SECRET, b"\x01x"].concat();
    // A copy of five argument bytes, then ten new ones, then six: the secret, in two pieces.
    let delta =
        [&delta[..4], &[0xb7, 1, 2, 3, 4, 5, 10], &SECRET[..10], &[6], &SECRET[10..], &[1, b'x']].concat();
    let cases: [&[Object<'_>]; 4] = [
        &[(1, b"", b"commit"), (3, b"", &text())],
        &[(3, b"", b"blob"), (6, &[0x81, 0x02], &delta)],
        &[(3, b"", b"blob"), (7, &[9; 20], &delta)],
        &[(3, b"", b"blob"), (7, &[9; 32], &delta)],
    ];
    for objects in cases {
        assert_eq!(found(&pack(objects)), ["git pack"]);
    }
    assert_eq!(found(&pack(&[(3, b"", &gzip(&text())), (1, b"", b"commit")])), ["git pack > gzip"]);
}

#[test]
fn what_cannot_be_unpacked_is_counted() {
    let skipped = |file: &[u8]| read(file, 4 << 10).1;
    let mut broken = gzip(&text());
    broken[200..220].fill(0xff);
    assert_eq!(skipped(&broken), Skipped { corrupt: 1, ..Skipped::default() });
    let mut broken = deflate(&text());
    broken[200..220].fill(0xff);
    assert_eq!(skipped(&entry("a", 8, 0, &broken)), Skipped { corrupt: 1, ..Skipped::default() });
    let encrypted = [entry("a", 8, 1, &[7; 99]), entry("b", 99, 1, &[7; 99])].concat();
    assert_eq!(skipped(&encrypted), Skipped { encrypted: 2, ..Skipped::default() });
    for file in [&b"\xfd7zXZ\0 ..."[..], b"\x28\xb5\x2f\xfd...", b"BZh91AY&SY...", b"7z\xbc\xaf\x27\x1c..."] {
        assert_eq!(skipped(file), Skipped { unsupported: 1, ..Skipped::default() });
    }
    assert_eq!(skipped(&entry("a", 93, 0, b"...")), Skipped { unsupported: 1, ..Skipped::default() });
    // Everything in them was unpacked, or they are nothing that is packed.
    let cut = gzip(&text());
    for file in [&cut[..cut.len() / 2], b"x^2 + y^2", b"PK\x03\x04", b"\x1f\x8b\x08 and so on", b""] {
        assert_eq!(skipped(file), Skipped::default(), "{file:?}");
    }
}

#[test]
fn an_error_of_the_file_is_returned_with_what_was_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let packed = gzip(&text());
    for at in [0, 5, packed.len() / 2, packed.len()] {
        let mut streams = Streams { open: vec![Default::default()], ..Streams::default() };
        let mut input = BufReader::new(packed[..at].chain(Broken));
        assert!(search(&mut input, &mut streams, &Budget::default()).is_err());
        assert_eq!((streams.open.len(), &streams.open[0].1[..]), (1, &packed[..at]));
    }
}

/// Zeros that were packed `depth` times: each time a thousandth remains.
fn bomb(length: u64, depth: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut io::repeat(0).take(length), &mut encoder).unwrap();
    let packed = encoder.finish().unwrap();
    (1..depth).fold(packed, |packed, _| gzip(&packed))
}

/// Counts bytes.
#[derive(Default)]
struct Counted {
    depth: usize,
    deepest: usize,
    entered: u64,
    bytes: u64,
}

impl Sink for Counted {
    fn feed(&mut self, _: usize, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
    }

    fn enter(&mut self, _: &str) {
        self.depth += 1;
        self.entered += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}

fn counted(mut file: &[u8], budget: &Budget) -> (Counted, bool) {
    let mut sink = Counted::default();
    let skipped = search(&mut file, &mut sink, budget).unwrap();
    (sink, skipped.limited)
}

fn small_budget() -> Budget {
    let of_file = Allowance { base: 1 << 20, per_byte: 128, most: u64::MAX };
    Budget::new(of_file, Allowance { base: 3 << 20, per_byte: 64, most: u64::MAX })
}

#[test]
fn a_bomb_is_unpacked_up_to_a_limit() {
    let (sink, limited) = counted(&bomb(100 << 20, 2), &small_budget());
    assert!(limited);
    assert!((1 << 20..2 << 20).contains(&sink.bytes), "{}", sink.bytes);
    let (sink, limited) = counted(&bomb(1 << 20, 1), &small_budget());
    assert!(!limited && sink.bytes > 1 << 20);
    // Ordinary text, of which even more is packed.
    let log: String = (0..300_000).map(|number| format!("{number}: request\n")).collect();
    let (sink, limited) = counted(&gzip(log.as_bytes()), &small_budget());
    assert!(!limited && sink.bytes > 4 << 20, "{}", sink.bytes);
}

#[test]
fn many_bombs_share_a_limit() {
    let (budget, bomb) = (small_budget(), bomb(1 << 20, 1));
    let ended: Vec<bool> = (0..5).map(|_| counted(&bomb, &budget).1).collect();
    assert_eq!(ended, [false, false, false, true, true]);
}

#[test]
fn streams_are_unpacked_to_a_limited_depth() {
    let nested = |depth| (0..depth).fold(b"innermost".to_vec(), |inner, _| gzip(&inner));
    let (sink, limited) = counted(&nested(6), &Budget::default());
    assert!(sink.deepest == 6 && !limited);
    let (sink, limited) = counted(&nested(7), &Budget::default());
    assert!(sink.deepest == 6 && limited);
}

#[test]
fn a_stopped_search_reads_no_further() {
    struct Stopped(u64);
    impl Sink for Stopped {
        fn feed(&mut self, _: usize, chunk: &[u8]) {
            self.0 += chunk.len() as u64;
        }
        fn enter(&mut self, _: &str) {}
        fn leave(&mut self) {}
        fn is_stopped(&self) -> bool {
            self.0 > 1 << 20
        }
    }
    let mut sink = Stopped(0);
    search(&mut &bomb(20 << 20, 1)[..], &mut sink, &Budget::default()).unwrap();
    assert!(sink.0 < 2 << 20, "{}", sink.0);
    let mut sink = Stopped(0);
    search(&mut BufReader::new(io::repeat(b'x')), &mut sink, &Budget::default()).unwrap();
}

fn archives() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(text()),
        Just(b"PK\x03\x04PKPK\x1f\x1f\x8b\x8b\x08".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..600)
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner, 1..3);
        (parts, 0u8..7).prop_map(|(parts, kind)| {
            let of = |part: &Vec<u8>| match kind {
                0 => gzip(part),
                1 => zlib(part),
                2 => entry("name", 8, 8, &deflate(part)),
                3 => entry("name", 0, 0, part),
                4 => tar("name", part),
                5 => pack(&[(3, b"", part)]),
                _ => part.clone(),
            };
            parts.iter().flat_map(of).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn buffers_of_any_size_make_no_difference(
        mut file in archives(), buffer in 1usize..600, change: Option<(u16, u8)>
    ) {
        if let Some((at, byte)) = change {
            let length = file.len().max(1);
            if let Some(changed) = file.get_mut(usize::from(at) % length) { *changed = byte; }
        }
        let (whole, skipped) = read(&file[..], file.len().max(1));
        let (parts, skipped_in_parts) = read(&file[..], buffer);
        prop_assert!(whole.open[0].1 == file && parts.open[0].1 == file);
        prop_assert_eq!(skipped, skipped_in_parts);
        prop_assert!(whole.ended == parts.ended);
    }
}
