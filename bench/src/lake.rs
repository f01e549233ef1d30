//! A bucket's worth of log files for the benchmark of the lake: `bench lake-files`.
//!
//! ```text
//!   FOLDER/AWSLogs/<account>/CloudTrail/<Region>/YYYY/MM/DD/
//!       <account>_CloudTrail_<Region>_YYYYMMDDTHHmmZ_<16 letters>.json.gz      one gzip member
//!           {"Records":[{…},{…}]}                                             one line
//! ```
//! A file is of one account in one Region and holds the events of the ten minutes before its time, in
//! no strict order in every fourth file. What is in it follows from the seed, the number of the file and the number of the
//! event, never from the thread that writes it: the same arguments give the same bytes.

mod calls;
mod record;
mod shapes;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use libdeflater::{CompressionLvl, Compressor};
use serde::Serialize;

use crate::dice::Dice;
use crate::lake::calls::Odds;
use crate::lake::record::Given;
use crate::lake::world::{RARE_USER, Stream, Weights, World, seeded};

/// Days that the files are spread over, backwards from `until`.
const DAYS: u64 = 30;
/// Events of the rare user, whatever the size of the whole.
const RARE_EVENTS: u64 = 60;
/// With duplicates: one event in so many is one of an earlier file again.
const DUPLICATE_EVERY: u64 = 200;
/// Events near each other in a file, of which many have one caller.
const BURST_EVENTS: u64 = 40;
/// As small as gzip -6 makes it, roughly, and as CloudTrail's own files are.
const GZIP_LEVEL: i32 = 6;
/// Shares of the hours of a day, UTC: offices in Europe and America.
const HOURS: [u64; 24] =
    [4, 3, 3, 3, 3, 4, 6, 9, 12, 13, 13, 12, 13, 15, 16, 16, 15, 13, 11, 9, 8, 7, 6, 5];

#[derive(Debug)]
pub struct Wanted {
    /// Made if it is not there; must be empty.
    pub folder: PathBuf,
    /// Records in all files together, duplicates included.
    pub events: u64,
    pub files: u64,
    pub seed: u64,
    /// The first second after the last file's day, a midnight.
    pub until: Timestamp,
    pub duplicates: bool,
    pub threads: usize,
}

/// What has been written; bytes are bytes.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Written {
    pub events: u64,
    /// Different eventIDs.
    pub unique_events: u64,
    pub files: u64,
    pub json_bytes: u64,
    pub gzip_bytes: u64,
    pub seed: u64,
    pub until: String,
    pub rare_user: &'static str,
    pub rare_user_events: u64,
}

/// What a file holds, decided before any is written.
#[derive(Debug)]
struct Plan {
    number: u64,
    stream: Stream,
    /// Its time, in seconds since 1970, a multiple of five minutes.
    second: i64,
    events: u64,
    /// The last of them, which are copies out of the earlier file of that number.
    duplicates: u64,
    duplicates_of: Option<usize>,
    /// Its events come in the order of their times, but for the copies.
    sorted: bool,
    /// Which events are the rare user's, ascending.
    rare: Vec<u64>,
}

/// Writes the files; an error leaves the folder half full.
pub fn write_files(wanted: &Wanted) -> Result<Written> {
    ensure!(wanted.events >= wanted.files && wanted.files > 0, "at least one event a file");
    ensure!(wanted.threads > 0, "at least one thread");
    std::fs::create_dir_all(&wanted.folder)
        .with_context(|| format!("make {}", wanted.folder.display()))?;
    let empty = std::fs::read_dir(&wanted.folder)?.next().is_none();
    ensure!(empty, "{} is not empty", wanted.folder.display());
    let world = World::new(wanted.seed);
    let plans = plan(wanted, &world);
    let odds = Odds::new();
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Written::default()));
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..wanted.threads)
            .map(|_| scope.spawn(|| write_some(wanted, &world, &odds, &plans, &next, &total)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a thread has panicked"))??;
        }
        Ok(())
    })?;
    let total = total.into_inner().map_err(|_| anyhow!("a thread has panicked"))?;
    Ok(Written {
        seed: wanted.seed,
        until: wanted.until.to_string(),
        rare_user: RARE_USER,
        rare_user_events: plans.iter().map(|plan| plan.rare.len() as u64).sum(),
        ..total
    })
}

/// One thread's turn: takes the next file until there is none.
fn write_some(
    wanted: &Wanted,
    world: &World,
    odds: &Odds,
    plans: &[Plan],
    next: &AtomicUsize,
    total: &Mutex<Written>,
) -> Result<()> {
    let level = CompressionLvl::new(GZIP_LEVEL).map_err(|_| anyhow!("an unknown gzip level"))?;
    let mut compressor = Compressor::new(level);
    let (mut text, mut packed) = (String::new(), Vec::new());
    while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
        text.clear();
        write_text(wanted.seed, world, odds, plans, plan, &mut text);
        packed.resize(compressor.gzip_compress_bound(text.len()), 0);
        let length = compressor.gzip_compress(text.as_bytes(), &mut packed)?;
        let path = wanted.folder.join(key(wanted.seed, world, plan));
        let folder = path.parent().expect("a key has folders");
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        std::fs::write(&path, &packed[..length])
            .with_context(|| format!("write {}", path.display()))?;
        let mut total = total.lock().map_err(|_| anyhow!("another thread has panicked"))?;
        total.events += plan.events;
        total.unique_events += plan.events - plan.duplicates;
        total.files += 1;
        total.json_bytes += text.len() as u64;
        total.gzip_bytes += length as u64;
    }
    Ok(())
}

