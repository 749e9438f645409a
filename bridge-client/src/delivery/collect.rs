//! Collects secrets for COMMAND. Each is fetched once, however many requests there are for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use proto::{Key, Secret};
use tracing::{debug, warn};

use super::request::{FileTarget, SecretRequest, Target};
use super::variable;
use crate::delivery::error::DeliveryError;
use crate::delivery::sink::Sink;
use crate::git::credential_helper::{self, GitServer};

/// Collects the secrets of some requests.
pub(crate) struct Collection<'a> {
    requests: &'a [SecretRequest],
    keys: Vec<Key>,
    values: Vec<Option<Vec<u8>>>,
}

/// The secrets of all requests, in the forms in which COMMAND gets them.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) variables: Vec<(String, OsString)>,
    /// Files with their contents.
    pub(crate) files: Vec<(Key, FileTarget, Secret)>,
    /// Servers for which there are git credentials.
    pub(crate) git_servers: Vec<GitServer>,
    /// The secrets as the bridge sent them.
    pub(crate) secrets: Vec<(Key, Secret)>,
    /// Keys that the leak check does not search for.
    pub(crate) unsearched: Vec<Key>,
}

impl Collected {
    /// Secrets that the leak check searches for.
    pub(crate) fn searched(&self) -> impl Iterator<Item = &Secret> {
        let searched = self.secrets.iter().filter(|(key, _)| !self.unsearched.contains(key));
        searched.map(|(_, secret)| secret)
    }
}

impl<'a> Collection<'a> {
    pub(crate) fn new(requests: &'a [SecretRequest]) -> Self {
        let mut seen = BTreeMap::new();
        let keys = requests.iter().map(|request| &request.form.key);
        let keys: Vec<Key> = keys.filter(|key| seen.insert((*key).clone(), ()).is_none()).cloned().collect();
        let values = keys.iter().map(|_| None).collect();
        Self { requests, keys, values }
    }

    /// The keys of all requests, each once.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys.clone()
    }

    /// # Errors
    /// [`DeliveryError`] if a value does not fit its target.
    pub(crate) fn finish(self) -> Result<Collected, DeliveryError> {
        let secrets = self.keys.into_iter().zip(self.values);
        let secrets: BTreeMap<Key, Secret> =
            secrets.filter_map(|(key, value)| Some((key, Secret::new(value?)))).collect();
        let mut collected = Collected::default();
        for SecretRequest { form, target, .. } in self.requests {
            let Some(secret) = secrets.get(&form.key) else {
                debug!("{} is optional and not available", form.key);
                continue;
            };
            let value = form.encoding.encode(Secret::new(secret.expose().to_vec()));
            match target {
                Target::Variable(name) => {
                    if value.expose().ends_with(b"\n") {
                        warn!("the value of {name} ends with a newline (`trim` at its source removes it)");
                    }
                    collected.variables.push((name.clone(), variable::value(&form.key, &value)?));
                }
                Target::File(file) => collected.files.push((form.key.clone(), file.clone(), value)),
                Target::Git(access) => {
                    collected.git_servers = credential_helper::servers(&form.key, &value)?;
                    collected.files.push((form.key.clone(), credential_helper::file(*access), value));
                }
            }
        }
        collected.secrets = secrets.into_iter().collect();
        let unsearched = self.requests.iter().filter(|request| !request.searched);
        collected.unsearched = unsearched.map(|request| request.form.key.clone()).collect();
        Ok(collected)
    }
}

impl Sink for Collection<'_> {
    fn begin(&mut self, index: usize, length: u64) -> Result<(), DeliveryError> {
        let Some(key) = self.keys.get(index) else { return Ok(()) };
        for SecretRequest { form, target, .. } in
            self.requests.iter().filter(|request| request.form.key == *key)
        {
            if let Target::Variable(name) = target {
                variable::check_length(name, key, form.encoding.encoded_len(length))?;
            }
        }
        if let (Some(value), Ok(length)) = (self.values.get_mut(index), usize::try_from(length)) {
            // Allocated at once, so that growing leaves no copies behind.
            *value = Some(Vec::with_capacity(length));
        }
        Ok(())
    }

    fn chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), DeliveryError> {
        if let Some(Some(value)) = self.values.get_mut(index) {
            value.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn is_optional(&self, index: usize) -> bool {
        let Some(key) = self.keys.get(index) else { return false };
        self.requests.iter().filter(|request| request.form.key == *key).all(|request| request.optional)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(variable: &str, form: &str) -> SecretRequest {
        let target = Target::Variable(variable.into());
        SecretRequest { form: form.parse().unwrap(), optional: false, searched: true, target }
    }

    #[test]
    fn a_secret_for_two_variables_is_fetched_once() {
        let requests = [request("A", "k"), request("B", "b64:k")];
        let mut collection = Collection::new(&requests);
        assert_eq!(collection.keys().len(), 1);
        collection.begin(0, 2).unwrap();
        collection.chunk(0, b"hi").unwrap();
        let variables = collection.finish().unwrap().variables;
        assert_eq!(
            variables,
            [("A".to_owned(), OsString::from("hi")), ("B".to_owned(), OsString::from("aGk="))]
        );
    }

    #[test]
    fn a_missing_optional_secret_sets_no_variable() {
        let requests = [SecretRequest { optional: true, ..request("A", "k") }, request("B", "other")];
        let mut collection = Collection::new(&requests);
        assert!(collection.is_optional(0) && !collection.is_optional(1));
        collection.begin(1, 1).unwrap();
        collection.chunk(1, b"v").unwrap();
        let collected = collection.finish().unwrap();
        assert_eq!(collected.variables, [("B".to_owned(), OsString::from("v"))]);
        assert_eq!(collected.secrets.len(), 1);
    }

    #[test]
    fn one_request_can_exempt_a_secret_from_the_leak_check() {
        let requests = [
            SecretRequest { searched: false, ..request("A", "k") },
            request("B", "k"),
            request("C", "other"),
        ];
        let mut collection = Collection::new(&requests);
        for index in 0..2 {
            collection.begin(index, 1).unwrap();
            collection.chunk(index, b"v").unwrap();
        }
        let collected = collection.finish().unwrap();
        assert_eq!((collected.secrets.len(), collected.searched().count()), (2, 1));
    }

    #[test]
    fn one_required_request_makes_a_secret_required() {
        let requests = [SecretRequest { optional: true, ..request("A", "k") }, request("B", "k")];
        assert!(!Collection::new(&requests).is_optional(0));
    }
}
