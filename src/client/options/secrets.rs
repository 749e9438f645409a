//! The secrets for COMMAND: `-e`, `--file`, `--secret`, `--git-credentials` and `--optional` of `exec`.

use bridge_client::{Access, FileTarget, SecretRequest, Target};
use clap::Args;
use git_credential::GIT_CREDENTIALS;
use proto::{KeyError, KeyForm};

use crate::client::options::access;
use crate::usage::UsageError;

const DEFAULT_MODE: u32 = 0o600;
/// The default of BuildKit, for `--secret`.
const BUILDKIT_MODE: u32 = 0o400;
/// Excludes a secret from the leak check.
const LEAKS_OFF: &str = "leaks=off";
const GIT_OPTION: &str = "--git-credentials";
/// Where BuildKit puts a secret without a target.
#[cfg(not(windows))]
const BUILDKIT_DIRECTORY: &str = "/run/secrets";
#[cfg(windows)]
const BUILDKIT_DIRECTORY: &str = r"C:\ProgramData\Docker\secrets";

// (A doc comment would become the help of `exec`.)
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets")]
pub(crate) struct SecretOptions {
    /// Set the variable VAR to the secret KEY (may be repeated)
    ///
    /// KEY alone is the name of the variable too. Write b64:KEY, b64u:KEY, rb64:KEY or rb64u:KEY for the value in base64
    /// or base64url, with (b) or without (rb) padding. With leaks=off, COMMAND may write the secret into files.
    #[arg(short = 'e', long = "env", value_name = "[VAR=]KEY[,leaks=off]")]
    env: Vec<String>,
    /// Give COMMAND the secret KEY as the file PATH (may be repeated)
    ///
    /// PATH may begin with ~/. It is a link to a file in memory. KEY alone sets the variable KEY to the path of such a
    /// file.
    ///
    /// After PATH, these may follow: mode=0600, uid=USER and gid=GROUP (numbers or names, for a COMMAND that gives up root:
    /// only this user can read the file), replace (move an existing file aside while COMMAND runs), optional, leaks=off
    /// (COMMAND may write the secret into files).
    #[cfg_attr(
        windows,
        doc = "On Windows, the file itself is at PATH, only this user can read it, mode has no effect, and uid and gid are refused."
    )]
    #[arg(long = "file", value_name = "KEY[=PATH][,…]")]
    files: Vec<String>,
    /// Give COMMAND a secret in the syntax of BuildKit (may be repeated)
    ///
    /// After id=KEY, these may follow: target=PATH, env=VAR, uid=USER, gid=GROUP, mode=0400, required=false, leaks=off.
    #[arg(long = "secret", value_name = "id=KEY,…")]
    secrets: Vec<String>,
    /// Let git in COMMAND log in to https servers
    ///
    /// With the credentials of --git-credential of `serve` and `run` (the secret git-credentials), and only to the
    /// servers that they are for. Sets GIT_TERMINAL_PROMPT=0 unless it is set.
    ///
    /// With uid=USER, git that runs as that user can log in: for a COMMAND that gives up root.
    #[arg(
        long,
        value_name = "uid=USER,…",
        num_args = 0..=1,
        default_missing_value = "",
        require_equals = true
    )]
    git_credentials: Option<String>,
    /// Run COMMAND also if the bridge has no secret KEY (may be repeated)
    ///
    /// Without KEY, all secrets are optional.
    #[arg(long = "optional", value_name = "KEY", num_args = 0..=1, default_missing_value = "*", require_equals = true)]
    optional: Vec<String>,
}

impl SecretOptions {
    /// # Errors
    /// [`UsageError`], also for a variable or path that is given twice.
    pub(crate) fn resolve(&self) -> Result<Vec<SecretRequest>, UsageError> {
        let mut requests = Vec::new();
        for option in &self.env {
            requests.push(variable("-e", option)?);
        }
        for option in &self.files {
            requests.push(file(option)?);
        }
        for option in &self.secrets {
            requests.extend(buildkit(option)?);
        }
        if let Some(fields) = &self.git_credentials {
            let form = key_form(GIT_OPTION, GIT_CREDENTIALS)?;
            let target = Target::Git(git_access(fields)?);
            requests.push(SecretRequest { form, optional: false, searched: true, target });
        }
        for key in &self.optional {
            let mut found = false;
            for request in
                requests.iter_mut().filter(|request| key == "*" || request.form.key.as_str() == key)
            {
                request.optional = true;
                found = true;
            }
            if !found && key != "*" {
                return Err(UsageError::option(
                    "--optional",
                    format!("{} is not requested by another option", proto::escape(key)),
                ));
            }
        }
        without_collisions(&requests)?;
        Ok(requests)
    }
}

