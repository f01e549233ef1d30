//! Where an object lies, and what a key says.
//!
//! ```text
//! log file  [prefix/]AWSLogs/[o-org/]ACCOUNT/FOLDER/REGION/YYYY/MM/DD/
//!             ACCOUNT_FOLDER_REGION_YYYYMMDDTHHmmZ_UNIQUE.json.gz          UNIQUE: 16 of [A-Za-z0-9]
//! digest    [prefix/]AWSLogs/[o-org/]ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/
//!             ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOME_YYYYMMDDTHHMMSSZ[_backfill].json.gz
//! marker    [prefix/]AWSLogs/[o-org/]ACCOUNT/FOLDER/                       zero bytes
//! ```
//!
//! Writing and parsing are inverse: whatever [`ObjectKey::parse`] accepts, it prints again unchanged.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

#[cfg(test)]
mod tests;

/// The folder under an account: what kind of files lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folder {
    /// Management and data events.
    CloudTrail,
    /// Insights events.
    Insight,
    /// Network activity events.
    NetworkActivity,
    /// Aggregated data events.
    Aggregated,
    /// Digest files.
    Digest,
}

impl Folder {
    /// Every folder, digests last.
    pub const ALL: [Folder; 5] = [
        Folder::CloudTrail,
        Folder::Insight,
        Folder::NetworkActivity,
        Folder::Aggregated,
        Folder::Digest,
    ];

    /// The folder's name, which is also the second part of the file names in it.
    pub fn name(self) -> &'static str {
        match self {
            Folder::CloudTrail => "CloudTrail",
            Folder::Insight => "CloudTrail-Insight",
            Folder::NetworkActivity => "CloudTrail-NetworkActivity",
            Folder::Aggregated => "CloudTrail-Aggregated",
            Folder::Digest => "CloudTrail-Digest",
        }
    }

    /// The folder of that name, if CloudTrail has one.
    pub fn parse(name: &str) -> Option<Folder> {
        Folder::ALL.into_iter().find(|folder| folder.name() == name)
    }
}

/// Whose files, and under which prefix of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The trail's S3KeyPrefix, without a trailing slash.
    pub prefix: Option<String>,
    /// The organization (`o-…`) of an organization trail.
    pub organization: Option<String>,
    /// Twelve digits.
    pub account: String,
    /// The Region the events come from.
    pub region: String,
}

/// The key of a log file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogFileKey {
    /// Whose file.
    pub place: Place,
    /// Any folder but [`Folder::Digest`].
    pub folder: Folder,
    /// Delivery time. Only its minute is part of the key.
    pub delivered_at: Timestamp,
    /// 16 characters of `[A-Za-z0-9]`, see [`unique_part`].
    pub unique: String,
}

/// The key of a digest file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DigestKey {
    /// Whose digest.
    pub place: Place,
    /// The trail's name, which may contain underscores.
    pub trail_name: String,
    /// The Region in which the trail was created.
    pub home_region: String,
    /// digestEndTime. Only its second is part of the key.
    pub end: Timestamp,
    /// Whether the digest belongs to the chain of files that the regular digest missed.
    pub backfill: bool,
}

/// The key of a zero-byte marker that CreateTrail and UpdateTrail leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MarkerKey {
    /// The trail's S3KeyPrefix, without a trailing slash.
    pub prefix: Option<String>,
    /// The organization (`o-…`) of an organization trail.
    pub organization: Option<String>,
    /// Twelve digits.
    pub account: String,
    /// Which of the account's folders is marked.
    pub folder: Folder,
}

/// Any key that CloudTrail makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// A log file.
    LogFile(LogFileKey),
    /// A digest file.
    Digest(DigestKey),
    /// A preflight marker.
    Marker(MarkerKey),
}

/// Characters of the unique part that say when, and of those that say which.
const MOMENT: usize = 3;
const WHICH: usize = 13;

/// The unique part of a log file's name: 16 characters of `[A-Za-z0-9]`, in the byte order of `now`.
///
/// Only the minute of delivery stands before it, so without that order the files of one minute would
/// lie in any order, and readers that go on after the last key they have seen, as Wazuh's, would miss
/// those that come later with a lesser name. The time of day says nothing that others should not know,
/// as the sequence number would of other accounts' events. AWS gives the part no meaning.
pub fn unique_part(now: Timestamp, which: &str) -> String {
    let of_minute = now.as_millisecond().rem_euclid(60_000);
    counted(u64::try_from(of_minute).unwrap_or(0)) + which
}

