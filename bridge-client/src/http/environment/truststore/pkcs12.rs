//! PKCS#12 (RFC 7292) without encryption: the certificates that it holds.

/// Tags of DER.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

/// id-data, 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// id-certBag, 1.2.840.113549.1.12.10.1.3
const CERT_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
/// x509Certificate, 1.2.840.113549.1.9.22.1
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];

/// The certificates of a PFX. Those in encrypted parts are left out. `None` if it is not a PFX.
pub(super) fn read(file: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pfx = Der(file).value(SEQUENCE)?;
    pfx.value(INTEGER)?;
    let mut safe = data(pfx.value(SEQUENCE)?)?.value(SEQUENCE)?;
    let mut certificates = Vec::new();
    while !safe.0.is_empty() {
        let Some(contents) = data(safe.value(SEQUENCE)?) else { continue };
        let mut contents = contents;
        let mut bags = contents.value(SEQUENCE)?;
        while !bags.0.is_empty() {
            certificates.extend(certificate(bags.value(SEQUENCE)?));
        }
    }
    Some(certificates)
}

/// What is in a ContentInfo of the type `data`.
fn data(mut content: Der<'_>) -> Option<Der<'_>> {
    if content.value(OID)?.0 != DATA {
        return None;
    }
    content.value(CONTEXT_0)?.value(OCTETS)
}

/// What is in a SafeBag with an X.509 certificate.
fn certificate(mut bag: Der<'_>) -> Option<&[u8]> {
    if bag.value(OID)?.0 != CERT_BAG {
        return None;
    }
    let mut value = bag.value(CONTEXT_0)?.value(SEQUENCE)?;
    if value.value(OID)?.0 != X509 {
        return None;
    }
    Some(value.value(CONTEXT_0)?.value(OCTETS)?.0)
}

/// Values of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value, which has `tag`.
    fn value(&mut self, tag: u8) -> Option<Der<'a>> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Up to 4 bytes follow.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(Der(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        for wrong in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 0x80],
            &[SEQUENCE, 0x85, 0, 0, 0, 0, 1, 0],
            &[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[SEQUENCE, 0x82, 1],
            &[SEQUENCE, 3, INTEGER, 9, 3],
            &[OCTETS, 0],
        ] {
            assert!(read(wrong).is_none(), "{wrong:x?}");
        }
        // A PFX with an empty AuthenticatedSafe.
        let data: Vec<u8> = [&[OID, 9], DATA, &[CONTEXT_0, 4, OCTETS, 2, SEQUENCE, 0]].concat();
        let pfx = [&[SEQUENCE, data.len() as u8 + 5, INTEGER, 1, 3, SEQUENCE, data.len() as u8], &data[..]]
            .concat();
        assert_eq!(read(&pfx), Some(Vec::new()));
    }
}