fn plan(wanted: &Wanted, world: &World) -> Vec<Plan> {
    let mut dice = seeded(&[wanted.seed, 1]);
    // Sizes differ as a bucket's do: some files of a few events, some of thousands.
    let shares: Vec<u64> =
        (0..wanted.files).map(|_| 40 + dice.below(400) * (1 + dice.below(6))).collect();
    let whole: u64 = shares.iter().sum();
    // Each file gets one, and its share of the rest; what rounding leaves goes to the first file.
    let rest = wanted.events - wanted.files;
    let mut counts: Vec<u64> = shares.iter().map(|share| 1 + rest * share / whole).collect();
    counts[0] += wanted.events - counts.iter().sum::<u64>();
    let hours = Weights::of(HOURS.into_iter());
    let mut plans: Vec<Plan> = Vec::with_capacity(counts.len());
    for (number, events) in counts.into_iter().enumerate() {
        let stream = world.stream(&mut dice);
        let back = dice.below(DAYS) + 1;
        let minute = hours.pick(&mut dice) as u64 * 60 + dice.below(12) * 5;
        let offset = i64::try_from(back * 86_400 - minute * 60).expect("at most 30 days");
        let duplicates_of = match wanted.duplicates {
            true => plans.iter().rposition(|earlier| earlier.stream == stream),
            false => None,
        };
        plans.push(Plan {
            number: number as u64,
            stream,
            second: wanted.until.as_second() - offset,
            events,
            // In real buckets, 27 % of the files are not sorted.
            sorted: !dice.happens(27),
            duplicates: if duplicates_of.is_some() { events / DUPLICATE_EVERY } else { 0 },
            duplicates_of,
            rare: Vec::new(),
        });
    }
    // The rare user has a home: one account, any Region.
    let home: Vec<usize> = (0..plans.len()).filter(|at| plans[*at].stream.account == 0).collect();
    for _ in 0..if home.is_empty() { 0 } else { RARE_EVENTS } {
        let at = home[usize::try_from(dice.below(home.len() as u64)).expect("an index")];
        let plan = &mut plans[at];
        plan.rare.push(dice.below(plan.events - plan.duplicates));
        plan.rare.sort_unstable();
        plan.rare.dedup();
    }
    plans
}

fn write_text(
    seed: u64,
    world: &World,
    odds: &Odds,
    plans: &[Plan],
    plan: &Plan,
    text: &mut String,
) {
    text.push_str(r#"{"Records":["#);
    for nth in 0..plan.events {
        if nth > 0 {
            text.push(',');
        }
        match plan.duplicates_of {
            Some(earlier) if nth >= plan.events - plan.duplicates => {
                let earlier = &plans[earlier];
                let own = earlier.events - earlier.duplicates;
                let which = seeded(&[seed, 2, plan.number, nth]).below(own);
                write_event(seed, world, odds, earlier, which, text);
            }
            _ => write_event(seed, world, odds, plan, nth, text),
        }
    }
    text.push_str("]}");
}

/// The `nth` event of a file, alike wherever it is written.
fn write_event(seed: u64, world: &World, odds: &Odds, plan: &Plan, nth: u64, text: &mut String) {
    let mut dice = seeded(&[seed, 3, plan.number, nth]);
    // Delivered after about 200 seconds, at most 610, as real files show.
    let lag = match plan.sorted {
        true => 40 + 320 * (plan.events - nth) / plan.events,
        false => 40 + dice.below(120) + dice.below(120) + dice.below(330) * dice.below(2),
    };
    let given = Given {
        stream: plan.stream,
        second: plan.second - i64::try_from(lag).expect("some minutes"),
        rare: plan.rare.binary_search(&nth).is_ok(),
        burst: (plan.number << 32) | (nth / BURST_EVENTS),
    };
    record::write_event(world, odds, &given, &mut dice, text);
}

/// The object key that CloudTrail gives such a file, relative to the bucket.
fn key(seed: u64, world: &World, plan: &Plan) -> PathBuf {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let (account, region) = (world.accounts[plan.stream.account].id, plan.stream.region_name());
    let time = Timestamp::from_second(plan.second).expect("a time in this century");
    let time = time.to_zoned(TimeZone::UTC).datetime();
    let unique: String = Dice::text(&mut seeded(&[seed, 4, plan.number]), LETTERS, 16);
    let (year, month, day) = (time.year(), time.month(), time.day());
    Path::new("AWSLogs").join(account).join("CloudTrail").join(region).join(format!(
        "{year}/{month:02}/{day:02}/{account}_CloudTrail_{region}_{year}{month:02}{day:02}T{:02}{:02}Z_{unique}.json.gz",
        time.hour(),
        time.minute(),
    ))
}

#[cfg(test)]
mod tests;
