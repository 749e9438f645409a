//! `--secret` and `--secret-from-file`. Parsed here, because errors of clap repeat the value.
//!
//! Errors name the option and, if it is valid, the key; never a text that could be a secret.

use std::ffi::{OsStr, OsString};

use bridge_host::{NamedFile, SecretSpec, Source};
use proto::{KeyForm, Secret};

use crate::host::options::fields::fields;
use crate::usage::UsageError;

const SECRET: &str = "--secret";
const SECRET_FROM_FILE: &str = "--secret-from-file";
const ATTRIBUTES: &str = "id, src, env, cmd, type, max-reads, allow-empty, trim";

/// All secrets of these options. Warns of values that the process list shows.
///
/// # Errors
/// [`UsageError::Option`].
pub(crate) fn specs(secrets: &[OsString], from_files: &[OsString]) -> Result<Vec<SecretSpec>, UsageError> {
    let secrets = secrets.iter().map(|option| secret(option));
    let from_files = from_files.iter().map(|option| secret_from_file(option));
    let specs = secrets.chain(from_files).collect::<Result<Vec<_>, _>>()?;
    if specs.iter().filter(|spec| matches!(spec.source, Source::Stdin)).count() > 1 {
        return Err(UsageError::option(SECRET, "standard input can be the source of one secret only"));
    }
    for spec in specs.iter().filter(|spec| matches!(spec.source, Source::Literal(_))) {
        tracing::warn!(
            "{SECRET} {}=…: its value is visible in the process list; src=, env= or cmd= hide it",
            spec.form.key
        );
    }
    Ok(specs)
}

fn secret(option: &OsStr) -> Result<SecretSpec, UsageError> {
    let bytes = option.as_encoded_bytes();
    if let Some(text) = option.to_str().filter(|text| has_attributes(text)) {
        return with_attributes(text);
    }
    match split_once(bytes, b'=') {
        // Only the key of a literal must be UTF-8.
        Some((key, value)) => {
            let form = key_form(SECRET, std::str::from_utf8(key).unwrap_or("?"))?;
            let source = match value {
                b"-" => Source::Stdin,
                value => Source::Literal(Secret::new(value.to_vec())),
            };
            Ok(plain(form, source))
        }
        None => {
            let form = key_form(SECRET, option.to_str().unwrap_or("?"))?;
            let variable = form.key.to_string();
            Ok(plain(form, Source::Env(variable)))
        }
    }
}

fn secret_from_file(option: &OsStr) -> Result<SecretSpec, UsageError> {
    let text = option.to_str().ok_or_else(|| UsageError::option(SECRET_FROM_FILE, "not UTF-8"))?;
    let (key, file) = text.split_once('=').unwrap_or((text, text));
    let form = text.split_once('=').map_or_else(
        // Without a key, the key is the path as it was written.
        || {
            key_form(SECRET_FROM_FILE, key).map_err(|_| {
                UsageError::option(SECRET_FROM_FILE, "the file name is not a valid key: write KEY=FILE")
            })
        },
        |_| key_form(SECRET_FROM_FILE, key),
    )?;
    let file = if text.contains('=') { file } else { form.key.as_str() };
    let source = Source::File(NamedFile::typed(file));
    Ok(plain(form, source))
}

fn plain(form: KeyForm, source: Source) -> SecretSpec {
    SecretSpec { form, source, max_reads: None, allow_empty: false, trim: false }
}

fn key_form(option: &'static str, text: &str) -> Result<KeyForm, UsageError> {
    text.parse().map_err(|error| UsageError::option(option, error))
}

/// Whether `text` has the syntax of BuildKit, `id=KEY,src=FILE` in any order, and not `KEY=VALUE`.
fn has_attributes(text: &str) -> bool {
    let text = text.trim_start_matches('"');
    text.starts_with("id=")
        || (["type=", "src=", "source=", "env=", "cmd="].iter().any(|first| text.starts_with(first))
            && (text.contains(",id=") || text.contains(",\"id=")))
}

fn with_attributes(text: &str) -> Result<SecretSpec, UsageError> {
    let mut attributes = Attributes::default();
    for (index, field) in fields(SECRET, text)?.iter().enumerate() {
        // An unknown field may be a part of a secret: the error has its position only.
        let unknown = || {
            UsageError::option(SECRET, format!("unknown field {}; known fields are {ATTRIBUTES}", index + 1))
        };
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (field.as_str(), None),
        };
        let needed = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| UsageError::option(SECRET, format!("{name} needs a value")))
        };
        match name {
            "id" => attributes.id = Some(key_form(SECRET, &needed()?)?),
            "src" | "source" => attributes.src = Some(NamedFile::typed(needed()?)),
            "env" => attributes.env = Some(needed()?),
            "cmd" => attributes.cmd = Some(needed()?),
            "type" => attributes.kind = Some(needed()?),
            "max-reads" => {
                attributes.max_reads = Some(max_reads(&needed()?)?);
            }
            "allow-empty" => attributes.allow_empty = flag(name, value)?,
            "trim" => attributes.trim = Some(flag(name, value)?),
            _ => return Err(unknown()),
        }
    }
    attributes.into_spec()
}

