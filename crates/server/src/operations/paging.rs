//! NextToken: where the next page begins. Opaque to clients, and good only for what it was given for.
//!
//! ```text
//!   base64url of   check(16)  place
//!   check          of the listing and the place, as in `page_token.rs`
//!   place          a number (8, LE), or the last name of the page before
//! ```

use api::{ApiError, ErrorCode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::operations::Cx;
use crate::page_token::{CHECK_BYTES, check};

/// The name of a listing that is the caller's own, in this Region: what `operation` lists of `what`.
pub fn listing(cx: Cx<'_>, operation: &str, what: &str) -> String {
    format!("{operation}\n{}\n{}\n{what}", cx.account(), cx.region)
}

/// A token for the page after place `after` of the listing called `what`.
pub fn token(what: &str, after: u64) -> String {
    sealed(what, &after.to_le_bytes())
}

/// The place that a token of this listing names; `None` for the first page.
pub fn place(what: &str, token: Option<&str>, code: ErrorCode) -> Result<Option<u64>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let number =
        opened(what, token).and_then(|place| place.try_into().ok()).map(u64::from_le_bytes);
    number.map(Some).ok_or_else(|| refused(code))
}

/// As [`token`], where places have names.
pub fn token_after_name(what: &str, name: &str) -> String {
    sealed(what, name.as_bytes())
}

/// As [`place`], where places have names.
pub fn place_name(
    what: &str,
    token: Option<&str>,
    code: ErrorCode,
) -> Result<Option<String>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let name = opened(what, token).and_then(|place| String::from_utf8(place).ok());
    name.map(Some).ok_or_else(|| refused(code))
}

fn sealed(what: &str, place: &[u8]) -> String {
    let mut token = check(&[what], &[place]).to_vec();
    token.extend_from_slice(place);
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

fn opened(what: &str, token: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (found, place) = bytes.split_at_checked(CHECK_BYTES)?;
    (found == check(&[what], &[place])).then(|| place.to_vec())
}

fn refused(code: ErrorCode) -> ApiError {
    ApiError::new(code, "The NextToken was not given for this request.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: ErrorCode = ErrorCode::InvalidNextTokenException;

    fn check_place(token: &str, expected: Option<u64>) {
        let found = place("a", Some(token), CODE);
        match expected {
            Some(number) => assert_eq!(found, Ok(Some(number))),
            None => assert_eq!(found.map_err(|e| e.code), Err(CODE), "{token}"),
        }
    }

    #[test]
    fn a_token_is_good_for_its_own_listing_only() {
        assert_eq!(place("a", None, CODE), Ok(None));
        check_place(&token("a", 7), Some(7));
        for wrong in [token("b", 7), token_after_name("a", "x"), "7".into(), "".into(), "*".into()]
        {
            check_place(&wrong, None);
        }
    }

    #[test]
    fn a_token_with_one_other_letter_is_none() {
        let good = token("a", 7);
        for at in 0..good.len() {
            let mut other = good.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            check_place(&String::from_utf8(other).unwrap(), None);
        }
    }

    #[test]
    fn a_place_with_a_name_comes_back() {
        let token = token_after_name("a", "arn:x");
        assert_eq!(place_name("a", Some(&token), CODE), Ok(Some("arn:x".to_owned())));
        assert_eq!(place_name("b", Some(&token), CODE).map_err(|e| e.code), Err(CODE));
        assert_eq!(place_name("a", Some("arn:x"), CODE).map_err(|e| e.code), Err(CODE));
    }
}
