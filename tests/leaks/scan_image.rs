//! Images for the tests of `scan`, as image tools write them.
#![cfg(feature = "host")]

use std::io::Write as _;

use serde_json::{Value, json};

pub const VALUE: &str = "xK9-hunter2-Qw7_leaks";
pub const SECRET: &str = "TOKEN=xK9-hunter2-Qw7_leaks";

/// A tar archive of files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        append(&mut builder, path, content);
    }
    builder.into_inner().unwrap()
}

pub fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

pub fn digest(content: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A compressor.
pub type Pack = fn(&[u8]) -> Vec<u8>;

/// An image to be written in one of the archive layouts.
pub struct Image {
    pub layers: Vec<Vec<u8>>,
    pub config: Value,
    pub annotations: Value,
}

impl Image {
    pub fn of(layers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let layers: Vec<_> = layers.into_iter().collect();
        let mut history = vec![json!({ "created_by": "ENV nothing", "empty_layer": true })];
        history
            .extend((1..=layers.len()).map(|number| json!({ "created_by": format!("RUN step {number}") })));
        let config =
            json!({ "config": { "Env": ["PATH=/bin"] }, "rootfs": { "type": "layers" }, "history": history });
        Self { layers, config, annotations: json!({}) }
    }

    /// With the digests of the layers in the config, which image tools require.
    pub fn with_diff_ids(mut self) -> Self {
        let digests: Vec<_> = self.layers.iter().map(|layer| format!("sha256:{}", digest(layer))).collect();
        self.config["rootfs"]["diff_ids"] = json!(digests);
        self.config["architecture"] = json!("amd64");
        self.config["os"] = json!("linux");
        self
    }

    /// As `docker save` wrote it up to version 24.
    pub fn legacy(&self) -> Vec<u8> {
        let names: Vec<String> =
            (0..self.layers.len()).map(|index| format!("{index:064x}/layer.tar")).collect();
        let manifest = json!([{ "Config": "c0ffee.json", "RepoTags": ["app:1"], "Layers": names }]);
        let (config, manifest) = (self.config.to_string(), manifest.to_string());
        let mut files: Vec<(&str, &[u8])> = vec![("c0ffee.json", config.as_bytes())];
        files.extend(names.iter().zip(&self.layers).map(|(name, layer)| (name.as_str(), layer.as_slice())));
        files.push(("manifest.json", manifest.as_bytes()));
        tar(&files)
    }

    /// The files of the OCI layout, layers packed by `pack`. The image is in an index in an index, of which another image is not
    /// in the archive.
    pub fn oci_files(&self, pack: Pack) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut add = |content: Vec<u8>| {
            let digest = digest(&content);
            files.push((format!("blobs/sha256/{digest}"), content));
            json!({ "digest": format!("sha256:{digest}") })
        };
        let config = add(self.config.to_string().into());
        let layers: Vec<Value> = self.layers.iter().map(|layer| add(pack(layer))).collect();
        let manifest = json!({ "config": config, "layers": layers, "annotations": self.annotations });
        let mut named = add(manifest.to_string().into());
        named["annotations"] = json!({ "io.containerd.image.name": "docker.io/app:1" });
        let missing = json!({
            "digest": format!("sha256:{}", digest(b"of another platform")),
            "platform": { "os": "linux", "architecture": "arm64" },
        });
        let index = add(json!({ "manifests": [named, missing] }).to_string().into());
        files.push(("index.json".to_owned(), json!({ "manifests": [index] }).to_string().into()));
        files
    }

    pub fn oci(&self, pack: Pack) -> Vec<u8> {
        archive(&self.oci_files(pack))
    }

    /// As `docker save` writes it from version 25 on: both layouts, one set of blobs.
    pub fn docker(&self) -> Vec<u8> {
        let mut files = self.oci_files(plain);
        let blob = |content: &[u8]| format!("blobs/sha256/{}", digest(content));
        let layers: Vec<String> = self.layers.iter().map(|layer| blob(layer)).collect();
        let config = blob(self.config.to_string().as_bytes());
        let manifest = json!([{ "Config": config, "RepoTags": ["app:1"], "Layers": layers }]);
        files.push(("manifest.json".to_owned(), manifest.to_string().into()));
        files.reverse();
        archive(&files)
    }
}

pub fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect::<Vec<_>>())
}

/// An image with the secret in a file of the second of its three layers.
pub fn leaking() -> Image {
    let npmrc = format!("//registry.npmjs.org/:_authToken={VALUE}\n");
    let filler: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    Image::of([
        tar(&[("bin/sh", &filler)]),
        tar(&[("app/main.js", &filler), ("app/.npmrc", npmrc.as_bytes())]),
        tar(&[("etc/motd", b"hello")]),
    ])
}