fn without_collisions(requests: &[SecretRequest]) -> Result<(), UsageError> {
    let mut variables = Vec::new();
    let mut paths = Vec::new();
    for request in requests {
        let (variable, path) = match &request.target {
            Target::Variable(variable) => (Some(variable), None),
            Target::File(file) => (file.variable.as_ref(), file.path.as_ref()),
            Target::Git(_) => (None, None),
        };
        if let Some(variable) = variable {
            if variables.contains(&variable) {
                return Err(UsageError::option("-e", format!("the variable {variable} is set twice")));
            }
            variables.push(variable);
        }
        if let Some(path) = path {
            if paths.contains(&path) {
                return Err(UsageError::option("--file", format!("{} is given twice", path.display())));
            }
            paths.push(path);
        }
    }
    Ok(())
}

fn variable(option: &'static str, text: &str) -> Result<SecretRequest, UsageError> {
    let (text, searched) = match text.split_once(',') {
        None => (text, true),
        Some((text, LEAKS_OFF)) => (text, false),
        Some(_) => return Err(UsageError::option(option, "only leaks=off may follow the key")),
    };
    let (variable, form) = match text.split_once('=') {
        Some((variable, form)) => (variable.to_owned(), key_form(option, form)?),
        None => {
            let form = key_form(option, text)?;
            (form.key.to_string(), form)
        }
    };
    let target = Target::Variable(variable_name(option, &variable)?);
    Ok(SecretRequest { form, optional: false, searched, target })
}

fn git_access(fields: &str) -> Result<Access, UsageError> {
    let mut access = Access::own(DEFAULT_MODE);
    for field in fields.split(',').filter(|_| !fields.is_empty()) {
        let known = match field.split_once('=') {
            Some((name, value)) => access::set(&mut access, GIT_OPTION, name, value)?,
            None => false,
        };
        if !known {
            return Err(UsageError::option(GIT_OPTION, "the fields are uid=…, gid=… and mode=…"));
        }
    }
    Ok(access)
}

fn file(text: &str) -> Result<SecretRequest, UsageError> {
    const OPTION: &str = "--file";
    let mut fields = text.split(',');
    let first = fields.next().unwrap_or_default();
    let (form, path) = match first.split_once('=') {
        Some((_, "")) => return Err(UsageError::option(OPTION, "the path is empty")),
        Some((form, path)) => (key_form(OPTION, form)?, Some(path.into())),
        None => (key_form(OPTION, first)?, None),
    };
    let variable = match &path {
        Some(_) => None,
        None => Some(variable_name(OPTION, form.key.as_str())?),
    };
    let mut target = FileTarget { path, variable, access: Access::own(DEFAULT_MODE), replace: false };
    let (mut optional, mut searched) = (false, true);
    for field in fields {
        match field.split_once('=') {
            Some(_) if field == LEAKS_OFF => searched = false,
            Some((name, value)) if access::set(&mut target.access, OPTION, name, value)? => {}
            None if field == "replace" => target.replace = true,
            None if field == "optional" => optional = true,
            Some(_) | None => {
                return Err(UsageError::option(
                    OPTION,
                    "only mode=…, uid=…, gid=…, replace, optional and leaks=off may follow the path",
                ));
            }
        }
    }
    Ok(SecretRequest { form, optional, searched, target: Target::File(target) })
}

fn buildkit(text: &str) -> Result<Vec<SecretRequest>, UsageError> {
    const OPTION: &str = "--secret";
    let (mut id, mut path, mut env, mut access) = (None, None, None, Access::own(BUILDKIT_MODE));
    let (mut required, mut searched) = (true, true);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", text)) => id = Some(key_form(OPTION, text)?),
            Some(("target" | "dst" | "destination", text)) => path = Some(text.to_owned()),
            Some(("env", text)) => env = Some(variable_name(OPTION, text)?),
            Some(("required", "true")) => required = true,
            None if field == "required" => required = true,
            Some(("required", "false")) => required = false,
            Some(("type", "secret")) => {}
            Some(_) if field == LEAKS_OFF => searched = false,
            Some((name, value)) if access::set(&mut access, OPTION, name, value)? => {}
            Some(_) | None => {
                let words = "the fields are id, target, env, uid, gid, mode, required=false and leaks=off";
                return Err(UsageError::option(OPTION, words));
            }
        }
    }
    let form = id.ok_or_else(|| UsageError::option(OPTION, "missing id=KEY"))?;
    if path.is_none() && env.is_none() {
        path = Some(format!("{BUILDKIT_DIRECTORY}/{}", form.key));
    }
    let file = path.map(|path| {
        Target::File(FileTarget { path: Some(path.into()), variable: None, access, replace: false })
    });
    let targets = file.into_iter().chain(env.map(Target::Variable));
    let request = |target| SecretRequest { form: form.clone(), optional: !required, searched, target };
    Ok(targets.map(request).collect())
}

