//! Promise 14: the credential is nowhere in the build. tests/builders does the same in containers, with their traffic.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use super::site::{HOST, Site};
use crate::support::https::nowhere::{Nowhere, Place, descendants};
use crate::support::https::ruled::{Ruled, VARIABLE};
use crate::support::https::scripted::Then;
use crate::support::registries::packages::{OpenRegistry, Package, npm_project};
use crate::support::registries::{Installed, REGISTRIES};
use crate::support::require::{CURL, MOUNT_NAMESPACE, PTRACE, require};
use crate::support::{Outcome, Process, Start as _};

/// Planted in every place.
const PLANTED: &str = "planted-5d0c1f6e8b7a49";

/// Searches the processes below `exec`, as often as the server gets a request, before it answers and after.
struct Watch {
    nowhere: Nowhere,
    exec: AtomicI32,
    /// The home and the temporary directory of the step.
    directories: Mutex<Vec<PathBuf>>,
}

impl Watch {
    fn new(token: &str) -> Arc<Self> {
        Arc::new(Self {
            nowhere: Nowhere::new(token, PLANTED),
            exec: AtomicI32::new(0),
            directories: Mutex::default(),
        })
    }

    fn search(&self) {
        let exec = self.exec.load(Ordering::SeqCst);
        assert_ne!(exec, 0);
        self.nowhere.stop_and_search(
            || descendants(exec),
            |stopped| {
                for directory in self.directories.lock().unwrap().iter() {
                    self.nowhere.search_files(Place::Files, directory);
                }
                for directory in private_directories(stopped) {
                    self.nowhere.search_files(Place::SharedMemory, &directory);
                }
            },
        );
    }
}

/// The directories with what `exec` made for these processes.
fn private_directories(processes: &BTreeSet<i32>) -> BTreeSet<PathBuf> {
    let variable = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment).into_owned();
        let path = text.split('\0').find_map(|entry| entry.strip_prefix("SSL_CERT_FILE=").map(PathBuf::from));
        path.and_then(|path| path.parent().map(PathBuf::from))
    };
    processes.iter().filter_map(variable).collect()
}

/// Starts a step whose script plants a copy in each place and runs `$1`; at its end it is searched once more.
fn run(ruled: &Ruled, watch: &Watch, script: &str, arguments: &[&str]) -> Outcome {
    // The value is in a file of the test, from which the step takes it.
    let planting = "read -r go; export PLANTED=\"$(cat \"$0\")\"; mkdir -p .cache; echo \"$PLANTED\" > .cache/planted; \
                    [ -w \"${SSL_CERT_FILE%/*}\" ] && echo \"$PLANTED\" > \"${SSL_CERT_FILE%/*}/planted\"; \
                    sleep 60 & sleeper=$!; ";
    let script = format!("{planting}{script}\necho \"code: $?\"; kill $sleeper; read -r end");
    let home = &ruled.bridge.home;
    let value = home.path("../value");
    std::fs::write(&value, PLANTED).unwrap();
    let command = [["bash", "-c", &script, value.to_str().unwrap()].as_slice(), arguments].concat();
    let mut exec = ruled.exec(&[], &command);
    let mut process: Process = exec.stdin(std::process::Stdio::piped()).start();
    watch.exec.store(process.pid.as_raw_nonzero().get(), Ordering::SeqCst);
    *watch.directories.lock().unwrap() = vec![home.path("."), home.path("../tmp")];
    process.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    process.prints("code: ");
    watch.search();
    drop(process.stdin.take());
    process.ends()
}

fn random_token() -> String {
    let mut random = [0; 24];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tk_{}+/?{}~=", &hex[..24], &hex[24..])
}

const PLACES: [Place; 3] = [Place::Memory, Place::Environment, Place::Files];

