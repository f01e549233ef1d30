//! Bodies that cost next to nothing to send: made once, then only stamped.
//!
//! ```text
//!   template   {…"eventTime":"2000-01-01T00:00:00Z"…"requestID":"0000…"…"eventID":"0000…"…}\n  × batch
//!                            └ now, whole second      └ UUIDv7: the millisecond of sending   └ UUIDv4, never the same
//! ```
//! The generator shares two cores with the server it measures: copying a body and writing its
//! identifiers takes some 20 µs, building it would take a hundred times that.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use memchr::memmem;

use crate::dice::Dice;
use crate::records::{EVENT_ID_SLOT, REQUEST_ID_SLOT, TIME_SLOT, record};

/// Different bodies, taken in turn. Together they are far larger than gzip's 32 KiB window, so that
/// repeating them makes log files no smaller.
const TEMPLATES: usize = 16;
const UUID_BYTES: usize = 36;

/// NDJSON bodies of `batch` records each.
#[derive(Debug)]
pub struct Bodies {
    templates: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    text: Vec<u8>,
    /// Where the slots begin.
    times: Vec<usize>,
    event_ids: Vec<usize>,
    request_ids: Vec<usize>,
}

impl Bodies {
    /// The same seed gives the same records, but for their times and identifiers.
    pub fn new(seed: u64, batch: usize, account: &str) -> Bodies {
        let mut dice = Dice::new(seed);
        // Enough different records even when a body holds only one.
        let templates = TEMPLATES.max(1600 / batch.max(1));
        Bodies {
            templates: (0..templates).map(|_| Template::new(&mut dice, batch, account)).collect(),
        }
    }

    /// Of all records, with the newline of each.
    pub fn record_bytes_mean(&self) -> f64 {
        let bytes: usize = self.templates.iter().map(|t| t.text.len()).sum();
        let records: usize = self.templates.iter().map(|t| t.event_ids.len()).sum();
        bytes as f64 / records as f64
    }

    /// Length in bytes of the `nth` body: the same before and after stamping.
    pub fn body_bytes(&self, nth: u64) -> usize {
        self.template(nth).text.len()
    }

    /// Appends the `nth` body to `out`, stamped with the present time and new identifiers.
    pub fn write(&self, nth: u64, identifiers: &mut Dice, out: &mut Vec<u8>) {
        let template = self.template(nth);
        let start = out.len();
        out.extend_from_slice(&template.text);
        let body = &mut out[start..];
        let now_ms = unix_ms();
        let time = time_text(now_ms);
        for at in &template.times {
            body[*at..*at + TIME_SLOT.len()].copy_from_slice(time.as_bytes());
        }
        for at in &template.event_ids {
            uuid(&mut body[*at..*at + UUID_BYTES], b'4', identifiers.bits(), identifiers.bits());
        }
        for at in &template.request_ids {
            let high = now_ms << 16 | identifiers.bits() >> 48;
            uuid(&mut body[*at..*at + UUID_BYTES], b'7', high, identifiers.bits());
        }
    }

    fn template(&self, nth: u64) -> &Template {
        let at = nth % self.templates.len() as u64;
        &self.templates[usize::try_from(at).expect("an index into a Vec")]
    }
}

impl Template {
    fn new(dice: &mut Dice, batch: usize, account: &str) -> Template {
        let mut text = Vec::new();
        for _ in 0..batch {
            text.extend_from_slice(record(dice, account).as_bytes());
            text.push(b'\n');
        }
        let slots = |slot: &str| memmem::find_iter(&text, slot).collect();
        Template {
            times: slots(TIME_SLOT),
            event_ids: slots(EVENT_ID_SLOT),
            request_ids: slots(REQUEST_ID_SLOT),
            text,
        }
    }
}

/// A source of identifiers that no other run has used.
pub fn identifiers() -> Dice {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let process = dice.bits();
    Dice::new(
        process
            ^ u64::try_from(since.as_nanos() & u128::from(u64::MAX)).expect("masked to 64 bits"),
    )
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).expect("the year is not 500 million")
}

