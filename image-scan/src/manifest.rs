//! Which layer of which image a blob is, read from the manifests and configs: `manifest.json` of `docker save`, and
//! manifests, indexes and configs of Docker and OCI, which are recognised by their content and not by their place, so an index
//! may be in an index.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use crate::collector::{Collected, Content};
use crate::digest;
use crate::error::ScanError;
use crate::limits::MAX_LISTED;
use crate::redact::redact_text;
use crate::search::Finder;
use crate::unread::Unread;

/// Members that say which layers an image has, [`folded`]. A document must not have one of them twice.
pub(crate) const MEMBERS: [&str; 8] =
    ["LAYERS", "FSLAYERS", "MANIFESTS", "CONFIG", "DIGEST", "BLOBSUM", "MEDIATYPE", "ROOTFS"];

/// Links that are followed from one to the next.
const MAX_LINKS: usize = 8;

/// The images, their layers and configs.
///
/// Texts in it are redacted. Each one is redacted once and shared from there on: a single long text of a config may
/// describe a layer of each of many images.
#[derive(Default)]
pub(crate) struct Manifests {
    /// By blob. A layer of several images is described as a layer of the first.
    pub(crate) layers: BTreeMap<String, LayerInfo>,
    /// The name of the image that each config belongs to.
    pub(crate) configs: BTreeMap<String, Option<Rc<str>>>,
    /// Number of images that are in the archive.
    pub(crate) images: usize,
    /// Number of attestations, which are not images: their layers are JSON.
    pub(crate) attestations: usize,
    /// Number of layers of images that are not in the archive: those of platforms that were not saved.
    pub(crate) elsewhere: usize,
    /// Images that an index names and that are not in the archive, by platform and digest, up to [`MAX_LISTED`].
    pub(crate) not_in_archive: Vec<String>,
    /// Blobs that were not searched as what they are.
    unread: BTreeMap<String, Unread>,
    /// Number of documents that were parsed.
    pub(crate) parsed: usize,
}

/// The place of a layer, as its image describes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerInfo {
    pub(crate) image: Option<Rc<str>>,
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) digest: Option<Rc<str>>,
    pub(crate) created_by: Option<Rc<str>>,
}

/// An image as its manifest describes it, by names of blobs.
struct Image {
    name: Option<Rc<str>>,
    /// Its manifest, if that is a blob of its own.
    manifest: Option<String>,
    config: String,
    layers: Vec<Descriptor>,
}

/// What a manifest says about a layer.
#[derive(PartialEq)]
struct Descriptor {
    blob: String,
    kind: Kind,
}

/// What the media type of a layer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Layer,
    Encrypted,
    /// It must not be distributed, so it may be missing.
    Foreign,
    /// Not a layer of files, such as an attestation.
    Json,
}

/// A manifest as an index names it.
struct Indexed {
    blob: String,
    name: Option<Rc<str>>,
    /// Its platform and digest.
    shown: String,
}

/// What a config says about the layers of its image, the lowest first.
#[derive(Default)]
struct Config {
    diff_ids: Vec<Option<Rc<str>>>,
    created_by: Vec<Option<Rc<str>>>,
}

/// `name` as Go compares names of members, in which engines are written: without case.
pub(crate) fn folded(name: &str) -> String {
    name.to_uppercase()
}

/// Whether a document is a manifest, an index or a config, if its object at `path` has the member `name`, [`folded`].
pub(crate) fn is_of_image(path: &str, name: &str) -> bool {
    match name {
        "LAYERS" => path.is_empty() || path.starts_with('['),
        "MANIFESTS" | "ROOTFS" | "FSLAYERS" => path.is_empty(),
        _ => false,
    }
}

fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let same = |found: &&String| folded(found) == folded(name);
    members.get(name).or_else(|| members.iter().find(|(found, _)| same(found)).map(|(_, value)| value))
}

fn array<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    member(value, name).and_then(Value::as_array).into_iter().flatten()
}

