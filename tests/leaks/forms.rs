//! The forms in which ordinary tools write a secret: real tools write secrets of every kind, and the leak check, `scan`
//! and masking are to notice all of them, except those that docs/LEAKS.md names.
#![cfg(all(target_os = "linux", feature = "host"))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use super::scratch_root::{SCRATCH_ROOT, Scene};
use crate::support::require::{FORMS, OPENSSH, require};
use crate::support::{Home, Start as _};

mod residue;
mod table;
mod tools;
pub(super) mod values;

use table::{Row, Table};
use tools::Written;
use values::Kind;

/// Of each run of the program, whose debug build reads slowly on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Most leaks that a leak check lists.
const MAX_LISTED: usize = 1000;

/// Most files of one leak check: a file may be two or three leaks.
const BATCH: usize = 350;

#[test]
fn the_table_of_forms_is_what_the_tools_show() {
    require!(SCRATCH_ROOT, FORMS, OPENSSH);
    let home = Home::new();
    let kinds = values::kinds(&home.path(""), 0);
    let inputs = home.path("inputs");
    fs::create_dir(&inputs).unwrap();
    for text in values::texts(&kinds) {
        fs::write(inputs.join(&text.name), text.with_value).unwrap();
        fs::write(inputs.join(format!("{}~", text.name)), text.with_variant).unwrap();
    }
    let written = tools::run(&home.path(""), &inputs, &home.path("written"));
    let scene = Scene::serving("plain", &options(&home, &kinds));
    let mut table = Table::default();
    let (leaked, scanned, shown) = std::thread::scope(|scope| {
        let leaked = scope.spawn(|| leaked(&scene, &kinds, &written));
        let scanned = scope.spawn(|| scanned(&home, &kinds, &written));
        let shown = shown(&scene, &kinds, &written);
        (leaked.join().unwrap(), scanned.join().unwrap(), shown)
    });
    for (number, file) in written.iter().enumerate() {
        let keys = keys(&kinds, file);
        let found = |found: &BTreeSet<(usize, String)>| {
            keys.iter().all(|key| found.contains(&(number, (*key).to_owned())))
        };
        let masked = shown.get(&number).map(|shown| residue::is_masked(file, shown));
        table.add(Row { file, leaked: found(&leaked), scanned: found(&scanned), masked });
    }
    // Each run makes new keys.
    let keys: Vec<&str> =
        kinds.iter().map(|kind| kind.value.as_str()).filter(|value| value.contains("PRIVATE")).collect();
    table.compare(&keys.join("\n"));
}

/// `--secret-from-file` for each kind.
fn options(home: &Home, kinds: &[Kind]) -> Vec<String> {
    let option = |kind: &Kind| {
        let file = home.file(&format!("secret-{}", kind.key), &kind.value);
        ["--secret-from-file".to_owned(), format!("{}={}", kind.key, file.display())]
    };
    kinds.iter().flat_map(option).collect()
}

/// The secrets in `file`.
fn keys<'a>(kinds: &'a [Kind], file: &Written) -> Vec<&'a str> {
    let key = file.text.split('.').next().unwrap();
    kinds.iter().map(|kind| kind.key).filter(|known| *known == key || key == "all").collect()
}

fn requests(kinds: &[Kind]) -> Vec<String> {
    kinds
        .iter()
        .enumerate()
        .flat_map(|(n, kind)| ["-e".to_owned(), format!("VALUE{n}={}", kind.key)])
        .collect()
}

