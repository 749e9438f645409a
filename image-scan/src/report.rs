//! The report of a scan. All texts in it are redacted: they hold no secret, and no character that changes how text reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use unpack::Skipped;

use crate::collector::{Collected, Hit, Location, Scan};
use crate::error::ScanError;
use crate::layer::deletes;
use crate::limits::MAX_WHITEOUT_COMPARISONS;
use crate::manifest::{LayerInfo, Manifests};
use crate::redact::{redact, redact_path};
use crate::search::Finder;

/// Characters of a digest in a line of text: as `docker images` shows it.
const SHORT_DIGEST: usize = 12;
/// Characters of an instruction in a line of text.
const SHORT_INSTRUCTION: usize = 60;

/// How a scan ended. A failed scan may have findings, which are valid.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    /// Why not everything was searched, if so.
    pub failure: Option<ScanError>,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In the order of images and layers.
    pub findings: Vec<Finding>,
    /// Number of findings beyond the limit of 4096, which are not listed.
    pub more: u64,
    /// Number of images that are in the archive.
    pub images: usize,
    /// Number of their layers, each counted once.
    pub layers: usize,
    /// Number of attestations in the archive, such as provenance.
    pub attestations: usize,
    /// Number of layers of images that are not in the archive, such as platforms that were not saved.
    pub layers_elsewhere: usize,
    /// Images that an index names and that are not in the archive, by platform and digest; at most 32.
    pub not_in_archive: Vec<String>,
    /// Bytes searched, unpacked.
    pub bytes: u64,
    /// What is compressed in files and was searched as it is, without unpacking it.
    pub not_unpacked: NotUnpacked,
}

/// Compressed data inside files that cannot be unpacked. Test data of many packages is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NotUnpacked {
    pub corrupt: u64,
    /// Zip entries.
    pub encrypted: u64,
    /// In formats other than gzip, zlib and zip with deflate: xz, zstd, bzip2, 7z.
    pub unsupported: u64,
}

/// A secret in one place.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub key: String,
    /// `raw`, `base64`, …
    #[serde(rename = "form")]
    pub encoding: &'static str,
    /// Whether it is only a part of the secret.
    pub part: bool,
    pub r#where: Where,
    /// The file's path in the layer, or the value's in the config or manifest.
    pub path: Option<String>,
    /// The name of the image, if it has one.
    pub image: Option<String>,
    /// The layer, if a manifest names it.
    pub layer: Option<Layer>,
    /// The blob's name in the archive.
    pub blob: String,
    /// The first later layer that deletes the file, which is still in the image.
    pub deleted_in: Option<usize>,
    /// How the place is packed inside the file: `gzip`, `zlib`, `zip entry NAME`, `git pack`, the outermost first.
    pub packed: Option<String>,
    /// Offset in the file, value or blob, or in what is packed in it.
    pub offset: u64,
}

/// Where a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// The config: environment, command, labels, history.
    Config,
    /// A manifest or an index: annotations.
    Manifest,
    /// A file of a layer.
    File,
    /// A file's name, link target, owner or attributes.
    Metadata,
    /// Bytes of a layer outside its files, or a blob of an unknown kind.
    Blob,
    /// The archive outside the blobs.
    Archive,
}

/// A layer, as its image counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// From 1 on, the lowest first.
    pub number: usize,
    /// Number of layers of the image.
    pub of: usize,
    /// Of the blob, or else of the unpacked layer.
    pub digest: Option<String>,
    /// The instruction that made it.
    pub created_by: Option<String>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

