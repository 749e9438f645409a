//! Which crate may depend on which, and which file may use which library.

use super::imports::paths_in;
use super::modules::CrateTree;
use super::packages::Package;

/// The crates of the workspace, and the crates of the workspace that each may depend on. Flows run one way: the program,
/// the sides, the parts, `proto`; the sides never import each other.
const LAYERS: [(&str, &[&str]); 14] = [
    ("proto", &[]),
    ("local-ipc", &[]),
    ("git-credential", &["proto"]),
    ("leaks", &["proto"]),
    ("ssh-policy", &["proto"]),
    ("http-message", &[]),
    ("http-policy", &["proto", "http-message"]),
    ("unpack", &[]),
    ("image-scan", &["proto", "unpack"]),
    ("bridge-client", &["proto", "git-credential", "http-message", "leaks", "local-ipc", "unpack"]),
    ("bridge-host", &["proto", "git-credential", "http-message", "http-policy", "local-ipc", "ssh-policy"]),
    (
        "secrets-bridge",
        &[
            "proto",
            "git-credential",
            "leaks",
            "ssh-policy",
            "http-policy",
            "image-scan",
            "local-ipc",
            "bridge-client",
            "bridge-host",
        ],
    ),
    (
        "secrets-bridge-fuzz",
        &[
            "proto",
            "git-credential",
            "leaks",
            "ssh-policy",
            "http-message",
            "http-policy",
            "image-scan",
            "bridge-client",
            "bridge-host",
            "secrets-bridge",
            "unpack",
        ],
    ),
    ("xtask", &[]),
];

/// Crates without I/O, threads or a clock: a test can call all of them with nothing but values.
const PURE: [&str; 7] =
    ["proto", "git-credential", "leaks", "ssh-policy", "http-message", "http-policy", "unpack"];

/// What a pure crate may not name.
const IMPURE: [&[&str]; 9] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["SystemTime", "now"],
    &["Instant", "now"],
];

/// Libraries that only some places may use: everything about them is found there.
const CONFINED: [(&str, &[&str]); 3] = [
    // Makes certificates. Errors carry its error type.
    ("rcgen", &["bridge-host/src/ca/", "bridge-client/src/http/"]),
    (
        "tokio_tungstenite",
        &["bridge-host/src/net/", "bridge-host/src/session/", "bridge-client/src/connect/"],
    ),
    ("clap", &["src/", "xtask/src/"]),
];

/// Violations in what the packages depend on.
pub(super) fn dependencies(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            violations
                .push(format!("the crate {} has no place in xtask/src/structure/rules.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let is_ours = packages.iter().any(|package| package.name == *dependency);
            if is_ours && !allowed.contains(&dependency.as_str()) {
                violations.push(format!("{} must not depend on {dependency}", package.name));
            }
            if dependency == "tokio" && PURE.contains(&package.name.as_str()) {
                violations.push(format!("{} is without I/O and must not depend on tokio", package.name));
            }
        }
    }
    violations
}

/// Violations in what the files of a crate name, and in what its root makes public.
pub(super) fn files(tree: &CrateTree) -> Vec<String> {
    let mut violations = Vec::new();
    for file in tree.files() {
        let paths = paths_in(file);
        for (library, places) in CONFINED {
            let uses = paths.iter().any(|path| path.first().is_some_and(|first| first == library));
            if uses && !places.iter().any(|place| file.path.starts_with(place)) {
                violations.push(format!("{} uses {library}, which is for {}", file.path, places.join(", ")));
            }
        }
        if PURE.contains(&tree.package.as_str()) {
            let named =
                IMPURE.iter().filter(|impure| paths.iter().any(|path| path.starts_with_names(impure)));
            violations.extend(named.map(|impure| {
                format!("{} names {}, and {} is without I/O", file.path, impure.join("::"), tree.package)
            }));
        }
    }
    if let Some(root) = tree.modules.first() {
        for path in root.public_uses.iter().filter(|path| is_public(tree, path)) {
            let name = path.join("::");
            violations.push(format!(
                "{}: {name} has two public paths: make its module private, or do not re-export it",
                tree.package
            ));
        }
    }
    violations
}

/// Whether all modules of `path` are public, from the crate's root on.
fn is_public(tree: &CrateTree, path: &[String]) -> bool {
    let mut module = tree.modules.first();
    let modules = path.split_last().map(|(_, modules)| modules).unwrap_or_default();
    for name in modules {
        let Some(current) = module.filter(|module| module.public_children.contains(name)) else {
            return false;
        };
        module = current.children.get(name).and_then(|&child| tree.modules.get(child));
    }
    !modules.is_empty()
}

trait StartsWithNames {
    fn starts_with_names(&self, names: &[&str]) -> bool;
}

impl StartsWithNames for Vec<String> {
    fn starts_with_names(&self, names: &[&str]) -> bool {
        self.len() >= names.len() && self.iter().zip(names).all(|(part, name)| part == name)
    }
}
