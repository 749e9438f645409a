//! `--http-credential` of `serve` and `run`. Errors do not repeat what may be a credential that was written in place of the
//! name of its variable.

use bridge_host::{HttpCredentialSource, HttpCredentialSpec, NamedFile, SecretSpec, Source};
use http_policy::{Rule, RulePlace, Rules, Scheme};

use crate::host::options::fields::fields;
use crate::usage::UsageError;

const OPTION: &str = "--http-credential";
const SOURCES: &str = "src=FILE, env=VARIABLE, cmd=COMMAND and key=KEY";
const FIELDS: &str = "src, env, cmd, key, auth, methods, git, git+push, lfs, ca, own, scheme, plain";
/// The longest name of a variable without `_` that is repeated in an error: a credential in capitals is longer.
const MAX_SHOWN_VARIABLE: usize = 12;

/// All rules of the option.
///
/// # Errors
/// [`UsageError::Option`].
pub(crate) fn specs(options: &[String]) -> Result<Vec<HttpCredentialSpec>, UsageError> {
    let specs = options.iter().map(|option| spec(option)).collect::<Result<Vec<_>, _>>()?;
    check(&specs)?;
    Ok(specs)
}

/// Whether the rules can be used together.
///
/// # Errors
/// [`UsageError::Option`].
pub(crate) fn check(specs: &[HttpCredentialSpec]) -> Result<(), UsageError> {
    let rules = specs.iter().map(|spec| spec.rule.clone()).collect();
    Rules::new(rules).map(drop).map_err(|error| UsageError::option(OPTION, error))
}

/// `PLACE=VARIABLE[,…]` or `PLACE,src=FILE[,…]`.
fn spec(text: &str) -> Result<HttpCredentialSpec, UsageError> {
    let fields = fields(OPTION, text)?;
    let (first, others) = fields.split_first().map_or(("", &[][..]), |(first, others)| (first, others));
    // The path of a place may contain =, the name of a variable cannot.
    let (place, variable) = match first.rsplit_once('=') {
        Some((place, variable)) => (place, Some(variable)),
        None => (first, None),
    };
    // Not repeated: it may be the credential itself.
    if variable.is_none() && others.is_empty() {
        let problem = format!("must be PLACE=VARIABLE, or PLACE and one of {SOURCES}");
        return Err(UsageError::option(OPTION, problem));
    }
    let mut rule = RuleFields::new(place)?;
    if let Some(variable) = variable {
        let variable = set_variable(variable).map_err(|problem| rule.wrong(problem))?;
        rule.source(HttpCredentialSource::Own(Source::Env(variable)))?;
    }
    for (number, field) in (2..).zip(others) {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (field.as_str(), None),
        };
        let needed = || value.filter(|value| !value.is_empty()).ok_or(format!("{name} needs a value"));
        match name {
            "src" | "env" | "cmd" | "key" | "ca" => {
                let value = needed().map_err(|problem| rule.wrong(problem))?;
                match name {
                    "ca" => rule.ca(NamedFile::typed(value))?,
                    "src" => rule.source(HttpCredentialSource::Own(Source::File(NamedFile::typed(value))))?,
                    "env" => rule.source(HttpCredentialSource::Own(Source::Env(value.to_owned())))?,
                    "cmd" => rule.source(HttpCredentialSource::Own(Source::Command(value.to_owned())))?,
                    _ => rule.key(value)?,
                }
            }
            // An unknown field may be a part of a credential: the error has its position only.
            name => {
                if !rule.option(name, value)? {
                    return Err(rule.wrong(format!("unknown field {number}; known fields are {FIELDS}")));
                }
            }
        }
    }
    rule.into_spec()
}

/// `name`, if it is that of a variable of this process with a value.
fn set_variable(name: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let looks_like_one =
        (name.contains('_') || name.len() <= MAX_SHOWN_VARIABLE) && name.bytes().all(is_name);
    match std::env::var_os(name) {
        _ if name.is_empty() => Err("missing VARIABLE after =".to_owned()),
        Some(value) if !value.is_empty() => Ok(name.to_owned()),
        _ if looks_like_one => Err(format!("the environment variable {name} is not set, or empty")),
        _ => Err("no environment variable has the name after = (not repeated here: it may be the credential itself, which \
                  does not belong on the command line)"
            .to_owned()),
    }
}

/// A rule as its fields are read, from an option or a project file.
pub(crate) struct RuleFields {
    rule: Rule,
    source: Option<HttpCredentialSource>,
    ca: Option<NamedFile>,
}

impl RuleFields {
    /// The rule for `place`.
    ///
    /// # Errors
    /// [`UsageError::Option`], as for all of these.
    pub(crate) fn new(place: &str) -> Result<Self, UsageError> {
        let wrong = |problem: String| UsageError::option(OPTION, problem);
        if place.starts_with("http://") {
            return Err(wrong("only https servers have rules: write HOST, without http://".to_owned()));
        }
        let place = place.strip_prefix("https://").unwrap_or(place);
        let place: RulePlace =
            place.parse().map_err(|error: http_policy::PlaceError| wrong(error.to_string()))?;
        Ok(Self { rule: Rule::new(place), source: None, ca: None })
    }