impl Outcome {
    pub(crate) fn of<F: Finder>(scan: Scan<'_, F>, failure: Option<ScanError>) -> Self {
        let (finder, bytes) = (scan.finder, scan.progress.bytes());
        let mut collected = scan.into_collected();
        let manifests = Manifests::read(&collected, finder);
        let mut hits = std::mem::take(&mut collected.hits);
        hits.sort_by(|a, b| order(a, &manifests).cmp(&order(b, &manifests)));
        let mut deletions = Deletions::new(&collected, &manifests, MAX_WHITEOUT_COMPARISONS);
        let documents = collected.document_names();
        let findings =
            hits.iter().map(|hit| finding(hit, &manifests, &documents, &mut deletions, finder)).collect();
        let failure = failure.or_else(|| manifests.check_complete(finder).err());
        let failure = failure.or_else(|| unpacked_too_much(&collected, finder));
        let Skipped { corrupt, encrypted, unsupported, .. } = collected.skipped;
        let report = Report {
            findings,
            more: collected.more,
            images: manifests.images,
            layers: manifests.layers.len(),
            attestations: manifests.attestations,
            layers_elsewhere: manifests.elsewhere,
            not_in_archive: manifests.not_in_archive,
            bytes,
            not_unpacked: NotUnpacked { corrupt, encrypted, unsupported },
        };
        Self { report, failure }
    }
}

fn unpacked_too_much<F: Finder>(collected: &Collected, finder: &F) -> Option<ScanError> {
    let (blob, location) = collected.limited.as_ref()?;
    let file = match location {
        Location::File(path) => redact_path(finder, path),
        Location::Headers(_) | Location::Value(_) | Location::Bytes | Location::BlobHeaders => {
            redact(finder, blob)
        }
    };
    Some(ScanError::Unpacked { file })
}

fn order<'h>(hit: &'h Hit, manifests: &'h Manifests) -> impl Ord + 'h {
    let layer = manifests.layers.get(&hit.blob);
    // Configs and manifests, which are in no layer, come first.
    (layer, &hit.blob, &hit.location, &hit.packed, &hit.matched.key, hit.matched.encoding)
}

fn finding<F: Finder>(
    hit: &Hit,
    manifests: &Manifests,
    documents: &BTreeSet<&str>,
    deletions: &mut Deletions<'_>,
    finder: &F,
) -> Finding {
    let layer = manifests.layers.get(&hit.blob);
    let config = manifests.configs.get(&hit.blob);
    let image = layer.map_or_else(|| config.cloned().flatten(), |layer| layer.image.clone());
    let string = |text: &Rc<str>| text.to_string();
    let (r#where, path) = match &hit.location {
        Location::File(path) => (Where::File, Some(redact_path(finder, path))),
        Location::Headers(path) => (Where::Metadata, Some(redact_path(finder, path))),
        Location::Value(place) if config.is_some() => (Where::Config, Some(redact(finder, place))),
        Location::Value(place) if documents.contains(hit.blob.as_str()) => {
            (Where::Manifest, Some(redact(finder, place)))
        }
        Location::Value(place) => (Where::Blob, Some(redact(finder, place))),
        Location::Bytes if hit.blob.is_empty() => (Where::Archive, None),
        Location::Bytes if config.is_some() => (Where::Config, None),
        Location::Bytes => (Where::Blob, None),
        Location::BlobHeaders => (Where::Archive, None),
    };
    Finding {
        key: hit.matched.key.clone(),
        encoding: hit.matched.encoding,
        part: hit.matched.part,
        r#where,
        path,
        image: image.as_ref().map(string),
        layer: layer.map(|layer| Layer {
            number: layer.number,
            of: layer.of,
            digest: layer.digest.as_ref().map(string),
            created_by: layer.created_by.as_ref().map(string),
        }),
        blob: redact(finder, &hit.blob),
        deleted_in: layer.and_then(|layer| deletions.find(hit, layer)),
        packed: hit.packed.as_deref().map(|packed| redact_path(finder, packed)),
        offset: hit.matched.offset,
    }
}

/// Name and number of layers of an image.
type ImageId = (Option<Rc<str>>, usize);

/// Which later layers delete a file.
///
/// An image determines both the findings and the whiteouts, and every pair may have to be compared, so the number of
/// comparisons is limited.
struct Deletions<'c> {
    /// Number and whiteouts of the layers that have any, by image.
    layers: BTreeMap<ImageId, Vec<(usize, &'c [String])>>,
    /// Comparisons that are left.
    allowance: u64,
}

