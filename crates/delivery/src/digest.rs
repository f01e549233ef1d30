//! What a digest says, and what exactly is signed.
//!
//! ```text
//! digest n-1 ◀── previousDigest{S3Object,HashValue,Signature} ── digest n ── logFiles ──▶ log files
//!
//! to_sign   = digestEndTime \n digestS3Bucket / digestS3Object \n SHA-256 of the JSON \n previous signature or null
//! signature = hex(RSASSA-PKCS1-v1_5(SHA-256, to_sign)), in the object's user metadata
//! ```
//!
//! A chain is per trail, account and Region. A digest covers the log files *delivered* in
//! `[start, end)`; the next one starts where it ended, also when nothing was delivered. Names and
//! order of the JSON members are AWS's, as its documented samples have them.
//!
//! The first digest of a chain has no predecessor: all five `previous…` members are null.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyFault, SigningKey};
use crate::layout::{DigestKey, Place};
use crate::log_file::gzip;
use crate::sha256_hex;

#[cfg(test)]
mod tests;

/// The value of `digestSignatureAlgorithm` and of the metadata `signature-algorithm`.
pub const SIGNATURE_ALGORITHM: &str = "SHA256withRSA";
/// The value of `hashAlgorithm` and `previousDigestHashAlgorithm`.
pub const HASH_ALGORITHM: &str = "SHA-256";
/// User metadata key of the signature.
pub const METADATA_SIGNATURE: &str = "signature";
/// User metadata key of the algorithm.
pub const METADATA_SIGNATURE_ALGORITHM: &str = "signature-algorithm";

/// The JSON of a digest file, members in AWS's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // The names are AWS's; see spec c.2.
pub struct DigestFile {
    pub aws_account_id: String,
    pub digest_start_time: String,
    pub digest_end_time: String,
    #[serde(rename = "digestS3Bucket")]
    pub digest_s3_bucket: String,
    #[serde(rename = "digestS3Object")]
    pub digest_s3_object: String,
    pub digest_public_key_fingerprint: String,
    pub digest_signature_algorithm: String,
    pub newest_event_time: Option<String>,
    pub oldest_event_time: Option<String>,
    #[serde(rename = "previousDigestS3Bucket")]
    pub previous_digest_s3_bucket: Option<String>,
    #[serde(rename = "previousDigestS3Object")]
    pub previous_digest_s3_object: Option<String>,
    pub previous_digest_hash_value: Option<String>,
    pub previous_digest_hash_algorithm: Option<String>,
    pub previous_digest_signature: Option<String>,
    pub log_files: Vec<ListedFile>,
}

/// A log file as a digest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    /// The bucket.
    #[serde(rename = "s3Bucket")]
    pub s3_bucket: String,
    /// The key.
    #[serde(rename = "s3Object")]
    pub s3_object: String,
    /// SHA-256 of the uncompressed bytes, lower-case hex.
    pub hash_value: String,
    /// `SHA-256`.
    pub hash_algorithm: String,
    /// The largest eventTime in the file.
    pub newest_event_time: Option<String>,
    /// The smallest eventTime in the file.
    pub oldest_event_time: Option<String>,
}