fn key_form(option: &'static str, text: &str) -> Result<KeyForm, UsageError> {
    text.parse::<KeyForm>().map_err(|error: KeyError| UsageError::option(option, error))
}

/// Whether shells can refer to it (POSIX.1, 3.216).
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn variable_name(option: &'static str, name: &str) -> Result<String, UsageError> {
    if is_variable_name(name) {
        return Ok(name.to_owned());
    }
    let instead = if option == "--file" { "--file KEY=PATH" } else { "-e VAR=KEY" };
    let problem = format!("{} is not a valid variable name: write {instead}", proto::escape(name));
    Err(UsageError::option(option, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(
        env: &[&str],
        files: &[&str],
        secrets: &[&str],
        optional: &[&str],
    ) -> Option<Vec<SecretRequest>> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let options = SecretOptions {
            env: owned(env),
            files: owned(files),
            secrets: owned(secrets),
            git_credentials: None,
            optional: owned(optional),
        };
        options.resolve().ok()
    }

    #[test]
    fn a_key_names_its_variable_unless_it_cannot() {
        let name = |option| match variable("-e", option).ok()?.target {
            Target::Variable(name) => Some(name),
            Target::File(_) | Target::Git(_) => None,
        };
        assert_eq!(name("TOKEN").as_deref(), Some("TOKEN"));
        assert_eq!(name("b64:TOKEN").as_deref(), Some("TOKEN"));
        assert_eq!(name("T=ci/npm").as_deref(), Some("T"));
        for wrong in ["ci/npm", "=k", "A=", "A B=k", "1A=k", "A=b32:k"] {
            assert!(variable("-e", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_or_path_cannot_be_set_twice() {
        assert!(resolved(&["A=x", "A=y"], &[], &[], &[]).is_none());
        assert!(resolved(&["A=x", "B=x"], &[], &[], &[]).is_some());
        assert!(resolved(&["A=x"], &["A"], &[], &[]).is_none());
        assert!(resolved(&[], &["A=~/x", "B=~/x"], &[], &[]).is_none());
    }

    #[test]
    fn a_file_is_private_by_default() {
        let file = |text| match file(text).unwrap() {
            SecretRequest { target: Target::File(target), optional, .. } => (target, optional),
            SecretRequest { .. } => panic!(),
        };
        let (target, optional) = file("k=~/.netrc");
        assert_eq!((target.path, target.access), (Some("~/.netrc".into()), Access::own(0o600)));
        assert!(!optional && !target.replace && target.variable.is_none());
        let (target, optional) = file("k=/x,mode=0440,optional,replace");
        assert!(optional && target.replace && target.access == Access::own(0o440));
        #[cfg(unix)]
        assert_eq!(file("k=/x,uid=7,gid=8").0.access, Access { uid: Some(7), gid: Some(8), mode: 0o600 });
        assert_eq!(file("K").0.variable.as_deref(), Some("K"));
        for wrong in ["k=", "a/b", "k=/x,mode=9", "k=/x,mode=07777", "k=/x,mode=0200", "k=/x,other"] {
            assert!(super::file(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_of_buildkit_mean_the_same_here() {
        let requests = resolved(&[], &[], &["id=k,target=/x,env=V,mode=0444,required=false"], &[]).unwrap();
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|request| request.optional));
        let requests = resolved(&[], &[], &["type=secret,id=k"], &[]).unwrap();
        let [SecretRequest { target: Target::File(file), optional: false, .. }] = requests.as_slice() else {
            panic!()
        };
        assert_eq!((file.path.clone(), file.access), (Some("/run/secrets/k".into()), Access::own(0o400)));
        assert!(resolved(&[], &[], &["target=/x"], &[]).is_none());
    }

    #[test]
    fn leaks_off_excludes_a_key_from_the_leak_check() {
        let options = (["A,leaks=off", "B"], ["c=/x,leaks=off,optional"], ["id=d,env=D,target=/y,leaks=off"]);
        let requests = resolved(&options.0, &options.1, &options.2, &[]).unwrap();
        let searched: Vec<_> =
            requests.iter().map(|request| (request.form.key.as_str(), request.searched)).collect();
        assert_eq!(searched, [("A", false), ("B", true), ("c", false), ("d", false), ("d", false)]);
        for wrong in ["A,leaks=on", "A,leaks", "A,", "A,optional", "A,leaks=off,leaks=off"] {
            assert!(variable("-e", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn optional_is_for_requested_keys_only() {
        let requests = resolved(&["A", "B"], &[], &[], &["A"]).unwrap();
        assert!(requests[0].optional && !requests[1].optional);
        assert!(resolved(&["A", "B"], &[], &[], &["*"]).unwrap().iter().all(|request| request.optional));
        assert!(resolved(&["A"], &[], &[], &["B"]).is_none());
    }
}
