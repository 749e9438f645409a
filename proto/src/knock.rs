//! The knock: a proof in the ClientHello that its sender has read the conf.
//!
//! It authenticates nothing: a peer that observes a knock can send it once. It lets the bridge turn a peer that never saw
//! the conf away at its first record, before any key exchange, signature or TLS state; the handshake then proves the
//! client key. It travels as the only protocol of the ALPN extension (RFC 7301), which every TLS library can send.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::conf::ClientSeed;

/// The revision of `docs/PROTOCOL.md`, which is part of the proof: a bridge refuses a client that follows another one
/// here, and not with a message that it cannot decode. Each change of that page that one side alone does not survive
/// adds one.
pub const PROTOCOL_REVISION: u16 = 2;

/// The start of the ALPN protocol.
const PREFIX: &[u8] = b"sb1.";
/// In front of the client key's seed, so that no other use of the seed gives the same hash.
const LABEL: &[u8] = b"secrets-bridge knock";

const ID: usize = 8;
const NONCE: usize = 8;
const PROOF: usize = 16;
/// Bytes of a knock without prefix and encoding.
const KNOCK: usize = ID + NONCE + PROOF;

/// Which conf a knock is for. Not secret; the same for all knocks of one conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnockId(pub [u8; ID]);

/// Random bytes that make a knock unique. A bridge accepts each nonce once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; NONCE]);

/// Makes and verifies the knocks of one conf.
pub struct KnockKey {
    id: KnockId,
    key: hmac::Key,
}

impl fmt::Debug for KnockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnockKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KnockKey {
    /// The key of the conf with this seed: SHA-256 of a label and the seed.
    pub fn new(seed: &ClientSeed) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(LABEL);
        context.update(seed.expose());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(context.finish().as_ref());
        let mut id = [0; ID];
        for (to, from) in id.iter_mut().zip(digest::digest(&digest::SHA256, key.as_slice()).as_ref()) {
            *to = *from;
        }
        Self { id: KnockId(id), key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()) }
    }

    /// The knock with this nonce.
    pub fn knock(&self, nonce: Nonce) -> Knock {
        Knock { id: self.id, nonce, proof: self.proof(nonce, PROTOCOL_REVISION) }
    }

    /// Checks a knock of a peer. Both comparisons take the same time for every peer.
    ///
    /// # Errors
    /// [`KnockError`].
    pub fn verify(&self, knock: &Knock) -> Result<(), KnockError> {
        verify_slices_are_equal(&knock.id.0, &self.id.0).map_err(|_| KnockError::OtherConf)?;
        let proof = self.proof(knock.nonce, PROTOCOL_REVISION);
        verify_slices_are_equal(&knock.proof, &proof).map_err(|_| KnockError::Unproven)
    }

    fn proof(&self, nonce: Nonce, revision: u16) -> [u8; PROOF] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&revision.to_be_bytes());
        context.update(&nonce.0);
        let mut proof = [0; PROOF];
        for (to, from) in proof.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        proof
    }
}

/// Why a knock is not one of this conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnockError {
    /// The id of another conf.
    OtherConf,
    /// The right id without the proof: forged, or of another [`PROTOCOL_REVISION`].
    Unproven,
}

/// A knock as it was sent. Only [`KnockKey::verify`] says whether it is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knock {
    pub id: KnockId,
    pub nonce: Nonce,
    proof: [u8; PROOF],
}

impl Knock {
    /// The ALPN protocol: 47 characters.
    pub fn to_protocol(&self) -> Vec<u8> {
        let bytes = [self.id.0.as_slice(), &self.nonce.0, &self.proof].concat();
        [PREFIX, URL_SAFE_NO_PAD.encode(bytes).as_bytes()].concat()
    }

    /// Reads an ALPN protocol; `None` if it is anything else than a knock in its one encoding.
    pub fn from_protocol(protocol: &[u8]) -> Option<Self> {
        let encoded = protocol.strip_prefix(PREFIX)?;
        // The decoder estimates the length from above; a byte more tells a longer text from a knock.
        let mut bytes = [0; KNOCK + 1];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        let (knock, []) = bytes.get(..length)?.split_first_chunk::<KNOCK>()? else { return None };
        let (id, rest) = knock.split_first_chunk()?;
        let (nonce, proof) = rest.split_first_chunk()?;
        Some(Self { id: KnockId(*id), nonce: Nonce(*nonce), proof: *proof.first_chunk()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> KnockKey {
        KnockKey::new(&ClientSeed::new([seed; 32]))
    }

    #[test]
    fn a_knock_is_47_characters_and_reads_back() {
        let knock = key(1).knock(Nonce([9; 8]));
        let protocol = knock.to_protocol();
        assert_eq!(protocol.len(), 47);
        let read = Knock::from_protocol(&protocol).unwrap();
        assert_eq!(read, knock);
        assert_eq!(key(1).verify(&read), Ok(()));
    }

    #[test]
    fn a_knock_of_another_conf_is_not_this_ones() {
        assert_eq!(key(2).verify(&key(1).knock(Nonce([9; 8]))), Err(KnockError::OtherConf));
    }

    #[test]
    fn a_knock_of_another_revision_is_unproven() {
        let (key, nonce) = (key(1), Nonce([9; 8]));
        let proof = key.proof(nonce, PROTOCOL_REVISION + 1);
        assert_eq!(key.verify(&Knock { proof, ..key.knock(nonce) }), Err(KnockError::Unproven));
    }

    #[test]
    fn every_changed_bit_of_a_knock_is_noticed() {
        let key = key(1);
        let bytes = key.knock(Nonce([9; 8])).to_protocol();
        let decoded = URL_SAFE_NO_PAD.decode(&bytes[PREFIX.len()..]).unwrap();
        for bit in 0..decoded.len() * 8 {
            let mut changed = decoded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let protocol = [PREFIX, URL_SAFE_NO_PAD.encode(&changed).as_bytes()].concat();
            let knock = Knock::from_protocol(&protocol).unwrap();
            let expected = if bit < 8 * ID { KnockError::OtherConf } else { KnockError::Unproven };
            assert_eq!(key.verify(&knock), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let shown = format!("{:?}", key(1));
        assert!(shown.contains("KnockId") && shown.ends_with(", .. }") && !shown.contains("hmac"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_knock_has_one_encoding(bytes: [u8; KNOCK], longer in ".{0,4}", cut in 0usize..47) {
            let protocol = [PREFIX, URL_SAFE_NO_PAD.encode(bytes).as_bytes()].concat();
            let knock = Knock::from_protocol(&protocol).unwrap();
            prop_assert_eq!(knock.to_protocol(), protocol.clone());
            prop_assert_eq!(Knock::from_protocol(&protocol[..cut]), None);
            let longer = [&protocol, longer.as_bytes()].concat();
            prop_assert_eq!(Knock::from_protocol(&longer).is_some(), longer == protocol);
        }

        #[test]
        fn any_protocol_is_read_without_panic(protocol: Vec<u8>, after in "sb1\\.[A-Za-z0-9_=-]{40,50}") {
            let _ = Knock::from_protocol(&protocol);
            if let Some(knock) = Knock::from_protocol(after.as_bytes()) {
                prop_assert_eq!(knock.to_protocol(), after.as_bytes());
            }
        }
    }
}
