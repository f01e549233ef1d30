//! Ingest tokens: `Authorization: Bearer cairn_<64 hexadecimal digits>`.
//!
//! A token is 32 random bytes. It is shown once, when it is made; only its SHA-256 is kept, so what
//! is kept cannot be used to come in. Looking up by that hash takes the same time for every wrong
//! token as far as anyone who cannot invert SHA-256 can tell.

use event::AccountId;
use http::request::Parts;
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use super::keys::sha256;
use super::{AuthError, Caller, Dialect, Refusal, Secret, verify};

const PREFIX: &str = "cairn_";

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    pub sha256: [u8; 32],
    pub account: AccountId,
    /// What its owner calls it; it names the caller in the audit trail.
    pub name: String,
    pub active: bool,
    pub expires: Option<Timestamp>,
}

/// Where issued tokens are looked up, by the hash of their text.
pub trait TokenRing: Send + Sync {
    fn find(&self, sha256: &[u8; 32]) -> Option<IssuedToken>;
}

/// A new token from 32 bytes of good randomness, and the hash to keep.
pub fn generate(random: &[u8; 32]) -> (Secret, [u8; 32]) {
    let text = format!("{PREFIX}{}", hex::encode(random));
    let hash = sha256(text.as_bytes());
    (Secret::new(text), hash)
}

/// The hash under which a token with this text is kept.
pub fn sha256_of(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

/// Whether the request carries a bearer token, so that the door knows which way to authenticate.
pub fn is_presented(request: &Parts) -> bool {
    let mut values = request.headers.get_all(http::header::AUTHORIZATION).iter();
    values.any(|value| bearer(value.as_bytes()).is_some())
}

/// Who presents this token.
pub fn authenticate(
    request: &Parts,
    tokens: &dyn TokenRing,
    dialect: Dialect,
    now: Timestamp,
) -> Result<Caller, AuthError> {
    find(request, tokens, now).map_err(|refusal| AuthError::new(refusal, dialect))
}

fn find(request: &Parts, tokens: &dyn TokenRing, now: Timestamp) -> Result<Caller, Refusal> {
    let mut values = request.headers.get_all(http::header::AUTHORIZATION).iter();
    let header = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Repeated("authorization".to_owned()));
    }
    let text = bearer(header.as_bytes()).ok_or(Refusal::Missing)?;
    let hash = sha256(text);
    let issued = tokens.find(&hash).ok_or(Refusal::TokenInvalid)?;
    // The ring's own comparison need not be careful, nor need we trust it.
    let same = bool::from(issued.sha256.ct_eq(&hash));
    let ended = issued.expires.is_some_and(|expires| now >= expires);
    if !same || !issued.active || ended {
        return Err(Refusal::TokenInvalid);
    }
    Ok(verify::caller_of_token(issued.account, issued.name))
}

/// RFC 6750: the scheme's case does not matter. Whatever follows is hashed as it is.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;

    struct One(IssuedToken);

    impl TokenRing for One {
        fn find(&self, sha256: &[u8; 32]) -> Option<IssuedToken> {
            (self.0.sha256 == *sha256).then(|| self.0.clone())
        }
    }

    fn issued(sha256: [u8; 32]) -> IssuedToken {
        IssuedToken {
            sha256,
            account: AccountId::parse("111111111111").unwrap(),
            name: "laptop".into(),
            active: true,
            expires: Some("2026-01-02T00:00:00Z".parse().unwrap()),
        }
    }

    #[track_caller]
    fn check(headers: &[&str], token: IssuedToken, now: &str) -> Result<Caller, Refusal> {
        let mut request = http::Request::post("/v1/events");
        for value in headers {
            request = request.header("authorization", *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        find(&parts, &One(token), now.parse().unwrap())
    }

    #[test]
    fn only_the_issued_token_comes_in_and_only_while_it_lasts() {
        let (text, hash) = generate(&[7; 32]);
        let good = format!("Bearer {}", text.reveal());
        let before = "2026-01-01T23:59:59Z";
        let caller = check(&[&good], issued(hash), before).unwrap();
        assert_eq!(caller.account().as_str(), "111111111111");
        assert_eq!(caller.identity(), &Identity::IngestToken { name: "laptop".into() });
        assert!(check(&[&good.replace("Bearer", "bearer")], issued(hash), before).is_ok());

        assert_eq!(
            check(&[&good], issued(hash), "2026-01-02T00:00:00Z"),
            Err(Refusal::TokenInvalid)
        );
        let inactive = IssuedToken { active: false, ..issued(hash) };
        assert_eq!(check(&[&good], inactive, before), Err(Refusal::TokenInvalid));
        assert_eq!(check(&[], issued(hash), before), Err(Refusal::Missing));
        assert_eq!(check(&["Basic eDp5"], issued(hash), before), Err(Refusal::Missing));
        assert!(matches!(check(&[&good, &good], issued(hash), before), Err(Refusal::Repeated(_))));
    }

    #[test]
    fn no_changed_byte_of_a_token_comes_in() {
        let (text, hash) = generate(&[7; 32]);
        let good = format!("Bearer {}", text.reveal()).into_bytes();
        for at in 7..good.len() {
            for other in (b' '..=b'~').filter(|other| *other != good[at]) {
                let mut changed = good.clone();
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(
                    check(&[&changed], issued(hash), "2026-01-01T00:00:00Z").is_err(),
                    "{changed}"
                );
            }
        }
    }
}