/// A server that wants the token, has everything searched, and passes the request on to a registry behind.
fn gate(watch: &Arc<Watch>, token: &str, behind: Option<SocketAddr>) -> Site {
    let (watch, expected) = (Arc::clone(watch), format!("Bearer {token}"));
    Site::new(move |asked, connection| {
        assert_eq!(asked.header("authorization"), Some(expected.as_str()), "{}", asked.head);
        watch.search();
        match behind {
            Some(behind) => connection.forward(asked, behind)?,
            None => connection.answer("200 OK", "ETag: \"1\"\r\n", "body ".repeat(10_000))?,
        }
        watch.search();
        Ok(Then::Keep)
    })
}

#[test]
fn the_credential_is_nowhere_in_a_step_of_curl() {
    require!(CURL, MOUNT_NAMESPACE, PTRACE);
    let token = random_token();
    let watch = Watch::new(&token);
    let site = gate(&watch, &token, None);
    let ruled = Ruled::serve_with(&site.authority, &[&site.place("")], &[], &[(VARIABLE, &token)]);
    let script = "curl -sSf --etag-save etag -o file \"$1\" \"$1\" && curl -sSfv -o other \"$1\" 2> log";
    let outcome = run(&ruled, &watch, script, &[&site.url("/a")]);
    assert!(outcome.text().contains("code: 0"), "{outcome:?}");
    watch.nowhere.assert(&PLACES, 7);
}

#[test]
fn the_credential_is_nowhere_in_a_step_of_npm() {
    require!(MOUNT_NAMESPACE, PTRACE, REGISTRIES);
    let (token, installed) = (random_token(), Installed::find());
    let watch = Watch::new(&token);
    let packages =
        [Package { name: "@org/first", needs: &["second"] }, Package { name: "second", needs: &[] }];
    let registry = OpenRegistry::npm(&installed, &packages);
    let site = gate(&watch, &token, Some(registry.address()));
    let ruled = Ruled::serve_with(&site.authority, &[&site.place("")], &[], &[(VARIABLE, &token)]);
    let (manifest, lock) = npm_project(&packages, &site.url("/"));
    let home = &ruled.bridge.home;
    home.file("package.json", manifest);
    home.file("package-lock.json", lock);
    home.file(".npmrc", format!("registry={}\naudit=false\nupdate-notifier=false\n", site.url("/")));
    let node = installed.node();
    let (node, npm) = (node.join("bin/node"), node.join("lib/node_modules/npm/bin/npm-cli.js"));
    let script = "\"$1\" \"$2\" ci --loglevel=silly > log 2>&1 && rm -r node_modules package-lock.json && \
                  \"$1\" \"$2\" install > log2 2>&1 && \"$1\" -p 'require(\"@org/first\")'";
    let outcome = run(&ruled, &watch, script, &[node.to_str().unwrap(), npm.to_str().unwrap()]);
    assert!(outcome.text().contains("@org/first\ncode: 0"), "{outcome:?}\n{}", home.read("log"));
    watch.nowhere.assert(&PLACES, 9);
    assert!(site.url("/").contains(HOST));
}

#[test]
fn the_search_finds_a_credential_that_a_step_has() {
    require!(CURL, MOUNT_NAMESPACE, PTRACE);
    let token = random_token();
    let watch = Watch::new(&token);
    let site = gate(&watch, &token, None);
    let ruled = Ruled::serve_with(&site.authority, &[&site.place("")], &[], &[(VARIABLE, &token)]);
    // As it would be if it travelled into the build: in a header of the request.
    let script = "curl -sSf -o file -H \"X-Token: $2\" \"$1\"; printf %s \"$2\" | base64 > encoded";
    run(&ruled, &watch, script, &[&site.url("/a"), &token]);
    let findings = watch.nowhere.findings();
    for expected in ["Memory, raw: memory of curl", "Arguments, raw: cmdline of bash", "Files, base64 at "] {
        assert!(findings.iter().any(|found| found.contains(expected)), "{expected}: {findings:#?}");
    }
}
