//! How fast do records become columns, and columns records? One thread, batches of 16,384 records of
//! three kinds, 1.4 KB on average. Run: `cargo bench -p lake --bench decode`.
//!
//! `push` is what becomes of an entry of the journal, `push_checked` trusts the header that it is given;
//! both include `finish`. `body` is what an import does with an inflated log file: records that nobody has checked.
//! `body, checked` is the same when each of them has to be.
//!
//! With the names of inflated log files as arguments only `body` is measured, over each of them as often
//! as `PASSES` says (once): count instructions of one pass and of three, and divide the difference by
//! the events.

use std::hint::black_box;
use std::time::{Duration, Instant};

use event::{AccountId, Header, Limits, Records, read_again};
use lake::decode::{Account, Decoder, RowIn, Wanted};
use lake::record::records;

const ACCOUNT: &str = "111122223333";
const RECORDS: usize = 16_384;
const RUN: Duration = Duration::from_secs(3);

/// Different each time, the same in every run.
fn mixed(number: usize) -> u64 {
    let mut bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn record(number: usize) -> String {
    let bits = mixed(number);
    let id = format!("{:08x}-6d0a-4c0e-9a55-3c1e{:08x}", bits >> 32, bits as u32);
    let session = bits % 997;
    let time =
        format!("2026-01-02T{:02}:{:02}:{:02}Z", number / 3600 % 24, number / 60 % 60, number % 60);
    let identity = match bits % 5 {
        0 => format!(
            r#"{{"type":"IAMUser","principalId":"AIDAEXAMPLE{session}","arn":"arn:aws:iam::{ACCOUNT}:user/user-{session}","accountId":"{ACCOUNT}","accessKeyId":"AKIAEXAMPLE{session}","userName":"user-{session}"}}"#
        ),
        1 => r#"{"type":"AWSService","invokedBy":"ecs-tasks.amazonaws.com"}"#.to_owned(),
        _ => format!(
            r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE:i-{session:017x}","arn":"arn:aws:sts::{ACCOUNT}:assumed-role/checkout-prod-worker/i-{session:017x}","accountId":"{ACCOUNT}","accessKeyId":"ASIAEXAMPLE{session:09}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::{ACCOUNT}:role/checkout-prod-worker","accountId":"{ACCOUNT}","userName":"checkout-prod-worker"}},"attributes":{{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"false"}}}}}}"#
        ),
    };
    let (source, name, call) = match bits % 3 {
        0 => (
            "s3",
            "GetObject",
            format!(
                r#""requestParameters":{{"bucketName":"reports-{session}","Host":"reports-{session}.s3.us-east-1.amazonaws.com","key":"2026/01/02/part-{bits:016x}.parquet"}},"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"bytesTransferredOut":{number},"AuthenticationMethod":"AuthHeader"}},"requestID":"K7Z{number:09}QX","eventID":"{id}","readOnly":true,"resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::reports-{session}/2026/01/02/part-{bits:016x}.parquet"}},{{"accountId":"{ACCOUNT}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::reports-{session}"}}],"#
            ),
        ),
        1 => (
            "ec2",
            "DescribeInstances",
            format!(
                r#""requestParameters":{{"maxResults":{session},"instancesSet":{{}},"filterSet":{{"items":[{{"name":"tag:team","valueSet":{{"items":[{{"value":"checkout"}}]}}}},{{"name":"instance-state-name","valueSet":{{"items":[{{"value":"running"}}]}}}}]}}}},"responseElements":null,"requestID":"{id}","eventID":"{id}","readOnly":true,"#
            ),
        ),
        _ => (
            "iam",
            "PutRolePolicy",
            format!(
                r#""requestParameters":{{"roleName":"role-{session}","policyName":"inline","policyDocument":"{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{{\"Effect\": \"Allow\", \"Action\": [\"s3:Get*\"], \"Resource\": \"arn:aws:s3:::reports-{session}/*\"}}]\n}}"}},"responseElements":null,"requestID":"{id}","eventID":"{id}","readOnly":false,"#
            ),
        ),
    };
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{identity},"eventTime":"{time}","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.{octet}","userAgent":"[aws-cli/2.15.0 md/awscrt#0.19.19 ua/2.0 os/linux#6.1 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#standard]",{call}"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{ACCOUNT}","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}.us-east-1.amazonaws.com"}}}}"#,
        octet = session % 256,
    )
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match files.is_empty() {
        true => measure_all(),
        false => read_files(&files),
    }
}