impl ListedFile {
    /// The entry for a file that was delivered to `bucket` under `key`.
    pub fn new(
        bucket: &str,
        key: &str,
        sha256: &str,
        oldest: Timestamp,
        newest: Timestamp,
    ) -> ListedFile {
        ListedFile {
            s3_bucket: bucket.to_owned(),
            s3_object: key.to_owned(),
            hash_value: sha256.to_owned(),
            hash_algorithm: HASH_ALGORITHM.to_owned(),
            newest_event_time: Some(time_text(newest)),
            oldest_event_time: Some(time_text(oldest)),
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`, the form of every time in a digest.
pub fn time_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Which chain a digest belongs to, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainOf {
    /// The destination bucket.
    pub bucket: String,
    /// Prefix, organization, account and Region.
    pub place: Place,
    /// The trail's name.
    pub trail_name: String,
    /// The trail's home Region.
    pub home_region: String,
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chain {
    /// The next digest starts the chain: its window is `interval` long, its `previous…` are null.
    Start {
        /// Length of the starting digest's window; AWS: one hour.
        interval: SignedDuration,
    },
    /// The next digest follows this one.
    After(SignedDigest),
}

/// What the next digest must know of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDigest {
    /// Where it lies.
    pub bucket: String,
    /// Its key.
    pub object: String,
    /// SHA-256 of its uncompressed bytes, lower-case hex.
    pub hash: String,
    /// Its signature, lower-case hex.
    pub signature: String,
    /// digestEndTime, and so the next one's digestStartTime.
    pub end: Timestamp,
}

/// Why no digest was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestFault {
    /// Two digests of a chain would have the same name, or time would run backwards: wait.
    #[error("a digest cannot end at {end}: the last one ended at {last_end}")]
    EndNotAfterLast {
        /// The end asked for, to the second.
        end: Timestamp,
        /// The last digest's end.
        last_end: Timestamp,
    },
    /// A time outside what a timestamp can hold.
    #[error("the window of a digest that ends at {0} cannot be written as a time")]
    Unrepresentable(Timestamp),
    /// Signing failed.
    #[error("sign a digest")]
    Key(#[from] KeyFault),
}

/// A digest file ready to be delivered. Keep these bytes until they are: a digest that is made
/// again after the next one was signed would break the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The object's key.
    pub key: String,
    /// First moment covered.
    pub start: Timestamp,
    /// First moment not covered.
    pub end: Timestamp,
    /// The uncompressed bytes.
    pub json: Bytes,
    /// The object's bytes: one gzip member.
    pub gz: Bytes,
    /// The object's user metadata: signature and algorithm.
    pub metadata: Vec<(String, String)>,
    /// What the next digest needs.
    pub signed: SignedDigest,
}

impl Digest {
    /// Makes and signs the digest of `files`, which were delivered before `end` and listed nowhere.
    ///
    /// `end` is taken to the second. Choose the key with [`crate::keys::choose_key`] at `end`.
    pub fn build(
        of: &ChainOf,
        chain: &Chain,
        end: Timestamp,
        files: Vec<ListedFile>,
        key: &SigningKey,
    ) -> Result<Digest, DigestFault> {
        let end = Timestamp::from_second(end.as_second())
            .map_err(|_| DigestFault::Unrepresentable(end))?;
        let start = match chain {
            Chain::Start { interval } => {
                end.checked_sub(*interval).map_err(|_| DigestFault::Unrepresentable(end))?
            }
            Chain::After(last) if last.end >= end => {
                return Err(DigestFault::EndNotAfterLast { end, last_end: last.end });
            }
            Chain::After(last) => last.end,
        };
        let previous = match chain {
            Chain::Start { .. } => None,
            Chain::After(last) => Some(last),
        };
        let object = DigestKey {
            place: of.place.clone(),
            trail_name: of.trail_name.clone(),
            home_region: of.home_region.clone(),
            end,
            backfill: false,
        }
        .to_string();
        // Times of one form and in UTC sort as text.
        let newest = files.iter().filter_map(|file| file.newest_event_time.clone()).max();
        let oldest = files.iter().filter_map(|file| file.oldest_event_time.clone()).min();
        let file = DigestFile {
            aws_account_id: of.place.account.clone(),
            digest_start_time: time_text(start),
            digest_end_time: time_text(end),
            digest_s3_bucket: of.bucket.clone(),
            digest_s3_object: object.clone(),
            digest_public_key_fingerprint: key.public().fingerprint.clone(),
            digest_signature_algorithm: SIGNATURE_ALGORITHM.to_owned(),
            newest_event_time: newest,
            oldest_event_time: oldest,
            previous_digest_s3_bucket: previous.map(|last| last.bucket.clone()),
            previous_digest_s3_object: previous.map(|last| last.object.clone()),
            previous_digest_hash_value: previous.map(|last| last.hash.clone()),
            previous_digest_hash_algorithm: previous.map(|_| HASH_ALGORITHM.to_owned()),
            previous_digest_signature: previous.map(|last| last.signature.clone()),
            log_files: files,
        };
        let json = serde_json::to_vec(&file).expect("texts and lists of texts are always JSON");
        let hash = sha256_hex(&json);
        let signature = key.sign(to_sign(&file, &hash).as_bytes())?;
        let metadata = vec![
            (METADATA_SIGNATURE.to_owned(), signature.clone()),
            (METADATA_SIGNATURE_ALGORITHM.to_owned(), SIGNATURE_ALGORITHM.to_owned()),
        ];
        let signed = SignedDigest {
            bucket: of.bucket.clone(),
            object: object.clone(),
            hash,
            signature,
            end,
        };
        Ok(Digest {
            key: object,
            start,
            end,
            gz: gzip(&json).into(),
            json: json.into(),
            metadata,
            signed,
        })
    }
}

/// The text whose signature a digest carries. `sha256` is that of the uncompressed digest, in hex.
pub fn to_sign(digest: &DigestFile, sha256: &str) -> String {
    // The literal word null: AWS's first implementation was in Java.
    let previous = digest.previous_digest_signature.as_deref().unwrap_or("null");
    format!(
        "{}\n{}/{}\n{sha256}\n{previous}",
        digest.digest_end_time, digest.digest_s3_bucket, digest.digest_s3_object
    )
}
