//! What the keys under an import's source say: which are log files, and of when.
//!
//! ```text
//!   [prefix/]AWSLogs/[o-…/]ACCOUNT/CloudTrail/REGION/2026/03/01/…_20260301T1205Z_….json.gz
//!   └──────────────── the file's prefix ──────────┘ └ day ───┘   └ minute ────┘
//! ```

use jiff::{SignedDuration, Timestamp};

use crate::queries::delivered::S3Uri;

/// Folders beside `CloudTrail` that are taken only if the source names them.
const OTHER_FOLDERS: [&str; 4] = [
    "CloudTrail-Digest",
    "CloudTrail-Insight",
    "CloudTrail-NetworkActivity",
    "CloudTrail-Aggregated",
];
const FOLDER: &str = "CloudTrail";

/// A source and the span of time that is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub bucket: String,
    /// A key, or what keys begin with up to a slash; empty for the whole bucket.
    pub path: String,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Source {
    /// None for what is no `s3://bucket[/path]`.
    pub fn parse(uri: &str, from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Source> {
        let S3Uri { bucket, path } = S3Uri::parse(uri)?;
        Some(Source { bucket, path, from, to })
    }

    /// Is this the key of a log file that is wanted?
    pub fn wants(&self, key: &str) -> bool {
        let below = match key.strip_prefix(self.path.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || self.path.is_empty(),
            None => false,
        };
        below && key.ends_with(".json.gz") && self.in_folder(key) && self.in_span(key)
    }

    fn in_folder(&self, key: &str) -> bool {
        let named = self.path.split('/').find(|folder| OTHER_FOLDERS.contains(folder));
        let folder = named.unwrap_or(FOLDER);
        let Some((folders, _)) = key.rsplit_once('/') else { return false };
        folders.split('/').any(|part| part == folder)
    }

    /// AWS: the names must say a time between the two.
    fn in_span(&self, key: &str) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let Some((start, span)) = time_of(key) else { return false };
        let end = start.saturating_add(span).unwrap_or(start);
        self.from.is_none_or(|from| end > from) && self.to.is_none_or(|to| start <= to)
    }
}

/// The part of a key that AWS counts as a prefix: through the Region's folder.
pub fn prefix_of(key: &str) -> &str {
    let mut end = 0;
    let mut folders = key.split_inclusive('/');
    while let Some(part) = folders.next() {
        end += part.len();
        let name = part.trim_end_matches('/');
        if name == FOLDER || OTHER_FOLDERS.contains(&name) {
            end += folders.next().filter(|region| region.ends_with('/')).map_or(0, str::len);
            return &key[..end];
        }
    }
    key.rsplit_once('/').map_or("", |(folder, _)| &key[..folder.len() + 1])
}

/// The minute in a file's name, else the day of its folders, and how long that lasts.
fn time_of(key: &str) -> Option<(Timestamp, SignedDuration)> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let minute = name.split('_').find_map(|part| {
        let digits: Vec<u8> = part.bytes().filter(u8::is_ascii_digit).collect();
        let shaped = part.len() == 14 && part.as_bytes()[8] == b'T' && part.ends_with('Z');
        if !shaped || digits.len() != 12 {
            return None;
        }
        let (day, clock) = (&part[..8], &part[9..13]);
        let text = format!(
            "{}-{}-{}T{}:{}:00Z",
            &day[..4],
            &day[4..6],
            &day[6..],
            &clock[..2],
            &clock[2..]
        );
        text.parse().ok()
    });
    if let Some(minute) = minute {
        return Some((minute, SignedDuration::from_mins(1)));
    }
    let folders: Vec<&str> = key.split('/').collect();
    let day = folders.windows(3).rev().find_map(|three| {
        let lengths = three.iter().map(|part| part.len()).eq([4, 2, 2]);
        let digits = three.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let text = format!("{}-{}-{}T00:00:00Z", three[0], three[1], three[2]);
        (lengths && digits).then_some(text)?.parse().ok()
    });
    day.map(|day| (day, SignedDuration::from_hours(24)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

    use super::*;

    const KEY: &str = "p/AWSLogs/1/CloudTrail/eu-west-1/2026/03/01/1_CloudTrail_eu-west-1_20260301T1205Z_aB3.json.gz";

    #[track_caller]
    fn check(uri: &str, span: &str, key: &str, wanted: bool) {
        let (from, to) = span.split_once("..").unwrap();
        let time = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let source = Source::parse(uri, time(from), time(to)).unwrap();
        assert_eq!(source.wants(key), wanted, "{uri} {span} {key}");
    }

    #[test]
    fn log_files_below_the_source_are_wanted() {
        for uri in [
            "s3://b",
            "s3://b/",
            "s3://b/p",
            "s3://b/p/AWSLogs/",
            "s3://b/p/AWSLogs/1/CloudTrail/eu-west-1/2026/03",
        ] {
            check(uri, "..", KEY, true);
        }
        check(&format!("s3://b/{KEY}"), "..", KEY, true);
        check("s3://b/p/AWS", "..", KEY, false);
        check("s3://b/q", "..", KEY, false);
        check("s3://b", "..", &KEY.replace(".json.gz", ".json"), false);
        check("s3://b", "..", "AWSLogs/1/CloudTrail/", false);
        check("s3://b", "..", "somewhere/x.json.gz", false);
    }

    #[test]
    fn other_folders_are_wanted_only_if_they_are_named() {
        for folder in OTHER_FOLDERS {
            let key = KEY.replace("/CloudTrail/", &format!("/{folder}/"));
            check("s3://b/p/AWSLogs/1", "..", &key, false);
            check(&format!("s3://b/p/AWSLogs/1/{folder}/"), "..", &key, true);
        }
    }

    #[test]
    fn the_span_is_held_against_the_minute_in_the_name() {
        check("s3://b", "2026-03-01T12:05:30Z..", KEY, true);
        check("s3://b", "2026-03-01T12:06:00Z..", KEY, false);
        check("s3://b", "..2026-03-01T12:05:00Z", KEY, true);
        check("s3://b", "..2026-03-01T12:04:59Z", KEY, false);
        check("s3://b", "2026-02-01T00:00:00Z..2026-04-01T00:00:00Z", KEY, true);
    }

    #[test]
    fn without_a_minute_the_folders_count_and_without_those_nothing() {
        let key = "AWSLogs/1/CloudTrail/eu-west-1/2026/03/01/renamed.json.gz";
        check("s3://b", "2026-03-01T23:00:00Z..", key, true);
        check("s3://b", "2026-03-02T00:00:00Z..", key, false);
        check("s3://b", "..2026-02-28T23:59:59Z", key, false);
        check("s3://b", "..", "CloudTrail/x.json.gz", true);
        check("s3://b", "2026-03-01T23:00:00Z..", "CloudTrail/x.json.gz", false);
    }

    #[test]
    fn a_prefix_reaches_through_the_region() {
        assert_eq!(prefix_of(KEY), "p/AWSLogs/1/CloudTrail/eu-west-1/");
        assert_eq!(prefix_of("CloudTrail/x.json.gz"), "CloudTrail/");
        assert_eq!(prefix_of("a/b.json.gz"), "a/");
        assert_eq!(prefix_of("b.json.gz"), "");
    }
}
