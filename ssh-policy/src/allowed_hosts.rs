//! The hosts to which a login may be signed: their keys are looked up once, and the key of each login is checked later.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::escape;
use thiserror::Error;

use crate::host_name::{AllowedHostSpec, HostName};
use crate::key::certificate::BadCertificate;
use crate::key::fingerprint::Fingerprint;
use crate::key::public_key::{PlainKey, PublicKey};
use crate::known_hosts::KnownHosts;

/// The keys of the hosts to which a login may be signed.
#[derive(Debug, Clone)]
pub struct AllowedHosts {
    hosts: Vec<AllowedHost>,
    /// For revoked keys, and for the names of hosts that are not allowed.
    known: KnownHosts,
}

#[derive(Debug, Clone)]
struct AllowedHost {
    name: HostName,
    keys: Vec<Vec<u8>>,
    /// Given by the user. A key with this fingerprint need not be in a known_hosts file.
    fingerprint: Option<Fingerprint>,
    authorities: Vec<Vec<u8>>,
}

/// No usable key is known for a host that is to be allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no usable key of {0} is known")]
pub struct UnknownHost(pub HostName);

/// Why a host's key is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAllowed {
    /// Its name, from a known_hosts file.
    #[error("host {} is not allowed", escape(.0))]
    Host(String),
    /// The key is not in a known_hosts file.
    #[error("host key {0} is not allowed")]
    Key(Fingerprint),
    /// The key, or the authority of its certificate, is revoked.
    #[error("host key {0} is revoked")]
    Revoked(Fingerprint),
    /// An allowed authority issued the certificate.
    #[error("the certificate of host key {0} is not valid: {1}")]
    Certificate(Fingerprint, BadCertificate),
}

impl AllowedHosts {
    /// Looks up the keys of `specs` in `known`.
    ///
    /// # Errors
    /// [`UnknownHost`], for the first of them.
    pub fn resolve(specs: &[AllowedHostSpec], known: &KnownHosts) -> Result<Self, UnknownHost> {
        let mut hosts = Vec::new();
        for AllowedHostSpec { name, key } in specs {
            let keys = known.keys_of(name, false).into_iter();
            let is_of_spec = |blob: &&[u8]| key.is_none_or(|key| Fingerprint::of(blob) == key);
            let host = AllowedHost {
                name: name.clone(),
                keys: keys.filter(is_of_spec).map(<[u8]>::to_vec).collect(),
                fingerprint: *key,
                authorities: match key {
                    // A user who gives a fingerprint means exactly that key.
                    Some(_) => Vec::new(),
                    None => known.keys_of(name, true).into_iter().map(<[u8]>::to_vec).collect(),
                },
            };
            if host.keys.is_empty() && host.authorities.is_empty() && host.fingerprint.is_none() {
                return Err(UnknownHost(name.clone()));
            }
            hosts.push(host);
        }
        Ok(Self { hosts, known: known.clone() })
    }

    /// The allowed host to which this key, or certificate, belongs at `now`. The caller has verified that the host has it.
    pub(crate) fn host_of(&self, key: &PublicKey<'_>, now: SystemTime) -> Result<&HostName, NotAllowed> {
        let plain = key.plain.encode();
        let fingerprint = Fingerprint::of(&plain);
        let authority = key.certificate.as_ref().map(|certificate| certificate.authority.encode());
        let is_revoked = |key: &Vec<u8>| self.known.is_revoked(key);
        if is_revoked(&plain) || authority.as_ref().is_some_and(is_revoked) {
            return Err(NotAllowed::Revoked(fingerprint));
        }
        // A certificate of an allowed key needs no allowed authority: a client that knows the key but not the authority
        // accepts the key, and still sends the certificate.
        let has_key =
            |host: &&AllowedHost| host.fingerprint == Some(fingerprint) || host.keys.contains(&plain);
        if let Some(host) = self.hosts.iter().find(has_key) {
            return Ok(&host.name);
        }
        let (Some(certificate), Some(authority)) = (&key.certificate, authority) else {
            return Err(self.not_allowed(&plain, fingerprint));
        };
        let mut certified = self.hosts.iter().filter(|host| host.authorities.contains(&authority)).peekable();
        if certified.peek().is_none() {
            return Err(self.not_allowed(&plain, fingerprint));
        }
        let bad = |why| NotAllowed::Certificate(fingerprint, why);
        certificate.check_host(key, now).map_err(bad)?;
        let host = certified.find(|host| certificate.is_for(host.name.without_port()));
        host.map(|host| &host.name).ok_or(bad(BadCertificate::OtherNames))
    }

