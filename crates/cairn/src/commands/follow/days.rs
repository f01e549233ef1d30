//! Which part of a bucket to list now.
//!
//! ```text
//!   AWSLogs/111111111111/CloudTrail/eu-west-1/2026/03/05/111111111111_CloudTrail_….json.gz
//!   └──────────────── root ─────────────────┘└── day ──┘
//! ```
//! CloudTrail puts a log file below the day of its delivery. So what is new lies below today, for
//! each root; and below yesterday for a while after midnight. All keys are listed much more seldom:
//! for files that come late, for roots that are new, and for buckets of another layout.
//!
//! Invariant: this decides and never lists. Whatever it leaves out is found by the next list of all.

use std::collections::HashMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Keys on a page of a listing.
const PAGE_KEYS: u64 = 1000;
/// Late files and new Regions are found after this at the latest.
const ALL_REST_MAX: Duration = Duration::from_secs(3600);
/// A root without a file for so long is only looked at when all keys are.
const QUIET_DAYS: i64 = 7;
/// So long after midnight files may still be delivered below yesterday.
const YESTERDAY_COUNTS: SignedDuration = SignedDuration::from_hours(2);

#[derive(Debug, Default)]
pub struct Days {
    /// The newest day of each root, such as `2026/03/05`.
    roots: HashMap<String, String>,
    /// Files that were listed below no root.
    others: u64,
    files: u64,
    all_listed: Option<Duration>,
    /// Looks since then.
    looks: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    All,
    /// Keys with these beginnings.
    Prefixes(Vec<String>),
}

impl Days {
    /// What to list at `now`; `elapsed` is the time on the same clock as [`Days::all_listed`]'s.
    ///
    /// All keys are due after as many looks as they fill pages: on average that costs one request
    /// for each look. Where the days tell nothing, it may cost ten.
    pub fn next(&mut self, prefix: &str, now: Timestamp, elapsed: Duration) -> Next {
        let Some(listed) = self.all_listed else { return Next::All };
        let pages = self.files.div_ceil(PAGE_KEYS).max(1);
        let looks = if self.others > 0 { pages.div_ceil(10) } else { pages };
        self.looks += 1;
        if self.looks >= looks || elapsed.saturating_sub(listed) >= ALL_REST_MAX {
            return Next::All;
        }
        let quiet = day_of(now - SignedDuration::from_hours(24 * QUIET_DAYS));
        let mut days = vec![day_of(now)];
        let yesterday = day_of(now - YESTERDAY_COUNTS);
        if yesterday != days[0] {
            days.push(yesterday);
        }
        let mut prefixes: Vec<String> = self
            .roots
            .iter()
            .filter(|(_, newest)| **newest >= quiet)
            .flat_map(|(root, _)| days.iter().map(move |day| format!("{root}{day}/")))
            .filter_map(|below| match (below.starts_with(prefix), prefix.starts_with(&below)) {
                (true, _) => Some(below),
                (false, true) => Some(prefix.to_owned()),
                (false, false) => None,
            })
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        Next::Prefixes(prefixes)
    }

    /// A list of all keys begins: what was known is learned anew.
    pub fn begin_all(&mut self) {
        *self = Days { all_listed: self.all_listed, ..Days::default() };
    }

    /// A file was listed.
    pub fn saw(&mut self, key: &str) {
        self.files += 1;
        let Some((root, day)) = root_and_day(key) else {
            self.others += 1;
            return;
        };
        match self.roots.get_mut(root) {
            Some(newest) if newest.as_str() < day => day.clone_into(newest),
            Some(_) => {}
            None => {
                self.roots.insert(root.to_owned(), day.to_owned());
            }
        }
    }

    /// All keys were listed.
    pub fn all_listed(&mut self, elapsed: Duration) {
        self.all_listed = Some(elapsed);
        self.looks = 0;
    }

    /// The list of all keys broke off: it has to be made again.
    pub fn broke_off(&mut self) {
        self.all_listed = None;
    }
}

fn day_of(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string()
}

