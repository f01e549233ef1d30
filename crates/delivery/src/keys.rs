//! Which key signs, and what others know of it.
//!
//! A key pair is RSA with 2048 bits, one per Region, valid for 30 days; the next one is made before
//! the last one ends. Public keys are kept for ever: digests must stay verifiable.
//!
//! ```text
//! private   PKCS#8 DER              the caller stores it, mode 0600
//! public    PKCS#1 RSAPublicKey DER 270 bytes, base64 starts MIIBCgKCAQEA; what ListPublicKeys returns
//! fingerprint                       lower-case hex MD5 of exactly those 270 bytes
//! ```
//!
//! Not SubjectPublicKeyInfo: `aws cloudtrail validate-logs` reads PKCS#1 only.
//!
//! Must never be here: private bytes in `Debug`, errors or logs.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// How long a key may sign. AWS: exactly 30 days in the documented and the live keys seen.
pub const VALIDITY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long before a key's end the next one is made and takes over.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(5 * 24);

/// Why a key could not be made or used. Says nothing about the key's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The system's random source or the generator failed.
    #[error("an RSA key could not be made")]
    Generate,
    /// The stored private key is not one of ours, or is damaged.
    #[error("the stored private key is not a 2048-bit RSA key in PKCS#8")]
    Rejected,
    /// Signing failed, which a valid key never does.
    #[error("signing failed")]
    Sign,
}

/// The bytes of a private key, for storing. Wiped when dropped, never shown.
pub struct PrivateKeyDer(Zeroizing<Vec<u8>>);

impl PrivateKeyDer {
    /// Takes bytes that were stored.
    pub fn new(der: Vec<u8>) -> PrivateKeyDer {
        PrivateKeyDer(Zeroizing::new(der))
    }

    /// The PKCS#8 DER bytes: write them to a file of mode 0600 and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyDer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyDer(…)")
    }
}

/// A public key as ListPublicKeys gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// PKCS#1 `RSAPublicKey`, DER.
    pub der: Vec<u8>,
    /// Lower-case hex MD5 of `der`.
    pub fingerprint: String,
}

impl PublicKey {
    /// Takes PKCS#1 DER bytes, which are not checked until [`verify`] uses them.
    pub fn new(der: Vec<u8>) -> PublicKey {
        PublicKey { fingerprint: fingerprint(&der), der }
    }
}

/// The fingerprint of a public key: lower-case hex MD5 of its PKCS#1 DER bytes.
pub fn fingerprint(der: &[u8]) -> String {
    hex::encode(Md5::digest(der))
}

/// A key pair that signs digests.
pub struct SigningKey {
    pair: RsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a new 2048-bit key. Takes some tens of milliseconds of one core.
    pub fn generate() -> Result<SigningKey, KeyFault> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyFault::Generate)?;
        Ok(SigningKey::from_pair(pair))
    }

    /// Reads a stored key.
    pub fn from_private(der: &PrivateKeyDer) -> Result<SigningKey, KeyFault> {
        let pair = RsaKeyPair::from_pkcs8(der.expose()).map_err(|_| KeyFault::Rejected)?;
        if pair.public_modulus_len() != 256 {
            return Err(KeyFault::Rejected);
        }
        Ok(SigningKey::from_pair(pair))
    }

    fn from_pair(pair: RsaKeyPair) -> SigningKey {
        let public = PublicKey::new(pair.public_key().as_ref().to_vec());
        SigningKey { pair, public }
    }

    /// The private bytes, for storing.
    pub fn private(&self) -> Result<PrivateKeyDer, KeyFault> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| KeyFault::Generate)?;
        Ok(PrivateKeyDer::new(der.as_ref().to_vec()))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `message`, as lower-case hex.
    pub fn sign(&self, message: &[u8]) -> Result<String, KeyFault> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyFault::Sign)?;
        Ok(hex::encode(signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("fingerprint", &self.public.fingerprint).finish()
    }
}

/// Whether `signature` (hex) is that of `message` under the PKCS#1 public key `der`.
pub fn verify(der: &[u8], message: &[u8], signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).verify(message, &signature).is_ok()
}

/// A span of time: from `start` up to but not including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Validity {
    /// The validity of a key made at `now`: 30 days from the whole second.
    pub fn of_new_key(now: Timestamp) -> Validity {
        let start = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Validity { start, end: start.saturating_add(VALIDITY).unwrap_or(Timestamp::MAX) }
    }

    /// Whether `at` lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether any moment of `[from, to]` lies in it, as ListPublicKeys asks.
    pub fn intersects(&self, from: Timestamp, to: Timestamp) -> bool {
        self.start <= to && from <= self.end
    }
}

/// What to do about keys before signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChoice {
    /// Sign with the key at this index.
    Use(usize),
    /// Make a key with this validity, store it, then sign with it.
    Make(Validity),
}

/// Decides which of a Region's keys signs a digest that ends at `at`, and whether a new one is due.
///
/// The valid key with the latest start signs. A new one is due when none is valid or when the one
/// that would sign has less than [`OVERLAP`] left. A clock that jumps back before every key's start
/// gets a key of its own rather than a signature outside its key's validity.
pub fn choose_key(keys: &[Validity], at: Timestamp) -> KeyChoice {
    let mut newest: Option<usize> = None;
    for (index, key) in keys.iter().enumerate() {
        if key.contains(at) && newest.is_none_or(|best| keys[best].start < key.start) {
            newest = Some(index);
        }
    }
    match newest {
        Some(index) if keys[index].end.duration_since(at) > OVERLAP => KeyChoice::Use(index),
        _ => KeyChoice::Make(Validity::of_new_key(at)),
    }
}
