//! Where the next page of a lookup begins, as a text for the client to bring back.
//!
//! ```text
//!   base64url of   check(16)  event_time_us(8, LE)  event_id bytes
//!   check          the first half of SHA-256 over all parts of the query, the time and the ID
//! ```
//! It says a place and nothing of the server, so it survives restarts and newer events. The check
//! binds it to its query; it keeps nothing secret and gives no right, so it needs no key: whoever
//! makes up a token only chooses another place in what is his own to read.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::lookup::{Page, Place};
use jiff::Timestamp;

pub const CHECK_BYTES: usize = 16;
const HEAD_BYTES: usize = CHECK_BYTES + 8;

/// The token of the page after this one, if there is one.
pub fn after(query: &[&str], page: &Page) -> Option<String> {
    let last = page.events.last().filter(|_| page.more)?;
    Some(seal(query, &last.place()))
}

/// The token of the page after `place`, for the query that `query` describes.
pub fn seal(query: &[&str], place: &Place) -> String {
    let time_us = place.event_time.as_microsecond().to_le_bytes();
    let mut token = check(query, &[&time_us, place.event_id.as_bytes()]).to_vec();
    token.extend_from_slice(&time_us);
    token.extend_from_slice(place.event_id.as_bytes());
    URL_SAFE_NO_PAD.encode(token)
}

/// The place after which the page begins; None for what [`seal`] did not make of the same query.
pub fn open(query: &[&str], token: &str) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (head, event_id) = bytes.split_at_checked(HEAD_BYTES)?;
    let (found, time_us) = head.split_at(CHECK_BYTES);
    let time_us: [u8; 8] = time_us.try_into().ok()?;
    let event_id = std::str::from_utf8(event_id).ok()?;
    if found != check(query, &[&time_us, event_id.as_bytes()]) {
        return None;
    }
    let event_time = Timestamp::from_microsecond(i64::from_le_bytes(time_us)).ok()?;
    Some(Place { event_time, event_id: event_id.to_owned() })
}

/// Binds the parts of a place to the parts of a query: only who knows both can make it.
pub fn check(query: &[&str], place: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in query {
        // With its length, so that no two queries read the same.
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    for part in place {
        context.update(part);
    }
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            event_time: "2026-03-01T11:59:30.250001Z".parse().unwrap(),
            event_id: "4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10".to_owned(),
        }
    }

    #[test]
    fn a_place_comes_back_for_the_same_query_only() {
        let token = seal(&["a", "bc"], &place());
        assert_eq!(open(&["a", "bc"], &token), Some(place()));
        assert_eq!(open(&["ab", "c"], &token), None);
        assert_eq!(open(&["a", "bc", ""], &token), None);
    }

    #[test]
    fn every_other_text_is_refused() {
        let token = seal(&["a"], &place());
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(open(&["a"], &other), None, "{other}");
        }
        for other in ["", "AAAA", "not base64!", &token[..token.len() - 2]] {
            assert_eq!(open(&["a"], other), None, "{other}");
        }
    }
}
