//! Saved images: archives, manifests and compression, as `scan` reads them.

use std::io::Write as _;
use std::sync::LazyLock;

use image_scan::{Match, Outcome, Progress, scan_stream};
use proto::{Key, Secret};

use crate::checks::{MAX_ERROR, MAX_ESCAPED, assert_shown};

/// What is searched for. Ordinary inputs do not contain it, so the seeds do.
const SECRET: &str = "kT7xQ2mN9vB4cZ1p";

/// More than that of any one text in a report: paths and instructions are cut.
const MAX_TEXT: usize = 64 << 10;

struct Finder(leaks::Finder);
struct Search<'f>(leaks::Search<'f>);

impl image_scan::Finder for Finder {
    type Search<'f> = Search<'f>;

    fn search(&self) -> Search<'_> {
        Search(self.0.search())
    }
}

impl image_scan::Search for Search<'_> {
    fn feed(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    fn matches(self) -> Vec<Match> {
        let to_match = |hit: &leaks::Hit| Match {
            key: hit.key.to_string(),
            encoding: hit.encoding.as_str(),
            part: hit.part,
            offset: hit.offset,
        };
        self.0.hits().iter().map(to_match).collect()
    }
}

/// Scans an archive, and checks the report.
fn scan(archive: &[u8]) -> Outcome {
    static FINDER: LazyLock<Finder> = LazyLock::new(|| {
        let (key, secret): (Key, _) = ("TOKEN".parse().unwrap(), Secret::from(SECRET.to_owned()));
        Finder(leaks::Finder::new(&[(key, &secret)]).unwrap())
    });
    let outcome = scan_stream(&*FINDER, archive, &Progress::default());
    let report = &outcome.report;
    assert!(report.findings.len() <= 4096);
    for finding in &report.findings {
        let layer = finding.layer.as_ref();
        let texts = [
            finding.path.as_ref(),
            finding.image.as_ref(),
            Some(&finding.blob),
            finding.packed.as_ref(),
            layer.and_then(|layer| layer.digest.as_ref()),
            layer.and_then(|layer| layer.created_by.as_ref()),
        ];
        for text in texts.into_iter().flatten() {
            assert_shown(text, MAX_TEXT);
            assert!(!text.contains(SECRET), "a report shows the secret: {text}");
        }
        if let Some(layer) = layer {
            assert!((1..=layer.of).contains(&layer.number));
            assert!(finding.deleted_in.is_none_or(|later| later > layer.number && later <= layer.of));
        }
    }
    if let Some(failure) = &outcome.failure {
        let shown = failure.to_string();
        assert_shown(&shown, MAX_ERROR + MAX_ESCAPED);
        assert!(!shown.contains(SECRET), "an error shows the secret: {shown}");
    }
    outcome
}

/// What was searched to its end and holds the secret is not clean.
fn check(archive: &[u8], searched: &[u8]) {
    let outcome = scan(archive);
    let holds = searched.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(!holds || outcome.failure.is_some() || !outcome.report.is_clean(), "reported as clean");
}

/// A tar archive: that of the image, and a layer.
pub fn tar(data: &[u8]) {
    // Compressed data is another target.
    if !is_compressed(data) {
        check(data, data);
        check(&image_with_layer(data), data);
    }
}

/// Documents of an image, separated by zero bytes: manifest, config and index.
pub fn manifests(data: &[u8]) {
    let mut documents = data.split(|byte| *byte == 0);
    let mut next = || documents.next().unwrap_or_default();
    let (manifest, config, oci, index) = (next(), next(), next(), next());
    let entries = [
        ("manifest.json", manifest),
        ("config.json", config),
        ("blobs/sha256/a", oci),
        ("index.json", index),
        ("layer.tar", &layer()),
    ];
    check(&archive(&entries), &[]);
    if !entries[..4].iter().any(|(_, document)| is_compressed(document)) {
        check(&archive(&entries), &[manifest, b" ", config, b" ", oci, b" ", index].concat());
    }
}

