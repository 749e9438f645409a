//! What an image is searched for: the secrets of the bridge, and the credentials of HTTP rules.

use std::fmt;
use std::sync::Arc;

use image_scan::{Finder, Match, Search};
use proto::{Key, Secret};
use tracing::warn;

use crate::usage::UsageError;

/// A value to search for.
pub(crate) struct Searched {
    name: Name,
    value: Arc<Secret>,
}

/// How findings name a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Secret(Key),
    /// The place of the rule.
    HttpCredential(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(key) => key.fmt(f),
            // No key of a secret has a space.
            Self::HttpCredential(rule) => write!(f, "http-credential {rule}"),
        }
    }
}

impl Name {
    /// For the beginning of a message.
    fn described(&self) -> String {
        match self {
            Self::Secret(key) => format!("secret {key}"),
            Self::HttpCredential(rule) => format!("the credential of {rule}"),
        }
    }
}

impl Searched {
    /// The secrets, and the credentials with the names of their rules.
    pub(crate) fn all(secrets: Vec<(Key, Arc<Secret>)>, http: Vec<(String, Arc<Secret>)>) -> Vec<Self> {
        let secrets = secrets.into_iter().map(|(key, value)| Self { name: Name::Secret(key), value });
        let http = http.into_iter().map(|(rule, value)| Self { name: Name::HttpCredential(rule), value });
        secrets.chain(http).collect()
    }
}

/// Implements the traits of [`image_scan`] with the search of [`leaks`], whose keys are indexes into `names`.
pub(super) struct Leaks {
    finder: leaks::Finder,
    names: Vec<String>,
}

impl Leaks {
    /// Warns of values that cannot be searched for.
    ///
    /// # Errors
    /// [`UsageError`] if there are no others.
    pub(super) fn of(searched: &[Searched]) -> Result<Self, UsageError> {
        for Searched { name, .. } in searched.iter().filter(|item| !leaks::Finder::covers(&item.value)) {
            warn!("{} is too short or too common to be searched for", name.described());
        }
        let key = |index: usize| index.to_string().parse::<Key>();
        let numbered = searched.iter().enumerate().map(|(index, item)| Ok((key(index)?, &*item.value)));
        let numbered: Vec<(Key, &Secret)> = numbered
            .collect::<Result<_, proto::KeyError>>()
            .map_err(|error| UsageError::option("--secret", error))?;
        let finder = leaks::Finder::new(&numbered)
            .ok_or_else(|| UsageError::option("--secret", "none of the secrets can be searched for"))?;
        Ok(Self { finder, names: searched.iter().map(|item| item.name.to_string()).collect() })
    }

    fn name(&self, key: &Key) -> String {
        let name = key.as_str().parse().ok().and_then(|index: usize| self.names.get(index));
        name.cloned().unwrap_or_default()
    }
}

impl Finder for Leaks {
    type Search<'f> = LeaksSearch<'f>;

    fn search(&self) -> LeaksSearch<'_> {
        LeaksSearch { leaks: self, search: self.finder.search() }
    }
}

pub(super) struct LeaksSearch<'f> {
    leaks: &'f Leaks,
    search: leaks::Search<'f>,
}

impl Search for LeaksSearch<'_> {
    fn feed(&mut self, chunk: &[u8]) {
        self.search.feed(chunk);
    }

    fn matches(self) -> Vec<Match> {
        let matched = |hit: &leaks::Hit| Match {
            key: self.leaks.name(&hit.key),
            encoding: hit.encoding.as_str(),
            part: hit.part,
            offset: hit.offset,
        };
        self.search.hits().iter().map(matched).collect()
    }
}
