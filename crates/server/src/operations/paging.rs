//! NextToken: where the next page begins. Opaque to clients, and good only for what it was given for.

use api::{ApiError, ErrorCode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// A token for the page after place `after` of the listing called `what`.
pub fn token(what: &str, after: u64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{what}\n{after}"))
}

/// The place that a token of this listing names; `None` for the first page.
pub fn place(what: &str, token: Option<&str>, code: ErrorCode) -> Result<Option<u64>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let place = || {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (of, after) = text.rsplit_once('\n')?;
        after.parse::<u64>().ok().filter(|_| of == what)
    };
    match place() {
        Some(place) => Ok(Some(place)),
        None => Err(ApiError::new(code, "The NextToken was not given for this request.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_listing_only() {
        let code = ErrorCode::InvalidNextTokenException;
        assert_eq!(place("a", None, code), Ok(None));
        assert_eq!(place("a", Some(&token("a", 7)), code), Ok(Some(7)));
        for wrong in [token("b", 7), "7".to_owned(), String::new(), "*".to_owned()] {
            assert_eq!(place("a", Some(&wrong), code).map_err(|e| e.code), Err(code), "{wrong}");
        }
    }
}
