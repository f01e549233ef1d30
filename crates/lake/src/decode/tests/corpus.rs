//! The published records beside the checkout, where they are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::value::RawValue;

use super::*;

fn shared_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let named = std::env::var_os("CAIRN_SHARED_DATA").map(PathBuf::from);
    named.or(Some(beside)).filter(|path| path.is_dir())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

fn inflated(path: &Path) -> Vec<u8> {
    let out = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(out.status.success(), "{path:?}");
    out.stdout
}

fn all_records(data: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for path in files(&data.join("records"), "ndjson") {
        let text = std::fs::read_to_string(path).unwrap();
        all.extend(text.lines().map(str::to_owned));
    }
    #[derive(serde::Deserialize)]
    struct LogFile {
        #[serde(rename = "Records")]
        records: Vec<Box<RawValue>>,
    }
    for path in files(&data.join("log-files"), "gz") {
        let file: LogFile = serde_json::from_slice(&inflated(&path)).unwrap();
        all.extend(file.records.iter().map(|record| record.get().to_owned()));
    }
    all
}

#[test]
fn every_published_record_that_is_taken_comes_back() {
    let Some(data) = shared_data() else { return };
    let mut decoder = Decoder::new();
    let mut taken = Vec::new();
    for record in all_records(&data) {
        let checked = event::check(record.as_bytes(), &Limits::default()).is_ok();
        let pushed = decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() });
        assert!(pushed.is_ok() || !checked, "{record}");
        if pushed.is_ok() {
            taken.push(record);
        }
    }
    assert!(taken.len() > 3_000, "{}", taken.len());
    let batch = decoder.finish();
    let back = records(&batch).unwrap();
    let rests = batch.column_by_name("cairn_rest").unwrap();
    let rests = rests.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap();
    let mut whole = 0;
    let mut shapes = std::collections::HashSet::new();
    for (row, record) in taken.iter().enumerate() {
        assert_eq!(back.value(row), record);
        let header = event::read_again(record.as_bytes()).unwrap();
        random::check_derived(&batch, row, &header).unwrap();
        whole += usize::from(rests.is_valid(row) && rests.value(row) == record.as_bytes());
        shapes.insert(cell(&batch, row, "cairn_shape"));
        check_against_serde(&batch, row, record);
    }
    let rest_bytes = rests.value_data().len();
    println!(
        "{} records, {whole} kept whole, {} shapes, {} bytes of rest a record",
        taken.len(),
        shapes.len(),
        rest_bytes / taken.len()
    );
    assert!(whole * 100 < taken.len(), "{whole} of {} records are kept whole", taken.len());
    assert!(shapes.len() * 4 < taken.len(), "{} shapes", shapes.len());
}

#[test]
fn every_published_file_is_read_as_the_check_reads_it() {
    let Some(data) = shared_data() else { return };
    let limits = Limits::default();
    let (mut all, mut unchecked) = (0, 0);
    let lines =
        files(&data.join("records"), "ndjson").into_iter().map(|path| std::fs::read(path).unwrap());
    let log_files = files(&data.join("log-files"), "gz").into_iter().map(|path| inflated(&path));
    for body in lines.chain(log_files) {
        unchecked += unread::check_both_ways(&body, &limits, None);
        all += event::split(&body, &limits).count();
    }
    println!("{unchecked} of {all} records need no check");
    assert!(unchecked * 10 > all * 8, "{unchecked} of {all} records need no check");
}

/// Hand-picked columns, read by other means.
fn check_against_serde(batch: &RecordBatch, row: usize, record: &str) {
    let value: serde_json::Value = serde_json::from_str(record).unwrap();
    for (path, pointer) in [
        ("eventid", "/eventID"),
        ("sourceipaddress", "/sourceIPAddress"),
        ("useragent", "/userAgent"),
        ("errorcode", "/errorCode"),
        ("eventcategory", "/eventCategory"),
        ("recipientaccountid", "/recipientAccountId"),
        ("useridentity.arn", "/userIdentity/arn"),
        ("useridentity.invokedby", "/userIdentity/invokedBy"),
        (
            "useridentity.sessioncontext.sessionissuer.username",
            "/userIdentity/sessionContext/sessionIssuer/userName",
        ),
        (
            "useridentity.sessioncontext.attributes.mfaauthenticated",
            "/userIdentity/sessionContext/attributes/mfaAuthenticated",
        ),
        ("tlsdetails.ciphersuite", "/tlsDetails/cipherSuite"),
        ("vpcendpointid", "/vpcEndpointId"),
    ] {
        if let Some(text) = value.pointer(pointer).and_then(|value| value.as_str()) {
            assert_eq!(cell(batch, row, path).as_deref(), Some(text), "{pointer} of {record}");
        }
    }
    let maps =
        [("requestparameters", "requestParameters"), ("responseelements", "responseElements")];
    for (name, key) in maps {
        let Some(expected) = value[key].as_object() else { continue };
        let map = batch.column_by_name(name).unwrap();
        let map = map.as_any().downcast_ref::<arrow::array::MapArray>().unwrap().value(row);
        assert_eq!(map.len(), expected.len(), "{record}");
        for at in 0..map.len() {
            let entry_key = array_value_to_string(map.column(0), at).unwrap();
            let text = array_value_to_string(map.column(1), at).unwrap();
            match &expected[&entry_key] {
                serde_json::Value::Null => assert!(map.column(1).is_null(at)),
                serde_json::Value::String(string) => assert_eq!(&text, string),
                other => {
                    assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), other)
                }
            }
        }
    }
}
