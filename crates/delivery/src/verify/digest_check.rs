//! One digest by itself: whole, at home, and signed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::file_check::{GzipFault, inflate};
use super::source::SourceObject;
use super::{Finding, KnownKey, Options, Problem, Source, SourceFault};
use crate::digest::{
    DigestFile, METADATA_SIGNATURE, METADATA_SIGNATURE_ALGORITHM, SIGNATURE_ALGORITHM, time_text,
    to_sign,
};
use crate::keys;
use crate::layout::DigestKey;
use crate::sha256_hex;

/// How far outside its key's validity a digest may end: clocks differ and deliveries are late.
const VALIDITY_SLACK: SignedDuration = SignedDuration::from_hours(24);

/// A digest that is there, as far as it could be read.
#[derive(Debug)]
pub(super) struct CheckedDigest {
    /// What its name says.
    pub key: DigestKey,
    /// Its name.
    pub name: String,
    /// Its members, if it could be read.
    pub file: Option<DigestFile>,
    /// digestStartTime; its end where that could not be read.
    pub start: Timestamp,
    /// SHA-256 of its uncompressed bytes, hex; empty if it could not be read.
    pub sha256: String,
    /// The signature it came with.
    pub signature: Option<String>,
    /// Whether it is genuine and unaltered.
    pub intact: bool,
    /// Whether nothing is wrong but that its signature or public key is not at hand.
    pub unverifiable: bool,
}

/// Reads and checks one digest. The number is of bytes read.
pub(super) async fn check_digest(
    source: &dyn Source,
    options: &Options,
    known: Arc<Vec<KnownKey>>,
    key: DigestKey,
) -> (CheckedDigest, Vec<Finding>, u64) {
    let name = key.to_string();
    let unread = |problem, detail: String, key: DigestKey| {
        let finding = Finding::error(problem, &name, detail);
        let digest = CheckedDigest {
            start: key.end,
            key,
            name: name.clone(),
            file: None,
            sha256: String::new(),
            signature: None,
            intact: false,
            unverifiable: false,
        };
        (digest, vec![finding], 0)
    };
    let object = match source.get(&name, options.object_bytes_max).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            let detail = "it was listed and is gone".to_owned();
            return unread(Problem::DigestMissing, detail, key);
        }
        Err(fault @ SourceFault::TooLarge) => {
            return unread(Problem::DigestUnreadable, fault.to_string(), key);
        }
        Err(fault) => return unread(Problem::SourceFailed, fault.to_string(), key),
    };
    let bytes_read = object.bytes.len() as u64;
    let plain_bytes_max = options.plain_bytes_max;
    let in_task = key.clone();
    let checked = tokio::task::spawn_blocking(move || {
        judge(in_task, &object, plain_bytes_max, known.as_slice())
    });
    match checked.await {
        Ok((digest, findings)) => (digest, findings, bytes_read),
        Err(_) => unread(Problem::SourceFailed, "the check was cancelled".to_owned(), key),
    }
}

