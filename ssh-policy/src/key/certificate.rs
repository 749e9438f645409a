//! OpenSSH's certificates (`PROTOCOL.certkeys`): what follows the certified key, and when a host's certificate is valid.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::agent::{Malformed, Reader, Writer};
use thiserror::Error;

use super::public_key::{PlainKey, PublicKey};
use super::signature;

const USER: u32 = 1;
const HOST: u32 = 2;

/// A certificate, without the certified key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    pub(crate) nonce: &'a [u8],
    serial: u64,
    kind: Kind,
    key_id: &'a [u8],
    principals: Vec<&'a [u8]>,
    valid_after: u64,
    valid_before: u64,
    critical_options: &'a [u8],
    extensions: &'a [u8],
    reserved: &'a [u8],
    /// The key that signed it.
    pub(crate) authority: PlainKey<'a>,
    pub(crate) signature: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Host,
}

/// Why a host's certificate is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadCertificate {
    #[error("its authority did not sign it")]
    Forged,
    #[error("it is not for a host")]
    NotForHosts,
    /// They would have to be understood, and none are defined for hosts.
    #[error("it has critical options")]
    CriticalOptions,
    /// By the host's clock.
    #[error("it is not valid now")]
    NotValidNow,
    /// It has other names, or none: earlier versions of OpenSSH accept a certificate without names for every name.
    #[error("it is for other names")]
    OtherNames,
}

impl<'a> Certificate<'a> {
    /// Reads what follows the key, to the last byte.
    pub(crate) fn read(nonce: &'a [u8], mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let serial = read_u64(&mut reader)?;
        let kind = match reader.u32()? {
            USER => Kind::User,
            HOST => Kind::Host,
            _ => return Err(Malformed),
        };
        let key_id = reader.string()?;
        let principals = read_strings(reader.string()?)?;
        let valid_after = read_u64(&mut reader)?;
        let valid_before = read_u64(&mut reader)?;
        let certificate = Self {
            nonce,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options: reader.string()?,
            extensions: reader.string()?,
            reserved: reader.string()?,
            authority: PlainKey::parse(reader.string()?)?,
            signature: reader.string()?,
        };
        reader.finish()?;
        Ok(certificate)
    }

    /// Writes what [`read`](Self::read) read, except nonce and signature.
    pub(crate) fn write(&self, writer: &mut Writer) {
        let mut principals = Writer::inner();
        for principal in &self.principals {
            principals.string(principal);
        }
        write_u64(writer, self.serial);
        writer
            .u32(match self.kind {
                Kind::User => USER,
                Kind::Host => HOST,
            })
            .string(self.key_id)
            .string(&principals.finish());
        write_u64(writer, self.valid_after);
        write_u64(writer, self.valid_before);
        writer
            .string(self.critical_options)
            .string(self.extensions)
            .string(self.reserved)
            .string(&self.authority.encode());
    }

    /// Checks everything about a host's certificate at `now` except names and authority, which the caller checks.
    pub(crate) fn check_host(&self, key: &PublicKey<'_>, now: SystemTime) -> Result<(), BadCertificate> {
        signature::verify(&self.authority, &key.certified(self), self.signature)
            .map_err(|_| BadCertificate::Forged)?;
        match self.kind {
            Kind::Host => {}
            Kind::User => return Err(BadCertificate::NotForHosts),
        }
        if !self.critical_options.is_empty() {
            return Err(BadCertificate::CriticalOptions);
        }
        let now = now.duration_since(UNIX_EPOCH).map_err(|_| BadCertificate::NotValidNow)?.as_secs();
        if now < self.valid_after || now >= self.valid_before {
            return Err(BadCertificate::NotValidNow);
        }
        Ok(())
    }

    /// Whether `name` is one of its principals. A certificate without principals is for no name, as in newer OpenSSH, and
    /// patterns are not supported.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        self.principals.iter().any(|principal| principal.eq_ignore_ascii_case(name.as_bytes()))
    }
}

fn read_u64(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let (high, low) = (reader.u32()?, reader.u32()?);
    Ok(u64::from(high) << 32 | u64::from(low))
}

fn write_u64(writer: &mut Writer, number: u64) {
    writer.bytes(&number.to_be_bytes());
}

fn read_strings(bytes: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut strings = Vec::new();
    while !reader.rest().is_empty() {
        strings.push(reader.string()?);
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{HostCertificate, TestKey};

    fn check(blob: &[u8], at: u64) -> Result<(), BadCertificate> {
        let key = PublicKey::parse(blob).unwrap();
        let certificate = key.certificate.clone().unwrap();
        certificate.check_host(&key, UNIX_EPOCH + Duration::from_secs(at))
    }

    #[test]
    fn authorities_on_security_keys_are_not_supported() {
        let key = TestKey::ed25519();
        for authority in TestKey::one_of_each_kind() {
            let blob = HostCertificate::of(&key).signed_by(&authority);
            assert_eq!(check(&blob, 100).is_ok(), authority.signs(), "{authority:?}");
        }
    }

    #[test]
    fn invalid_certificates_are_told_apart() {
        let (key, authority) = (TestKey::ed25519(), TestKey::p256());
        let of = || HostCertificate::of(&key);
        let between = HostCertificate { valid_after: 100, valid_before: 200, ..of() }.signed_by(&authority);
        assert_eq!(check(&between, 99), Err(BadCertificate::NotValidNow));
        assert_eq!(check(&between, 100), Ok(()));
        assert_eq!(check(&between, 199), Ok(()));
        assert_eq!(check(&between, 200), Err(BadCertificate::NotValidNow));
        let user = HostCertificate { kind: USER, ..of() }.signed_by(&authority);
        assert_eq!(check(&user, 100), Err(BadCertificate::NotForHosts));
        let critical = HostCertificate { critical_options: b"x".to_vec(), ..of() }.signed_by(&authority);
        assert_eq!(check(&critical, 100), Err(BadCertificate::CriticalOptions));
        let forged = of().signed_by_in_the_name_of(&TestKey::p256(), &authority);
        assert_eq!(check(&forged, 100), Err(BadCertificate::Forged));
        let mut changed = of().signed_by(&authority);
        let at = changed.windows(7).position(|bytes| bytes == b"example").unwrap();
        changed[at] = b'E';
        assert_eq!(check(&changed, 100), Err(BadCertificate::Forged));
    }

    #[test]
    fn a_certificate_is_for_its_names_only() {
        let key = TestKey::ed25519();
        for (principals, is_for) in [
            (vec!["git.example"], true),
            (vec!["other.example", "Git.Example"], true),
            (vec![], false),
            (vec!["*.example"], false),
            (vec!["git.example.evil.example"], false),
        ] {
            let blob = HostCertificate { principals, ..HostCertificate::of(&key) }.signed_by(&key);
            let parsed = PublicKey::parse(&blob).unwrap();
            assert_eq!(parsed.certificate.unwrap().is_for("git.example"), is_for);
        }
    }
}