    /// An error about this rule.
    pub(crate) fn wrong(&self, problem: impl std::fmt::Display) -> UsageError {
        UsageError::option(OPTION, format!("{}: {problem}", self.rule))
    }

    pub(crate) fn source(&mut self, source: HttpCredentialSource) -> Result<(), UsageError> {
        match self.source.replace(source) {
            None => Ok(()),
            Some(_) => Err(self.wrong("has more than one of =VARIABLE, src, env, cmd and key")),
        }
    }

    /// The credential is the secret `key` of the bridge.
    pub(crate) fn key(&mut self, key: &str) -> Result<(), UsageError> {
        let key = key.parse().map_err(|error: proto::KeyError| self.wrong(error))?;
        self.source(HttpCredentialSource::Secret(key))
    }

    pub(crate) fn ca(&mut self, file: NamedFile) -> Result<(), UsageError> {
        match self.ca.replace(file) {
            None => Ok(()),
            Some(_) => Err(self.wrong("ca is given twice")),
        }
    }

    /// Sets an option of [`Rule::option`]. Returns whether it is one.
    pub(crate) fn option(&mut self, name: &str, value: Option<&str>) -> Result<bool, UsageError> {
        self.rule.option(name, value).map_err(|error| self.wrong(error))
    }

    /// The whole rule, whose options fit together.
    pub(crate) fn into_spec(self) -> Result<HttpCredentialSpec, UsageError> {
        if self.ca.is_some() && self.rule.scheme == Scheme::Http {
            return Err(self.wrong("ca has no meaning with scheme=http"));
        }
        Rules::new(vec![self.rule.clone()]).map_err(|error| UsageError::option(OPTION, error))?;
        match self.source {
            Some(source) => Ok(HttpCredentialSpec { rule: self.rule, source, ca: self.ca }),
            None => Err(self.wrong(format!("has no credential: write one of {SOURCES}"))),
        }
    }
}

/// Warns of what exposes a credential: plain HTTP, and a secret that builds can read.
pub(crate) fn warn_of_exposure(specs: &[HttpCredentialSpec], secrets: &[SecretSpec]) {
    for HttpCredentialSpec { rule, source, .. } in specs {
        if rule.scheme == Scheme::Http {
            tracing::warn!(
                "{OPTION} {rule}: scheme=http sends the credential to the server unencrypted: others on the network can read it"
            );
        }
        match source {
            HttpCredentialSource::Secret(key) => tracing::warn!(
                "{OPTION} {rule}: builds can read the secret {key} itself; with =VARIABLE instead of key={key}, and without \
                 --secret {key}, it stays on this host"
            ),
            HttpCredentialSource::Own(own) => {
                for spec in secrets.iter().filter(|spec| is_same(&spec.source, own)) {
                    let key = &spec.form.key;
                    tracing::warn!(
                        "{OPTION} {rule}: its credential is the secret {key} too, which builds can read; without --secret {key}, \
                         it stays on this host"
                    );
                }
            }
        }
    }
}

fn is_same(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (Source::Env(one), Source::Env(other)) | (Source::Command(one), Source::Command(other)) => {
            one == other
        }
        (Source::File(one), Source::File(other)) => one.path() == other.path(),
        (
            Source::Env(_)
            | Source::Command(_)
            | Source::File(_)
            | Source::Literal(_)
            | Source::Stdin
            | Source::GitCredentials(_),
            _,
        ) => false,
    }
}

