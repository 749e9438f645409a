//! Adds git settings by environment variables alone (git-config(1), `GIT_CONFIG_COUNT`), after those that exist.

use std::ffi::OsString;

use thiserror::Error;

const COUNT: &str = "GIT_CONFIG_COUNT";

/// The variable in our environment is one that git refuses, too.
#[derive(Debug, Error)]
#[error("invalid GIT_CONFIG_COUNT: not a number from 0 to 65535")]
pub struct GitConfigCount;

/// Adds `settings` to `variables`, numbered after those in `variables`, or else after those in `inherited`.
///
/// # Errors
/// [`GitConfigCount`]; `variables` is unchanged.
pub(crate) fn append(
    settings: Vec<(String, String)>,
    variables: &mut Vec<(String, OsString)>,
    inherited: impl Fn(&str) -> Option<OsString>,
) -> Result<(), GitConfigCount> {
    let own = variables.iter().rfind(|(name, _)| name == COUNT).map(|(_, count)| count.clone());
    let first = match own.or_else(|| inherited(COUNT)) {
        // git treats an empty value as zero.
        Some(count) if !count.is_empty() => {
            count.to_str().and_then(|count| count.parse::<u16>().ok()).ok_or(GitConfigCount)?
        }
        Some(_) | None => 0,
    };
    let count = u16::try_from(settings.len()).ok().and_then(|length| first.checked_add(length));
    let count = count.ok_or(GitConfigCount)?;
    for (number, (key, value)) in (first..count).zip(settings) {
        variables.push((format!("GIT_CONFIG_KEY_{number}"), key.into()));
        variables.push((format!("GIT_CONFIG_VALUE_{number}"), value.into()));
    }
    variables.retain(|(name, _)| name != COUNT);
    variables.push((COUNT.to_owned(), count.to_string().into()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(variables: &[(String, OsString)]) -> Vec<&OsString> {
        variables.iter().filter(|(name, _)| name == COUNT).map(|(_, count)| count).collect()
    }

    #[test]
    fn later_settings_have_higher_numbers() {
        let mut variables = Vec::new();
        let setting = |name: &str| vec![(name.to_owned(), "x".to_owned())];
        append(setting("a.b"), &mut variables, |_| Some("2".into())).unwrap();
        append(setting("c.d"), &mut variables, |_| Some("2".into())).unwrap();
        let keys: Vec<&str> =
            variables.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains("KEY")).collect();
        assert_eq!(keys, ["GIT_CONFIG_KEY_2", "GIT_CONFIG_KEY_3"]);
        assert_eq!(count(&variables), ["4"]);
    }

    #[test]
    fn an_invalid_count_is_an_error_and_changes_nothing() {
        for wrong in ["-1", "many", "65535", "65536"] {
            let mut variables = Vec::new();
            let settings = vec![("a.b".to_owned(), "x".to_owned())];
            assert!(append(settings, &mut variables, |_| Some(wrong.into())).is_err(), "{wrong}");
            assert!(variables.is_empty());
        }
    }
}