/// What stands behind the time in a unique part: see [`which_window`].
pub fn which_of(unique: &str) -> &str {
    unique.get(MOMENT..).unwrap_or_default()
}

/// What tells a window from all others, however often its file is made: 13 characters of
/// `[A-Za-z0-9]`.
///
/// Pure. The fields are hashed with their lengths, so that no two different lists of fields hash the
/// same bytes. `node` tells apart nodes (or one node with a new data folder) that deliver for trails of
/// the same name into the same bucket.
pub fn which_window(
    node: &str,
    trail_arn: &str,
    account: &str,
    region: &str,
    folder: Folder,
    first_seq: u64,
) -> String {
    let mut input = b"cairn log file name 3".to_vec();
    for field in [node, trail_arn, account, region, folder.name()] {
        input.extend_from_slice(&(field.len() as u64).to_be_bytes());
        input.extend_from_slice(field.as_bytes());
    }
    input.extend_from_slice(&first_seq.to_be_bytes());
    base62(&input, WHICH)
}

/// A number below 62³ in digits that sort as bytes as the numbers do.
fn counted(mut number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; MOMENT];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// `len` unbiased characters of `[A-Za-z0-9]` from SHA-256 of `input` and a block counter.
fn base62(input: &[u8], len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(len);
    for block in 0_u32.. {
        let mut block_input = input.to_vec();
        block_input.extend_from_slice(&block.to_be_bytes());
        for &byte in digest(&SHA256, &block_input).as_ref() {
            // 248 = 4 × 62: larger bytes would favour the first letters.
            if byte < 248 {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
            if text.len() == len {
                return text;
            }
        }
    }
    unreachable!("some block has enough bytes below 248")
}

/// Why an S3KeyPrefix cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixFault {
    /// AWS: at most 200 characters.
    #[error("it is longer than 200 characters")]
    TooLong,
    /// A leading slash would make an empty first folder.
    #[error("it must not start with a slash")]
    LeadingSlash,
    /// AWS: reserved for the layout below the prefix.
    #[error("it must not contain AWSLogs/")]
    ContainsAwsLogs,
    /// `.` and `..` mean something else to file systems and to URLs.
    #[error("it must not contain . or .. as a folder")]
    DotSegment,
    /// Control characters survive neither URLs nor XML.
    #[error("it must not contain a control character")]
    ControlCharacter,
}

/// Checks an S3KeyPrefix as CreateTrail must (spec f.1, b.2). An empty prefix means none.
pub fn check_prefix(prefix: &str) -> Result<(), PrefixFault> {
    if prefix.chars().count() > 200 {
        return Err(PrefixFault::TooLong);
    }
    if prefix.starts_with('/') {
        return Err(PrefixFault::LeadingSlash);
    }
    if prefix.contains("AWSLogs/") || prefix.ends_with("AWSLogs") {
        return Err(PrefixFault::ContainsAwsLogs);
    }
    if prefix.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(PrefixFault::DotSegment);
    }
    if prefix.chars().any(char::is_control) {
        return Err(PrefixFault::ControlCharacter);
    }
    Ok(())
}

impl ObjectKey {
    /// Reads a key back into its parts; `None` if CloudTrail would not have made it.
    pub fn parse(key: &str) -> Option<ObjectKey> {
        let segments: Vec<&str> = key.split('/').collect();
        let root = segments.iter().rposition(|segment| *segment == "AWSLogs")?;
        let prefix = (root > 0).then(|| segments[..root].join("/"));
        let mut rest = &segments[root + 1..];
        let organization = match rest.first() {
            Some(first) if first.starts_with("o-") => {
                rest = &rest[1..];
                Some((*first).to_owned())
            }
            _ => None,
        };
        let parsed = match *rest {
            [account, folder, ""] => ObjectKey::Marker(MarkerKey {
                prefix,
                organization,
                account: account_text(account)?,
                folder: Folder::parse(folder)?,
            }),
            [account, folder, region, _, _, _, file] => {
                let folder = Folder::parse(folder)?;
                let place = Place {
                    prefix,
                    organization,
                    account: account_text(account)?,
                    region: region_text(region)?,
                };
                parse_file(place, folder, file)?
            }
            _ => return None,
        };
        // The date folders, and anything said twice in a key, must agree.
        (parsed.to_string() == key).then_some(parsed)
    }
}