fn read_files(files: &[String]) {
    let passes = std::env::var("PASSES").map_or(1, |passes| passes.parse().expect("a number"));
    let bodies: Vec<Vec<u8>> =
        files.iter().map(|file| std::fs::read(file).expect("the file can be read")).collect();
    let mut decoder = Decoder::new();
    let (mut rows, mut checked) = (0, 0);
    for body in std::iter::repeat_n(&bodies, passes).flatten() {
        checked += read_body(&mut decoder, body, true);
        rows += decoder.rows();
        black_box(decoder.finish());
    }
    println!("{rows} events, {checked} of them had to be checked");
}

/// Fills the decoder from a log file; gives how many records had to be checked.
fn read_body(decoder: &mut Decoder, body: &[u8], unread: bool) -> usize {
    let account = AccountId::parse(ACCOUNT).expect("it has twelve digits");
    let limits = Limits { record_bytes_max: 4 << 20, ..Limits::default() };
    let wanted = Wanted { limits: &limits, account: Account::RecipientOr(account), from: None };
    let mut records = Records::of_log_file(body);
    let mut checked = 0;
    while let Some(item) = records.next_untaken(&limits, |record| match unread {
        true => Some(decoder.push_unread(record, &wanted)?.bytes),
        false => None,
    }) {
        let (record, header) = item.result.expect("it is a good record");
        let account = header.recipient().unwrap_or(account);
        let row = RowIn { account: account.as_str(), record };
        decoder.push_checked(row, &header).expect("there is room");
        checked += 1;
    }
    checked
}

fn measure_all() {
    let all: Vec<String> = (0..RECORDS).map(record).collect();
    let headers: Vec<Header<'_>> = all
        .iter()
        .map(|record| read_again(record.as_bytes()).expect("the records made above are good ones"))
        .collect();
    let bytes: usize = all.iter().map(String::len).sum();
    println!("{RECORDS} records, {} bytes each", bytes / RECORDS);

    let mut decoder = Decoder::new();
    measure("push", bytes, || {
        for record in &all {
            decoder.push(row(record)).expect("it is a good record and there is room");
        }
        black_box(decoder.finish());
    });
    measure("push_checked", bytes, || {
        for (record, header) in all.iter().zip(&headers) {
            decoder.push_checked(row(record), header).expect("there is room");
        }
        black_box(decoder.finish());
    });
    let body = format!("{{\"Records\":[{}]}}", all.join(","));
    for (name, unread) in [("body", true), ("body, checked", false)] {
        measure(name, bytes, || {
            read_body(&mut decoder, body.as_bytes(), unread);
            black_box(decoder.finish());
        });
    }
    for (record, header) in all.iter().zip(&headers) {
        decoder.push_checked(row(record), header).expect("there is room");
    }
    let batch = decoder.finish();
    measure("records", bytes, || {
        black_box(records(&batch).expect("the batch is whole"));
    });
}

fn row(record: &str) -> RowIn<'_> {
    RowIn { account: ACCOUNT, record: record.as_bytes() }
}

/// Other work on the machine takes time away, never gives any: the fastest pass is what the code
/// needs, the mean is what this machine gave.
fn measure(name: &str, bytes: usize, mut pass: impl FnMut()) {
    let started = Instant::now();
    let mut fastest = Duration::MAX;
    let mut passes = 0_u32;
    while started.elapsed() < RUN {
        let start = Instant::now();
        pass();
        fastest = fastest.min(start.elapsed());
        passes += 1;
    }
    let mean = started.elapsed() / passes;
    let each = |time: Duration| time.as_nanos() / RECORDS as u128;
    println!(
        "{name:>14}  {} ns/event, {:.0} MB/s (mean of {passes} passes: {} ns/event)",
        each(fastest),
        bytes as f64 / fastest.as_secs_f64() / 1e6,
        each(mean),
    );
}