/// `eventTime` has whole seconds.
fn time_text(unix_ms: u64) -> String {
    let second = i64::try_from(unix_ms / 1000).expect("a present time");
    let text = Timestamp::from_second(second).expect("a present time").to_string();
    assert_eq!(text.len(), TIME_SLOT.len(), "{text} must fit its slot");
    text
}

/// RFC 9562: the version is the 13th digit, the variant the first of the fourth group.
pub fn uuid(slot: &mut [u8], version: u8, high: u64, low: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bits = u128::from(high) << 64 | u128::from(low);
    for at in (0..UUID_BYTES).rev() {
        if matches!(at, 8 | 13 | 18 | 23) {
            slot[at] = b'-';
        } else {
            slot[at] = DIGITS[(bits & 15) as usize];
            bits >>= 4;
        }
    }
    slot[14] = version;
    slot[19] = b'8';
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use event::{Limits, Records};

    use super::*;

    const ACCOUNT: &str = "111111111111";

    fn lines(bodies: &Bodies, identifiers: &mut Dice, count: u64) -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        for nth in 0..count {
            bodies.write(nth, identifiers, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_record_is_taken_by_cairns_own_check() {
        let bodies = Bodies::new(1, 100, ACCOUNT);
        let mut body = Vec::new();
        for nth in 0..TEMPLATES as u64 {
            bodies.write(nth, &mut Dice::new(nth), &mut body);
        }
        let mut records = Records::new(&body);
        let (mut taken, mut secret) = (0, 0);
        while let Some(item) = records.next_checked(&Limits::default()) {
            let (raw, header) = item.result.unwrap_or_else(|refusal| panic!("{refusal}"));
            assert!(!header.may_hold_secrets || event::redact(raw) != raw);
            taken += 1;
            secret += usize::from(header.may_hold_secrets);
        }
        assert_eq!(taken, 1600);
        assert!((5..50).contains(&secret), "{secret} records with a secret");
    }

    #[test]
    fn records_have_the_size_of_real_ones() {
        let mean = Bodies::new(1, 100, ACCOUNT).record_bytes_mean();
        assert!((1350.0..1450.0).contains(&mean), "{mean}");
    }

    #[test]
    fn identifiers_never_repeat() {
        let bodies = Bodies::new(1, 100, ACCOUNT);
        let records = lines(&bodies, &mut identifiers(), 3 * TEMPLATES as u64);
        for key in ["eventID", "requestID"] {
            let seen: HashSet<&str> = records.iter().map(|r| r[key].as_str().unwrap()).collect();
            assert_eq!(seen.len(), records.len(), "{key}");
            assert!(seen.iter().all(|id| id.len() == 36 && &id[19..20] == "8"));
        }
    }

    #[test]
    fn a_seed_gives_the_same_records_and_another_gives_others() {
        let once = |seed| {
            lines(&Bodies::new(seed, 10, ACCOUNT), &mut Dice::new(9), 1)[3]["userIdentity"]
                .to_string()
        };
        assert_eq!(once(1), once(1));
        assert_ne!(once(1), once(2));
    }

    #[test]
    fn a_body_has_the_length_announced() {
        let bodies = Bodies::new(3, 7, ACCOUNT);
        for nth in 0..40 {
            let mut out = b"head".to_vec();
            bodies.write(nth, &mut Dice::new(nth), &mut out);
            assert_eq!(out.len(), 4 + bodies.body_bytes(nth));
            assert!(
                memmem::find(&out, b"00000000-0000").is_none()
                    && memmem::find(&out, TIME_SLOT.as_bytes()).is_none()
            );
        }
    }

    #[test]
    fn a_request_id_tells_its_millisecond() {
        let before = unix_ms();
        let records = lines(&Bodies::new(3, 2, ACCOUNT), &mut Dice::new(1), 1);
        let id = records[1]["requestID"].as_str().unwrap().replace('-', "");
        let sent = u64::from_str_radix(&id[..12], 16).unwrap();
        assert!((before..=unix_ms()).contains(&sent));
    }
}