impl Manifests {
    /// Reads all documents, each of them once: many manifests may name one config.
    pub(crate) fn read(collected: &Collected, finder: &impl Finder) -> Self {
        let mut manifests = Self::default();
        let mut images = Vec::new();
        let mut indexed = Vec::new();
        let mut configs = BTreeMap::new();
        // One after the other: parsed, a document takes many times its length.
        for (blob, bytes) in &collected.documents {
            manifests.parsed += 1;
            let Ok(document) = serde_json::from_slice::<Value>(bytes) else { continue };
            images_of_docker(&document, finder, &mut images);
            indexed
                .extend(array(&document, "manifests").filter_map(|manifest| Indexed::read(manifest, finder)));
            images.extend(image_of_oci(blob, &document));
            configs.insert(blob.as_str(), Config::read(&document, finder));
        }
        let (mut names, documents) = (BTreeMap::new(), collected.document_names());
        for manifest in indexed {
            manifests.check_indexed(&manifest, collected, &documents);
            if let Some(name) = manifest.name {
                names.entry(manifest.blob).or_insert(name);
            }
        }
        for image in &mut images {
            image.name = image.name.take().or_else(|| {
                let blob = image.manifest.as_ref()?;
                names.get(&digest::path_of_name(blob).unwrap_or_else(|| blob.clone())).cloned()
            });
        }
        // `docker save` describes each image twice; the description with the name that users know comes first.
        images.sort_by_cached_key(|image| {
            (image.config.clone(), image.name.is_none(), image.manifest.is_some())
        });
        images.dedup_by(|later, earlier| later.config == earlier.config && later.layers == earlier.layers);
        let unknown = Config::default();
        for image in &images {
            let config = configs.get(resolved(collected, &image.config)).unwrap_or(&unknown);
            manifests.add_image(image, config, collected, finder);
        }
        manifests.check_others(collected);
        manifests
    }

    /// Notes a manifest that an index names and that is not in the archive, or is not a manifest.
    fn check_indexed(&mut self, manifest: &Indexed, collected: &Collected, documents: &BTreeSet<&str>) {
        let blob = resolved(collected, &manifest.blob);
        match collected.contents.get(blob) {
            None => {
                if self.not_in_archive.len() < MAX_LISTED {
                    self.not_in_archive.push(manifest.shown.clone());
                }
            }
            Some(Content::Document) if documents.contains(blob) => {}
            Some(Content::Unread(reason)) => _ = self.unread.insert(blob.to_owned(), reason.clone()),
            Some(Content::Empty | Content::Layer | Content::Document | Content::Bytes { .. }) => {
                self.unread.insert(blob.to_owned(), Unread::NoManifest);
            }
        }
    }

    fn add_image(&mut self, image: &Image, config: &Config, collected: &Collected, finder: &impl Finder) {
        let is_present = |blob: &str| collected.contents.contains_key(blob);
        let layers: Vec<&str> = image.layers.iter().map(|layer| resolved(collected, &layer.blob)).collect();
        let config_blob = resolved(collected, &image.config);
        let is_absent = !layers.iter().any(|layer| is_present(layer)) && !is_present(config_blob);
        // Of a platform that was not saved, an index and its manifest may be there. `manifest.json` names what was saved.
        if is_absent && image.manifest.is_some() && !layers.is_empty() {
            self.elsewhere += layers.len();
            let shown = image.name.as_deref().unwrap_or(&image.config);
            if self.not_in_archive.len() < MAX_LISTED {
                self.not_in_archive.push(redact_text(finder, shown));
            }
            return;
        }
        if !is_present(config_blob) && !image.config.is_empty() {
            self.unread.insert(config_blob.to_owned(), Unread::Missing);
        }
        let mut is_attestation = !layers.is_empty();
        self.configs.entry(config_blob.to_owned()).or_insert_with(|| image.name.clone());
        for (index, (layer, descriptor)) in layers.iter().zip(&image.layers).enumerate() {
            let content = collected.contents.get(*layer);
            if let Some(reason) = descriptor.unread(layer, content) {
                self.unread.insert((*layer).to_owned(), reason);
            }
            if descriptor.kind == Kind::Json {
                continue;
            }
            is_attestation = false;
            self.layers.entry((*layer).to_owned()).or_insert_with(|| LayerInfo {
                image: image.name.clone(),
                number: index + 1,
                of: layers.len(),
                digest: digest_of(&descriptor.blob)
                    .map(|digest| redact_text(finder, &digest).into())
                    .or_else(|| config.diff_ids.get(index).cloned().flatten()),
                created_by: config.created_by.get(index).cloned().flatten(),
            });
        }
        match is_attestation {
            true => self.attestations += 1,
            false => self.images += 1,
        }
    }

    /// Notes the blobs that were not read and that no image names, or that look like a layer.
    fn check_others(&mut self, collected: &Collected) {
        for (blob, content) in &collected.contents {
            let reason = match content {
                Content::Unread(reason) => reason.clone(),
                Content::Bytes { is_json: false, format }
                    if may_be_layer(blob) && !self.configs.contains_key(blob) =>
                {
                    Unread::NotTar(*format)
                }
                Content::Bytes { .. } if matches!(blob.as_str(), "manifest.json" | "index.json") => {
                    Unread::NoManifest
                }
                Content::Empty | Content::Layer | Content::Document | Content::Bytes { .. } => continue,
            };
            self.unread.entry(blob.clone()).or_insert(reason);
        }
    }

