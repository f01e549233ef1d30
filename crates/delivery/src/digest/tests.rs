use expect_test::expect;

use super::*;
use crate::keys::verify;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn chain_of() -> ChainOf {
    ChainOf {
        bucket: "audit-logs".to_owned(),
        place: Place {
            prefix: Some("prod".to_owned()),
            organization: None,
            account: "111122223333".to_owned(),
            region: "us-east-2".to_owned(),
        },
        trail_name: "audit_trail".to_owned(),
        home_region: "us-east-1".to_owned(),
    }
}

fn file(number: u8, oldest: &str, newest: &str) -> ListedFile {
    let hash = format!("{number:02x}").repeat(32);
    ListedFile::new("audit-logs", &format!("file-{number}"), &hash, at(oldest), at(newest))
}

fn hourly() -> Chain {
    Chain::Start { interval: SignedDuration::from_hours(1) }
}

#[test]
fn a_digest_has_the_members_of_awss_in_their_order() {
    let key = SigningKey::generate().expect("a key");
    let last = SignedDigest {
        bucket: "audit-logs".to_owned(),
        object: "the-last-digest".to_owned(),
        hash: "aa".repeat(32),
        signature: "bb".repeat(4),
        end: at("2026-09-13T17:01:31Z"),
    };
    let files = vec![
        file(1, "2026-09-13T17:05:00Z", "2026-09-13T17:06:00Z"),
        file(2, "2026-09-13T17:02:00Z", "2026-09-13T17:03:00Z"),
    ];
    let digest =
        Digest::build(&chain_of(), &Chain::After(last), at("2026-09-13T18:01:31.9Z"), files, &key)
            .expect("a digest");
    let mut json: serde_json::Value = serde_json::from_slice(&digest.json).expect("JSON");
    json["digestPublicKeyFingerprint"] = "(fingerprint)".into();
    assert!(!digest.json.contains(&b'\n'), "compact");
    // serde_json sorts a Value's members; the order is that of the text.
    let mut members = Vec::new();
    for line in String::from_utf8(digest.json.to_vec()).expect("UTF-8").split(",\"") {
        members
            .push(line.trim_start_matches(['{', '"']).split('"').next().unwrap_or("").to_owned());
    }
    expect!["awsAccountId digestStartTime digestEndTime digestS3Bucket digestS3Object digestPublicKeyFingerprint digestSignatureAlgorithm newestEventTime oldestEventTime previousDigestS3Bucket previousDigestS3Object previousDigestHashValue previousDigestHashAlgorithm previousDigestSignature logFiles s3Object hashValue hashAlgorithm newestEventTime oldestEventTime s3Object hashValue hashAlgorithm newestEventTime oldestEventTime"].assert_eq(&members.join(" "));
    expect![[r#"
        {
          "awsAccountId": "111122223333",
          "digestEndTime": "2026-09-13T18:01:31Z",
          "digestPublicKeyFingerprint": "(fingerprint)",
          "digestS3Bucket": "audit-logs",
          "digestS3Object": "prod/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2026/09/13/111122223333_CloudTrail-Digest_us-east-2_audit_trail_us-east-1_20260913T180131Z.json.gz",
          "digestSignatureAlgorithm": "SHA256withRSA",
          "digestStartTime": "2026-09-13T17:01:31Z",
          "logFiles": [
            {
              "hashAlgorithm": "SHA-256",
              "hashValue": "0101010101010101010101010101010101010101010101010101010101010101",
              "newestEventTime": "2026-09-13T17:06:00Z",
              "oldestEventTime": "2026-09-13T17:05:00Z",
              "s3Bucket": "audit-logs",
              "s3Object": "file-1"
            },
            {
              "hashAlgorithm": "SHA-256",
              "hashValue": "0202020202020202020202020202020202020202020202020202020202020202",
              "newestEventTime": "2026-09-13T17:03:00Z",
              "oldestEventTime": "2026-09-13T17:02:00Z",
              "s3Bucket": "audit-logs",
              "s3Object": "file-2"
            }
          ],
          "newestEventTime": "2026-09-13T17:06:00Z",
          "oldestEventTime": "2026-09-13T17:02:00Z",
          "previousDigestHashAlgorithm": "SHA-256",
          "previousDigestHashValue": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "previousDigestS3Bucket": "audit-logs",
          "previousDigestS3Object": "the-last-digest",
          "previousDigestSignature": "bbbbbbbb"
        }"#]].assert_eq(&serde_json::to_string_pretty(&json).expect("JSON"));
}

#[test]
fn a_starting_digest_knows_no_predecessor_and_signs_the_word_null() {
    let key = SigningKey::generate().expect("a key");
    let end = at("2026-09-13T18:00:00Z");
    let digest = Digest::build(&chain_of(), &hourly(), end, Vec::new(), &key).expect("a digest");
    let parsed: DigestFile = serde_json::from_slice(&digest.json).expect("a digest's JSON");
    assert_eq!(parsed.digest_start_time, "2026-09-13T17:00:00Z");
    let json = String::from_utf8(digest.json.to_vec()).expect("UTF-8");
    assert_eq!(json.matches(":null").count(), 7, "five previous, newest and oldest: {json}");
    assert!(json.ends_with("\"logFiles\":[]}"));
    let text = to_sign(&parsed, &sha256_hex(&digest.json));
    assert_eq!(
        text,
        format!(
            "2026-09-13T18:00:00Z\naudit-logs/prod/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2026/09/13/111122223333_CloudTrail-Digest_us-east-2_audit_trail_us-east-1_20260913T180000Z.json.gz\n{}\nnull",
            digest.signed.hash
        )
    );
    assert!(verify(&key.public().der, text.as_bytes(), &digest.signed.signature));
    assert_eq!(
        digest.metadata,
        [
            ("signature".to_owned(), digest.signed.signature.clone()),
            ("signature-algorithm".to_owned(), "SHA256withRSA".to_owned())
        ]
    );
}

#[test]
fn each_digest_starts_where_the_last_one_ended_also_across_a_restart() {
    let key = SigningKey::generate().expect("a key");
    let mut chain = hourly();
    let mut last_end = at("2026-09-13T17:00:00Z");
    for hour in 18..22 {
        let end = at(&format!("2026-09-13T{hour}:00:00Z"));
        let digest = Digest::build(&chain_of(), &chain, end, Vec::new(), &key).expect("a digest");
        assert_eq!(digest.start, last_end);
        last_end = digest.end;
        // As a restart reads it back.
        let stored = serde_json::to_string(&Chain::After(digest.signed)).expect("JSON");
        chain = serde_json::from_str(&stored).expect("our own JSON");
    }
}

#[test]
fn a_digest_never_ends_at_or_before_its_predecessors_end() {
    let key = SigningKey::generate().expect("a key");
    let end = at("2026-09-13T18:00:00Z");
    let first = Digest::build(&chain_of(), &hourly(), end, Vec::new(), &key).expect("a digest");
    let chain = Chain::After(first.signed);
    for text in ["2026-09-13T18:00:00.999Z", "2026-09-13T17:00:00Z"] {
        let fault = Digest::build(&chain_of(), &chain, at(text), Vec::new(), &key).err();
        assert!(matches!(fault, Some(DigestFault::EndNotAfterLast { .. })), "{fault:?}");
    }
}

#[test]
fn digests_that_aws_documents_are_read_and_written_back_unchanged() {
    let folder = std::env::var("CAIRN_SHARED_DATA").unwrap_or("../../../shared/data".to_owned());
    let Ok(entries) = std::fs::read_dir(format!("{folder}/digests")) else { return };
    let mut count = 0;
    for entry in entries {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("readable");
        let parsed: DigestFile = serde_json::from_str(&text).expect("a digest's JSON");
        let mut written = serde_json::to_string_pretty(&parsed).expect("JSON");
        let squeeze = |text: &str| text.split_whitespace().collect::<String>();
        written = squeeze(&written);
        assert_eq!(written, squeeze(&text));
        count += 1;
    }
    assert!(count > 0, "the folder has digests");
}
