//! Every record that other people published must get through, or stand in a list that may only
//! shrink. Skipped, with a note, where the shared data folder is not present.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in functions beside them"
)]

use std::path::{Path, PathBuf};

use event::{Limits, Place, check, read_again, redact, split};

const NO_REGION: &str = "the field awsRegion is missing or empty";
const DOTS_FOR_REGION: &str = "the field awsRegion must have 1 to 64 letters, digits and hyphens, because it names a folder of log files: \"...\"";
const DOTS_FOR_TIME: &str = "the field eventTime is not a time like 2026-01-02T03:04:05Z: \"...\"";
const SPACED_TIME: &str =
    "the field eventTime is not a time like 2026-01-02T03:04:05Z: \"2014-03-06T21: 22: 54Z\"";

/// What is refused, and why: placeholders for times, fixtures without a Region, a rule pattern.
/// Take lines out when they get through; do not add any.
const REFUSED: &[(&str, usize, &str)] = &[
    ("aws-cloudtrail-guide-2023", 24, NO_REGION),
    ("aws-cloudtrail-guide-2023", 25, NO_REGION),
    ("aws-docs-mirror-2026", 20, SPACED_TIME),
    ("aws-docs-mirror-2026", 21, SPACED_TIME),
    ("aws-docs-mirror-2026", 91, "the field eventSource must be a string"),
    ("aws-docs-mirror-2026", 128, NO_REGION),
    ("aws-docs-mirror-2026", 129, NO_REGION),
    (
        "streamalert",
        1,
        "the field eventTime is not a time like 2026-01-02T03:04:05Z: \"eventTime\"",
    ),
    ("streamalert", 3, "the field eventTime is not a time like 2026-01-02T03:04:05Z: \"foo\""),
    ("streamalert", 4, DOTS_FOR_TIME),
    ("streamalert", 5, DOTS_FOR_TIME),
    ("streamalert", 6, DOTS_FOR_TIME),
    ("streamalert", 28, DOTS_FOR_TIME),
    ("streamalert", 29, DOTS_FOR_TIME),
    ("streamalert", 42, DOTS_FOR_TIME),
    ("streamalert", 43, DOTS_FOR_TIME),
    ("streamalert", 44, DOTS_FOR_TIME),
    ("streamalert", 45, DOTS_FOR_TIME),
    ("streamalert", 46, DOTS_FOR_TIME),
    ("streamalert", 47, DOTS_FOR_TIME),
    ("streamalert", 48, DOTS_FOR_REGION),
    ("streamalert", 49, DOTS_FOR_TIME),
    ("streamalert", 50, DOTS_FOR_TIME),
    ("streamalert", 51, DOTS_FOR_REGION),
    ("streamalert", 52, DOTS_FOR_REGION),
];

fn data() -> Option<PathBuf> {
    let beside = PathBuf::from("../../../shared/data");
    let chosen = std::env::var_os("CAIRN_SHARED_DATA").map(PathBuf::from);
    let folder = chosen.or_else(|| Some(beside).filter(|folder| folder.is_dir()))?;
    Some(folder)
}

/// The records under `folder/records` as (file name, line, bytes).
fn records(folder: &Path) -> Vec<(String, usize, Vec<u8>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("records"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        for (number, line) in std::fs::read(&file).unwrap().split(|b| *b == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                found.push((name.clone(), number + 1, line.to_vec()));
            }
        }
    }
    found
}

#[test]
fn published_records_are_taken() {
    let Some(folder) = data() else {
        println!("skipped: no shared data folder (set CAIRN_SHARED_DATA)");
        return;
    };
    let mut refused = Vec::new();
    let mut changed = Vec::new();
    let all = records(&folder);
    for (file, line, raw) in &all {
        match check(raw, &Limits::default()) {
            Ok(mut header) => {
                let again = read_again(raw).expect("it was taken");
                let secrets = std::mem::replace(&mut header.may_hold_secrets, false);
                assert_eq!(format!("{header:?}"), format!("{again:?}"), "{file}:{line}");
                header.may_hold_secrets = secrets;
                let redacted = redact(raw);
                assert_eq!(header.may_hold_secrets, redacted != raw.as_slice(), "{file}:{line}");
                if header.may_hold_secrets {
                    changed.push(format!("{file}:{line}"));
                }
            }
            Err(refusal) => refused.push((file.clone(), *line, refusal.to_string())),
        }
    }
    println!(
        "{} records, {} refused, {} with secrets: {changed:?}",
        all.len(),
        refused.len(),
        changed.len()
    );
    let expected: Vec<_> = REFUSED
        .iter()
        .map(|(file, line, why)| ((*file).to_owned(), *line, (*why).to_owned()))
        .collect();
    assert_eq!(refused, expected);
    assert_eq!(changed, SECRETS);
}

/// Records that show a secret.
const SECRETS: &[&str] = &[];

#[test]
fn files_of_records_split_into_the_same_records() {
    let Some(folder) = data() else {
        println!("skipped: no shared data folder (set CAIRN_SHARED_DATA)");
        return;
    };
    let limits = Limits::default();
    let all = records(&folder);
    for (as_array, name) in [(false, "lines"), (true, "array")] {
        let lines: Vec<&[u8]> = all.iter().map(|(_, _, raw)| raw.as_slice()).collect();
        let body = match as_array {
            false => lines.join(&b'\n'),
            true => [b"{\"Records\":[", lines.join(&b',').as_slice(), b"]}"].concat(),
        };
        let items: Vec<_> = split(&body, &limits).collect();
        assert_eq!(items.len(), all.len(), "{name}");
        for (number, (item, line)) in items.iter().zip(&lines).enumerate() {
            let expected = match as_array {
                false => Place::Line(number as u64 + 1),
                true => Place::Index(number as u64),
            };
            assert_eq!(item.place, expected);
            match &item.result {
                Ok((raw, _)) => assert_eq!(raw, line),
                Err(_) => assert!(check(line, &limits).is_err()),
            }
        }
    }
}

#[test]
fn published_log_files_are_taken_whole() {
    let Some(folder) = data() else {
        println!("skipped: no shared data folder (set CAIRN_SHARED_DATA)");
        return;
    };
    let mut taken = 0;
    for entry in std::fs::read_dir(folder.join("log-files")).unwrap() {
        let path = entry.unwrap().path();
        let body = inflate(&path);
        for item in split(&body, &Limits::default()) {
            let (raw, header) =
                item.result.unwrap_or_else(|e| panic!("{path:?} {}: {e}", item.place));
            assert!(header.account().is_some());
            assert_eq!(redact(raw), raw, "{path:?} {}", item.place);
            taken += 1;
        }
    }
    assert_eq!(taken, 2_900);
}

fn inflate(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut body = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut body).unwrap();
    body
}
