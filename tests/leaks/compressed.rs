//! Secrets in what ordinary tools compress: the leak check and `scan` find them, and say how they are packed.
#![cfg(all(target_os = "linux", feature = "host"))]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::scratch_root::{SCRATCH_ROOT, Scene, TOKEN, assert_leaks};
use crate::support::require::{GIT, NPM, PYTHON, ZIP, require};
use crate::support::{Home, Outcome, Start as _};

/// Makes files with real tools, in a directory with the file `config` that holds the secret: no file may show it as it is.
const MAKE: &str = r#"
set -e
seq 500 > before; cat before config before > text; mkdir tree; mv text tree/app.conf
tar czf "$OUT/plain.tgz" tree
gzip -c config > "$OUT/members"; seq 9 | gzip -1 >> "$OUT/members"
{ printf '#!/bin/sh\nexec tail -n +3 "$0" | tar xz\n'; tar cz tree; } > "$OUT/installer.run"
zip -q -r "$OUT/deflated.zip" tree
(cd tree && zip -q - app.conf | cat > "$OUT/piped.jar")
zip -q -0 "$OUT/stored.war" -j "$OUT/piped.jar"
tar czf "$OUT/nested" -C "$OUT" deflated.zip
zip -q -P password "$OUT/encrypted" tree/app.conf
python3 - "$OUT" <<'EOF'
import gzip, sys, zipapp, zipfile, zlib
out = sys.argv[1]
text = open("tree/app.conf", "rb").read()
with zipfile.ZipFile(out + "/m-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr("m/__init__.py", "")
    wheel.writestr("m/conf.py", text)
    with wheel.open("big", "w", force_zip64=True) as big: big.write(text)
open(out + "/cache", "wb").write(zlib.compress(text))
import os; os.mkdir("application"); open("application/__main__.py", "w").write("print()"); os.rename("tree/app.conf", "application/app.conf")
zipapp.create_archive("application", out + "/tool.pyz", interpreter="/usr/bin/python3", compressed=True)
os.rename("application/app.conf", "tree/app.conf")
EOF
cat > package.json <<'EOF'
{"name": "p", "version": "1.0.0"}
EOF
npm pack --silent --pack-destination "$OUT" > /dev/null
git init -q repository; cd repository
git config user.name n; git config user.email e@x; git config gc.auto 0
cp ../tree/app.conf .; git add .; git commit -qm "add"
git cat-file -p HEAD:app.conf > /dev/null
object=$(git rev-parse HEAD:app.conf)
cp .git/objects/"${object%"${object#??}"}"/"${object#??}" "$OUT/object"
tar cf "$OUT/repository.tar" .git/objects
git gc -q; cp .git/objects/pack/*.pack "$OUT/git-pack"
cd ..; git init -q deltas; cd deltas; git config user.name n; git config user.email e@x
seq 5000 > file; git add .; git commit -qm a; cp file other; cat ../config >> other; seq 9000 >> file
git add .; git commit -qm b; git repack -q -adf --depth=50; cp .git/objects/pack/*.pack "$OUT/deltas"
"#;

/// The files, and how the secret is packed in each.
const FILES: [(&str, &[&str]); 14] = [
    ("cache", &["zlib"]),
    ("deflated.zip", &["zip entry tree/app.conf"]),
    ("deltas", &["git pack"]),
    ("git-pack", &["git pack"]),
    ("installer.run", &["gzip"]),
    ("m-1-py3-none-any.whl", &["zip entry big", "zip entry m/conf.py"]),
    ("members", &["gzip"]),
    ("nested", &["gzip, zip entry tree/app.conf"]),
    ("object", &["zlib"]),
    ("p-1.0.0.tgz", &["gzip"]),
    ("piped.jar", &["zip entry app.conf"]),
    ("plain.tgz", &["gzip"]),
    ("repository.tar", &["zlib"]),
    ("stored.war", &["zip entry app.conf"]),
];

/// Makes the files in `out`.
fn make(home: &Home, out: &Path) {
    let work = home.path("work");
    fs::create_dir_all(&work).unwrap();
    fs::create_dir_all(out).unwrap();
    fs::write(work.join("config"), format!("//registry.example/:_authToken={TOKEN}\n")).unwrap();
    let mut command = home.program("sh", ["-c", MAKE]);
    command.current_dir(&work).env("OUT", out).outcome().succeeds();
}

/// An image with the files of `directory` as a layer.
fn image(home: &Home, directory: &Path) -> Outcome {
    let layer = home.path("layer.tar");
    let mut command = home.program("tar", ["cf"]);
    command.arg(&layer).arg("-C").arg(directory).arg(".").outcome().succeeds();
    home.file("manifest.json", r#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["layer.tar"]}]"#);
    home.file("config.json", r#"{"rootfs":{"type":"layers","diff_ids":["sha256:a"]}}"#);
    let tar = home.program("tar", ["cf", "image.tar", "manifest.json", "config.json", "layer.tar"]);
    { tar }.current_dir(home.path("")).outcome().succeeds();
    home.command(["scan", "--secret", &format!("TOKEN={TOKEN}"), "--format", "json", "image.tar"]).outcome()
}

#[test]
fn secrets_in_what_tools_compress_fail_the_step() {
    require!(SCRATCH_ROOT, ZIP, PYTHON, NPM, GIT);
    let scene = Scene::new();
    make(&scene.bridge.home, &scene.root.join("made"));
    let expected = FILES.iter().flat_map(|(file, packed)| {
        packed.iter().map(move |packed| format!("/app/{file}: TOKEN (raw, in {packed})"))
    });
    let mut expected: Vec<String> = expected.collect();
    expected.push("/app/tool.pyz: TOKEN (raw, in zip entry app.conf)".to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_leaks(scene.exec("cp /made/* /app; rm -r /made"), &expected);
}

#[test]
fn scan_finds_secrets_in_what_tools_compress() {
    require!(ZIP, PYTHON, NPM, GIT);
    let home = Home::new();
    make(&home, &home.path("made"));
    let report: Value = serde_json::from_str(&image(&home, &home.path("made")).exits_with(1).text()).unwrap();
    for (file, packed) in FILES {
        let findings = report["findings"].as_array().unwrap().iter();
        let here = findings.filter(|finding| finding["path"] == json!(format!("./{file}")));
        let found: Vec<&str> = here.map(|finding| finding["packed"].as_str().unwrap()).collect();
        assert_eq!(found, packed, "{file}");
    }
    assert_eq!(report["not_unpacked"], json!({ "corrupt": 0, "encrypted": 1, "unsupported": 0 }));
    assert_eq!(report["complete"], json!(true));
}

/// Packs deeper than anything that is packed by ordinary tools, as the archives do that contain themselves.
const BOMB: &str = "for n in 1 2 3 4 5 6 7 8; do gzip -c bomb > more; mv more bomb; done";

#[test]
fn an_image_with_a_decompression_bomb_is_not_reported_as_searched() {
    let home = Home::new();
    let made = home.path("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("bomb"), TOKEN).unwrap();
    home.program("sh", ["-c", BOMB]).current_dir(&made).outcome().succeeds();
    let outcome = image(&home, &made).exits_with(125);
    let outcome =
        outcome.says("not everything was searched: what is compressed in ./bomb unpacks to too much");
    let report: Value = serde_json::from_str(&outcome.text()).unwrap();
    assert_eq!((&report["clean"], &report["complete"]), (&json!(false), &json!(false)));
}

#[test]
fn a_decompression_bomb_that_command_wrote_is_named() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script = format!("cd /app; echo $TOKEN > bomb; {BOMB}");
    scene.exec(&script).succeeds().says(
        "warning: the leak check did not search all that is compressed in /app/bomb: it unpacks to too much",
    );
}

#[test]
fn the_name_of_a_zip_entry_shows_no_secret() {
    require!(SCRATCH_ROOT, PYTHON);
    let scene = Scene::new();
    let script = r#"import os, sys, zipfile
with zipfile.ZipFile("/app/a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("x\x1b[31m" + os.environ["TOKEN"], os.environ["TOKEN"])"#;
    let outcome = scene.exec_with(&["-e", "TOKEN"], &format!("/usr/bin/python3 -c '{script}'"));
    assert_leaks(
        outcome,
        &["/app/a.zip: TOKEN (raw)", "/app/a.zip: TOKEN (raw, in zip entry x\\u{1b}[31m***)"],
    );
}