/// Reads a file name in the folder of `place`. Agreement with the path is the caller's to check.
fn parse_file(place: Place, folder: Folder, file: &str) -> Option<ObjectKey> {
    let start = format!("{}_{}_{}_", place.account, folder.name(), place.region);
    let rest = file.strip_prefix(&start)?.strip_suffix(".json.gz")?;
    if folder != Folder::Digest {
        let (minute, unique) = rest.split_once('_')?;
        if unique.len() != 16 || !unique.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let delivered_at = parse_compact(minute)?;
        return Some(ObjectKey::LogFile(LogFileKey {
            place,
            folder,
            delivered_at,
            unique: unique.to_owned(),
        }));
    }
    let (rest, backfill) = match rest.strip_suffix("_backfill") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    // From the right: a trail's name may contain underscores, a Region and a time may not.
    let (rest, second) = rest.rsplit_once('_')?;
    let (trail_name, home_region) = rest.rsplit_once('_')?;
    if trail_name.is_empty() {
        return None;
    }
    Some(ObjectKey::Digest(DigestKey {
        place,
        trail_name: trail_name.to_owned(),
        home_region: region_text(home_region)?,
        end: parse_compact(second)?,
        backfill,
    }))
}

fn account_text(text: &str) -> Option<String> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

fn region_text(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| text.to_owned())
}

/// `YYYYMMDDTHHMMSSZ` or `YYYYMMDDTHHMMZ`, UTC.
fn parse_compact(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || !(time.len() == 4 || time.len() == 6) {
        return None;
    }
    if !date.bytes().chain(time.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |text: &str| text.parse::<i8>().ok();
    let second = if time.len() == 6 { number(&time[4..6])? } else { 0 };
    let civil = DateTime::new(
        date[..4].parse().ok()?,
        number(&date[4..6])?,
        number(&date[6..8])?,
        number(&time[..2])?,
        number(&time[2..4])?,
        second,
        0,
    )
    .ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

impl fmt::Display for Place {
    /// Up to and with the account: `[prefix/]AWSLogs/[o-org/]ACCOUNT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_account_folder(f, &self.prefix, &self.organization, &self.account)
    }
}

fn write_account_folder(
    f: &mut fmt::Formatter<'_>,
    prefix: &Option<String>,
    organization: &Option<String>,
    account: &str,
) -> fmt::Result {
    if let Some(prefix) = prefix {
        write!(f, "{prefix}/")?;
    }
    f.write_str("AWSLogs/")?;
    if let Some(organization) = organization {
        write!(f, "{organization}/")?;
    }
    f.write_str(account)
}

impl fmt::Display for LogFileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { account, region, .. } = &self.place;
        let folder = self.folder.name();
        let date = self.delivered_at.strftime("%Y/%m/%d");
        let minute = self.delivered_at.strftime("%Y%m%dT%H%MZ");
        write!(f, "{}/{folder}/{region}/{date}/", self.place)?;
        write!(f, "{account}_{folder}_{region}_{minute}_{}.json.gz", self.unique)
    }
}

impl fmt::Display for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { account, region, .. } = &self.place;
        let folder = Folder::Digest.name();
        let date = self.end.strftime("%Y/%m/%d");
        let second = self.end.strftime("%Y%m%dT%H%M%SZ");
        let backfill = if self.backfill { "_backfill" } else { "" };
        write!(f, "{}/{folder}/{region}/{date}/{account}_{folder}_{region}_", self.place)?;
        write!(f, "{}_{}_{second}{backfill}.json.gz", self.trail_name, self.home_region)
    }
}

impl fmt::Display for MarkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_account_folder(f, &self.prefix, &self.organization, &self.account)?;
        write!(f, "/{}/", self.folder.name())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectKey::LogFile(key) => key.fmt(f),
            ObjectKey::Digest(key) => key.fmt(f),
            ObjectKey::Marker(key) => key.fmt(f),
        }
    }
}
