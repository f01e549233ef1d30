//! How fast are records split and checked? One thread, batches of 100 records of about 1.4 KB, as
//! NDJSON and as `{"Records":[…]}`. Run: `cargo bench -p event`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use event::{Limits, split};

const BATCH_RECORDS: usize = 100;
const BATCHES: usize = 16;
const RUN: Duration = Duration::from_secs(2);

/// A record of about 1.4 KB as a role session reading an object makes it.
fn record(number: usize) -> String {
    let id = format!(
        "{:08x}-6d0a-4c0e-9a55-3c1e77d2{:04x}",
        number * 2_654_435_761 % 0xffff_ffff,
        number % 0xffff
    );
    format!(
        concat!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE{number:06}:session-{number}","arn":"arn:aws:sts::111122223333:assumed-role/Reader/session-{number}","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE{number:06}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/Reader","accountId":"111122223333","userName":"Reader"}},"attributes":{{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"false"}}}}}},"#,
            r#""eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.{octet}","userAgent":"[aws-cli/2.15.0 md/awscrt#0.19.19 ua/2.0 os/linux#6.1 lang/python#3.11]","#,
            r#""requestParameters":{{"bucketName":"reports-{number}","Host":"reports-{number}.s3.us-east-1.amazonaws.com","key":"2026/01/02/part-{number}.parquet"}},"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"bytesTransferredOut":{number},"AuthenticationMethod":"AuthHeader"}},"#,
            r#""requestID":"K7Z{number:09}QX","eventID":"{id}","readOnly":true,"resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::reports-{number}/2026/01/02/part-{number}.parquet"}},{{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::reports-{number}"}}],"#,
            r#""eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"reports-{number}.s3.us-east-1.amazonaws.com"}}}}"#,
        ),
        number = number,
        octet = number % 256,
        id = id,
    )
}

fn main() {
    let lines = |batch: usize| -> Vec<String> {
        (0..BATCH_RECORDS).map(|n| record(batch * BATCH_RECORDS + n)).collect()
    };
    let ndjson: Vec<String> = (0..BATCHES).map(|batch| lines(batch).join("\n")).collect();
    let documents: Vec<String> =
        (0..BATCHES).map(|batch| format!("{{\"Records\":[{}]}}", lines(batch).join(","))).collect();
    println!("record: {} bytes", record(7).len());
    for (name, bodies) in [("NDJSON", &ndjson), ("Records[]", &documents)] {
        measure(name, bodies);
    }
}

/// Other work on the machine takes time away, never gives any: the fastest pass over all bodies is
/// what the code needs, the mean is what this machine gave.
fn measure(name: &str, bodies: &[String]) {
    let limits = Limits::default();
    let bytes: usize = bodies.iter().map(String::len).sum();
    let started = Instant::now();
    let mut fastest = Duration::MAX;
    let mut passes = 0_u32;
    while started.elapsed() < RUN {
        let pass = Instant::now();
        for body in bodies {
            for item in split(black_box(body.as_bytes()), &limits) {
                let (_, header) = item.result.expect("the records made above are good ones");
                black_box(&header);
            }
        }
        fastest = fastest.min(pass.elapsed());
        passes += 1;
    }
    for (what, pass) in [("fastest", fastest), ("mean", started.elapsed() / passes)] {
        println!(
            "{name}, {what}: {:.0} records/s, {:.0} MB/s",
            (bodies.len() * BATCH_RECORDS) as f64 / pass.as_secs_f64(),
            bytes as f64 / pass.as_secs_f64() / 1e6
        );
    }
}
