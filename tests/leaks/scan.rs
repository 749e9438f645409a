//! `scan`: a secret anywhere in an image is found, and its place is reported without its value.
#![cfg(feature = "host")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::scan_image::*;
use crate::support::{Home, Outcome, Start as _};

fn scan_file(bytes: &[u8]) -> Outcome {
    let home = Home::new();
    home.file("image.tar", bytes);
    home.command(["scan", "--secret", SECRET, "image.tar"]).outcome()
}

fn scan_stdin(bytes: &[u8]) -> Outcome {
    Home::new().command(["scan", "--secret", SECRET, "-"]).outcome_with(bytes)
}

#[test]
fn a_file_of_any_layer_is_found_in_every_image_layout() {
    let image = leaking();
    for (name, bytes) in [
        ("legacy", image.legacy()),
        ("docker", image.docker()),
        ("oci", image.oci(plain)),
        ("oci, gzip", image.oci(gzip)),
        ("oci, zstd", image.oci(zstd)),
        ("docker, gzip", gzip(&image.docker())),
        ("oci of gzip, zstd", zstd(&image.oci(gzip))),
    ] {
        for outcome in [scan_file(&bytes), scan_stdin(&bytes)] {
            let outcome = outcome.exits_with(1).says("1 finding: images: 1, layers: 3");
            let text = outcome.text();
            assert_eq!(text.lines().count(), 1, "{name}: {text}");
            for part in ["app:1: layer 2 of 3", "RUN step 2", ": app/.npmrc: TOKEN (raw)"] {
                assert!(text.contains(part), "{name}: no {part:?} in {text}");
            }
        }
    }
}

