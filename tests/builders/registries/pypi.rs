//! A private package index: pypiserver, which lets in who has a password.

use std::net::{IpAddr, SocketAddr};

use super::{Installed, Server, free_port, runs};
use crate::support::Home;

pub const USER: &str = "builder";

/// What the package says when it is imported.
pub const SAYS: &str = "imported from the private index";

/// Makes the only package of the index, and the file of passwords.
const MAKE: &str = r#"
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
        let script = home.file("make.py", MAKE);
        runs(&home, installed.python("python"), &[script.to_str().unwrap(), USER, password, SAYS]);
        let address = free_port(address);
        let (port, host) = (address.port().to_string(), address.ip().to_string());
        let server = home.program(
            installed.python("pypi-server"),
            ["run", "--interface", &host, "--port", &port, "--passwords", "htpasswd"]
                .into_iter()
                // Everything needs the password; what is not here is nowhere.
                .chain(["--authenticate", "update,download,list", "--disable-fallback", "packages"]),
        );
        Self { server: Server::start(address, server), _home: home }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}
