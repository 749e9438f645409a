//! Secrets of several lines, of which tools show or store single lines.
#![cfg(all(target_os = "linux", feature = "host"))]

use super::scratch_root::{SCRATCH_ROOT, Scene};
use crate::support::Home;
use crate::support::require::require;

/// Files of secrets, each with a line or value that counts on its own, and lines that ordinary files hold too.
pub(super) const FILES: [(&str, &str, &str, &[&str]); 8] = [
    (
        "openvpn",
        "#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n\
         3b1f9e7ac05d48e2a6b7c8d9e0f10213\n0c7eb4a1d4f5e60718293a4b5c6d7e8f\n-----END OpenVPN Static key V1-----\n",
        "0c7eb4a1d4f5e60718293a4b5c6d7e8f",
        &["# 2048 bit OpenVPN static key", "-----BEGIN OpenVPN Static key V1-----"],
    ),
    (
        "codes",
        "Backup codes of the account\n1a2b-3c4d-5e6f\n7g8h-9i0j-1k2l\n4821 0937 5518\n",
        "4821 0937 5518",
        &[],
    ),
    (
        "words",
        "first: nothing\nwitch collapse practice feed shame open despair creek\nmachine github.com\nset -euo pipefail\n",
        "witch collapse practice feed shame open despair creek",
        &["machine github.com", "set -euo pipefail"],
    ),
    (
        "wireguard",
        "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.192.122.1/24\n\
         [Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n",
        "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=",
        &[
            "[Interface]",
            "Address = 10.192.122.1/24",
            "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        ],
    ),
    (
        "env",
        "# of the build\nexport DB_HOST=db.internal.example\nexport DB_PASSWORD='w0rd of the db'\n",
        "w0rd of the db",
        &["# of the build", "export DB_HOST=db.internal.example"],
    ),
    (
        "toml",
        "[registries.acme]\nindex = \"sparse+https://cargo.acme.example/\"\nci = { user = \"me\", token = \"inl1ne-t0ken\" }\n",
        "inl1ne-t0ken",
        &["index = \"sparse+https://cargo.acme.example/\""],
    ),
    (
        "properties",
        "db.url=jdbc:postgresql://db.example/app\ndb.password=pr0p\\:er\\=ty-7\n",
        "pr0p:er=ty-7",
        &["db.url=jdbc:postgresql://db.example/app"],
    ),
    (
        "maven",
        "<settings><servers><server><id>nexus</id><username>deploy</username>\n\
         <password>m4ven&#38;w0rd</password></server></servers></settings>\n",
        "m4ven&w0rd",
        &["<settings><servers><server><id>nexus</id><username>deploy</username>"],
    ),
];

#[test]
fn a_line_of_a_secret_is_masked_and_found() {
    require!(SCRATCH_ROOT);
    for line_end in ["\n", "\r\n"] {
        let home = Home::new();
        let mut options = Vec::new();
        for (key, text, _, _) in FILES {
            let file = home.file(key, text.replace('\n', line_end));
            options.extend(["--secret-from-file".to_owned(), format!("{key}={}", file.display())]);
        }
        let scene = Scene::serving("plain", &options);
        for (key, _, line, ordinary) in FILES {
            let exec = |text: &str| {
                std::fs::write(scene.root.join("text"), text).unwrap();
                scene.exec_with(&["-e", &format!("V={key}")], "cat /text; cp /text /app/written")
            };
            exec(&format!("a tool says {line}\n"))
                .exits_with(125)
                .says(&format!("/app/written: {key} (a part of it, raw)"))
                .prints("a tool says ***\n");
            // Each by itself: several together are a piece of the secret.
            let ordinary: String = ordinary.iter().map(|line| format!("see {line}\nand\n")).collect();
            exec(&ordinary).succeeds().prints(&ordinary);
        }
    }
}
