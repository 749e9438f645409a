//! Registries that ask for no login, because a front before them does, with packages that were not published: their files
//! are written where a registry would have put them, hundreds of them in a second.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Installed, Server, free_port};
use crate::support::{Home, Start as _};

/// A package, version 1.0.0 of it.
#[derive(Clone, Debug)]
pub struct Package<'a> {
    /// `name`, or for npm `@scope/name`.
    pub name: &'a str,
    /// The names of other packages.
    pub needs: &'a [&'a str],
}

/// A registry on loopback for everyone: verdaccio with packages for npm, or pypiserver with wheels.
pub struct OpenRegistry {
    server: Server,
    home: Home,
}

const VERDACCIO: &str = "
storage: ./storage
auth: { htpasswd: { file: ./htpasswd, algorithm: bcrypt, rounds: 4 } }
uplinks: {}
packages: { '**': { access: $all, publish: $all } }
log: { type: stdout, format: pretty, level: warn }
";

/// Writes wheels. Argument: a list of objects with `name` and `needs`, in JSON.
const CREATE_WHEELS: &str = r#"
import base64, hashlib, json, os, sys, zipfile

os.mkdir("packages")
for package in json.loads(sys.argv[1]):
    name = package["name"].replace("-", "_")
    info = f"{name}-1.0.0.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in package["needs"])
    files = {
        f"{name}.py": f"NAME = {package['name']!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package['name']}\nVersion: 1.0.0\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    record = "".join(f"{path},sha256={digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(f"packages/{name}-1.0.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
"#;

impl OpenRegistry {
    /// For npm. Each package exports its name.
    pub fn npm(installed: &Installed, packages: &[Package<'_>]) -> Self {
        let home = Home::new();
        home.file("config.yaml", VERDACCIO);
        for package in packages {
            let directory = home.path("storage").join(package.name);
            fs::create_dir_all(&directory).unwrap();
            write_npm(package, &directory);
        }
        let address = free_port(Ipv4Addr::LOCALHOST.into());
        let mut verdaccio = home.program(installed.node().join("bin/node"), [installed.verdaccio()]);
        verdaccio.args(["--config", "config.yaml", "--listen", &address.to_string()]);
        Self { server: Server::start(address, verdaccio), home }
    }

    /// For pip. Each package is a module with its `NAME`.
    pub fn pypi(installed: &Installed, packages: &[Package<'_>]) -> Self {
        let home = Home::new();
        let list: Vec<Value> =
            packages.iter().map(|package| json!({ "name": package.name, "needs": package.needs })).collect();
        let python = installed.python("python");
        let script = home.file("create_wheels.py", CREATE_WHEELS);
        home.program(python, [script.to_str().unwrap(), &Value::from(list).to_string()]).outcome().succeeds();
        let address = free_port(Ipv4Addr::LOCALHOST.into());
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let mut server = home.program(installed.python("pypi-server"), ["run", "--interface", &host]);
        server.args(["--port", &port, "--passwords", ".", "--authenticate", ".", "--disable-fallback"]);
        server.arg("packages");
        Self { server: Server::start(address, server), home }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Its files.
    pub fn home(&self) -> &Home {
        &self.home
    }
}

/// A `package.json` that needs these packages, and a `package-lock.json` for them. `registry` is the URL, with a slash at
/// its end, at which a build finds them.
pub fn npm_project(packages: &[Package<'_>], registry: &str) -> (String, String) {
    let versions = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!("1.0.0")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let all: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let manifest = json!({ "name": "app", "version": "1.0.0", "dependencies": versions(&all) });
    let mut locked = serde_json::Map::new();
    locked
        .insert(String::new(), json!({ "name": "app", "version": "1.0.0", "dependencies": versions(&all) }));
    for package in packages {
        let tarball = tarball(package);
        let short = package.name.rsplit('/').next().unwrap();
        let mut entry = json!({
            "version": "1.0.0",
            "resolved": format!("{registry}{}/-/{short}-1.0.0.tgz", package.name),
            "integrity": integrity(&tarball),
        });
        if !package.needs.is_empty() {
            entry["dependencies"] = versions(package.needs);
        }
        locked.insert(format!("node_modules/{}", package.name), entry);
    }
    let lock = json!({
        "name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": locked,
    });
    (manifest.to_string(), lock.to_string())
}

fn npm_manifest(package: &Package<'_>) -> Value {
    let needs: serde_json::Map<String, Value> =
        package.needs.iter().map(|name| ((*name).to_owned(), json!("1.0.0"))).collect();
    json!({ "name": package.name, "version": "1.0.0", "main": "index.js", "dependencies": needs })
}

/// The same bytes each time: a lock file names their digest.
fn tarball(package: &Package<'_>) -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let manifest = npm_manifest(package).to_string();
    let source = format!("module.exports = {:?};\n", package.name);
    for (name, contents) in [("package/package.json", manifest), ("package/index.js", source)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, contents.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn integrity(tarball: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(digest::digest(&digest::SHA512, tarball)))
}

/// Writes a package as verdaccio stores it.
fn write_npm(package: &Package<'_>, directory: &Path) {
    let (tarball, short) = (tarball(package), package.name.rsplit('/').next().unwrap());
    let file = format!("{short}-1.0.0.tgz");
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &tarball);
    let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut version = npm_manifest(package);
    version["_id"] = json!(format!("{}@1.0.0", package.name));
    version["dist"] = json!({
        "integrity": integrity(&tarball),
        "shasum": sum,
        // verdaccio writes the host of each request in its place.
        "tarball": format!("http://localhost/{}/-/{file}", package.name),
    });
    let time = "2026-11-27T00:00:00.000Z";
    let stored = json!({
        "name": package.name,
        "versions": { "1.0.0": version },
        "time": { "modified": time, "created": time, "1.0.0": time },
        "users": {},
        "dist-tags": { "latest": "1.0.0" },
        "_uplinks": {},
        "_distfiles": {},
        "_attachments": { file.as_str(): { "shasum": sum, "version": "1.0.0" } },
        "_rev": "3-5ed12ce823d4096c",
        "_id": package.name,
        "readme": "none",
    });
    fs::write(directory.join(&file), tarball).unwrap();
    fs::write(directory.join("package.json"), stored.to_string()).unwrap();
}
