//! Times in records, in all the forms that are found.

use event::event_time;

use super::columns::TimeColumn;
use crate::record::time;

/// Puts the time that `value`, JSON text, says at `row`; gives whether it would be written the same
/// way again.
pub(super) fn push_time(times: &mut TimeColumn, row: usize, value: &[u8]) -> bool {
    let Some(inside) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(inside) else { return false };
    let time = event_time(text).or_else(|| without_hyphens(text));
    if let Some(time) = time {
        times.push(row, time.as_microsecond());
    }
    let written = time.and_then(|time| time::text(time.as_microsecond()));
    written.is_some_and(|written| written == inside)
}

/// Session attributes used to say `20131102T010628Z`.
#[cold]
fn without_hyphens(text: &str) -> Option<jiff::Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 || !date.is_ascii() || !time.is_ascii() {
        return None;
    }
    event_time(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    ))
}