/// What the bytes and metadata of a digest are worth. Pure.
fn judge(
    key: DigestKey,
    object: &SourceObject,
    plain_bytes_max: u64,
    known: &[KnownKey],
) -> (CheckedDigest, Vec<Finding>) {
    let mut digest = CheckedDigest {
        start: key.end,
        name: key.to_string(),
        key,
        file: None,
        sha256: String::new(),
        signature: object.metadata.get(METADATA_SIGNATURE).cloned(),
        intact: false,
        unverifiable: false,
    };
    let mut findings = Vec::new();
    let mut json = Vec::new();
    let inflated = inflate(&object.bytes, plain_bytes_max, |piece| json.extend_from_slice(piece));
    let parsed: Option<DigestFile> = match inflated {
        Ok(()) => serde_json::from_slice(&json).ok(),
        Err(_) => None,
    };
    let Some(file) = parsed else {
        let detail = match inflated {
            Ok(()) => "its JSON is not that of a digest",
            Err(GzipFault::Broken) => "not a whole gzip member",
            Err(GzipFault::TrailingData) => "there are bytes after the end of its gzip member",
            Err(GzipFault::TooLarge) => "more comes out of it than a digest can hold",
        };
        let finding = Finding::error(Problem::DigestUnreadable, &digest.name, detail.to_owned());
        findings.push(finding);
        return (digest, findings);
    };
    digest.sha256 = sha256_hex(&json);
    let mut fault = |problem, detail: String| {
        findings.push(Finding::error(problem, &digest.name, detail));
    };
    if file.digest_s3_object != digest.name {
        fault(Problem::DigestMoved, format!("it says it is {}", file.digest_s3_object));
    }
    for complaint in contradictions(&file, &digest.key) {
        fault(Problem::DigestMalformed, complaint.to_owned());
    }
    if let Ok(start) = file.digest_start_time.parse() {
        digest.start = start;
    }
    match signature_problem(&digest, &file, object, known) {
        Some((problem, detail)) => fault(problem, detail),
        None => digest.intact = true,
    }
    digest.intact &= findings.is_empty();
    digest.unverifiable = findings.iter().all(|finding| {
        matches!(finding.problem, Problem::DigestSignatureAbsent | Problem::DigestKeyUnknown)
    });
    digest.file = Some(file);
    (digest, findings)
}

fn signature_problem(
    digest: &CheckedDigest,
    file: &DigestFile,
    object: &SourceObject,
    known: &[KnownKey],
) -> Option<(Problem, String)> {
    let (Some(signature), Some(algorithm)) =
        (&digest.signature, object.metadata.get(METADATA_SIGNATURE_ALGORITHM))
    else {
        let detail = "it came without the metadata that holds its signature".to_owned();
        return Some((Problem::DigestSignatureAbsent, detail));
    };
    if algorithm != SIGNATURE_ALGORITHM {
        let detail = "its signature is of an unknown algorithm".to_owned();
        return Some((Problem::DigestSignatureInvalid, detail));
    }
    let fingerprint = &file.digest_public_key_fingerprint;
    let Some(key) = known.iter().find(|key| key.fingerprint == *fingerprint) else {
        let detail = format!("no public key {fingerprint} was given");
        return Some((Problem::DigestKeyUnknown, detail));
    };
    if !keys::verify(&key.der, to_sign(file, &digest.sha256).as_bytes(), signature) {
        let detail = "its signature is not that of its key over its contents".to_owned();
        return Some((Problem::DigestSignatureInvalid, detail));
    }
    let end = digest.key.end;
    let outside = key.validity.is_some_and(|validity| {
        validity.start.duration_since(end) > VALIDITY_SLACK
            || end.duration_since(validity.end) > VALIDITY_SLACK
    });
    outside.then(|| {
        let detail = format!("key {fingerprint} was not valid at its end");
        (Problem::DigestKeyNotValidThen, detail)
    })
}

/// What a digest says that cannot be true.
fn contradictions(file: &DigestFile, key: &DigestKey) -> Vec<&'static str> {
    let mut complaints = Vec::new();
    if file.digest_end_time != time_text(key.end) {
        complaints.push("its end is not the time in its name");
    }
    let start: Option<Timestamp> = file.digest_start_time.parse().ok();
    match start {
        Some(start) if start < key.end && time_text(start) == file.digest_start_time => {}
        _ => complaints.push("its start is not a time before its end"),
    }
    if file.aws_account_id != key.place.account {
        complaints.push("its account is not the one in its name");
    }
    if file.digest_signature_algorithm != SIGNATURE_ALGORITHM {
        complaints.push("it names an unknown signature algorithm");
    }
    let previous = [
        &file.previous_digest_s3_bucket,
        &file.previous_digest_s3_object,
        &file.previous_digest_hash_value,
        &file.previous_digest_hash_algorithm,
        &file.previous_digest_signature,
    ];
    let named = previous.iter().filter(|member| member.is_some()).count();
    if named != 0 && named != previous.len() {
        complaints.push("some of its five previous… members are null and some are not");
    }
    complaints
}