#[test]
fn a_directory_in_the_oci_layout_is_scanned() {
    let home = Home::new();
    for (name, content) in leaking().oci_files(gzip) {
        let path = home.path("layout").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let outcome = home.command(["scan", "--secret", SECRET, "layout"]).outcome().exits_with(1);
    assert!(outcome.text().contains("layer 2 of 3"), "{}", outcome.text());
}

#[test]
fn an_image_without_the_secret_is_clean() {
    let image = Image::of([tar(&[("bin/sh", b"nothing here")])]);
    for bytes in [image.legacy(), image.oci(gzip)] {
        scan_file(&bytes).succeeds().prints("").says("no secret found: images: 1, layers: 1");
    }
}

#[test]
fn a_file_that_a_later_layer_deletes_is_reported_with_that() {
    for whiteout in ["app/.wh..npmrc", ".wh.app", "app/.wh..wh..opq"] {
        let image = Image::of([
            tar(&[("app/.npmrc", VALUE.as_bytes())]),
            tar(&[("x", b"x")]),
            tar(&[(whiteout, b"")]),
        ]);
        let outcome = scan_file(&image.docker()).exits_with(1);
        let line = "TOKEN (raw); deleted in layer 3, but still in the image";
        assert!(outcome.text().contains(line), "{}", outcome.text());
    }
}

#[test]
fn config_history_and_annotations_are_searched_by_value() {
    let mut image = Image::of([tar(&[("x", b"x")])]);
    image.config["config"] = json!({
        "Env": ["PATH=/bin", format!("T={VALUE}")],
        "Cmd": ["curl", "-H", format!("Authorization: {VALUE}")],
        "Labels": { "token": VALUE },
    });
    image.config["history"][0]["created_by"] = json!(format!("ARG T={VALUE}"));
    image.annotations = json!({ "note": VALUE });
    let outcome = scan_file(&image.oci(gzip)).exits_with(1).never_says(VALUE);
    let text = outcome.text();
    for place in
        ["config.Env[1]", "config.Cmd[2]", "config.Labels.token", "history[0].created_by", "annotations.note"]
    {
        assert!(text.contains(&format!(": {place}: TOKEN (raw)")), "no {place} in {text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(!text.contains(VALUE));
}

#[test]
fn names_link_targets_and_attributes_are_searched_not_shown() {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, &format!("cache/{VALUE}/index"), b"x");
    append(&mut builder, &format!("{}/{VALUE}", "long/".repeat(60)), b"x");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link", format!("/run/{VALUE}")).unwrap();
    builder.append_pax_extensions([("SCHILY.xattr.user.token", VALUE.as_bytes())]).unwrap();
    append(&mut builder, "tagged", b"x");
    let image = Image::of([builder.into_inner().unwrap()]);
    let outcome = scan_file(&image.legacy()).exits_with(1).never_says(VALUE);
    let text = outcome.text();
    assert!(!text.contains(VALUE), "{text}");
    assert_eq!(text.matches("(its name or attributes)").count(), 4, "{text}");
    for path in ["cache/(withheld: it holds a secret)/index", ": link (", ": tagged ("] {
        assert!(text.contains(path), "no {path} in {text}");
    }
}

#[test]
fn an_instruction_with_a_secret_is_not_shown_with_the_layer() {
    let mut image = Image::of([tar(&[("x", VALUE.as_bytes())])]);
    image.config["history"][1]["created_by"] = json!(format!("RUN login {VALUE}"));
    let home = Home::new();
    home.file("image.tar", image.docker());
    for format in ["text", "json"] {
        let command = ["scan", "--secret", SECRET, "image.tar", "--format", format];
        let outcome = home.command(command).outcome().exits_with(1).never_says(VALUE);
        assert!(!outcome.text().contains(VALUE) && outcome.text().contains("withheld"), "{}", outcome.text());
    }
}

#[test]
fn nothing_of_an_image_reaches_the_terminal_unescaped() {
    let image = Image::of([tar(&[("a\x1b[31m\u{202e}b", VALUE.as_bytes())])]);
    let outcome = scan_file(&image.legacy()).exits_with(1);
    assert!(outcome.text().contains("a\\u{1b}[31m\\u{202e}b"), "{}", outcome.text());
}

#[test]
fn json_output_has_every_field() {
    let home = Home::new();
    home.file("image.tar", leaking().docker());
    let outcome = home.command(["scan", "--secret", SECRET, "--format", "json", "image.tar"]).outcome();
    let report: Value = serde_json::from_str(&outcome.exits_with(1).text()).unwrap();
    let mut finding = report["findings"][0].clone();
    assert_eq!(finding["offset"].take(), json!("//registry.npmjs.org/:_authToken=".len()));
    let digest = digest(&leaking().layers[1]);
    let expected = json!({
        "key": "TOKEN", "form": "raw", "part": false, "where": "file", "path": "app/.npmrc", "image": "app:1",
        "layer": {
            "number": 2, "of": 3, "digest": format!("sha256:{digest}"), "created_by": "RUN step 2",
        },
        "blob": format!("blobs/sha256/{digest}"), "packed": null, "deleted_in": null, "offset": null,
    });
    assert_eq!(finding, expected);
    assert_eq!((&report["clean"], &report["complete"]), (&json!(false), &json!(true)));
    assert_eq!((&report["images"], &report["layers"], &report["more"]), (&json!(1), &json!(3), &json!(0)));
}

#[test]
fn every_source_is_read_at_once_and_a_command_is_run() {
    let home = Home::new();
    home.file("image.tar", leaking().docker());
    home.file("token", VALUE);
    for source in ["id=TOKEN,src=token", "id=TOKEN,cmd=cat token", "TOKEN=-"] {
        let mut command = home.command(["scan", "--secret", source, "image.tar"]);
        command.outcome_with(VALUE).exits_with(1);
    }
    home.command(["scan", "--secret-from-file", "token", "image.tar"]).outcome().exits_with(1);
    home.command(["scan", "--secret", "id=TOKEN,cmd=exit 3", "image.tar"]).outcome().fails();
}

#[test]
fn other_files_and_incomplete_images_are_never_clean() {
    let image = Image::of([tar(&[("a", &[b'a'; 5000])]), tar(&[("b", &[b'b'; 5000])])]);
    let whole = image.oci(gzip);
    let mut files = image.oci_files(gzip);
    files.retain(|(name, _)| !name.ends_with(&digest(&gzip(&image.layers[1]))));
    for (bytes, says) in [
        (&b""[..], "not a container image"),
        (b"PK\x03\x04 something else", "not a container image"),
        (&tar(&[("etc/passwd", b"an exported container")]), "no manifest"),
        (&archive(&files), "cannot search layer 2 of 2 of docker.io/app:1 (sha256:"),
        (&whole[..whole.len() - 3000], "cannot read"),
        (&gzip(&whole)[..200], "cannot read"),
    ] {
        scan_stdin(bytes).fails().says(says);
        scan_file(bytes).fails().says(says);
    }
    Home::new().command(["scan", "--secret", SECRET, "nowhere.tar"]).outcome().fails().says("nowhere.tar");
}

#[test]
fn findings_before_a_failure_are_reported() {
    let image = leaking().legacy();
    let outcome = scan_stdin(&image[..image.len() - 3500]).exits_with(125).says("it ends too early");
    assert!(outcome.text().contains("app/.npmrc: TOKEN (raw)"), "{}", outcome.text());
}

#[test]
fn a_layer_may_be_a_link_to_another_layer() {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "a/layer.tar", &tar(&[("f", VALUE.as_bytes())]));
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "b/layer.tar", "../a/layer.tar").unwrap();
    append(&mut builder, "c.json", b"{}");
    append(
        &mut builder,
        "manifest.json",
        br#"[{"Config":"c.json","RepoTags":null,"Layers":["b/layer.tar"]}]"#,
    );
    let outcome = scan_file(&builder.into_inner().unwrap()).exits_with(1);
    assert!(outcome.text().starts_with("layer 1 of 1: f: TOKEN"), "{}", outcome.text());
}

