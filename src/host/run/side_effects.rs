//! Warnings about what COMMAND's arguments do with the variables that `run` sets and removes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use tracing::warn;

/// The variables that hold the conf for COMMAND, and for `--build-arg NAME` without a value.
pub(super) const CARRIERS: [&str; 2] = ["FTP_PROXY", "BRIDGE_CONF"];
/// A shorter value is in many arguments by chance.
const MIN_VALUE: usize = 8;

/// Warns of side effects of the variables, and of build-args. `removed` are the variables that COMMAND does not get.
pub(super) fn warn_of_side_effects(command: &[OsString], removed: &BTreeSet<String>) {
    let words: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
    if pushes(&words) && carries_by_build_arg(&words) {
        warn!(
            "COMMAND pushes while the bridge lives, and provenance (mode=max) records build-args: push after `run` \
             has ended, or pass the conf as a BuildKit secret"
        );
    }
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| value != *OsStr::new(""));
    if ["FTP_PROXY", "ftp_proxy"].iter().any(is_set) {
        warn!("FTP_PROXY is set; COMMAND gets the bridge conf in its place");
    }
    for variable in removed {
        if let Some(option) = passed_on_by(&words, variable) {
            warn!(
                "COMMAND has {option} {variable}, and `run` removes {variable} from its environment, as it is the source of an \
                 HTTP credential: take {option} out, steps under `exec --http` need no value"
            );
        }
        let value = std::env::var_os(variable).unwrap_or_default().into_encoded_bytes();
        let value = proto::Secret::new(value);
        if contains_value(command, value.expose()) {
            warn!(
                "the arguments of COMMAND contain the value of {variable}, an HTTP credential: the process list shows it, and \
                 images record build-args; take it out, steps under `exec --http` need no value"
            );
        }
    }
}

fn pushes(words: &[&str]) -> bool {
    words.iter().any(|word| {
        matches!(*word, "--push" | "--push=true")
            || word.contains("type=registry")
            || word.contains("push=true")
    })
}

fn carries_by_build_arg(words: &[&str]) -> bool {
    let names_carrier = |argument: &str| CARRIERS.contains(&argument.split('=').next().unwrap_or_default());
    arguments_of(words, "--build-arg").any(names_carrier)
}

/// The option by which COMMAND passes the variable on by its name alone, as docker, podman and buildah do.
fn passed_on_by(words: &[&str], variable: &str) -> Option<&'static str> {
    // Windows has no two variables that differ in case only.
    let same = |name: &str| {
        if cfg!(windows) { name.eq_ignore_ascii_case(variable) } else { name == variable }
    };
    // Of BuildKit: env=VARIABLE, or the id alone.
    let is_source = |secret: &str| {
        let field = |name: &str| secret.split(',').find_map(|field| field.strip_prefix(name));
        let from_file = field("src=").or_else(|| field("source=")).is_some() && field("type=") != Some("env");
        field("env=").or_else(|| field("id=").filter(|_| !from_file)).is_some_and(same)
    };
    if arguments_of(words, "--secret").any(is_source) {
        return Some("--secret");
    }
    ["--build-arg", "--env", "-e"].into_iter().find(|option| arguments_of(words, option).any(same))
}

/// The values of an option, written `--option VALUE` or `--option=VALUE`.
fn arguments_of<'w>(words: &'w [&str], option: &'w str) -> impl Iterator<Item = &'w str> {
    let after = words.windows(2).filter_map(move |pair| match pair {
        [first, value] if *first == option => Some(*value),
        _ => None,
    });
    let joined = words.iter().filter_map(move |word| word.strip_prefix(option)?.strip_prefix('='));
    after.chain(joined)
}

fn contains_value(command: &[OsString], value: &[u8]) -> bool {
    value.len() >= MIN_VALUE
        && command.iter().any(|word| word.as_encoded_bytes().windows(value.len()).any(|part| part == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_with_a_build_arg_carrier_is_noticed() {
        let words = ["docker", "buildx", "build", "--push", "--build-arg", "FTP_PROXY", "."];
        assert!(pushes(&words) && carries_by_build_arg(&words));
        assert!(carries_by_build_arg(&["--build-arg=BRIDGE_CONF"]));
        assert!(!carries_by_build_arg(&["--build-arg", "VERSION=1"]));
        assert!(pushes(&["--output", "type=image,push=true"]));
    }

    #[test]
    fn a_variable_that_is_passed_on_by_its_name_is_noticed() {
        for (words, option) in [
            (&["--build-arg", "TOKEN"][..], Some("--build-arg")),
            (&["--build-arg=TOKEN"], Some("--build-arg")),
            (&["run", "-e", "TOKEN", "image"], Some("-e")),
            (&["run", "--env=TOKEN"], Some("--env")),
            (&["--secret", "id=TOKEN"], Some("--secret")),
            (&["--secret=id=npm,env=TOKEN"], Some("--secret")),
            (&["--secret", "type=env,id=TOKEN"], Some("--secret")),
            (&["--secret", "id=TOKEN,src=file"], None),
            (&["--secret", "id=TOKEN,env=OTHER"], None),
            (&["--build-arg", "TOKEN=value"], None),
            (&["--build-arg", "TOKEN_2"], None),
            (&["TOKEN"], None),
        ] {
            assert_eq!(passed_on_by(words, "TOKEN"), option, "{words:?}");
        }
    }

    #[test]
    fn the_value_in_an_argument_is_noticed() {
        let command = ["docker", "--build-arg", "T=hunter2-of-bob"].map(OsString::from);
        assert!(contains_value(&command, b"hunter2-of-bob"));
        assert!(!contains_value(&command, b"hunter3-of-bob") && !contains_value(&command, b"T=h"));
        assert!(!contains_value(&command, b""));
    }
}