    /// An error if there is no image, or anything was not read as what it is.
    pub(crate) fn check_complete(&self, finder: &impl Finder) -> Result<(), ScanError> {
        // The lowest layer first.
        let first = self
            .unread
            .iter()
            .min_by_key(|(blob, _)| (!self.layers.contains_key(*blob), self.layers.get(*blob)));
        match first {
            Some((blob, reason)) => Err(ScanError::Unsearched {
                what: self.describe(blob, finder),
                reason: reason.to_string(),
                more: self.unread.len() - 1,
            }),
            None if self.images == 0 => Err(ScanError::NoImage),
            None => Ok(()),
        }
    }

    fn describe(&self, blob: &str, finder: &impl Finder) -> String {
        let Some(layer) = self.layers.get(blob) else { return redact_text(finder, blob) };
        let image = layer.image.as_deref().map(|image| format!(" of {image}")).unwrap_or_default();
        let digest = layer.digest.as_deref().map(|digest| format!(" ({digest})")).unwrap_or_default();
        format!("layer {} of {}{image}{digest}", layer.number, layer.of)
    }
}

/// Whether the name of a blob is that of a layer: a digest, or that of a tar archive.
fn may_be_layer(blob: &str) -> bool {
    let file = blob.rsplit('/').next().unwrap_or(blob);
    digest::path_of_name(blob).is_some()
        || blob.starts_with("blobs/")
        || file.ends_with(".tar")
        || file.contains(".tar.")
}

impl Descriptor {
    fn read(descriptor: &Value, name: &str) -> Self {
        let media_type = text(member(descriptor, "mediaType"));
        let has = |part: &str| media_type.contains(part);
        let kind = if has("encrypted") {
            Kind::Encrypted
        } else if has("nondistributable") || has("foreign") {
            Kind::Foreign
        } else if media_type.ends_with("+json") {
            Kind::Json
        } else {
            Kind::Layer
        };
        // A layer without a digest has no name, and counts as missing.
        let blob = path_of(descriptor, name).unwrap_or_default();
        Self { blob, kind }
    }

    /// Why the layer was not read, if so.
    fn unread(&self, blob: &str, content: Option<&Content>) -> Option<Unread> {
        Some(match (content, self.kind) {
            (Some(Content::Layer), _) => return None,
            (Some(Content::Document | Content::Bytes { is_json: true, .. }), Kind::Json) => return None,
            (Some(Content::Empty), _) if digest::is_of_nothing(blob) => return None,
            (None, Kind::Foreign) => Unread::Foreign,
            (None, _) => Unread::Missing,
            (Some(_), Kind::Encrypted) => Unread::Encrypted,
            (Some(Content::Empty), _) => Unread::Empty,
            (Some(Content::Document), _) => Unread::NotTar(Some("JSON")),
            (Some(Content::Bytes { format, .. }), _) => Unread::NotTar(*format),
            (Some(Content::Unread(reason)), _) => reason.clone(),
        })
    }
}

impl Indexed {
    fn read(descriptor: &Value, finder: &impl Finder) -> Option<Self> {
        const ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let blob = path_of(descriptor, "digest")?;
        let annotation = |name: &&str| descriptor.get("annotations")?.get(*name)?.as_str();
        let name = ANNOTATIONS.iter().find_map(annotation).map(|name| redact_text(finder, name).into());
        let platform = member(descriptor, "platform");
        let parts = ["os", "architecture", "variant"]
            .map(|part| text(platform.and_then(|platform| platform.get(part))));
        let platform: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let digest = text(member(descriptor, "digest"));
        let shown = match platform.is_empty() {
            true => digest,
            false => format!("{} ({digest})", platform.join("/")),
        };
        Some(Self { blob, name, shown: redact_text(finder, &shown) })
    }
}

impl Config {
    fn read(document: &Value, finder: &impl Finder) -> Self {
        let shared = |text: &Value| text.as_str().map(|text| Rc::from(redact_text(finder, text)));
        let diff_ids = document.pointer("/rootfs/diff_ids").and_then(Value::as_array);
        let history = document.get("history").and_then(Value::as_array);
        // Instructions that changed no file have an entry, but no layer.
        let has_layer = |entry: &&Value| !entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
        let created_by = |entry: &Value| entry.get("created_by").and_then(shared);
        Self {
            diff_ids: diff_ids.into_iter().flatten().map(shared).collect(),
            created_by: history.into_iter().flatten().filter(has_layer).map(created_by).collect(),
        }
    }
}

