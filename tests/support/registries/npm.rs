//! A private registry for npm: verdaccio, with a token.

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use super::{Installed, Server, free_port};
use crate::support::{Home, Start as _};

/// What the package prints when it is loaded.
pub const OUTPUT: &str = "loaded from the private registry";

const CONFIG: &str = "
storage: ./storage
auth: { htpasswd: { file: ./htpasswd, algorithm: bcrypt, rounds: 4 } }
uplinks: {}
packages: { '**': { access: $authenticated, publish: $authenticated } }
log: { type: stdout, format: pretty, level: warn }
";

/// Adds a user to a registry and prints the token, like `npm adduser`, which needs a terminal. Arguments: URL, password.
const ADD_USER: &str = "
fetch(process.argv[1] + '-/user/org.couchdb.user:builder', {
  method: 'PUT',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ name: 'builder', password: process.argv[2] }),
}).then((answer) => answer.json()).then(({ token }) => console.log(token));
";

pub struct Npm {
    _server: Server,
    /// The contents of `~/.npmrc`: URL and token.
    pub npmrc: String,
    /// A project that depends on the package: `package.json`, `package-lock.json`.
    pub project: Home,
    _home: Home,
}

impl Npm {
    /// A registry with one package, `private-demo`.
    pub fn start(installed: &Installed, address: IpAddr, password: &str) -> Self {
        let home = Home::new();
        home.file("config.yaml", CONFIG);
        let node = installed.node().join("bin/node");
        let address = free_port(address);
        let mut verdaccio = home.program(&node, [installed.verdaccio()]);
        verdaccio.args(["--config", "config.yaml", "--listen", &address.to_string()]);
        let server = Server::start(address, verdaccio);

        let registry = format!("http://{address}/");
        let token = home.program(&node, ["-e", ADD_USER, &registry, password]).outcome().succeeds().text();
        let token = token.trim().to_owned();
        let npmrc = format!("registry={registry}\n//{address}/:_authToken={token}\n");
        home.file(".npmrc", &npmrc);

        let package = home.path("package");
        fs::create_dir(&package).unwrap();
        let manifest = r#"{"name":"private-demo","version":"1.0.0","main":"index.js"}"#;
        fs::write(package.join("package.json"), manifest).unwrap();
        fs::write(package.join("index.js"), format!("console.log({OUTPUT:?});\n")).unwrap();
        let npm = |args: &[&str]| -> Command {
            let mut npm = home.program(&node, [installed.node().join("lib/node_modules/npm/bin/npm-cli.js")]);
            npm.args(args);
            npm
        };
        npm(&["publish"]).current_dir(&package).outcome().succeeds();

        let project = Home::new();
        project.file("package.json", r#"{"private":true,"dependencies":{"private-demo":"1.0.0"}}"#);
        npm(&["install", "--package-lock-only"]).current_dir(project.path(".")).outcome().succeeds();
        Self { _server: server, npmrc, project, _home: home }
    }
}