/// A compressed archive, and a compressed layer.
pub fn compression(data: &[u8]) {
    for magic in [&[][..], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd], SKIPPABLE, XZ, b"BZh9"] {
        let data = [magic, data].concat();
        scan(&data);
        check(&image_with_layer(&data), &[]);
    }
}

/// The first bytes of a skippable frame of zstd, and of xz.
const SKIPPABLE: &[u8] = &[0x50, 0x2a, 0x4d, 0x18];
const XZ: &[u8] = b"\xfd7zXZ\0";

fn is_compressed(data: &[u8]) -> bool {
    let skippable = matches!(data, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    skippable
        || [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], XZ, b"BZh"]
            .iter()
            .any(|magic| data.starts_with(magic))
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

const MANIFEST: &str = r#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]"#;
const CONFIG: &str = r#"{"config":{"Env":["PATH=/bin"]},"history":[{"created_by":"RUN x","empty_layer":true},{"created_by":"COPY . ."}],"rootfs":{"diff_ids":["sha256:d"]}}"#;
const OCI: &str = r#"{"config":{"digest":"sha256:c"},"layers":[{"digest":"sha256:l","mediaType":"application/vnd.oci.image.layer.v1.tar"},{"digest":"sha256:f","mediaType":"x.foreign"}],"annotations":{"a":"b"}}"#;
const INDEX: &str =
    r#"{"manifests":[{"digest":"sha256:a","annotations":{"org.opencontainers.image.ref.name":"app:1"}}]}"#;

fn image_with_layer(layer: &[u8]) -> Vec<u8> {
    archive(&[
        ("manifest.json", MANIFEST.as_bytes()),
        ("config.json", CONFIG.as_bytes()),
        ("layer.tar", layer),
    ])
}

fn layer() -> Vec<u8> {
    archive(&[("etc/passwd", b"root"), ("app/.wh.npmrc", b""), ("app/.wh..wh..opq", b"")])
}

pub(crate) fn tar_seeds() -> Vec<Vec<u8>> {
    let secret = SECRET.as_bytes();
    let mut pax = ::tar::Builder::new(Vec::new());
    pax.append_pax_extensions([("SCHILY.xattr.user.k", secret), ("path", &b"long/path"[..])]).unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_size(3);
    pax.append_data(&mut header, "a", &b"abc"[..]).unwrap();
    let mut gnu = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_size(1);
    gnu.append_data(&mut header, "d/".repeat(120), &b"x"[..]).unwrap();
    let mut link = ::tar::Header::new_gnu();
    link.set_entry_type(::tar::EntryType::Symlink);
    link.set_size(0);
    gnu.append_link(&mut link, "other/layer.tar", "../layer.tar").unwrap();
    vec![
        layer(),
        archive(&[("app/.npmrc", secret), ("app/x", b"y")]),
        image_with_layer(&archive(&[(SECRET, b"")])),
        pax.into_inner().unwrap(),
        gnu.into_inner().unwrap(),
    ]
}

pub(crate) fn manifests_seeds() -> Vec<Vec<u8>> {
    let join = |documents: [&str; 4]| documents.join("\0").into_bytes();
    let with_secret = CONFIG.replace("PATH=/bin", &format!("TOKEN={SECRET}"));
    let escaped = CONFIG.replace("PATH=/bin", "\\u006b\\u0054\\n\\u001b[31m");
    vec![
        join([MANIFEST, CONFIG, OCI, INDEX]),
        join([MANIFEST, &with_secret, "", ""]),
        join([MANIFEST, &escaped, "", ""]),
        join(["[[]", "{\"a\":[[[[[]]]]]}", "null", "[]"]),
    ]
}

pub(crate) fn compression_seeds() -> Vec<Vec<u8>> {
    let layer = archive(&[("app/.npmrc", SECRET.as_bytes())]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&layer).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&layer[..], 1).unwrap();
    vec![
        [gzip.clone(), gzip.clone()].concat(),
        gzip[4..].to_vec(),
        zstd[4..].to_vec(),
        [zstd.clone(), zstd.clone()].concat(),
        [SKIPPABLE, &[3, 0, 0, 0], b"abc", &zstd].concat(),
        zstd,
        gzip,
    ]
}
