//! No false alarms: ordinary trees of files are searched for secrets of every kind, and none is found.
//!
//! The short form reads some megabytes of this machine: settings, certificates, keys, scripts and documents, which have the
//! most lines that secrets could share. The long one (`cargo xtask test --long`) reads its programs too, what npm and pip
//! install, and what cargo built.
#![cfg(all(target_os = "linux", feature = "host"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::forms::values;
use super::lines;
use crate::is_long;
use crate::support::require::{NPM, OPENSSH, OPENSSL, PIP, require};
use crate::support::{Home, Start as _};

/// Of one search, whose debug build reads slowly.
const LIMIT: Duration = Duration::from_secs(1800);

/// Most bytes of one tree.
const MAX_TREE: u64 = 1 << 30;
const MAX_SHORT_TREE: u64 = 12 << 20;

/// Secrets of every kind, and files of several lines.
const MIN_SECRETS: usize = 50;

fn secrets(home: &Home, with_lines: bool) -> Vec<String> {
    let mut options = Vec::new();
    let mut add = |key: String, value: &str| {
        let file = home.file(&format!("secret-{key}"), value);
        options.extend(["--secret-from-file".to_owned(), format!("{key}={}", file.display())]);
    };
    // Not the first set: it is in the source of these tests, and in what cargo builds of them.
    for set in 1..6 {
        let scratch = home.path(&format!("keys{set}"));
        fs::create_dir(&scratch).unwrap();
        for kind in values::kinds(&scratch, set) {
            add(format!("{}{set}", kind.key), &kind.value);
        }
    }
    for (key, text, ..) in lines::FILES.iter().filter(|_| with_lines) {
        add((*key).to_owned() + "-lines", text);
    }
    assert!(options.len() / 2 >= MIN_SECRETS);
    options
}

/// Searches `paths`, each up to `limit` bytes, and prints how long that took.
#[allow(clippy::print_stdout, reason = "the time is a result of the long form")]
fn search(what: &str, paths: &[PathBuf], limit: u64) {
    // The lines are in the source of these tests too.
    let of_ours = paths.iter().any(|path| path.starts_with(env!("CARGO_MANIFEST_DIR")));
    let home = Home::new();
    let options = secrets(&home, !of_ours);
    let layer = home.path("layer.tar");
    let mut builder = tar::Builder::new(fs::File::create(&layer).unwrap());
    builder.follow_symlinks(false);
    let (mut bytes, mut files) = (0, 0);
    for path in paths {
        let mut left = limit;
        append(&mut builder, path, &mut left, &mut files);
        bytes += limit - left;
    }
    builder.into_inner().unwrap();
    home.file("config.json", br#"{"rootfs":{"type":"layers"}}"#);
    home.file("manifest.json", br#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]"#);
    let packed = home
        .program("tar", ["-cf", "image.tar", "config.json", "manifest.json", "layer.tar"])
        .outcome()
        .succeeds();
    assert_eq!(packed.stderr, "");
    fs::remove_file(layer).unwrap();
    let began = Instant::now();
    let args = ["scan", "image.tar"].into_iter().chain(options.iter().map(String::as_str));
    let outcome = home.command(args).start().ends_within(LIMIT);
    let took = began.elapsed().as_secs_f64();
    assert_eq!(outcome.code(), Some(0), "{what}: {}\n{}", outcome.text(), outcome.stderr);
    outcome.says("no secret found");
    println!("{what}: {} secrets, {files} files, {} MB, {took:.1} s", options.len() / 2, bytes / 1_000_000);
}

/// Appends the files below `path` as long as `left` allows.
fn append(builder: &mut tar::Builder<fs::File>, path: &Path, left: &mut u64, files: &mut u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_dir() {
        let Ok(entries) = fs::read_dir(path) else { return };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort_unstable();
        entries.iter().for_each(|entry| append(builder, entry, left, files));
    } else if metadata.is_file() && metadata.len() <= *left {
        let Ok(mut file) = fs::File::open(path) else { return };
        builder.append_file(path.strip_prefix("/").unwrap(), &mut file).unwrap();
        *left -= metadata.len();
        *files += 1;
    }
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}

#[test]
fn no_secret_is_found_in_files_of_debian() {
    require!(OPENSSH, OPENSSL);
    if is_long() {
        search("files of Debian", &paths(&["/etc", "/usr", "/var/lib", "/opt"]), MAX_TREE);
    } else {
        let short = [
            "/etc",
            "/usr/share/ca-certificates",
            "/usr/share/keyrings",
            "/usr/share/perl5",
            "/usr/lib/python3",
        ];
        search("files of Debian", &paths(&short), MAX_SHORT_TREE);
    }
}

#[test]
fn no_secret_is_found_in_what_npm_installs() {
    if !is_long() {
        return;
    }
    require!(OPENSSH, OPENSSL, NPM);
    let home = Home::new();
    let packages = ["express@4", "webpack@5", "eslint@8", "jest@29", "typescript@5"];
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    home.program("npm", install.into_iter().chain(packages)).start().ends_within(LIMIT).succeeds();
    let lock: serde_json::Value = serde_json::from_str(&home.read("package-lock.json")).unwrap();
    let count = lock["packages"].as_object().unwrap().len();
    assert!(count >= 300, "{count} packages");
    search(&format!("{count} packages of npm"), &[home.path("node_modules")], MAX_TREE);
}

#[test]
fn no_secret_is_found_in_what_pip_installs() {
    if !is_long() {
        return;
    }
    require!(OPENSSH, OPENSSL, PIP);
    let home = Home::new();
    home.program("python3", ["-m", "venv", "venv"]).start().ends_within(LIMIT).succeeds();
    let packages = [
        "requests",
        "flask",
        "django",
        "pyyaml",
        "cryptography",
        "jinja2",
        "click",
        "rich",
        "pydantic",
        "sqlalchemy",
        "pytest",
        "boto3",
    ];
    let pip = home.path("venv/bin/pip");
    home.program(pip, ["install", "--quiet"].into_iter().chain(packages))
        .start()
        .ends_within(LIMIT)
        .succeeds();
    search("12 packages of pip", &[home.path("venv")], MAX_TREE);
}

#[test]
fn no_secret_is_found_in_what_cargo_builds() {
    if !is_long() {
        return;
    }
    require!(OPENSSH, OPENSSL);
    let target = Path::new(crate::support::BINARY).parent().unwrap();
    search("what cargo built", &["deps", "build", "incremental"].map(|name| target.join(name)), MAX_TREE / 2);
}