/// Key layout of the user guide, "finding your CloudTrail log files"; an organization's files have
/// its ID before the account.
fn root_and_day(key: &str) -> Option<(&str, &str)> {
    let (folder, _) = key.rsplit_once('/')?;
    let at = folder.len().checked_sub("YYYY/MM/DD".len()).filter(|at| *at > 0)?;
    let (root, day) = (folder.get(..at)?, folder.get(at..)?);
    let is_day = day.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'/',
        _ => byte.is_ascii_digit(),
    });
    let mut parts = root.strip_suffix('/')?.rsplit('/');
    let (_region, kind) = (parts.next()?, parts.next()?);
    (is_day && kind.starts_with("CloudTrail")).then_some((root, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "AWSLogs/1/CloudTrail/eu-west-1/";

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Two pages below other days, and these keys.
    fn listed(keys: &[&str]) -> Days {
        let mut days = Days::default();
        days.begin_all();
        for number in 0..1001 {
            days.saw(&format!("{ROOT}2020/01/01/{number}.json.gz"));
        }
        keys.iter().for_each(|key| days.saw(key));
        days.all_listed(Duration::ZERO);
        days
    }

    fn check(days: &mut Days, prefix: &str, now: &str, expected: Option<&[&str]>) {
        let next = days.next(prefix, time(now), Duration::from_secs(1));
        let expected = expected.map_or(Next::All, |prefixes| {
            Next::Prefixes(prefixes.iter().map(|&prefix| prefix.to_owned()).collect())
        });
        assert_eq!(next, expected);
    }

    #[test]
    fn at_first_everything_is_listed() {
        check(&mut Days::default(), "", "2026-03-05T12:00:00Z", None);
    }

    #[test]
    fn between_lists_of_all_today_is_and_yesterday_for_a_while() {
        let key = format!("{ROOT}2026/03/04/f.json.gz");
        let today = format!("{ROOT}2026/03/05/");
        let yesterday = format!("{ROOT}2026/03/04/");
        let mut days = listed(&[&key]);
        check(&mut days, "", "2026-03-05T12:00:00Z", Some(&[&today]));
        check(&mut days, "", "2026-03-05T12:00:00Z", None);
        check(&mut listed(&[&key]), "", "2026-03-05T01:59:59Z", Some(&[&yesterday, &today]));
    }

    #[test]
    fn a_prefix_is_never_left() {
        let key = format!("{ROOT}2026/03/05/1_CloudTrail_a.json.gz");
        let inside = format!("{ROOT}2026/03/05/1_Cloud");
        let today = format!("{ROOT}2026/03/05/");
        check(&mut listed(&[&key]), &inside, "2026-03-05T12:00:00Z", Some(&[&inside]));
        check(&mut listed(&[&key]), &inside, "2026-03-06T12:00:00Z", Some(&[]));
        check(&mut listed(&[&key]), "AWSLogs/1/", "2026-03-05T12:00:00Z", Some(&[&today]));
    }

    #[test]
    fn the_more_there_is_the_more_seldom_all_of_it_is_listed() {
        let looks = |files: u64, others: u64, every_s: u64| {
            let mut days = Days { files, others, ..Days::default() };
            days.all_listed(Duration::ZERO);
            let now = time("2026-03-05T12:00:00Z");
            let all =
                |look: &u64| days.next("", now, Duration::from_secs(look * every_s)) == Next::All;
            (1..).find(all).unwrap()
        };
        assert_eq!(looks(1000, 0, 5), 1);
        assert_eq!(looks(50_000, 0, 5), 50);
        assert_eq!(looks(50_000, 1, 5), 5);
        assert_eq!(looks(100_000_000, 0, 5), 720, "at least once an hour");
    }

    #[test]
    fn after_a_list_that_broke_off_all_is_listed() {
        let mut days = listed(&[]);
        days.broke_off();
        check(&mut days, "", "2026-03-05T12:00:00Z", None);
    }

    #[test]
    fn roots_that_have_been_quiet_for_a_week_cost_nothing() {
        let (old, new) =
            (format!("{ROOT}2026/02/01/f.json.gz"), "x/CloudTrail-Insight/r/2026/03/01/f");
        let mut days = listed(&[&old, new]);
        let today = "x/CloudTrail-Insight/r/2026/03/05/";
        check(&mut days, "", "2026-03-05T12:00:00Z", Some(&[today]));
    }

    #[test]
    fn other_keys_have_no_day() {
        for key in [
            "f.json",
            "2026/03/05/f.json",
            "a/b/2026/03/05/f.json",
            "CloudTrail/r/2026-03-05/f",
            "é/f",
        ] {
            assert_eq!(root_and_day(key), None, "{key}");
        }
        let organization = "AWSLogs/o-1/1/CloudTrail/r/2026/03/05/f.json.gz";
        assert_eq!(root_and_day(organization), Some(("AWSLogs/o-1/1/CloudTrail/r/", "2026/03/05")));
    }
}
