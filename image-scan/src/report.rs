//! What a scan found, fit to be shown: nothing in a report holds a secret, or a character that changes how text reads.

use std::fmt;

use proto::escape;
use serde::Serialize;

use crate::collector::{Gathered, Hit, Scan, Spot};
use crate::error::ScanError;
use crate::layer::deletes;
use crate::manifest::{LayerName, Names};
use crate::search::Finder;

/// Stands for a text that itself holds a secret.
const WITHHELD: &str = "(withheld: it holds a secret)";
/// Characters of a digest in a line of text: as `docker images` shows it.
const SHORT_DIGEST: usize = 12;
/// Characters of an instruction in a line of text.
const SHORT_INSTRUCTION: usize = 60;

/// How a scan ended. There may be findings although it failed: they are as good as any.
#[derive(Debug)]
pub struct Outcome {
    /// What was found until then.
    pub report: Report,
    /// Why not everything was searched.
    pub failure: Option<ScanError>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In the order of images and layers.
    pub findings: Vec<Finding>,
    /// Findings that are not in the list, because it has an end.
    pub more: u64,
    /// Images of which every layer that is theirs alone was searched.
    pub images: usize,
    /// Their layers.
    pub layers: usize,
    /// Layers that are named and not in the archive, as those of platforms that were not saved.
    pub layers_elsewhere: usize,
    /// Bytes searched, unpacked.
    pub bytes: u64,
}

/// One secret in one place.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Its key.
    pub key: String,
    /// How it is written there: raw, base64, …
    pub form: &'static str,
    /// Whether only a part of it is there.
    pub part: bool,
    /// In what.
    pub r#where: Where,
    /// The file's path in the layer, or the value's in the config or manifest.
    pub path: Option<String>,
    /// The image, where it has a name.
    pub image: Option<String>,
    /// The layer, if it is in one that a manifest names.
    pub layer: Option<Layer>,
    /// The blob's name in the archive.
    pub blob: String,
    /// The first later layer that deletes the file. It is in the image all the same.
    pub deleted_in: Option<usize>,
    /// Where it begins in the file, value or blob.
    pub offset: u64,
}

/// What holds a finding.
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
    /// A blob outside its files, or one of an unknown kind.
    Blob,
    /// The archive around the blobs.
    Archive,
}

/// A layer, as its image counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// From 1 on, the lowest first.
    pub number: usize,
    /// How many the image has.
    pub of: usize,
    /// Of the blob, or else of what it unpacks to.
    pub digest: Option<String>,
    /// The instruction that made it.
    pub created_by: Option<String>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

impl Outcome {
    pub(crate) fn of<F: Finder>(scan: Scan<'_, F>, failure: Option<ScanError>) -> Self {
        let (finder, bytes) = (scan.finder, scan.progress.bytes());
        let mut gathered = scan.into_gathered();
        let names = Names::of(&gathered);
        let mut hits = std::mem::take(&mut gathered.hits);
        hits.sort_by(|a, b| order(a, &names).cmp(&order(b, &names)));
        let findings = hits.iter().map(|hit| finding(hit, &names, &gathered, finder)).collect();
        let failure = failure.or_else(|| names.lacking(finder));
        let report = Report {
            findings,
            more: gathered.more,
            images: names.images,
            layers: names.layers.len(),
            layers_elsewhere: names.elsewhere,
            bytes,
        };
        Self { report, failure }
    }
}

fn order<'h>(hit: &'h Hit, names: &'h Names) -> impl Ord + 'h {
    let layer = names.layers.get(&hit.blob);
    // What is in no layer comes first: configs, manifests.
    (layer, &hit.blob, &hit.spot, &hit.found.key, hit.found.form)
}

fn finding<F: Finder>(hit: &Hit, names: &Names, gathered: &Gathered, finder: &F) -> Finding {
    let name = names.layers.get(&hit.blob);
    let config = names.configs.get(&hit.blob);
    let image = name.map_or_else(|| config.cloned().flatten(), |name| name.image.clone());
    let (r#where, path) = match &hit.spot {
        Spot::File(path) => (Where::File, Some(shown_path(finder, path))),
        Spot::Headers(path) => (Where::Metadata, Some(shown_path(finder, path))),
        Spot::Value(place) if config.is_some() => (Where::Config, Some(shown(finder, place))),
        Spot::Value(place) if gathered.documents.contains_key(&hit.blob) => {
            (Where::Manifest, Some(shown(finder, place)))
        }
        Spot::Value(place) => (Where::Blob, Some(shown(finder, place))),
        Spot::Bytes if hit.blob.is_empty() => (Where::Archive, None),
        Spot::Bytes if config.is_some() => (Where::Config, None),
        Spot::Bytes => (Where::Blob, None),
        Spot::BlobHeaders => (Where::Archive, None),
    };
    Finding {
        key: hit.found.key.to_string(),
        form: hit.found.form,
        part: hit.found.part,
        r#where,
        path,
        image: image.map(|image| shown(finder, &image)),
        layer: name.map(|name| Layer {
            number: name.number,
            of: name.of,
            digest: name.digest.as_deref().map(|digest| shown(finder, digest)),
            created_by: name.created_by.as_deref().map(|created_by| shown(finder, created_by)),
        }),
        blob: shown(finder, &hit.blob),
        deleted_in: name.and_then(|name| deleted_in(hit, name, names, gathered)),
        offset: hit.found.offset,
    }
}

/// The first layer above that deletes the file.
fn deleted_in(hit: &Hit, name: &LayerName, names: &Names, gathered: &Gathered) -> Option<usize> {
    let (Spot::File(path) | Spot::Headers(path)) = &hit.spot else { return None };
    let above = names.layers.iter().filter(|(_, other)| other.image == name.image && other.of == name.of);
    let deleting = above.filter(|(blob, other)| {
        let whiteouts = gathered.whiteouts.get(*blob).into_iter().flatten();
        other.number > name.number && whiteouts.into_iter().any(|deleted| deletes(deleted, path))
    });
    deleting.map(|(_, other)| other.number).min()
}

/// `text`, unless it holds a secret. Searched before it is cut: a part of a secret would not be found any more.
pub(crate) fn shown<F: Finder>(finder: &F, text: &str) -> String {
    if finder.holds(text.as_bytes()) { WITHHELD.to_owned() } else { escape(text) }
}

/// As [`shown`], of a path only the parts that hold a secret.
fn shown_path<F: Finder>(finder: &F, path: &str) -> String {
    let whole = shown(finder, path);
    if whole != WITHHELD {
        return whole;
    }
    let parts: Vec<String> = path.split('/').map(|part| shown(finder, part)).collect();
    shown(finder, &parts.join("/"))
}

impl fmt::Display for Finding {
    /// One line: where, what, in which form.
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
            (Where::Archive, None) => f.write_str(" (as the archive describes it)")?,
            (_, None) => {}
        }
        let part = if self.part { "a part of " } else { "" };
        write!(f, ": {part}{} ({})", self.key, self.form)?;
        match self.deleted_in {
            Some(number) => write!(f, "; deleted in layer {number}, and in the image all the same"),
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