/// The variables of this process that credentials come from.
pub(crate) fn variables(specs: &[HttpCredentialSpec]) -> std::collections::BTreeSet<String> {
    let variable = |spec: &HttpCredentialSpec| match &spec.source {
        HttpCredentialSource::Own(Source::Env(name)) => Some(name.clone()),
        HttpCredentialSource::Own(
            Source::Command(_)
            | Source::File(_)
            | Source::Literal(_)
            | Source::Stdin
            | Source::GitCredentials(_),
        )
        | HttpCredentialSource::Secret(_) => None,
    };
    specs.iter().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use http_policy::{Git, Own, Plain};

    use super::*;

    /// A variable that every test run has.
    const SET: &str = "PATH";

    fn parsed(text: &str) -> HttpCredentialSpec {
        spec(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn problem(text: &str) -> String {
        spec(text).map(|spec| spec.rule).unwrap_err().to_string()
    }

    #[test]
    fn each_spelling_has_its_source() {
        use HttpCredentialSource::{Own, Secret};
        let source = |text: &str| parsed(text).source;
        assert!(matches!(source("npm.example=PATH"), Own(Source::Env(name)) if name == SET));
        assert!(matches!(source("npm.example,env=Other"), Own(Source::Env(name)) if name == "Other"));
        assert!(matches!(source("npm.example,src=a=b"), Own(Source::File(file)) if file.path() == "a=b"));
        assert!(
            matches!(source("h,\"cmd=op read a,b\",git"), Own(Source::Command(command)) if command == "op read a,b")
        );
        assert!(matches!(source("npm.example,key=ci/npm"), Secret(key) if key.as_str() == "ci/npm"));
        // A = of the path.
        assert_eq!(parsed("h/a%3Db=PATH").rule.to_string(), parsed("h/a=b=PATH").rule.to_string());
    }

    #[test]
    fn options_are_those_of_rules() {
        let spec =
            parsed("me@git.example:8443/org=PATH,git+push,lfs,ca=ca.pem,methods=GET,own=keep,plain=pass");
        assert_eq!(spec.rule.to_string(), "git.example:8443/org");
        assert_eq!((spec.rule.git, spec.rule.lfs), (Git::Push, true));
        assert_eq!((spec.rule.own, spec.rule.plain), (Own::Keep, Plain::Pass));
        assert_eq!(spec.ca.unwrap().path(), "ca.pem");
        assert_eq!(parsed("https://npm.example=PATH").rule.to_string(), "npm.example");
    }

    #[test]
    fn invalid_values_say_what_is_wrong() {
        let start = "invalid --http-credential: ";
        for (text, expected) in [
            (
                "npm.example",
                "must be PLACE=VARIABLE, or PLACE and one of src=FILE, env=VARIABLE, cmd=COMMAND and key=KEY",
            ),
            ("npm.example,git", "npm.example: has no credential: write one of src=FILE"),
            ("npm.example=", "npm.example: missing VARIABLE after ="),
            ("npm.example=NO_SUCH", "npm.example: the environment variable NO_SUCH is not set, or empty"),
            ("npm.example=PATH,src=f", "npm.example: has more than one of =VARIABLE, src, env, cmd and key"),
            ("npm.example,src=", "npm.example: src needs a value"),
            ("npm.example,src=f,ca", "npm.example: ca needs a value"),
            ("npm.example,src=f,ca=a,ca=b", "npm.example: ca is given twice"),
            (
                "npm.example,src=f,,git",
                "npm.example: unknown field 3; known fields are src, env, cmd, key, auth,",
            ),
            ("npm.example,key=a b", "npm.example: "),
            ("http://npm.example=PATH", "only https servers have rules: write HOST, without http://"),
            ("npm.example:80=PATH,scheme=http,ca=f", "npm.example:80: ca has no meaning with scheme=http"),
            ("npm.example,\"src=f", "unclosed quote"),
        ] {
            let problem = problem(text);
            assert!(
                problem.strip_prefix(start).is_some_and(|rest| rest.starts_with(expected)),
                "{text}: {problem}"
            );
        }
    }

    #[test]
    fn errors_repeat_nothing_that_could_be_a_credential() {
        for text in [
            "hunter2",
            "hunter2 hunter2=PATH",
            "npm.example=hunter2",
            "npm.example=npm_hunter2hunter2",
            "npm.example=HUNTER2HUNTER2HUNTER2",
            "npm.example=PATH,hunter2",
            "npm.example=PATH,hunter2=x",
            "npm.example=PATH,auth=hunter2",
            "npm.example=PATH,methods=hunter2",
            "npm.example=PATH,git=hunter2",
            "npm.example=PATH,own=hunter2",
            "npm.example,key=hunter2 hunter2",
            "bob:hunter2@npm.example=PATH",
            "npm.example/?token=hunter2",
            "npm.example:hunter2=PATH",
            "npm.example/hunter2/..=PATH",
        ] {
            let shown = problem(text).to_lowercase();
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn rules_for_the_same_paths_are_refused() {
        let options = ["npm.example=PATH", "NPM.example:443/=PATH"].map(str::to_owned);
        let shown = specs(&options).map(|specs| specs.len()).unwrap_err().to_string();
        assert!(shown.contains("the rules npm.example and npm.example are for the same paths"), "{shown}");
    }

    #[test]
    fn variables_are_those_of_own_sources() {
        let specs: Vec<_> =
            ["a=PATH", "b,env=B", "c,src=f", "d,key=HOME"].iter().map(|text| parsed(text)).collect();
        assert_eq!(variables(&specs).into_iter().collect::<Vec<_>>(), ["B", "PATH"]);
    }

    #[test]
    fn a_secret_from_the_same_source_is_noticed() {
        let env = |name: &str| Source::Env(name.to_owned());
        assert!(is_same(&env("A"), &env("A")) && !is_same(&env("A"), &env("B")));
        let file = |name: &str| Source::File(NamedFile::typed(name));
        assert!(is_same(&file("A"), &file("A")) && !is_same(&file("A"), &env("A")));
    }
}