/// The files in which the leak check finds secrets, by their number, with the keys.
fn leaked(scene: &Scene, kinds: &[Kind], written: &[Written]) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (batch, files) in written.chunks(BATCH).enumerate() {
        let directory = scene.root.join(format!("batches/{batch}"));
        fs::create_dir_all(&directory).unwrap();
        for (n, file) in files.iter().enumerate() {
            fs::write(directory.join((batch * BATCH + n).to_string()), &file.bytes).unwrap();
        }
        let script = format!("cp -r /batches/{batch} /app/{batch}");
        let options = [vec!["-v".to_owned(), "exec".to_owned()], requests(kinds)].concat();
        let options: Vec<&str> = options.iter().map(String::as_str).chain(["--sh", &script]).collect();
        let outcome = scene.command(&options).start().ends_within(LIMIT);
        let outcome = outcome.never_says("did not finish");
        let prefix = format!("/app/{batch}/");
        let mut listed = 0;
        for line in outcome.stderr.lines() {
            let Some((number, rest)) = line.split_once(&prefix).and_then(|(_, rest)| rest.split_once(": "))
            else {
                continue;
            };
            let key = rest.split(' ').next().unwrap();
            found.insert((number.parse().unwrap(), key.to_owned()));
            listed += 1;
        }
        assert!(listed < MAX_LISTED, "leaks are missing in the list");
        fs::remove_dir_all(directory).unwrap();
        fs::remove_dir_all(scene.root.join(format!("app/{batch}"))).unwrap();
    }
    found
}

/// The files in which `scan` finds secrets: an image with all of them in one layer.
fn scanned(home: &Home, kinds: &[Kind], written: &[Written]) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    // `scan` lists 4096 findings.
    for (part, files) in written.chunks(1500).enumerate() {
        let names: Vec<String> = (0..files.len()).map(|n| format!("files/{}", part * 1500 + n)).collect();
        let layer = tar(names.iter().map(String::as_str).zip(files.iter().map(|file| file.bytes.as_slice())));
        let manifest = br#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]"#;
        let config = br#"{"rootfs":{"type":"layers"}}"#;
        let image = tar([("config.json", &config[..]), ("layer.tar", &layer), ("manifest.json", manifest)]);
        let name = format!("image{part}.tar");
        home.file(&name, image);
        let options = options(home, kinds);
        let outcome = home
            .command(
                ["scan", "--format", "json", &name].into_iter().chain(options.iter().map(String::as_str)),
            )
            .start()
            .ends_within(LIMIT);
        let report: serde_json::Value = serde_json::from_str(&outcome.text()).expect(&outcome.stderr);
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!(report["more"], 0);
        for finding in report["findings"].as_array().unwrap() {
            let path = finding["path"].as_str().unwrap();
            let number = path.split('/').nth(1).unwrap().parse().unwrap();
            found.insert((number, finding["key"].as_str().unwrap().to_owned()));
        }
    }
    found
}

fn tar<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What COMMAND's output shows of each file that is not compressed, by its number.
fn shown(scene: &Scene, kinds: &[Kind], written: &[Written]) -> BTreeMap<usize, Vec<u8>> {
    let mut all = Vec::new();
    for (number, file) in written.iter().enumerate().filter(|(_, file)| file.variant.is_some()) {
        all.extend(separator(number));
        all.extend_from_slice(&file.bytes);
    }
    fs::write(scene.root.join("all"), &all).unwrap();
    let options = [vec!["exec".to_owned(), "--leaks=off".to_owned()], requests(kinds)].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["--", "cat", "/all"]).collect();
    let outcome = scene.command(&options).start().ends_within(LIMIT).succeeds();
    let mut output = outcome.stdout.as_slice();
    let mut shown = BTreeMap::new();
    let mut numbers =
        written.iter().enumerate().filter(|(_, file)| file.variant.is_some()).map(|(n, _)| n).peekable();
    while let Some(number) = numbers.next() {
        output = output.strip_prefix(separator(number).as_slice()).expect("the separators are unchanged");
        let end = numbers.peek().map_or(output.len(), |next| {
            let next = separator(*next);
            output
                .windows(next.len())
                .position(|window| window == next)
                .expect("the separators are unchanged")
        });
        shown.insert(number, output[..end].to_vec());
        output = &output[end..];
    }
    shown
}

/// Between the files in the output. No encoding continues over it.
fn separator(number: usize) -> Vec<u8> {
    format!("\n~~ file {number} ~~\n").into_bytes()
}
