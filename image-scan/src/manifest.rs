//! Which layer of which image a blob is, as the manifests and configs tell it: `manifest.json` of `docker save`, and
//! OCI manifests, indexes and configs, which are known by what they hold and not by where they are.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::collector::Gathered;
use crate::error::ScanError;
use crate::report::shown;
use crate::search::Finder;

/// What the manifests tell.
#[derive(Default)]
pub(crate) struct Names {
    /// By blob. What several images share is named after the first.
    pub(crate) layers: BTreeMap<String, LayerName>,
    /// The image that each config belongs to.
    pub(crate) configs: BTreeMap<String, Option<String>>,
    /// How many images there are of which all layers are in the archive.
    pub(crate) images: usize,
    /// Layers that no archive holds: platforms that were not saved, and layers that may not be distributed.
    pub(crate) elsewhere: usize,
    /// Layers that are missing from images of which others are there.
    pub(crate) missing: Vec<String>,
}

/// A layer's place. Nothing in it is fit to be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerName {
    pub(crate) image: Option<String>,
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) digest: Option<String>,
    pub(crate) created_by: Option<String>,
}

/// An image as its manifest describes it: names of blobs.
struct Image {
    name: Option<String>,
    /// Its manifest, where that is a blob of its own.
    manifest: Option<String>,
    config: String,
    layers: Vec<String>,
}

/// Whether `document` is a manifest, an index or a config.
pub(crate) fn is_of_image(document: &Value) -> bool {
    let of_docker = || document.as_array()?.first()?.get("Layers");
    ["layers", "manifests", "rootfs"].iter().any(|name| document.get(name).is_some()) || of_docker().is_some()
}

impl Names {
    pub(crate) fn of(gathered: &Gathered) -> Self {
        let mut names = Self::default();
        let mut images = Vec::new();
        let mut called = BTreeMap::new();
        for (blob, document) in parsed(gathered) {
            images_of_docker(&document, &mut images);
            call_by_index(&document, &mut called);
            if let Some(image) = image_of_oci(blob, &document, &mut names.elsewhere) {
                images.push(image);
            }
        }
        for image in &mut images {
            image.name = image.name.take().or_else(|| called.get(image.manifest.as_ref()?).cloned());
        }
        // `docker save` describes each image twice; the description with the name that users know comes first.
        images.sort_by_cached_key(|image| {
            (image.config.clone(), image.name.is_none(), image.manifest.is_some())
        });
        images.dedup_by(|later, earlier| later.config == earlier.config && later.layers == earlier.layers);
        for image in &images {
            names.take(image, gathered);
        }
        names
    }

    fn take(&mut self, image: &Image, gathered: &Gathered) {
        let resolved = |layer: &String| gathered.links.get(layer).unwrap_or(layer).clone();
        let layers: Vec<String> = image.layers.iter().map(resolved).collect();
        let is_there = |layer: &&String| gathered.blobs.contains(*layer);
        let there = layers.iter().filter(is_there).count();
        if there == 0 && !layers.is_empty() {
            self.elsewhere += layers.len();
            return;
        }
        self.missing.extend(layers.iter().filter(|layer| !is_there(layer)).cloned());
        self.images += 1;
        self.configs.entry(image.config.clone()).or_insert_with(|| image.name.clone());
        let config = document(gathered, &image.config).unwrap_or_default();
        let created_by = created_by(&config);
        for (index, layer) in layers.iter().enumerate() {
            let diff_id = config.pointer(&format!("/rootfs/diff_ids/{index}"));
            let name = LayerName {
                image: image.name.clone(),
                number: index + 1,
                of: layers.len(),
                digest: digest(layer).or_else(|| diff_id?.as_str().map(str::to_owned)),
                created_by: created_by.get(index).cloned().flatten(),
            };
            self.layers.entry(layer.clone()).or_insert(name);
        }
    }

    /// What the archive lacks, if it lacks anything.
    pub(crate) fn lacking(&self, finder: &impl Finder) -> Option<ScanError> {
        match self.missing.first() {
            Some(example) => {
                let example = shown(finder, example);
                Some(ScanError::Incomplete { missing: self.missing.len(), example })
            }
            None if self.images == 0 => Some(ScanError::NoImage),
            None => None,
        }
    }
}

/// One after the other: parsed, a document takes many times its length.
fn parsed(gathered: &Gathered) -> impl Iterator<Item = (&str, Value)> {
    gathered
        .documents
        .iter()
        .filter_map(|(blob, bytes)| Some((blob.as_str(), serde_json::from_slice(bytes).ok()?)))
}

fn document(gathered: &Gathered, blob: &str) -> Option<Value> {
    serde_json::from_slice(gathered.documents.get(blob)?).ok()
}

fn images_of_docker(document: &Value, images: &mut Vec<Image>) {
    for image in document.as_array().into_iter().flatten() {
        let Some(layers) = image.get("Layers").and_then(Value::as_array) else { continue };
        images.push(Image {
            name: image.pointer("/RepoTags/0").and_then(Value::as_str).map(str::to_owned),
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

fn call_by_index(document: &Value, called: &mut BTreeMap<String, String>) {
    const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    for manifest in document.get("manifests").and_then(Value::as_array).into_iter().flatten() {
        let annotation = NAMES.iter().find_map(|name| manifest.get("annotations")?.get(name)?.as_str());
        let (Some(path), Some(name)) = (path_of(manifest), annotation) else { continue };
        called.insert(path, name.to_owned());
    }
}

/// What made each layer: the entries of the history that made one.
fn created_by(config: &Value) -> Vec<Option<String>> {
    let history = config.get("history").and_then(Value::as_array);
    let made_a_layer = |entry: &&Value| !entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
    let created_by = |entry: &Value| entry.get("created_by").and_then(Value::as_str).map(str::to_owned);
    history.into_iter().flatten().filter(made_a_layer).map(created_by).collect()
}

/// Where a descriptor's blob is.
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