/// The fields of `id=KEY,…`, and of a secret in a project file.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) id: Option<KeyForm>,
    pub(crate) src: Option<NamedFile>,
    pub(crate) env: Option<String>,
    pub(crate) cmd: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) max_reads: Option<u32>,
    pub(crate) allow_empty: bool,
    pub(crate) trim: Option<bool>,
}

impl Attributes {
    /// # Errors
    /// [`UsageError::Option`] if the key or a source is missing, or there are two.
    pub(crate) fn into_spec(self) -> Result<SecretSpec, UsageError> {
        let form = self.id.ok_or_else(|| UsageError::option(SECRET, "missing id=KEY"))?;
        let wrong = |problem: &str| Err(UsageError::option(SECRET, format!("{}: {problem}", form.key)));
        let source = match (self.src, self.env, self.cmd, self.kind.as_deref()) {
            // Typed, so it is UTF-8.
            (Some(variable), None, None, Some("env")) => {
                Source::Env(variable.path().to_string_lossy().into_owned())
            }
            (Some(file), None, None, None | Some("file")) => Source::File(file),
            (None, Some(variable), None, None | Some("env")) => Source::Env(variable),
            (None, None, Some(command), None) => Source::Command(command),
            // As in BuildKit, the id is the name of the variable.
            (None, None, None, None | Some("env")) => Source::Env(form.key.to_string()),
            (None, None, None, Some("file")) => return wrong("missing src=FILE"),
            (_, _, _, Some(kind)) if kind != "env" && kind != "file" => {
                return wrong("type must be file or env");
            }
            _ => return wrong("needs one of src=FILE, env=VARIABLE and cmd=COMMAND"),
        };
        // As `$(COMMAND)`: tools end their output with a line end that is not part of the secret.
        let trim = self.trim.unwrap_or(matches!(source, Source::Command(_)));
        Ok(SecretSpec { form, source, max_reads: self.max_reads, allow_empty: self.allow_empty, trim })
    }
}

pub(crate) fn max_reads(value: &str) -> Result<u32, UsageError> {
    let reads = value.parse().ok().filter(|reads| *reads > 0);
    reads.ok_or_else(|| UsageError::option(SECRET, "max-reads must be a number, at least 1"))
}

fn flag(name: &str, value: Option<&str>) -> Result<bool, UsageError> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(UsageError::option(SECRET, format!("{name} must be true or false"))),
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..index)?, bytes.get(index + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SecretSpec {
        secret(OsStr::new(text)).unwrap()
    }

    fn problem(text: &str) -> String {
        secret(OsStr::new(text)).unwrap_err().to_string()
    }

    #[test]
    fn each_spelling_has_its_source() {
        assert!(matches!(parsed("NPM_TOKEN").source, Source::Env(name) if name == "NPM_TOKEN"));
        assert!(matches!(parsed("K=v=w").source, Source::Literal(value) if value.expose() == b"v=w"));
        assert!(matches!(parsed("K=-").source, Source::Stdin));
        assert!(matches!(parsed("id=K,src=f").source, Source::File(file) if file.path() == "f"));
        assert!(matches!(parsed("type=file,id=K,source=f").source, Source::File(file) if file.path() == "f"));
        assert!(matches!(parsed("id=K,env=V").source, Source::Env(name) if name == "V"));
        assert!(matches!(parsed("id=K,type=env").source, Source::Env(name) if name == "K"));
        assert!(
            matches!(parsed("id=K,src=C:\\a\\b").source, Source::File(file) if file.path() == "C:\\a\\b")
        );
        let spec = parsed("id=b64:K,\"cmd=op read a,b\",max-reads=2,allow-empty");
        assert!(matches!(spec.source, Source::Command(command) if command == "op read a,b"));
        assert_eq!((spec.max_reads, spec.allow_empty, spec.trim), (Some(2), true, true));
    }

    #[test]
    fn a_literal_that_contains_id_stays_a_literal() {
        assert!(matches!(parsed("TOKEN=a,id=b").source, Source::Literal(_)));
    }

    #[test]
    fn the_path_is_the_key_of_a_file_without_one() {
        let spec = secret_from_file(OsStr::new("certs/ca.pem")).unwrap();
        assert_eq!(spec.form.key.as_str(), "certs/ca.pem");
        let spec = secret_from_file(OsStr::new("b64:k=file")).unwrap();
        assert!(matches!(spec.source, Source::File(file) if file.path() == "file"));
        assert!(secret_from_file(OsStr::new("a file")).is_err());
    }

    #[test]
    fn errors_repeat_nothing_that_could_be_a_secret() {
        for text in [
            "no key=hunter2",
            "hunter2 hunter2",
            "b32:K=hunter2",
            "id=K,hunter2",
            "id=K,src=a,hunter2=b",
            "id=hunter2 x,src=f",
            "id=K,max-reads=hunter2",
            "id=K,allow-empty=hunter2",
            "id=K,type=hunter2,src=hunter2",
            "id=K,src=hunter2,env=hunter2",
            "id=K,\"src=hunter2",
            "id=,src=hunter2",
        ] {
            assert!(!problem(text).contains("hunter2"), "{text}: {}", problem(text));
        }
    }
}
