//! What the tests with real builders share: a build context with a token, a bridge around the build, and a search
//! through everything that the build left.

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

/// The binary that goes into images, and that is the bridge: static, so that it starts in any of them.
pub(crate) fn binary() -> PathBuf {
    setting("SECRETS_BRIDGE_TEST_BINARY").into()
}

/// What `cargo xtask test` says.
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` runs these tests"))
}

/// Bytes from the kernel, in hex.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    hex(&random)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A build context, with the secret beside the Dockerfile and kept out of what the builder gets.
pub(crate) struct Context {
    dir: TempDir,
    /// A new one for each context, so that no builder has any of its steps in a cache.
    pub(crate) token: String,
}

/// What the build is to do with the token. The hash of another token fails the step, and the build with it.
const SCRIPT: &str = r#"#!/bin/sh
[ "$(printf %s "$NPM_TOKEN" | sha256sum)" = "HASH  -" ] || { echo "another token, or none"; exit 9; }
echo "the token arrived"
"#;

impl Context {
    pub(crate) fn new() -> Self {
        // With characters that base64 and URLs treat in their own ways.
        let token = format!("npm_{}+/?{}~=", random_hex(12), random_hex(12));
        let context = Self { dir: tempfile::tempdir().unwrap(), token };
        context.write("token.txt", &context.token);
        context.write(".dockerignore", "*\n!needs-the-token.sh\n!bin\n");
        context.write("needs-the-token.sh", &SCRIPT.replace("HASH", &context.hash()));
        fs::set_permissions(context.path("needs-the-token.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        context
    }

    /// SHA-256 of the token: it is in the script, so a search that does not find it is blind.
    pub(crate) fn hash(&self) -> String {
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.token.as_bytes()).as_ref())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `command` with this directory as its own, and nothing of ours or about proxies in its environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["BRIDGE_CONF", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command
    }

    /// `secrets-bridge run OPTIONS --secret id=NPM_TOKEN,src=token.txt -- COMMAND`, where `command` is the rest of an
    /// environment, a program and its arguments.
    pub(crate) fn run(&self, options: &[&str], command: &Command) -> Ran {
        let mut run = self.command(binary());
        run.arg("run").args(options).args(["--secret", "id=NPM_TOKEN,src=token.txt", "--"]);
        // Notes the conf that COMMAND was given, and then is COMMAND.
        run.args(["sh", "-c", r#"printenv FTP_PROXY > conf.txt && exec "$@""#, "sh"]);
        run.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => run.env(name, value),
                None => run.env_remove(name),
            };
        }
        let said = said(run);
        let conf = fs::read_to_string(self.path("conf.txt")).unwrap().trim().to_owned();
        assert!(conf.starts_with("sb1_"), "this is no conf: {conf}");
        Ran { said, conf }
    }

    /// A search for the token and for `confs`.
    pub(crate) fn search<'a>(&self, confs: impl IntoIterator<Item = &'a str>) -> Search {
        let mut needles = forms("the token", &self.token);
        for conf in confs {
            needles.extend(forms("the conf", conf));
        }
        Search { needles, proof: self.hash(), found: BTreeSet::new(), proven: false, searched: 0 }
    }
}

/// What `secrets-bridge run` did.
pub(crate) struct Ran {
    pub(crate) said: Said,
    /// The conf that its COMMAND was given; dead by now.
    pub(crate) conf: String,
}

/// How a program ended, and what it said on both channels.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// Runs `command` to its end.
pub(crate) fn said(mut command: Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    Said { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}

impl Said {
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
        assert!(self.text.contains(words), "it does not say: {words}\n{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, words: &str) -> &Self {
        assert!(!self.text.contains(words), "it says: {words}\n{}", self.text);
        self
    }

    /// The builder reports that a RUN ended with this code; each has words of its own for that.
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

/// A search for secrets, in every form in which they are likely to turn up.
pub(crate) struct Search {
    /// Each with its name.
    needles: Vec<(String, Vec<u8>)>,
    /// Something that must be found.
    proof: String,
    found: BTreeSet<String>,
    proven: bool,
    searched: usize,
}

/// A bridge conf is longer than this; text that merely begins like one, as in our own program, is not.
const CONF_LENGTH: usize = 90;

/// What is no JSON in a saved image.
const LAYER: &str = "saved layer";

/// Whether this finding is the conf itself, in plain text, where the image's history is shown or stored.
pub(crate) fn is_conf_in_history(found: &str) -> bool {
    // Its characters are those that URLs do not encode.
    ["the conf, raw,", "the conf, URL-encoded", "a conf in"].iter().any(|plain| found.starts_with(plain))
        && !found.contains(LAYER)
}

impl Search {
    pub(crate) fn look(&mut self, place: &str, bytes: &[u8]) -> &mut Self {
        for (name, needle) in &self.needles {
            if memmem::find(bytes, needle).is_some() {
                self.found.insert(format!("{name} in {place}"));
            }
        }
        if !confs_in(bytes).is_empty() {
            self.found.insert(format!("a conf in {place}"));
        }
        self.proven |= memmem::find(bytes, self.proof.as_bytes()).is_some();
        self.searched += bytes.len();
        self
    }

    /// Every file of the archive that `docker save` wrote. Layers are archives themselves: their files lie in them
    /// in one piece, unless the layer is compressed, as a registry would get it.
    pub(crate) fn look_into_archive(&mut self, archive: &Path) -> &mut Self {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            // Names differ between versions of Docker; configuration, history and manifests are JSON.
            let kind = if matches!(bytes.first(), Some(b'{' | b'[')) { "saved JSON" } else { LAYER };
            let place = format!("{kind} {}", entry.path().unwrap().display());
            match bytes.as_slice() {
                [0x1f, 0x8b, ..] => self.look(&place, &unpacked("gzip", &bytes)),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => self.look(&place, &unpacked("zstd", &bytes)),
                _ => self.look(&place, &bytes),
            };
        }
        self
    }

    /// What was found, by name and place.
    pub(crate) fn finds(&self) -> Vec<String> {
        assert!(self.proven, "{} bytes searched, and not found what is there", self.searched);
        self.found.iter().cloned().collect()
    }
}

fn unpacked(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut packed = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    std::io::Seek::rewind(&mut packed).unwrap();
    let output = Command::new(program).args(["--decompress", "--stdout"]).stdin(packed).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// All confs in `bytes`.
pub(crate) fn confs_in(bytes: &[u8]) -> BTreeSet<String> {
    let in_conf = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    memmem::find_iter(bytes, "sb1_")
        .map(|at| bytes[at..].iter().take_while(in_conf).copied().map(char::from).collect::<String>())
        .filter(|conf| conf.len() > CONF_LENGTH)
        .collect()
}

/// The forms of `value`, each with its name.
fn forms(name: &str, value: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = value.as_bytes();
    let mut forms = vec![("raw".to_owned(), value.to_owned())];
    for offset in 0..3 {
        // Whatever stands before and after it in what is encoded shares a character with it at each end.
        let shifted = [vec![0; offset].as_slice(), bytes].concat();
        let own = |encoded: String| {
            let end = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
            encoded[[0, 2, 3][offset]..end].to_owned()
        };
        forms.push((format!("base64 at offset {offset}"), own(STANDARD_NO_PAD.encode(&shifted))));
        forms.push((format!("base64url at offset {offset}"), own(URL_SAFE_NO_PAD.encode(&shifted))));
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
    forms.push(("URL-encoded".to_owned(), percent(true)));
    forms.push(("URL-encoded in lower case".to_owned(), percent(false)));
    forms.push(("hex".to_owned(), hex(bytes)));
    forms.push(("hex in upper case".to_owned(), hex(bytes).to_uppercase()));
    forms.into_iter().map(|(form, text)| (format!("{name}, {form},"), text.into_bytes())).collect()
}
