use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;

use event::{Limits, Records};

use super::*;

/// Path in the folder → inflated text, of what these arguments write.
fn files(
    name: &str,
    events: u64,
    change: impl Fn(&mut Wanted),
) -> (Written, BTreeMap<String, String>) {
    let folder = std::env::temp_dir().join(format!("bench-lake-{}-{name}", std::process::id()));
    let mut wanted = Wanted {
        folder: folder.clone(),
        events,
        files: 20,
        seed: 1,
        until: "2026-11-01T00:00:00Z".parse().unwrap(),
        duplicates: false,
        threads: 2,
    };
    change(&mut wanted);
    let written = write_files(&wanted).unwrap();
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.clone()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let packed = std::fs::read(&path).unwrap();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
            let key = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            assert!(found.insert(key, text).is_none());
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    (written, found)
}

fn records(files: &BTreeMap<String, String>) -> Vec<serde_json::Value> {
    let parse = |text: &String| {
        let mut file: serde_json::Value = serde_json::from_str(text).unwrap();
        file["Records"].as_array_mut().unwrap().drain(..).collect::<Vec<_>>()
    };
    files.values().flat_map(parse).collect()
}

#[test]
fn the_same_arguments_give_the_same_files_on_any_number_of_threads() {
    let (one, of_one) = files("one", 600, |wanted| wanted.threads = 1);
    let (two, of_two) = files("two", 600, |wanted| wanted.threads = 3);
    assert_eq!(one, two);
    assert!(of_one == of_two);
    let (_, of_other) = files("other", 600, |wanted| wanted.seed = 2);
    assert!(of_one.keys().ne(of_other.keys()));
}

#[test]
fn every_record_is_taken_by_cairns_own_check_and_lies_where_its_path_says() {
    let (written, files) = files("checked", 3000, |_| ());
    let mut taken = 0;
    for (path, text) in &files {
        let parts: Vec<&str> = path.split('/').collect();
        let [_, account, _, region, ..] = parts[..] else { panic!("{path}") };
        let mut records = Records::new(text.as_bytes());
        while let Some(item) = records.next_checked(&Limits::default()) {
            let (raw, _) = item.result.unwrap_or_else(|refusal| panic!("{path}: {refusal}"));
            let record: serde_json::Value = serde_json::from_slice(raw).unwrap();
            assert_eq!(record["recipientAccountId"], account);
            assert_eq!(record["awsRegion"], region);
            taken += 1;
        }
        assert!(text.starts_with(r#"{"Records":[{"#) && !text.contains('\n'));
    }
    assert_eq!((taken, files.len() as u64), (3000, 20));
    assert_eq!((written.events, written.unique_events, written.files), (3000, 3000, 20));
    assert_eq!(written.json_bytes, files.values().map(|text| text.len() as u64).sum::<u64>());
}

#[test]
fn records_are_as_long_and_as_varied_as_real_ones() {
    let (written, files) = files("varied", 6000, |_| ());
    let records = records(&files);
    let mean = written.json_bytes / written.events;
    assert!((1380..1480).contains(&mean), "{mean} bytes a record");
    let distinct = |pointer: &str| -> usize {
        records.iter().filter_map(|r| r.pointer(pointer)?.as_str()).collect::<HashSet<_>>().len()
    };
    assert_eq!(distinct("/eventID"), records.len());
    assert!(distinct("/eventName") > 100 && distinct("/eventSource") > 30);
    let share = |test: &dyn Fn(&serde_json::Value) -> bool| {
        100 * records.iter().filter(|record| test(record)).count() / records.len()
    };
    assert!((3..8).contains(&share(&|r| r.get("errorCode").is_some())));
    assert!((20..45).contains(&share(&|r| r["eventCategory"] == "Data")));
    assert!((16..25).contains(&share(&|r| r["userIdentity"]["type"] == "AWSService")));
}

#[test]
fn the_rare_user_has_few_events_and_the_report_says_how_many() {
    let (written, files) = files("rare", 4000, |_| ());
    let of_user =
        records(&files).iter().filter(|r| r["userIdentity"]["userName"] == RARE_USER).count();
    assert_eq!(of_user as u64, written.rare_user_events);
    assert!((40..=60).contains(&of_user), "{of_user}");
}

#[test]
fn duplicates_are_exact_copies_in_another_file() {
    let (written, files) = files("twice", 20_000, |wanted| wanted.duplicates = true);
    let records = records(&files);
    let mut seen: BTreeMap<&str, &serde_json::Value> = BTreeMap::new();
    let mut again = 0;
    for record in &records {
        if let Some(first) = seen.insert(record["eventID"].as_str().unwrap(), record) {
            assert_eq!(first, record);
            again += 1;
        }
    }
    assert!(again > 0);
    assert_eq!((written.unique_events, written.events), (seen.len() as u64, records.len() as u64));
}

#[test]
fn a_folder_with_something_in_it_is_refused() {
    let folder = std::env::temp_dir().join(format!("bench-lake-{}-full", std::process::id()));
    std::fs::create_dir_all(folder.join("AWSLogs")).unwrap();
    let wanted = Wanted {
        folder: folder.clone(),
        events: 10,
        files: 2,
        seed: 1,
        until: "2026-11-01T00:00:00Z".parse().unwrap(),
        duplicates: false,
        threads: 1,
    };
    let refusal = write_files(&wanted).unwrap_err().to_string();
    assert!(refusal.contains("is not empty"), "{refusal}");
    std::fs::remove_dir_all(folder).unwrap();
}
