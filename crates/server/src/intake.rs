//! The one way in: bytes of a body are split into records, each is checked, and the good ones go
//! to the journal together. The answer exists only after the journal's sync.
//!
//! ```text
//!   body ─ inflate (bounded) ─ split + check (one scan) ─ account, time ─ redact ─ frame ─▶ journal ─▶ Posted
//! ```

use std::borrow::Cow;
use std::io::Read;

use event::copy::{CopyRules, copied};
use event::limits::{EVENT_BYTES_MAX, LARGE_EVENT_BYTES_MAX};
use event::{AccountId, Limits, Place, Records, Refusal};
use jiff::Timestamp;
use journal::{Accepted, Batch, Journal};
use serde::Serialize;
use uuid::Uuid;

use crate::entry::{EntryHead, HEAD_BYTES, Origin, encode_destinations};
use crate::settings::Settings;

/// How many bytes of posted bodies may be in memory at once, packed and unpacked. Requests wait
/// for their share, so that many large posts make each other slower and not the server larger.
#[derive(Debug)]
pub struct Budget {
    kib: tokio::sync::Semaphore,
    kib_max: u32,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Budget {
        let kib_max = u32::try_from(bytes_max >> 10).unwrap_or(u32::MAX);
        Budget { kib: tokio::sync::Semaphore::new(kib_max as usize), kib_max }
    }

    /// Waits for room for so many bytes; the room is given back when the answer is dropped.
    pub async fn hold(&self, bytes: usize) -> tokio::sync::SemaphorePermit<'_> {
        let kib =
            u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1).min(self.kib_max);
        self.kib.acquire_many(kib).await.expect("the budget is never closed")
    }
}

/// Records refused beyond this many are counted, not listed.
const REFUSALS_LISTED_MAX: usize = 1000;
/// Events further in the future than this are taken for a clock gone wrong.
pub const FUTURE_SECONDS_MAX: i64 = 24 * 3600;

/// What became of a posted body.
#[derive(Debug)]
pub struct Posted {
    /// None when every record was refused.
    pub accepted: Option<Accepted>,
    pub refused: u64,
    pub refusals: Vec<Refused>,
}

