//! Secrets of every kind, and the texts with them that tools are to write.

use std::fs;
use std::path::Path;
use std::process::Command;

/// One secret.
pub(crate) struct Kind {
    /// The key of the secret, and the first part of the names of files with it.
    pub(crate) key: &'static str,
    pub(crate) value: String,
    /// The same with other characters of the same classes in place of all that is secret. Where the two differ after a
    /// tool has written both is what must not be shown.
    variant: String,
}

/// A text with a secret, as the input of the tools.
pub(super) struct Text {
    /// `KEY.POSITION`
    pub(super) name: String,
    pub(super) with_value: String,
    pub(super) with_variant: String,
}

/// Kinds that stand in every position. The others stand in two, so that the test stays short.
const EVERYWHERE: [&str; 4] = ["token", "password", "utf8", "ed25519"];

impl Kind {
    fn new(key: &'static str, value: String) -> Self {
        let variant = value.chars().map(changed).collect();
        Self { key, value, variant }
    }

    /// Of whose lines only those with base64 or hex are secret, without the first `public` of them.
    fn of_lines(key: &'static str, value: String, public: usize) -> Self {
        let variant = with_changed_lines(&value, public);
        Self { key, value, variant }
    }

    /// The secret alone in a file with a line end, as editors write it, and at the start, in the middle and at the end
    /// of other text.
    fn texts(&self, index: usize) -> impl Iterator<Item = Text> {
        let space = if self.value.contains('\n') { "\n" } else { " " };
        let positions = [
            ("alone", String::new(), "\n".to_owned()),
            ("start", String::new(), format!("{space}is what stands first")),
            ("middle", format!("something before{space}"), format!("{space}and more after it.\n")),
            ("end", format!("only before it:{space}"), String::new()),
        ];
        let is_used = move |n: usize| n == 0 || n == index % 3 + 1;
        let everywhere = EVERYWHERE.contains(&self.key);
        positions.into_iter().enumerate().filter(move |(n, _)| everywhere || is_used(*n)).map(
            move |(_, (position, before, after))| Text {
                name: format!("{}.{position}", self.key),
                with_value: format!("{before}{}{after}", self.value),
                with_variant: format!("{before}{}{after}", self.variant),
            },
        )
    }
}

/// All kinds, with other values in each `set`. Some are made by the programs that make them elsewhere.
pub(crate) fn kinds(scratch: &Path, set: u64) -> Vec<Kind> {
    let random = |length, seed, alphabet| random(length, seed + 1000 * set, alphabet);
    let make = |program: &str, args: &[&str], file: &str| {
        let made = Command::new(program).args(args).current_dir(scratch).output().unwrap();
        assert!(made.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(scratch.join(file)).unwrap().trim_end().to_owned()
    };
    let rsa = make("openssl", &["genrsa", "-out", "rsa", "2048"], "rsa");
    let ed25519 = make("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "ed25519"], "ed25519");
    let netrc = |password: &str| {
        format!(
            "machine git.example login deploy password {password}\n\
             machine npm.example\n  login ci\n  password 2{password}"
        )
    };
    let account = |key: &str| {
        format!(
            "{{\n  \"type\": \"service_account\",\n  \"project_id\": \"acme-build\",\n  \
             \"private_key\": \"{}\\n\",\n  \"client_email\": \"ci@acme-build.example\"\n}}",
            key.replace('\n', "\\n")
        )
    };
    let lines: Vec<String> = (0..16).map(|line| random(32, line, HEX)).collect();
    let openvpn = format!(
        "#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n{}\n\
         -----END OpenVPN Static key V1-----",
        lines.join("\n")
    );
    vec![
        Kind::new("token", format!("ghp_{}", random(36, 1, ALPHANUMERIC))),
        Kind::new("password", format!("p4'w\"o\\r$d&x<y>z%q+s/t u7K{}", suffix(set))),
        Kind::new("utf8", format!("pässwörd-日本𝄞😀-Ünï42code{}", suffix(set))),
        Kind::new("jwt", format!("eyJhbGciOiJSUzI1NiJ9.{}", random(779, 2, BASE64URL))),
        Kind {
            variant: netrc(&format!("it9-Xbr_6QW2{}", suffix(set))),
            ..Kind::new("netrc", netrc(&format!("hs8-Waq_5PV1{}", suffix(set))))
        },
        Kind::new("hex", random(120, 99, HEX)),
        Kind::of_lines("openvpn", openvpn, 0),
        Kind {
            variant: account(&with_changed_lines(&rsa, RSA_PUBLIC)),
            ..Kind::new("service-account", account(&rsa))
        },
        Kind::of_lines("rsa", rsa, RSA_PUBLIC),
        Kind::of_lines("ed25519", ed25519, ED25519_PUBLIC),
    ]
}

/// At the end of values that are not random, in all sets but the first.
fn suffix(set: u64) -> String {
    if set == 0 { String::new() } else { format!("-{set}") }
}

/// All texts of `kinds`.
pub(super) fn texts(kinds: &[Kind]) -> Vec<Text> {
    kinds.iter().enumerate().flat_map(|(index, kind)| kind.texts(index)).collect()
}

/// The lines of a key with its modulus, and with its header and public half.
const RSA_PUBLIC: usize = 6;
const ED25519_PUBLIC: usize = 2;

const ALPHANUMERIC: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64URL: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const HEX: &str = "0123456789abcdef";

/// Characters that look random, the same in every run.
fn random(length: usize, seed: u64, alphabet: &str) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap()
    };
    (0..length).map(|_| char::from(alphabet.as_bytes()[next() % alphabet.len()])).collect()
}

fn with_changed_lines(text: &str, public: usize) -> String {
    let is_encoded = |line: &str| {
        line.len() >= 16 && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    let mut encoded = 0;
    let change = |line: &str| {
        encoded += usize::from(is_encoded(line));
        let is_secret = is_encoded(line) && encoded > public;
        if is_secret { line.chars().map(changed).collect() } else { line.to_owned() }
    };
    text.lines().map(change).collect::<Vec<_>>().join("\n")
}

/// Another character of the same class, and of as many bytes.
fn changed(c: char) -> char {
    let next =
        |first: char, last: char| if c == last { first } else { char::from_u32(u32::from(c) + 1).unwrap() };
    match c {
        '0'..='9' => next('0', '9'),
        // Hexadecimal digits stay such.
        'a'..='f' => next('a', 'f'),
        'A'..='F' => next('A', 'F'),
        'g'..='z' => next('g', 'z'),
        'G'..='Z' => next('G', 'Z'),
        c if c.is_ascii() => c,
        c => char::from_u32(u32::from(c) + 1).unwrap(),
    }
}
