use std::io::{Read, Write};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn stream() -> Stream {
    Stream {
        node: "AIDAEXAMPLE".into(),
        trail_arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit".to_owned(),
        place: Place {
            prefix: None,
            organization: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
        },
        folder: Folder::CloudTrail,
    }
}

/// Inflates one member and says how many bytes follow it.
fn inflate(gz: &[u8]) -> (Vec<u8>, usize) {
    let mut decoder = flate2::bufread::GzDecoder::new(gz);
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).expect("valid gzip");
    let left = decoder.into_inner().len();
    (plain, left)
}

#[test]
fn a_file_is_one_line_of_the_records_as_they_came() {
    let mut window = OpenWindow::open(time(100), 1000, br#"{"a": 1.0}"#, time(60), 4);
    window.append(br#"{"b":"\u00e9"}"#, time(50), 6).expect("fits");
    window.append(b"{}", time(70), 9).expect("fits");
    let plain_len = window.plain_len();
    let file = window.close(&stream(), time(120));

    let (plain, left) = inflate(&file.gz);
    assert_eq!(plain, br#"{"Records":[{"a": 1.0},{"b":"\u00e9"},{}]}"#);
    assert_eq!(left, 0);
    assert_eq!(file.sha256, sha256_hex(&plain));
    assert_eq!((plain_len, file.plain_len), (plain.len(), plain.len() as u64));
    assert_eq!((file.oldest_event_time, file.newest_event_time), (time(50), time(70)));
    assert_eq!((file.first_seq, file.last_seq, file.count), (4, 9, 3));
    assert_eq!(file.key.delivered_at, time(120));
}

#[test]
fn a_window_refuses_what_would_pass_its_limit_and_stays_usable() {
    let record = [b'x'; 40];
    let mut window = OpenWindow::open(time(0), 100, &record, time(0), 1);
    // 12 + 40 + 2 = 54, and 1 + 40 more make 95.
    assert_eq!(window.append(&record, time(0), 2), Ok(()));
    assert_eq!(window.append(&record, time(0), 3), Err(WindowFull));
    assert_eq!(window.append(b"{}", time(0), 3), Ok(()));
    assert_eq!(window.plain_len(), 98);
    assert_eq!(window.seqs(), (1, 3));
}

#[test]
fn a_record_larger_than_the_limit_gets_a_file_of_its_own() {
    let file = OpenWindow::open(time(0), 10, &[b'x'; 50], time(0), 1).close(&stream(), time(0));
    assert_eq!(file.count, 1);
    assert_eq!(file.plain_len, 64);
}

#[test]
fn the_same_records_make_the_same_file() {
    let make = || OpenWindow::open(time(0), 99, b"{}", time(0), 1).close(&stream(), time(7));
    assert_eq!(make(), make());
}

/// `gzip -6 -n` of the same bytes, or `None` where there is no gzip.
fn gzip_6_len(plain: &[u8]) -> Option<usize> {
    let mut child = Command::new("gzip")
        .args(["-6", "-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let input = plain.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("gzip runs");
    writer.join().expect("no panic").expect("gzip reads its input");
    Some(output.stdout.len())
}

fn records_like_real_ones(count: u32) -> Vec<u8> {
    let mut plain = HEAD.to_vec();
    for n in 0..count {
        let hash = sha256_hex(&n.to_be_bytes());
        let name = ["RunInstances", "PutObject", "AssumeRole", "GetSecretValue"][n as usize % 4];
        let record = format!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","principalId":"AIDA{}","arn":"arn:aws:iam::111122223333:user/{}","accountId":"111122223333"}},"eventTime":"2026-09-13T17:{:02}:{:02}Z","eventSource":"ec2.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.{}","userAgent":"aws-cli/2.1","requestParameters":{{"id":"{}"}},"responseElements":null,"requestID":"{}","eventID":"{}","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}},"#,
            &hash[..16],
            n % 17,
            n / 60 % 60,
            n % 60,
            n % 250,
            &hash[16..40],
            &hash[20..52],
            &hash[32..64],
        );
        plain.extend_from_slice(record.as_bytes());
    }
    plain.pop();
    plain.extend_from_slice(TAIL);
    plain
}

#[test]
fn files_are_no_larger_than_gzip_6_makes_them() {
    let mut noise: Vec<u8> = Vec::new();
    for n in 0_u32..4000 {
        noise.extend_from_slice(&hex::decode(sha256_hex(&n.to_le_bytes())).expect("hex"));
    }
    let mut inputs: Vec<Vec<u8>> = vec![
        b"{\"Records\":[{}]}".to_vec(),
        b"{\"Records\":[{\"eventID\":\"1\"}]}".to_vec(),
        noise.clone(),
        hex::encode(&noise).into_bytes(),
        b"abcdefghij".repeat(20_000),
    ];
    for count in [1, 2, 3, 5, 10, 30, 50, 52, 100, 1000, 1700, 10_000] {
        inputs.push(records_like_real_ones(count));
    }
    inputs.extend(shared_log_files());
    for plain in inputs {
        let Some(theirs) = gzip_6_len(&plain) else { return };
        let ours = gzip(&plain).len();
        assert!(ours <= theirs, "{} bytes: {ours} ours, {theirs} gzip -6", plain.len());
    }
}

/// Log files from outside, where they are at hand; see /work/shared/data/README.md.
fn shared_log_files() -> Vec<Vec<u8>> {
    let folder = std::env::var("CAIRN_SHARED_DATA").unwrap_or("../../../shared/data".to_owned());
    let Ok(entries) = std::fs::read_dir(format!("{folder}/log-files")) else { return Vec::new() };
    let mut plains = Vec::new();
    for entry in entries {
        let gz = std::fs::read(entry.expect("an entry").path()).expect("readable");
        plains.push(inflate(&gz).0);
    }
    plains
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_text_comes_back_and_is_hardly_larger_than_gzip_6(
        words in proptest::collection::vec("[a-z\":{}0-9]{1,12}", 1..400),
        repeat in 1_usize..5,
    ) {
        let plain = words.concat().repeat(repeat).into_bytes();
        let gz = gzip(&plain);
        prop_assert_eq!(inflate(&gz), (plain.clone(), 0));
        if let Some(theirs) = gzip_6_len(&plain) {
            // Noise, and texts of a line or two, may go either way; records do not (tests above).
            let max = theirs + theirs / 100 + 16;
            prop_assert!(gz.len() <= max, "{} bytes: {} ours, {theirs} gzip -6", plain.len(), gz.len());
        }
    }
}