impl<'c> Deletions<'c> {
    fn new(collected: &'c Collected, manifests: &Manifests, allowance: u64) -> Self {
        let mut layers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (blob, whiteouts) in &collected.whiteouts {
            let Some(layer) = manifests.layers.get(blob) else { continue };
            let image = layers.entry((layer.image.clone(), layer.of)).or_default();
            image.push((layer.number, whiteouts.as_slice()));
        }
        layers.values_mut().for_each(|image| image.sort_by_key(|(number, _)| *number));
        Self { layers, allowance }
    }

    /// The number of the first layer above `layer` that deletes the file of `hit`.
    fn find(&mut self, hit: &Hit, layer: &LayerInfo) -> Option<usize> {
        let (Location::File(path) | Location::Headers(path)) = &hit.location else { return None };
        let image = self.layers.get(&(layer.image.clone(), layer.of))?;
        for (number, whiteouts) in image.iter().filter(|(number, _)| *number > layer.number) {
            self.allowance = self.allowance.checked_sub(whiteouts.len() as u64)?;
            if whiteouts.iter().any(|deleted| deletes(deleted, path)) {
                return Some(*number);
            }
        }
        None
    }
}

impl fmt::Display for Finding {
    /// One line: where, which secret, in which encoding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = &self.image {
            write!(f, "{image}: ")?;
        }
        match (&self.layer, self.r#where) {
            (Some(layer), _) => write!(f, "{layer}")?,
            (None, Where::Config) => f.write_str("config")?,
            (None, Where::Archive) if self.blob.is_empty() => f.write_str("the archive itself")?,
            (None, _) => f.write_str(&self.blob)?,
        }
        match (self.r#where, &self.path) {
            (Where::Metadata, Some(path)) => write!(f, ": {path} (its name or attributes)")?,
            (_, Some(path)) => write!(f, ": {path}")?,
            (Where::Archive, None) => f.write_str(" (in the archive's headers)")?,
            (_, None) => {}
        }
        let part = if self.part { "a part of " } else { "" };
        write!(f, ": {part}{} ({}", self.key, self.encoding)?;
        match &self.packed {
            Some(packed) => write!(f, ", in {packed})")?,
            None => f.write_str(")")?,
        }
        match self.deleted_in {
            Some(number) => write!(f, "; deleted in layer {number}, but still in the image"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} of {}", self.number, self.of)?;
        let digest = self.digest.as_deref().map(|digest| cut(digest, "sha256:".len() + SHORT_DIGEST, ""));
        let created_by = self.created_by.as_deref().map(|text| cut(text, SHORT_INSTRUCTION, "…"));
        let details: Vec<String> = digest.into_iter().chain(created_by).collect();
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

fn cut(text: &str, length: usize, mark: &str) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}{mark}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Match;

    #[test]
    fn whiteouts_are_compared_up_to_a_limit() {
        let mut collected = Collected::default();
        let mut manifests = Manifests::default();
        for number in 1..=3 {
            let layer = LayerInfo { image: None, number, of: 3, digest: None, created_by: None };
            manifests.layers.insert(number.to_string(), layer);
        }
        collected.keep_whiteout("2", "other".to_owned());
        collected.keep_whiteout("3", "file".to_owned());
        let matched = Match { key: "k".to_owned(), encoding: "raw", part: false, offset: 0 };
        let hit =
            Hit { blob: "1".to_owned(), location: Location::File("file".to_owned()), matched, packed: None };
        let find = |allowance| {
            let mut deletions = Deletions::new(&collected, &manifests, allowance);
            [(); 2].map(|()| deletions.find(&hit, &manifests.layers["1"]))
        };
        assert_eq!(find(4), [Some(3), Some(3)]);
        assert_eq!(find(3), [Some(3), None]);
    }
}