fn images_of_docker(document: &Value, finder: &impl Finder, images: &mut Vec<Image>) {
    for image in document.as_array().into_iter().flatten() {
        let Some(layers) = member(image, "Layers").and_then(Value::as_array) else { continue };
        let name = image.pointer("/RepoTags/0").and_then(Value::as_str);
        let layer = |layer: &Value| Descriptor { blob: text(Some(layer)), kind: Kind::Layer };
        images.push(Image {
            name: name.map(|name| redact_text(finder, name).into()),
            manifest: None,
            config: text(member(image, "Config")),
            layers: layers.iter().map(layer).collect(),
        });
    }
}

/// The image of a manifest in the format of OCI, or one of Docker's two.
fn image_of_oci(blob: &str, document: &Value) -> Option<Image> {
    let of_first_format = || member(document, "fsLayers").is_some();
    let layers: Vec<Descriptor> = match member(document, "layers") {
        Some(layers) => layers.as_array()?.iter().map(|layer| Descriptor::read(layer, "digest")).collect(),
        // The highest layer comes first.
        None if of_first_format() => {
            let layers: Vec<_> = array(document, "fsLayers").collect();
            layers.into_iter().rev().map(|layer| Descriptor::read(layer, "blobSum")).collect()
        }
        None => return None,
    };
    Some(Image {
        name: None,
        manifest: Some(blob.to_owned()),
        config: member(document, "config")
            .and_then(|config| path_of(config, "digest"))
            .unwrap_or_else(|| blob.to_owned()),
        layers,
    })
}

/// The name in the archive of the blob that a manifest calls `name`.
fn resolved<'c>(collected: &'c Collected, name: &'c str) -> &'c str {
    let mut name = name;
    for _ in 0..MAX_LINKS {
        let Some(target) = collected.links.get(name) else { break };
        name = target;
    }
    if collected.contents.contains_key(name) {
        return name;
    }
    let others = digest::other_names(name).into_iter().flatten();
    let found = others.filter_map(|other| collected.contents.get_key_value(&other)).next();
    found.map_or(name, |(name, _)| name)
}

/// The blob's name in the OCI layout, by the digest that is `descriptor`'s member `name`.
fn path_of(descriptor: &Value, name: &str) -> Option<String> {
    let (algorithm, hex) = member(descriptor, name)?.as_str()?.split_once(':')?;
    Some(format!("blobs/{algorithm}/{hex}"))
}

fn digest_of(blob: &str) -> Option<String> {
    Some(blob.strip_prefix("blobs/")?.replacen('/', ":", 1))
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().trim_start_matches("./").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::search::{Match, Search};

    /// Finds nothing, and counts the bytes that it was asked to search.
    #[derive(Default)]
    struct Counting(std::sync::atomic::AtomicUsize);

    impl Finder for Counting {
        type Search<'f> = &'f Self;

        fn search(&self) -> &Self {
            self
        }
    }

    impl Search for &Counting {
        fn feed(&mut self, chunk: &[u8]) {
            self.0.fetch_add(chunk.len(), std::sync::atomic::Ordering::Relaxed);
        }

        fn matches(self) -> Vec<Match> {
            Vec::new()
        }
    }

    #[test]
    fn a_config_of_many_manifests_is_parsed_and_searched_once() {
        const IMAGES: usize = 2000;
        let mut collected = Collected::default();
        let instruction = "x".repeat(500_000);
        let config =
            json!({ "rootfs": { "diff_ids": ["sha256:d"] }, "history": [{ "created_by": instruction }] });
        assert!(collected.keep_document("blobs/sha256/c", config.to_string().into_bytes()));
        for number in 0..IMAGES {
            let layers = json!([{ "digest": format!("sha256:a{number}") }]);
            let manifest = json!({ "config": { "digest": "sha256:c" }, "layers": layers });
            let name = format!("blobs/sha256/b{number}");
            assert!(collected.keep_document(&name, manifest.to_string().into_bytes()));
            collected.keep_content(&format!("blobs/sha256/a{number}"), Content::Layer);
        }
        let finder = Counting::default();
        let manifests = Manifests::read(&collected, &finder);
        assert_eq!((manifests.images, manifests.layers.len()), (IMAGES, IMAGES));
        assert_eq!(manifests.parsed, collected.documents.len());
        assert!(finder.0.into_inner() < instruction.len() + 100 * IMAGES);
        let texts = manifests.layers.values().filter_map(|layer| layer.created_by.as_ref());
        let kept: std::collections::BTreeSet<_> = texts.map(|text| Rc::as_ptr(text).cast::<u8>()).collect();
        assert_eq!(kept.len(), 1, "one text, shared");
    }
}
