//! A private package index: pypiserver, with a password.

use std::net::{IpAddr, SocketAddr};

use super::{Installed, Server, free_port};
use crate::support::{Home, Start as _};

pub const USER: &str = "builder";

/// What the package prints when it is imported.
pub const OUTPUT: &str = "imported from the private index";

/// Creates the only package of the index, and the file of passwords. Arguments: user, password, output of the package.
const CREATE_INDEX: &str = r#"
import os, sys, zipfile
from passlib.apache import HtpasswdFile

info = "private_demo-1.0.dist-info"
files = {
    "private_demo.py": f"print({sys.argv[3]!r})\n",
    f"{info}/METADATA": "Metadata-Version: 2.1\nName: private-demo\nVersion: 1.0\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
os.mkdir("packages")
with zipfile.ZipFile("packages/private_demo-1.0-py3-none-any.whl", "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)

passwords = HtpasswdFile("htpasswd", new=True, default_scheme="apr_md5_crypt")
passwords.set_password(sys.argv[1], sys.argv[2])
passwords.save()
"#;

pub struct Pypi {
    server: Server,
    _home: Home,
}

impl Pypi {
    pub fn start(installed: &Installed, address: IpAddr, password: &str) -> Self {
        let home = Home::new();
        let script = home.file("create_index.py", CREATE_INDEX);
        let args = [script.to_str().unwrap(), USER, password, OUTPUT];
        home.program(installed.python("python"), args).outcome().succeeds();
        let address = free_port(address);
        let (port, host) = (address.port().to_string(), address.ip().to_string());
        let server = home.program(
            installed.python("pypi-server"),
            ["run", "--interface", &host, "--port", &port, "--passwords", "htpasswd"]
                .into_iter()
                // Every request needs the password, and a package that is not here is not taken from pypi.org.
                .chain(["--authenticate", "update,download,list", "--disable-fallback", "packages"]),
        );
        Self { server: Server::start(address, server), _home: home }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}
