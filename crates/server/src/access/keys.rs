//! Secrets, the ring they hang on, and the signing keys made from them.
//!
//! ```text
//!   signing key = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")
//! ```
//!
//! Secrets and signing keys are wiped when dropped and have no text form.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use zeroize::Zeroizing;

use event::AccountId;

use super::policy::Policy;
use super::{Identity, Presented, Scope};

/// A text that must not be shown. Wiped when dropped; prints as `Secret`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. For deriving keys and for writing the credentials file, nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What is known about an access key.
#[derive(Debug, Clone)]
pub struct Key {
    pub secret: Secret,

    pub account: AccountId,
    pub identity: Identity,
    /// An inactive key is refused as if it did not exist.
    pub active: bool,
    /// `Some` for temporary credentials: the request must carry exactly this token.
    pub session_token: Option<SessionToken>,
}

#[derive(Debug, Clone)]
pub struct SessionToken {
    pub text: Secret,
    pub expires: Timestamp,
    /// What the session may do at most.
    pub policy: Option<Arc<Policy>>,
}

/// Where access keys are looked up. Asked once for every request, so it answers from memory.
pub trait KeyRing: Send + Sync {
    /// The key with this id, active or not.
    fn find(&self, access_key_id: &str) -> Option<Key>;

    /// The temporary key with this id whose session token is this one.
    fn find_session(&self, _access_key_id: &str, _token: &str) -> Option<Key> {
        None
    }
}

/// The key that a request claims to be signed with.
pub fn key_of(keys: &dyn KeyRing, presented: &Presented) -> Option<Key> {
    let id = &presented.access_key_id;
    let session = presented.session_token.as_deref().and_then(|token| keys.find_session(id, token));
    session.or_else(|| keys.find(id))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    array(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

/// Good for one secret, day, Region and service.
pub(super) struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    pub(super) fn derive(secret: &Secret, scope: &Scope) -> Self {
        let first = Zeroizing::new([b"AWS4", secret.reveal().as_bytes()].concat());
        let date = Zeroizing::new(hmac_sha256(&first, scope.date.as_bytes()));
        let region = Zeroizing::new(hmac_sha256(&*date, scope.region.as_bytes()));
        let service = Zeroizing::new(hmac_sha256(&*region, scope.service.as_bytes()));
        Self(Zeroizing::new(hmac_sha256(&*service, b"aws4_request")))
    }

    pub(super) fn sign(&self, string_to_sign: &str) -> [u8; 32] {
        hmac_sha256(&*self.0, string_to_sign.as_bytes())
    }
}

/// The signing keys of lately verified requests. Bounded, first in first out; a key of a past day
/// leaves when one of a later day comes.
pub(super) struct SigningKeys {
    entries_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Under the hash of secret and scope: a changed secret finds nothing.
    by_origin: HashMap<[u8; 32], Arc<SigningKey>>,
    oldest_first: VecDeque<(String, [u8; 32])>,
}

impl SigningKeys {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, kept: Mutex::default() }
    }

    pub(super) fn find(&self, secret: &Secret, scope: &Scope) -> Option<Arc<SigningKey>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_origin.get(&origin(secret, scope)).cloned()
    }

    /// Only for keys that have verified a signature, so that strangers cannot push others out.
    pub(super) fn keep(&self, secret: &Secret, scope: &Scope, key: Arc<SigningKey>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { by_origin, oldest_first } = &mut *kept;
        oldest_first.retain(|(date, origin)| {
            let stays = *date >= scope.date;
            if !stays {
                by_origin.remove(origin);
            }
            stays
        });
        let origin = origin(secret, scope);
        if by_origin.insert(origin, key).is_none() {
            oldest_first.push_back((scope.date.clone(), origin));
        }
        while oldest_first.len() > self.entries_max {
            if let Some((_, oldest)) = oldest_first.pop_front() {
                by_origin.remove(&oldest);
            }
        }
    }
}

fn origin(secret: &Secret, scope: &Scope) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [secret.reveal(), &scope.date, &scope.region, &scope.service] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    array(context.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(date: &str, region: &str) -> Scope {
        Scope { date: date.into(), region: region.into(), service: "iam".into() }
    }

    /// AWS: the example of "Deriving a signing key" (IAM user guide, Signature Version 4).
    #[test]
    fn the_documented_example_gives_the_documented_signing_key() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
        let key = SigningKey::derive(&secret, &scope("20120215", "us-east-1"));
        assert_eq!(
            hex::encode(*key.0),
            "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
        );
    }

    #[test]
    fn kept_signing_keys_are_bounded_and_leave_with_their_day_and_secret() {
        let keys = SigningKeys::new(2);
        let secret = Secret::new("one".into());
        let keep = |date: &str, region: &str| {
            let scope = scope(date, region);
            keys.keep(&secret, &scope, Arc::new(SigningKey::derive(&secret, &scope)));
        };
        let has = |date: &str, region: &str| keys.find(&secret, &scope(date, region)).is_some();
        keep("20150830", "a");
        keep("20150830", "b");
        keep("20150830", "b");
        assert!(has("20150830", "a") && has("20150830", "b"));
        assert!(keys.find(&Secret::new("two".into()), &scope("20150830", "a")).is_none());
        keep("20150830", "c");
        assert!(!has("20150830", "a") && has("20150830", "b") && has("20150830", "c"));
        keep("20150831", "a");
        assert!(!has("20150830", "b") && !has("20150830", "c") && has("20150831", "a"));
    }

    #[test]
    fn a_secret_has_no_text_form() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret");
    }
}
