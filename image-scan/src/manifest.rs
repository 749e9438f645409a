//! Which layer of which image a blob is, read from the manifests and configs: `manifest.json` of `docker save`, and OCI
//! manifests, indexes and configs, which are recognised by their content and not by their place.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::collector::Collected;
use crate::error::ScanError;
use crate::redact::redact;
use crate::search::Finder;

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
    /// Number of images with at least one layer in the archive.
    pub(crate) images: usize,
    /// Number of layers that no archive holds: those of platforms that were not saved, and those that must not be
    /// distributed.
    pub(crate) elsewhere: usize,
    /// Layers that are missing from images of which other layers are present.
    pub(crate) missing: Vec<String>,
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
    layers: Vec<String>,
}

/// What a config says about the layers of its image, the lowest first.
#[derive(Default)]
struct Config {
    diff_ids: Vec<Option<Rc<str>>>,
    created_by: Vec<Option<Rc<str>>>,
}

/// Whether `document` is a manifest, an index or a config.
pub(crate) fn is_of_image(document: &Value) -> bool {
    let of_docker = || document.as_array()?.first()?.get("Layers");
    ["layers", "manifests", "rootfs"].iter().any(|name| document.get(name).is_some()) || of_docker().is_some()
}

impl Manifests {
    /// Reads all documents, each of them once: many manifests may name one config.
    pub(crate) fn read(collected: &Collected, finder: &impl Finder) -> Self {
        let mut manifests = Self::default();
        let mut images = Vec::new();
        let mut names = BTreeMap::new();
        let mut configs = BTreeMap::new();
        // One after the other: parsed, a document takes many times its length.
        for (blob, bytes) in &collected.documents {
            manifests.parsed += 1;
            let Ok(document) = serde_json::from_slice::<Value>(bytes) else { continue };
            images_of_docker(&document, finder, &mut images);
            names_in_index(&document, finder, &mut names);
            if let Some(image) = image_of_oci(blob, &document, &mut manifests.elsewhere) {
                images.push(image);
            }
            configs.insert(blob.as_str(), Config::read(&document, finder));
        }
        for image in &mut images {
            image.name = image.name.take().or_else(|| names.get(image.manifest.as_ref()?).cloned());
        }
        // `docker save` describes each image twice; the description with the name that users know comes first.
        images.sort_by_cached_key(|image| {
            (image.config.clone(), image.name.is_none(), image.manifest.is_some())
        });
        images.dedup_by(|later, earlier| later.config == earlier.config && later.layers == earlier.layers);
        let unknown = Config::default();
        for image in &images {
            let config = configs.get(image.config.as_str()).unwrap_or(&unknown);
            manifests.add_image(image, config, collected, finder);
        }
        manifests
    }

    fn add_image(&mut self, image: &Image, config: &Config, collected: &Collected, finder: &impl Finder) {
        let resolved = |layer: &String| collected.links.get(layer).unwrap_or(layer).clone();
        let layers: Vec<String> = image.layers.iter().map(resolved).collect();
        let is_present = |layer: &&String| collected.blobs.contains(*layer);
        let present = layers.iter().filter(is_present).count();
        if present == 0 && !layers.is_empty() {
            self.elsewhere += layers.len();
            return;
        }
        self.missing.extend(layers.iter().filter(|layer| !is_present(layer)).cloned());
        self.images += 1;
        self.configs.entry(image.config.clone()).or_insert_with(|| image.name.clone());
        for (index, layer) in layers.iter().enumerate() {
            self.layers.entry(layer.clone()).or_insert_with(|| LayerInfo {
                image: image.name.clone(),
                number: index + 1,
                of: layers.len(),
                digest: digest(layer)
                    .map(|digest| redact(finder, &digest).into())
                    .or_else(|| config.diff_ids.get(index).cloned().flatten()),
                created_by: config.created_by.get(index).cloned().flatten(),
            });
        }
    }

    /// An error if there is no image, or a layer of one is missing.
    pub(crate) fn check_complete(&self, finder: &impl Finder) -> Result<(), ScanError> {
        match self.missing.first() {
            Some(example) => {
                let example = redact(finder, example);
                Err(ScanError::Incomplete { missing: self.missing.len(), example })
            }
            None if self.images == 0 => Err(ScanError::NoImage),
            None => Ok(()),
        }
    }
}

impl Config {
    fn read(document: &Value, finder: &impl Finder) -> Self {
        let shared = |text: &Value| text.as_str().map(|text| Rc::from(redact(finder, text)));
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
        let Some(layers) = image.get("Layers").and_then(Value::as_array) else { continue };
        let name = image.pointer("/RepoTags/0").and_then(Value::as_str);
        images.push(Image {
            name: name.map(|name| redact(finder, name).into()),
            manifest: None,
            config: text(image.get("Config")),
            layers: layers.iter().map(|layer| text(Some(layer))).collect(),
        });
    }
}

fn image_of_oci(blob: &str, document: &Value, elsewhere: &mut usize) -> Option<Image> {
    let layers = document.get("layers")?.as_array()?;
    let is_elsewhere = |layer: &&Value| {
        let kind = text(layer.get("mediaType"));
        kind.contains("nondistributable") || kind.contains("foreign")
    };
    *elsewhere += layers.iter().filter(is_elsewhere).count();
    Some(Image {
        name: None,
        manifest: Some(blob.to_owned()),
        config: document.get("config").and_then(path_of).unwrap_or_else(|| blob.to_owned()),
        layers: layers.iter().filter(|layer| !is_elsewhere(layer)).filter_map(path_of).collect(),
    })
}

/// Adds the names that an index gives to manifests.
fn names_in_index(document: &Value, finder: &impl Finder, names: &mut BTreeMap<String, Rc<str>>) {
    const ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    for manifest in document.get("manifests").and_then(Value::as_array).into_iter().flatten() {
        let name = ANNOTATIONS.iter().find_map(|name| manifest.get("annotations")?.get(name)?.as_str());
        let (Some(path), Some(name)) = (path_of(manifest), name) else { continue };
        names.insert(path, redact(finder, name).into());
    }
}

/// The blob's name in the OCI layout.
fn path_of(descriptor: &Value) -> Option<String> {
    let (algorithm, hex) = descriptor.get("digest")?.as_str()?.split_once(':')?;
    Some(format!("blobs/{algorithm}/{hex}"))
}

fn digest(blob: &str) -> Option<String> {
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
        collected.keep_document("blobs/sha256/c", config.to_string().into_bytes());
        for number in 0..IMAGES {
            let layers = json!([{ "digest": format!("sha256:a{number}") }]);
            let manifest = json!({ "config": { "digest": "sha256:c" }, "layers": layers });
            collected.keep_document(&format!("blobs/sha256/b{number}"), manifest.to_string().into_bytes());
            collected.blobs.insert(format!("blobs/sha256/a{number}"));
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
