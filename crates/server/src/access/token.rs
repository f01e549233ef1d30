//! Ingest tokens: `Authorization: Bearer cairn_<64 hexadecimal digits>`.
//!
//! A token is 32 random bytes. It is shown once, when it is made; only its SHA-256 is kept, so what
//! is kept cannot be used to come in. Looking up by that hash takes the same time for every wrong
//! token as far as anyone who cannot invert SHA-256 can tell.

use std::collections::HashMap;

use event::AccountId;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::keys::sha256;
use super::{AuthError, Caller, Dialect, Refusal, Secret, verify};

const PREFIX: &str = "cairn_";
const SCHEME: &[u8] = b"bearer ";

/// The issued tokens, in memory. One that is not here does not come in: removing is revoking.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    by_hash: HashMap<[u8; 32], Issued>,
}

#[derive(Debug, Clone)]
struct Issued {
    account: AccountId,
    name: String,
}

impl Tokens {
    /// `name` is what its owner calls the token; it names the caller in the audit trail.
    pub fn insert(&mut self, sha256: [u8; 32], account: AccountId, name: String) {
        self.by_hash.insert(sha256, Issued { account, name });
    }

    pub fn remove(&mut self, sha256: &[u8; 32]) {
        self.by_hash.remove(sha256);
    }
}

/// A new token from 32 bytes of good randomness. Keep its [`hash`] only.
pub fn generate(random: &[u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", hex::encode(random)))
}

/// What is kept of a token: the SHA-256 of its whole text.
pub fn hash(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

/// The hash under which a token is kept.
pub fn sha256_of(token: &Secret) -> [u8; 32] {
    sha256(token.reveal().as_bytes())
}

/// Whether the request carries a bearer token, so that the door knows which way to authenticate.
pub fn is_presented(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    values.any(|value| bearer(value.as_bytes()).is_some())
}

/// Who presents this token, in the words of the native intake.
pub fn authenticate(headers: &HeaderMap, tokens: &Tokens) -> Result<Caller, AuthError> {
    find(headers, tokens).map_err(|refusal| AuthError::new(refusal, Dialect::RestJson))
}

fn find(headers: &HeaderMap, tokens: &Tokens) -> Result<Caller, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Repeated("authorization".to_owned()));
    }
    let hash = sha256(bearer(value.as_bytes()).ok_or(Refusal::Missing)?);
    let (kept, issued) = tokens.by_hash.get_key_value(&hash).ok_or(Refusal::TokenInvalid)?;
    // The map's own comparison stops at the first difference, between hashes nobody can steer.
    if !bool::from(kept.ct_eq(&hash)) {
        return Err(Refusal::TokenInvalid);
    }
    Ok(verify::caller_of_token(issued.account, issued.name.clone()))
}

/// RFC 6750: the scheme's case does not matter. Whatever follows is hashed as it is.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, text) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;

    fn issued(token: &Secret) -> Tokens {
        let mut tokens = Tokens::default();
        let account = AccountId::parse("111111111111").unwrap();
        tokens.insert(hash(token.reveal()), account, "laptop".to_owned());
        tokens
    }

    fn check(values: &[&str], tokens: &Tokens) -> Result<Caller, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(is_presented(&headers), values.iter().any(|value| value.starts_with("Bearer ")));
        find(&headers, tokens)
    }

    #[test]
    fn an_issued_token_comes_in_until_it_is_removed() {
        let token = generate(&[7; 32]);
        let good = format!("Bearer {}", token.reveal());
        let mut tokens = issued(&token);
        let caller = check(&[&good], &tokens).unwrap();
        assert_eq!(caller.account().as_str(), "111111111111");
        assert_eq!(caller.identity(), &Identity::IngestToken { name: "laptop".to_owned() });
        assert_eq!(caller.access_key_id(), None);

        assert_eq!(check(&[], &tokens), Err(Refusal::Missing));
        assert_eq!(check(&["Basic eDp5"], &tokens), Err(Refusal::Missing));
        assert!(matches!(check(&[&good, &good], &tokens), Err(Refusal::Repeated(_))));
        tokens.remove(&hash(token.reveal()));
        assert_eq!(check(&[&good], &tokens), Err(Refusal::TokenInvalid));
    }

    #[test]
    fn no_changed_byte_of_a_token_comes_in() {
        let token = generate(&[7; 32]);
        let tokens = issued(&token);
        let good = format!("Bearer {}", token.reveal()).into_bytes();
        for at in SCHEME.len()..good.len() {
            for other in (b'!'..=b'~').filter(|other| *other != good[at]) {
                let mut changed = good.clone();
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(check(&[&changed], &tokens), Err(Refusal::TokenInvalid), "{changed}");
            }
        }
    }
}
