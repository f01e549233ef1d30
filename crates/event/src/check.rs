//! Reading one record: strictly, once, and without keeping more than slices.

use jiff::Timestamp;

use crate::header::{Field, Fields, Header, Span};
use crate::redact::may_show_private_key;
use crate::refusal::Refusal;
use crate::scan::{DEPTH_HARD_MAX, Scan, Scanned, Watch};

/// What is taken at all. The defaults are CloudTrail's event size and the design's guard against
/// JSON bombs; times are unbounded unless the caller, who has a clock, says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// AWS: an event has at most 256 KB.
    pub record_bytes_max: usize,
    /// Nested containers, the record itself being the first. Real records reach 11.
    pub depth_max: usize,
    pub keys_per_object_max: usize,
    /// Events before this are refused.
    pub earliest: Option<Timestamp>,
    /// Events after this are refused.
    pub latest: Option<Timestamp>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 256 * 1024,
            depth_max: 64,
            keys_per_object_max: 10_000,
            earliest: None,
            latest: None,
        }
    }
}

/// Checks one record and gives its header.
///
/// `raw` is one JSON object, with space around it at most. It must be JSON by RFC 8259 in valid
/// UTF-8, without lone surrogates, within `limits`, no object may hold a key twice, and it must say
/// when, where, and what happened (see [`Header`] for which category needs what).
pub fn check<'a>(raw: &'a [u8], limits: &Limits) -> Result<Header<'a>, Refusal> {
    // Before anything is read, so that an absurd size costs nothing.
    refuse_size(raw.len(), limits)?;
    let text = utf8(raw)?;
    let mut scan = Scan::new(text, limits.depth_max, limits.keys_per_object_max);
    scan.look_for_pem = may_show_private_key(raw);
    check_whole(&mut scan, limits)
}

/// The header of a record that [`check`] has taken before, whatever the limits were then: less work,
/// since keys are not compared and secrets not looked for again (`may_hold_secrets` is false).
/// Broken JSON is still an error, since bits rot.
pub fn read_again(raw: &[u8]) -> Result<Header<'_>, Refusal> {
    let limits = Limits { record_bytes_max: usize::MAX, ..Limits::default() };
    let mut scan = Scan::new(utf8(raw)?, DEPTH_HARD_MAX, usize::MAX);
    scan.checked_before = true;
    scan.looks_for_secrets = false;
    check_whole(&mut scan, &limits)
}

/// Whether `text` is one JSON object within `limits`, as strictly as [`check`] reads a record, whatever
/// its members are.
pub(crate) fn check_object(text: &str, limits: &Limits) -> Result<(), Refusal> {
    refuse_size(text.len(), limits)?;
    let mut scan = Scan::new(text, limits.depth_max, limits.keys_per_object_max);
    scan.looks_for_secrets = false;
    let end = scan.value(0, 1, Watch::Off).map_err(|refusal| *refusal)?;
    if end < text.len() {
        return scan.broken(end, "text after the object").map_err(|refusal| *refusal);
    }
    match scan.refused.take() {
        Some(refusal) => Err(refusal),
        None if text.starts_with('{') => Ok(()),
        None => Err(Refusal::NotAnObject),
    }
}

pub(crate) fn utf8(raw: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(raw).map_err(|e| Refusal::InvalidUtf8 { offset: e.valid_up_to() })
}

pub(crate) fn refuse_size(bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    match bytes > limits.record_bytes_max {
        true => Err(Refusal::TooLarge { bytes, max: limits.record_bytes_max }),
        false => Ok(()),
    }
}

/// Checks the record that all of the scan's text is.
pub(crate) fn check_whole<'a>(scan: &mut Scan<'a>, limits: &Limits) -> Result<Header<'a>, Refusal> {
    let start = scan.skip_space(0);
    let (end, checked) = check_at(scan, start, limits).map_err(|refusal| *refusal)?;
    let end = scan.skip_space(end);
    if end < scan.text().len() {
        return scan.broken(end, "text after the record").map_err(|refusal| *refusal);
    }
    checked
}

