//! What the tests of all builders share: a build context with a token, a bridge that runs for the time of a build, and a
//! search for secrets in the image.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use tempfile::TempDir;

/// The binary of the bridge, and of clients in images: static, so that it starts in any image.
pub(crate) fn binary() -> PathBuf {
    setting("SECRETS_BRIDGE_TEST_BINARY").into()
}

/// An environment variable that `cargo xtask test` sets.
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` runs these tests"))
}

/// Random bytes, in hex.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    hex(&random)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory with a Dockerfile and the token. `.dockerignore` keeps the token from the builder.
pub(crate) struct Context {
    dir: TempDir,
    /// Different in each context, so that no builder has steps of it in a cache.
    pub(crate) token: String,
}

/// What the build runs: it fails unless the token has the expected hash.
const SCRIPT: &str = r#"#!/bin/sh
[ "$(printf %s "$NPM_TOKEN" | sha256sum)" = "HASH  -" ] || { echo "wrong token"; exit 9; }
echo "the token arrived"
"#;

impl Context {
    pub(crate) fn new() -> Self {
        // Has characters that change in base64 and in URLs.
        let token = format!("npm_{}+/?{}~=", random_hex(12), random_hex(12));
        let context = Self { dir: tempfile::tempdir().unwrap(), token };
        context.write("token.txt", &context.token);
        context.write(".dockerignore", "*\n!needs-the-token.sh\n!bin\n");
        context.write("needs-the-token.sh", &SCRIPT.replace("HASH", &context.hash()));
        fs::set_permissions(context.path("needs-the-token.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        context
    }

    /// SHA-256 of the token. The image has it, in the script: a search that does not find it does not work.
    pub(crate) fn hash(&self) -> String {
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.token.as_bytes()).as_ref())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `program` in this directory, without a conf or proxies in its environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["BRIDGE_CONF", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
    }

    /// `secrets-bridge run OPTIONS --secret id=NPM_TOKEN,src=token.txt -- COMMAND`, in the environment of `command`.
    pub(crate) fn run(&self, options: &[&str], command: &Command) -> BridgeRun {
        let mut run = self.command(binary());
        run.arg("run").args(options).args(["--secret", "id=NPM_TOKEN,src=token.txt"]);
        self.run_as(run, command)
    }

    /// `RUN -- COMMAND`, in the environment of `command`. `run` is a `secrets-bridge run` with its options.
    pub(crate) fn run_as(&self, mut run: Command, command: &Command) -> BridgeRun {
        run.arg("--");
        // Saves the conf that COMMAND gets, and executes COMMAND.
        run.args(["sh", "-c", r#"printenv FTP_PROXY > conf.txt && exec "$@""#, "sh"]);
        run.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => run.env(name, value),
                None => run.env_remove(name),
            };
        }
        let outcome = outcome(run);
        let conf = fs::read_to_string(self.path("conf.txt")).unwrap().trim().to_owned();
        assert!(conf.starts_with("sb1_"), "not a conf: {conf}");
        BridgeRun { outcome, conf }
    }

    /// A search for the token and for `confs`.
    pub(crate) fn search<'a>(&self, confs: impl IntoIterator<Item = &'a str>) -> Search {
        let mut needles = encodings("the token", &self.token);
        for conf in confs {
            needles.extend(encodings("the conf", conf));
        }
        Search { needles, control: self.hash(), found: BTreeSet::new(), control_found: false, searched: 0 }
    }
}

/// A `secrets-bridge run` that has ended.
pub(crate) struct BridgeRun {
    pub(crate) outcome: Outcome,
    /// The conf that COMMAND got. The bridge has ended, so it is dead.
    pub(crate) conf: String,
}

/// How a program ended.
pub(crate) struct Outcome {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its stdout, and then its stderr.
    pub(crate) text: String,
}

/// Runs `command` to its end.
pub(crate) fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    Outcome { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn fails(&self) -> &Self {
        assert!(self.code != Some(0), "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "no {words:?} in:\n{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn never_says(&self, words: &str) -> &Self {
        assert!(!self.text.contains(words), "{words:?} in:\n{}", self.text);
        self
    }

    /// The builder reports that a RUN ended with this code. Each builder words that differently.
    #[track_caller]
    pub(crate) fn reports_code(&self, code: i32) -> &Self {
        let words = [
            format!("returned a non-zero code: {code}"),
            format!("exit code: {code}"),
            format!("exit status {code}"),
        ];
        assert!(words.iter().any(|words| self.text.contains(words)), "no code {code} in:\n{}", self.text);
        self
    }
}

/// A search for secrets, in all usual encodings.
pub(crate) struct Search {
    /// What to search for, each with its name.
    needles: Vec<(String, Vec<u8>)>,
    /// Text that the image certainly contains, which shows that the search works.
    control: String,
    found: BTreeSet<String>,
    control_found: bool,
    /// Bytes so far.
    searched: usize,
}

/// A conf is longer than this. The prefix `sb1_` alone is also in our program.
const CONF_MIN: usize = 90;

/// The place of findings in files of a saved image that are not JSON.
const LAYER: &str = "saved layer";

/// Whether a finding is the unencoded conf in the image's history or configuration.
pub(crate) fn is_conf_in_history(found: &str) -> bool {
    // URL encoding does not change a conf.
    ["the conf, raw,", "the conf, URL-encoded", "a conf in"].iter().any(|plain| found.starts_with(plain))
        && !found.contains(LAYER)
}

impl Search {
    /// Searches `bytes`. Findings are reported with `place`.
    pub(crate) fn check(&mut self, place: &str, bytes: &[u8]) -> &mut Self {
        for (name, needle) in &self.needles {
            if memmem::find(bytes, needle).is_some() {
                self.found.insert(format!("{name} in {place}"));
            }
        }
        if !confs_in(bytes).is_empty() {
            self.found.insert(format!("a conf in {place}"));
        }
        self.control_found |= memmem::find(bytes, self.control.as_bytes()).is_some();
        self.searched += bytes.len();
        self
    }

    /// Searches every file of an archive by `docker save`. Layers are tar archives, in which each file is contiguous. A
    /// compressed layer, as for a registry, is decompressed first.
    pub(crate) fn check_archive(&mut self, archive: &Path) -> &mut Self {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            // File names differ between versions of Docker, but configuration, history and manifests are always JSON.
            let kind = if matches!(bytes.first(), Some(b'{' | b'[')) { "saved JSON" } else { LAYER };
            let place = format!("{kind} {}", entry.path().unwrap().display());
            match bytes.as_slice() {
                [0x1f, 0x8b, ..] => self.check(&place, &decompress("gzip", &bytes)),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => self.check(&place, &decompress("zstd", &bytes)),
                _ => self.check(&place, &bytes),
            };
        }
        self
    }

    /// What was found: `NAME, ENCODING, in PLACE`.
    ///
    /// # Panics
    /// If the search did not find the control.
    pub(crate) fn findings(&self) -> Vec<String> {
        assert!(self.control_found, "the search is broken: no {} in {} bytes", self.control, self.searched);
        self.found.iter().cloned().collect()
    }
}

fn decompress(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut packed = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    std::io::Seek::rewind(&mut packed).unwrap();
    let output = Command::new(program).args(["--decompress", "--stdout"]).stdin(packed).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

pub(crate) fn confs_in(bytes: &[u8]) -> BTreeSet<String> {
    let in_conf = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    memmem::find_iter(bytes, "sb1_")
        .map(|at| bytes[at..].iter().take_while(in_conf).copied().map(char::from).collect::<String>())
        .filter(|conf| conf.len() > CONF_MIN)
        .collect()
}

/// `value` in all usual encodings, each with its name.
fn encodings(name: &str, value: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = value.as_bytes();
    let mut encodings = vec![("raw".to_owned(), value.to_owned())];
    for offset in 0..3 {
        // The first and last characters also encode bits of the bytes before and after the value, which are not known.
        let shifted = [vec![0; offset].as_slice(), bytes].concat();
        let constant_part = |encoded: String| {
            let end = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
            encoded[[0, 2, 3][offset]..end].to_owned()
        };
        encodings
            .push((format!("base64 at offset {offset}"), constant_part(STANDARD_NO_PAD.encode(&shifted))));
        encodings
            .push((format!("base64url at offset {offset}"), constant_part(URL_SAFE_NO_PAD.encode(&shifted))));
    }
    let percent = |upper: bool| -> String {
        let encoded = |byte: &u8| match byte {
            b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        };
        bytes.iter().map(encoded).collect()
    };
    encodings.push(("URL-encoded".to_owned(), percent(true)));
    encodings.push(("URL-encoded in lower case".to_owned(), percent(false)));
    encodings.push(("hex".to_owned(), hex(bytes)));
    encodings.push(("hex in upper case".to_owned(), hex(bytes).to_uppercase()));
    encodings
        .into_iter()
        .map(|(encoding, text)| (format!("{name}, {encoding},"), text.into_bytes()))
        .collect()
}