#[test]
fn run_scans_the_image_only_if_command_succeeded() {
    let home = Home::new();
    home.file("leaking.tar", leaking().docker());
    home.file("clean.tar", Image::of([tar(&[("etc/motd", b"hello")])]).docker());
    let run = |script: &str| {
        home.command(["run", "--secret", SECRET, "--scan", "./image.tar", "--", "sh", "-c", script]).outcome()
    };
    let outcome = run("cp leaking.tar image.tar").exits_with(1);
    assert!(outcome.text().contains(": app/.npmrc: TOKEN (raw)"), "{}", outcome.text());
    run("cp clean.tar image.tar").succeeds().says("no secret found");
    run("cp leaking.tar image.tar; exit 7").exits_with(7).prints("");
}

#[test]
fn a_scan_without_a_secret_to_search_for_is_an_error() {
    let home = Home::new();
    home.file("image.tar", leaking().docker());
    home.command(["scan", "image.tar"]).outcome().fails().says("no secret to search for");
    home.command(["scan", "--secret", "K=short", "image.tar"]).outcome().fails().says("too short");
    home.command(["scan", "--secret", "K=-", "-"]).outcome().fails().says("cannot be both");
}

/// An engine that writes `archive`, a file of `home`, for `save`, and notes its arguments in `calls`.
fn engine(home: &Home, path: &str, archive: &str) {
    let (calls, archive) = (home.path("calls"), home.path(archive));
    let script = format!(
        "#!/bin/sh\necho \"$0 $*\" >> '{}'\ncase $1 in save|push) cat '{}';; esac\n",
        calls.display(),
        archive.display()
    );
    fs::create_dir_all(home.path(path).parent().unwrap()).unwrap();
    let file = home.file(path, script);
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_with_the_name_of_the_image_is_not_searched() {
    let home = Home::new();
    home.file("leaking.tar", leaking().docker());
    // In the repository, beside the Dockerfile: an archive and a layout that are clean.
    let clean = Image::of([tar(&[("etc/motd", b"hello")])]);
    home.file("app", clean.docker());
    for (name, content) in clean.oci_files(gzip) {
        let path = home.path("dir").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    engine(&home, "bin/docker", "leaking.tar");
    for image in ["app", "dir"] {
        let command = ["run", "--secret", SECRET, "--scan", image, "--", "docker", "build", "."];
        let mut run = home.command(command);
        let outcome = run.env("PATH", path_with(&home.path("bin"))).outcome().exits_with(1);
        outcome
            .says(&format!("searching the image {image}, as {}/docker saves it", home.path("bin").display()));
        let mut scan = home.command(["scan", "--secret", SECRET, "--engine", "docker", image]);
        scan.env("PATH", path_with(&home.path("bin"))).outcome().exits_with(1);
    }
    let docker = home.path("bin/docker");
    let calls = home.read("calls");
    assert_eq!(calls.matches(&format!("{} save -- app\n", docker.display())).count(), 2, "{calls}");
    // A path is a file, whatever the engine.
    let command = ["run", "--secret", SECRET, "--scan", "./app", "--", "true"];
    home.command(command).outcome().succeeds().says("no secret found");
    let command = ["scan", "--secret", SECRET, "--engine", "docker", "./app"];
    home.command(command).env("PATH", path_with(&home.path("bin"))).outcome().succeeds();
}

#[test]
fn an_engine_of_the_repository_does_not_run() {
    let home = Home::new();
    home.file("clean.tar", Image::of([tar(&[("etc/motd", b"hello")])]).docker());
    for path in ["ci/docker", "docker", "podman"] {
        engine(&home, path, "clean.tar");
    }
    let run = |command: &[&str], path: &str| {
        let words = [&["run", "--secret", SECRET, "--scan", "app", "--"], command].concat();
        home.command(words).env("PATH", path).outcome()
    };
    engine(&home, "bin/docker", "clean.tar");
    let usual = path_with(&home.path("bin"));
    for command in [
        &["sudo", "docker", "build", "."][..],
        &["make", "docker"],
        &["make", "./ci/docker"],
        &["sh", "-c", "docker build ."],
        &["sudo", "ci/docker", "build", "."],
        &["env", "./docker", "build", "."],
        &["docker-compose", "build"],
        &["./ci/docker", "build", "."],
        &["ci/docker", "build", "."],
        &["docker", "--context", "ci", "build", "."],
    ] {
        run(command, &usual).fails().says("invalid --scan").says("add --engine");
    }
    // Before COMMAND: a build whose image cannot be scanned is not started.
    assert!(!home.path("calls").exists(), "{}", home.read("calls"));
    // Relative directories in PATH lead into the repository. (COMMAND itself is the user's.)
    for path in [format!(".:ci:{usual}"), format!(":{usual}"), ".".to_owned()] {
        let outcome = run(&["podman", "build", "."], &path).never_says("no secret found");
        assert!(!home.path("calls").exists() || !home.read("calls").contains("save"), "{}", outcome.stderr);
        let _ = fs::remove_file(home.path("calls"));
    }
    for engine in ["./docker", "ci/docker", "../docker"] {
        let words = ["run", "--secret", SECRET, "--engine", engine, "--scan", "app", "--", "true"];
        home.command(words).outcome().fails().says("invalid --engine").says("is a relative path");
    }
    for name in ["-o", "--output=x", "a b", ""] {
        let option = format!("--scan={name}");
        let words = ["run", "--secret", SECRET, &option, "--engine", "/bin/true", "--", "true"];
        home.command(words).outcome().fails().says("must be the name of an image");
    }
    home.command(["run", "--secret", SECRET, "--engine", "docker", "--", "true"])
        .outcome()
        .fails()
        .says("needs --scan");
}

fn path_with(directory: &std::path::Path) -> String {
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}