    fn not_allowed(&self, plain: &[u8], fingerprint: Fingerprint) -> NotAllowed {
        match self.known.name_of(plain) {
            Some(name) => NotAllowed::Host(name),
            None => NotAllowed::Key(fingerprint),
        }
    }

    /// Lines for a client's known_hosts file. A host of which only a fingerprint is known has none.
    pub fn known_hosts_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for host in &self.hosts {
            let marked = [("", &host.keys), ("@cert-authority ", &host.authorities)];
            for (marker, key) in
                marked.iter().flat_map(|(marker, keys)| keys.iter().map(move |key| (marker, key)))
            {
                if let Ok(parsed) = PlainKey::parse(key) {
                    let line =
                        format!("{marker}{} {} {}", host.name, parsed.kind().name(), STANDARD.encode(key));
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::known_hosts::known;
    use crate::testing::{HostCertificate, TestKey};

    fn resolve(specs: &[&str], text: &str) -> Result<AllowedHosts, UnknownHost> {
        let specs: Vec<AllowedHostSpec> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
        AllowedHosts::resolve(&specs, &known(text))
    }

    fn host_of(hosts: &AllowedHosts, blob: &[u8]) -> Result<String, NotAllowed> {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        hosts.host_of(&PublicKey::parse(blob).unwrap(), now).map(HostName::to_string)
    }

    fn fingerprint(key: &TestKey) -> Fingerprint {
        Fingerprint::of(&key.public())
    }

    #[test]
    fn a_host_has_its_known_keys_only() {
        let (one, two, evil, stranger) =
            (TestKey::ed25519(), TestKey::p256(), TestKey::ed25519(), TestKey::p256());
        let text = one.line("git.example") + &two.line("git.example") + &evil.line("evil.example");
        let hosts = resolve(&["git.example"], &text).unwrap();
        assert_eq!(host_of(&hosts, &one.public()), Ok("git.example".into()));
        assert_eq!(host_of(&hosts, &two.public()), Ok("git.example".into()));
        let refused = host_of(&hosts, &evil.public()).unwrap_err();
        assert_eq!(refused.to_string(), "host evil.example is not allowed");
        let refused = host_of(&hosts, &stranger.public()).unwrap_err();
        assert_eq!(refused.to_string(), format!("host key {} is not allowed", fingerprint(&stranger)));
        let lines = [one.line("git.example"), two.line("git.example")].map(|line| line.trim_end().to_owned());
        assert_eq!(hosts.known_hosts_lines(), lines);
    }

    #[test]
    fn a_host_without_a_known_key_is_an_error() {
        let error = resolve(&["git.example:2222"], "").unwrap_err();
        assert_eq!(error.to_string(), "no usable key of [git.example]:2222 is known");
    }

    #[test]
    fn a_fingerprint_needs_no_file_and_excludes_other_keys() {
        let (one, two) = (TestKey::ed25519(), TestKey::p256());
        let spec = format!("git.example={}", fingerprint(&one));
        let hosts = resolve(&[&spec], "").unwrap();
        assert_eq!(host_of(&hosts, &one.public()), Ok("git.example".into()));
        assert_eq!(hosts.known_hosts_lines(), Vec::<String>::new());
        let text = one.line("git.example") + &two.line("git.example");
        let hosts = resolve(&[&spec], &text).unwrap();
        assert!(host_of(&hosts, &two.public()).is_err());
        assert_eq!(hosts.known_hosts_lines(), [one.line("git.example").trim_end()]);
    }

    #[test]
    fn a_certificate_needs_authority_name_and_time() {
        let (authority, other, host) = (TestKey::p256(), TestKey::p256(), TestKey::ed25519());
        let text = format!("@cert-authority {}", authority.line("*.example"));
        let hosts = resolve(&["git.example:2222"], &text).unwrap();
        let of = || HostCertificate::of(&host);
        let good = of().signed_by(&authority);
        assert_eq!(host_of(&hosts, &good), Ok("[git.example]:2222".into()));
        assert_eq!(host_of(&hosts, &host.public()), Err(NotAllowed::Key(fingerprint(&host))));
        assert_eq!(host_of(&hosts, &authority.public()), Err(NotAllowed::Key(fingerprint(&authority))));
        assert_eq!(host_of(&hosts, &of().signed_by(&other)), Err(NotAllowed::Key(fingerprint(&host))));
        let bad = |why| Err(NotAllowed::Certificate(fingerprint(&host), why));
        let late = HostCertificate { valid_before: 1000, ..of() }.signed_by(&authority);
        assert_eq!(host_of(&hosts, &late), bad(BadCertificate::NotValidNow));
        let elsewhere = HostCertificate { principals: vec!["www.example"], ..of() }.signed_by(&authority);
        assert_eq!(host_of(&hosts, &elsewhere), bad(BadCertificate::OtherNames));
        let forged = of().signed_by_in_the_name_of(&other, &authority);
        assert_eq!(host_of(&hosts, &forged), bad(BadCertificate::Forged));
        let line = format!("@cert-authority {}", authority.line("[git.example]:2222"));
        assert_eq!(hosts.known_hosts_lines(), [line.trim_end()]);
    }

    #[test]
    fn an_allowed_key_may_have_any_certificate() {
        let (host, authority) = (TestKey::ed25519(), TestKey::p256());
        let hosts = resolve(&["git.example"], &host.line("git.example")).unwrap();
        let certificate = HostCertificate { valid_before: 0, ..HostCertificate::of(&host) };
        assert_eq!(host_of(&hosts, &certificate.signed_by(&authority)), Ok("git.example".into()));
    }

    #[test]
    fn revoked_keys_are_refused() {
        let (host, authority) = (TestKey::ed25519(), TestKey::p256());
        let certificate = HostCertificate::of(&host).signed_by(&authority);
        let revoked = Err(NotAllowed::Revoked(fingerprint(&host)));
        let spec = format!("git.example={}", fingerprint(&host));
        let of_host = format!("@revoked {}", host.line("*"));
        assert_eq!(host_of(&resolve(&[&spec], &of_host).unwrap(), &host.public()), revoked);
        assert_eq!(host_of(&resolve(&[&spec], &of_host).unwrap(), &certificate), revoked);
        let of_authority = format!("@revoked {}", authority.line("*"));
        assert_eq!(host_of(&resolve(&[&spec], &of_authority).unwrap(), &certificate), revoked);
        let only_revoked = format!("{of_authority}@cert-authority {}", authority.line("*"));
        assert!(matches!(resolve(&["git.example"], &only_revoked), Err(UnknownHost(_))));
    }

    #[test]
    fn a_certificate_made_by_ssh_keygen_is_valid() {
        let line = format!("@cert-authority *.example {}", include_str!("testdata/authority.pub"));
        let hosts = resolve(&["git.example", "other.example"], &line).unwrap();
        let certificate = include_str!("testdata/host-cert.pub").split_whitespace().nth(1).unwrap();
        let certificate = STANDARD.decode(certificate).unwrap();
        let certificate = PublicKey::parse(&certificate).unwrap();
        let shown = "SHA256:B5yxx3CeytGMSF9YfBS7ifBrhNf8Mk8GGbyTR9bnjRY";
        assert_eq!(certificate.fingerprint().to_string(), shown);
        let host_of = |time: &str| {
            let time = humantime::parse_rfc3339(time).unwrap();
            hosts.host_of(&certificate, time).map(HostName::to_string)
        };
        assert_eq!(host_of("2025-01-01T00:00:00Z"), Ok("git.example".into()));
        let late = NotAllowed::Certificate(shown.parse().unwrap(), BadCertificate::NotValidNow);
        assert_eq!(host_of("2031-01-01T00:00:00Z"), Err(late));
    }
}