/// A record that was not taken, where it stood and why.
#[derive(Debug, Serialize)]
pub struct Refused {
    #[serde(flatten)]
    pub place: PlaceShown,
    pub reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceShown {
    /// Line of an NDJSON body, from 1.
    Line(u64),
    /// Index in an array, from 0.
    Index(u64),
}

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("the body is not valid {encoding}: {detail}")]
    Encoding { encoding: &'static str, detail: String },
    #[error("Content-Encoding {0} is not supported; send gzip, zstd or nothing")]
    UnknownEncoding(String),
    #[error("the body inflates to more than {max} bytes; send it in smaller parts")]
    TooLarge { max: usize },
    #[error("the body holds no records")]
    Empty,
    #[error(transparent)]
    Journal(#[from] journal::AppendError),
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// From the Content-Encoding header, or, without one, from the first bytes: a `.json.gz` file
    /// sent as it is carries no header.
    pub fn of(header: Option<&str>, body: &[u8]) -> Result<Encoding, IntakeError> {
        match header.map(str::trim).unwrap_or("") {
            "" | "identity" => Ok(match body {
                [0x1f, 0x8b, ..] => Encoding::Gzip,
                [0x28, 0xb5, 0x2f, 0xfd, ..] => Encoding::Zstd,
                _ => Encoding::Plain,
            }),
            name if name.eq_ignore_ascii_case("gzip") => Ok(Encoding::Gzip),
            name if name.eq_ignore_ascii_case("zstd") => Ok(Encoding::Zstd),
            other => Err(IntakeError::UnknownEncoding(other.to_owned())),
        }
    }
}

/// Unpacks a body; stops as soon as it grows past `bytes_max`, so a bomb costs no more than that.
pub fn inflate(encoding: Encoding, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, IntakeError> {
    let name = match encoding {
        Encoding::Plain => return Ok(body.to_vec()),
        Encoding::Gzip => "gzip",
        Encoding::Zstd => "zstd",
    };
    let broken =
        |e: std::io::Error| IntakeError::Encoding { encoding: name, detail: e.to_string() };
    let reader: Box<dyn Read> = match encoding {
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(broken)?;
            // 2^27 bytes is what the zstd tool itself accepts without a flag.
            decoder.window_log_max(27).map_err(broken)?;
            Box::new(decoder)
        }
        _ => Box::new(flate2::read::MultiGzDecoder::new(body)),
    };
    let mut inflated = Vec::with_capacity(body.len().saturating_mul(8).min(bytes_max));
    reader.take(bytes_max as u64 + 1).read_to_end(&mut inflated).map_err(broken)?;
    if inflated.len() > bytes_max {
        return Err(IntakeError::TooLarge { max: bytes_max });
    }
    Ok(inflated)
}

/// Checked records, framed for the journal, and what was refused on the way.
#[derive(Debug)]
pub struct Checked {
    pub batch: Batch,
    pub refused: u64,
    pub refusals: Vec<Refused>,
}

/// Splits and checks a body. Pure: the same bytes and `now` give the same answer.
pub fn check(body: &[u8], tenant: &AccountId, now: Timestamp, settings: &Settings) -> Checked {
    let limits = Limits {
        // Who may have no more than 256 KB gets a copy that is cut.
        record_bytes_max: LARGE_EVENT_BYTES_MAX,
        latest: Some(now + jiff::SignedDuration::from_secs(FUTURE_SECONDS_MAX)),
        ..Limits::default()
    };
    let head =
        EntryHead { origin: Origin::Intake, accepted_ms: now.as_millisecond(), tenant: *tenant }
            .encode();
    let mut checked = Checked {
        batch: Batch::with_capacity(body.len() + 4096),
        refused: 0,
        refusals: Vec::new(),
    };
    let mut records = Records::new(body);
    while let Some(item) = records.next_checked(&limits) {
        let (raw, header) = match item.result {
            Ok(good) => good,
            Err(refusal) => {
                refuse(&mut checked, item.place, refusal.to_string());
                continue;
            }
        };
        if let Some(recipient) = header.recipient()
            && !settings.intake_accounts.admits(&settings.account, tenant, &recipient)
        {
            let reason = format!(
                "recipientAccountId {recipient} is not an account you may post for; \
                 add it to intake_accounts in the configuration, or leave the field out"
            );
            refuse(&mut checked, item.place, reason);
            continue;
        }
        let compact = event::compact(raw);
        let record = match settings.redact && header.may_hold_secrets {
            true => event::redact(&compact),
            false => Cow::Borrowed(&*compact),
        };
        if let Err(refusal) = refuse_uncuttable(&record) {
            refuse(&mut checked, item.place, refusal.to_string());
            continue;
        }
        checked.batch.push(&[&head, &record]);
    }
    checked
}

/// What is in the journal must be deliverable to everybody: a record that is too large for a trail
/// must have something that CloudTrail cuts.
fn refuse_uncuttable(record: &[u8]) -> Result<(), Refusal> {
    if record.len() <= EVENT_BYTES_MAX {
        return Ok(());
    }
    let header = event::read_again(record)?;
    let bytes = copied(record, &header, &CopyRules::STANDARD).len();
    match bytes > EVENT_BYTES_MAX {
        true => Err(Refusal::TooLarge { bytes, max: EVENT_BYTES_MAX }),
        false => Ok(()),
    }
}

fn refuse(checked: &mut Checked, place: Place, reason: String) {
    checked.refused += 1;
    if checked.refusals.len() < REFUSALS_LISTED_MAX {
        let place = match place {
            Place::Line(line) => PlaceShown::Line(line),
            Place::Index(index) => PlaceShown::Index(index),
        };
        checked.refusals.push(Refused { place, reason });
    }
}

/// Hands checked records to the journal and waits for its sync.
pub async fn accept(journal: &Journal, checked: Checked) -> Result<Posted, IntakeError> {
    let Checked { batch, refused, refusals } = checked;
    if batch.is_empty() && refused == 0 {
        return Err(IntakeError::Empty);
    }
    let accepted = if batch.is_empty() { None } else { Some(journal.append(batch).await?) };
    Ok(Posted { accepted, refused, refusals })
}

/// Accepts one event that Cairn itself made (a call to one of its doors).
pub async fn accept_own(
    journal: &Journal,
    origin: Origin,
    tenant: &AccountId,
    now: Timestamp,
    record: &[u8],
) -> Result<Accepted, journal::AppendError> {
    let head = EntryHead { origin, accepted_ms: now.as_millisecond(), tenant: *tenant }.encode();
    let mut batch = Batch::with_capacity(record.len() + HEAD_BYTES + 64);
    batch.push(&[&head, record]);
    journal.append(batch).await
}

/// Accepts events that were put into a channel of `owner`, for the event data stores that are its
/// destinations now.
pub async fn accept_put(
    journal: &Journal,
    owner: &AccountId,
    stores: &[Uuid],
    now: Timestamp,
    records: &[Vec<u8>],
) -> Result<Accepted, journal::AppendError> {
    let head =
        EntryHead { origin: Origin::Channel, accepted_ms: now.as_millisecond(), tenant: *owner };
    let (head, stores) = (head.encode(), encode_destinations(stores));
    let bytes: usize = records.iter().map(|record| record.len() + stores.len() + 64).sum();
    let mut batch = Batch::with_capacity(bytes);
    for record in records {
        batch.push(&[&head, &stores, record]);
    }
    journal.append(batch).await
}
