//! `image`: writes an image that holds only this binary, as an archive for `docker load`.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use clap::Args;
use serde_json::json;

use crate::cli::command::Command;
use crate::failure::Failure;
use crate::usage::UsageError;

const DEFAULT_TAG: &str = "secrets-bridge:latest";
const NAME_IN_IMAGE: &str = "secrets-bridge";
/// In bytes; far more than a binary of this program has.
const MAX_BINARY: u64 = 256 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
The image is written to standard output, as an archive for `docker load`. It holds the binary only.

Examples:
  On the host:
    secrets-bridge image | docker load
  In the Dockerfile:
    COPY --from=secrets-bridge /secrets-bridge /usr/local/bin/")]
pub(crate) struct Image {
    /// Name and tag of the image
    #[arg(long, value_name = "NAME[:TAG]", default_value = DEFAULT_TAG)]
    tag: String,
    /// Use this Linux binary of secrets-bridge instead of the running one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Command for Image {
    fn run(self) -> Result<u32, Failure> {
        let tag = full_tag(&self.tag)?;
        if io::stdout().is_terminal() {
            let problem = "standard output is a terminal: pipe it to `docker load`";
            return Err(UsageError::CommandLine(problem.to_owned()).into());
        }
        let path = match self.binary {
            Some(path) => path,
            None => std::env::current_exe().map_err(|error| Failure::io("cannot find this binary", error))?,
        };
        let cannot_read = |error| Failure::io(format!("cannot read {}", path.display()), error);
        if fs::metadata(&path).map_err(cannot_read)?.len() > MAX_BINARY {
            return Err(
                UsageError::option("--binary", "file too large to be a binary of secrets-bridge").into()
            );
        }
        let binary = fs::read(&path).map_err(cannot_read)?;
        match Linkage::of(&binary) {
            Linkage::Static => {}
            Linkage::Dynamic => tracing::warn!(
                "{} is linked to the C library of its system, and will not start in other images (FROM scratch, Alpine); \
                 `cargo xtask dist` builds a static binary",
                path.display()
            ),
            Linkage::Foreign => {
                return Err(UsageError::CommandLine(format!(
                    "{} is not a Linux binary: name one with --binary",
                    path.display()
                ))
                .into());
            }
        }
        let mut stdout = io::stdout().lock();
        write_archive(&mut stdout, &tag, &binary)
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::io("cannot write the image to standard output", error))?;
        Ok(0)
    }
}

/// Adds `:latest` if there is no tag, which `docker load` needs. Allows the characters of the registry API.
fn full_tag(tag: &str) -> Result<String, UsageError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/:".contains(&byte);
    if tag.is_empty() || tag.len() > 255 || !tag.bytes().all(allowed) {
        return Err(UsageError::option("--tag", "must be NAME[:TAG] in lower case"));
    }
    let has_tag = tag.rsplit('/').next().is_some_and(|last| last.contains(':'));
    Ok(if has_tag { tag.to_owned() } else { format!("{tag}:latest") })
}

#[derive(Debug, PartialEq, Eq)]
enum Linkage {
    Static,
    Dynamic,
    /// Not a 64-bit little-endian ELF file.
    Foreign,
}

impl Linkage {
    /// Looks for a program interpreter (ELF-64, System V gABI chapter 5): only dynamic binaries name one.
    fn of(binary: &[u8]) -> Self {
        const PT_INTERP: u32 = 3;
        let u16_at = |at: usize| binary.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        let u32_at = |at: usize| binary.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let u64_at = |at: usize| binary.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        if !binary.starts_with(b"\x7fELF\x02\x01") {
            return Self::Foreign;
        }
        let (Some(table), Some(size), Some(count)) = (u64_at(32), u16_at(54), u16_at(56)) else {
            return Self::Foreign;
        };
        let names_interpreter = (0..usize::from(count)).any(|index| {
            let at = usize::try_from(table).unwrap_or(usize::MAX).saturating_add(index * usize::from(size));
            at < binary.len() && u32_at(at) == Some(PT_INTERP)
        });
        if names_interpreter { Self::Dynamic } else { Self::Static }
    }
}

/// The layout of `docker save` (image specification 1.2): a manifest, a config, one layer.
fn write_archive(output: &mut impl Write, tag: &str, binary: &[u8]) -> io::Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, NAME_IN_IMAGE, 0o755, binary)?;
    let layer = layer.into_inner()?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex_sha256(&layer))] },
        "history": [{ "created_by": "secrets-bridge image" }],
    })
    .to_string();
    let config_name = format!("{}.json", hex_sha256(config.as_bytes()));
    let manifest = json!([{ "Config": config_name, "RepoTags": [tag], "Layers": ["layer.tar"] }]).to_string();

    let mut archive = tar::Builder::new(output);
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    append(&mut archive, &config_name, 0o644, config.as_bytes())?;
    append(&mut archive, "layer.tar", 0o644, &layer)?;
    archive.finish()
}

/// Time 0 and owner root, so that the same binary makes the same image, byte for byte, which caches depend on.
fn append(archive: &mut tar::Builder<impl Write>, name: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, contents)
}

/// The name that Go, and so images, use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hex_sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_added_and_a_port_is_not_taken_for_one() {
        assert_eq!(full_tag("bridge").ok().as_deref(), Some("bridge:latest"));
        assert_eq!(full_tag("r.example:5000/bridge").ok().as_deref(), Some("r.example:5000/bridge:latest"));
        assert_eq!(full_tag("r.example/bridge:1").ok().as_deref(), Some("r.example/bridge:1"));
        assert!(full_tag("Bridge").is_err());
    }

    #[test]
    fn other_files_are_foreign_and_truncated_ones_do_not_panic() {
        assert_eq!(Linkage::of(b"MZ"), Linkage::Foreign);
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        for end in [6, 40, 57, 70, 200] {
            let _ = Linkage::of(&own[..end]);
        }
    }
}