/// Checks the record that starts at `start`; gives where it ends and whether it is taken. `Err`
/// when the text is broken, so that nobody knows where it ends.
pub(crate) fn check_at<'a>(
    scan: &mut Scan<'a>,
    start: usize,
    limits: &Limits,
) -> Scanned<(usize, Result<Header<'a>, Refusal>)> {
    if scan.byte(start) != Some(b'{') {
        let end = scan.value(start, 1, Watch::Off)?;
        return Ok((end, Err(Refusal::NotAnObject)));
    }
    scan.forget_findings();
    let mut fields = Fields::default();
    let end = top_level(scan, start, &mut fields)?;
    if let Err(too_large) = refuse_size(end - start, limits) {
        return Ok((end, Err(too_large)));
    }
    if let Some(refusal) = scan.refused.take() {
        return Ok((end, Err(refusal)));
    }
    let header = Header::from_fields(scan.text(), start..end, &fields, !scan.secrets.is_empty())
        .and_then(|header| refuse_time(&header, limits).map(|()| header));
    Ok((end, header))
}

/// Walks over the record's own members and notes where the values of the known ones lie.
fn top_level(scan: &mut Scan<'_>, start: usize, fields: &mut Fields) -> Scanned<usize> {
    scan.enter(start, 1)?;
    let mut keys = scan.open_keys();
    let mut at = scan.skip_space(start + 1);
    if scan.byte(at) == Some(b'}') {
        return Ok(at + 1);
    }
    loop {
        let (key_start, key_end, escaped) = scan.key(at)?;
        let field = field_named(&scan.text()[key_start..key_end], escaped);
        at = scan.colon(key_end + 1)?;
        let watch = match field {
            Some(Field::RequestParameters | Field::ResponseElements) if scan.looks_for_secrets => {
                Watch::Keys
            }
            _ => Watch::Off,
        };
        let value_start = at;
        let mut value_escaped = false;
        if scan.byte(at) == Some(b'"') {
            let (end, escaped) = scan.string(at + 1)?;
            scan.look_at_string(at + 1, end, watch);
            (at, value_escaped) = (end + 1, escaped);
        } else if let Some(Field::UserIdentity | Field::TlsDetails) = field {
            at = scan.part(at, 2)?;
        } else {
            at = scan.value(at, 2, watch)?;
        }
        match field {
            Some(field) => {
                scan.count_key(&mut keys, key_start);
                if fields.is_set(field) {
                    scan.refuse_duplicate(key_start, key_end);
                }
                fields.set(field, Span { start: value_start, end: at, escaped: value_escaped });
            }
            None if scan.checked_before => {}
            None => scan.note_key(&mut keys, key_start, key_end, escaped),
        }
        at = scan.skip_space(at);
        match scan.byte(at) {
            Some(b',') => at = scan.skip_space(at + 1),
            Some(b'}') => {
                scan.close_keys(keys);
                return Ok(at + 1);
            }
            _ => return scan.broken(at, "a comma or } is wanted"),
        }
    }
}

fn field_named(key: &str, escaped: bool) -> Option<Field> {
    match escaped {
        false => Field::from_name(key.as_bytes()),
        true => Field::from_name(crate::text::unescape(key).as_bytes()),
    }
}

fn refuse_time(header: &Header<'_>, limits: &Limits) -> Result<(), Refusal> {
    use crate::refusal::TimeBound;
    let value = header.event_time;
    if let Some(earliest) = limits.earliest.filter(|earliest| value < *earliest) {
        return Err(Refusal::TimeOutOfRange { value, bound: TimeBound::Earliest(earliest) });
    }
    if let Some(latest) = limits.latest.filter(|latest| value > *latest) {
        return Err(Refusal::TimeOutOfRange { value, bound: TimeBound::Latest(latest) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
