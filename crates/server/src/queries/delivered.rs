//! What StartQuery's DeliveryS3Uri asks for: the result as files in a bucket, and a signature over
//! their hashes (spec i.5).
//!
//! ```text
//!   [prefix/]AWSLogs/ACCOUNT/CloudTrail-Lake/Query/YYYY/MM/DD/QUERY-ID/result_1.csv.gz, result_2.csv.gz …
//!                                                                     /result_sign.json, last
//! ```
//! Pure: the same result gives the same bytes, so that a delivery that was cut off is repeated as a
//! whole. A file is CSV (RFC 4180) with a header line; NULL is an empty field, an empty text is `""`.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use delivery::digest::{SIGNATURE_ALGORITHM, time_text};
use delivery::keys::{KeyFault, SigningKey};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::Serialize;

use super::results::{Results, ResultsFault, Row};

/// The name of the file that is put last.
pub const SIGN_FILE: &str = "result_sign.json";

/// A DeliveryS3Uri in its parts, neither of them checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Uri {
    pub bucket: String,
    /// Without the slash before it; empty for none.
    pub path: String,
}

impl S3Uri {
    pub fn parse(uri: &str) -> Option<S3Uri> {
        let rest = uri.strip_prefix("s3://")?;
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        (!bucket.is_empty()).then(|| S3Uri { bucket: bucket.to_owned(), path: path.to_owned() })
    }
}

/// The folder of all delivered results of an account, with a slash at its end.
pub fn account_folder(prefix: Option<&str>, account: &str) -> String {
    let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
    format!("{prefix}AWSLogs/{account}/CloudTrail-Lake/Query/")
}

/// The folder of one query's files, by the day on which it was asked.
pub fn query_folder(
    prefix: Option<&str>,
    account: &str,
    asked: Timestamp,
    query_id: &str,
) -> String {
    format!("{}{}/{query_id}/", account_folder(prefix, account), asked.strftime("%Y/%m/%d"))
}

/// A file as it goes to the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    pub name: String,
    pub gz: Bytes,
}

impl ResultFile {
    pub fn sha256(&self) -> String {
        hex::encode(digest(&SHA256, &self.gz))
    }
}

/// Cuts a result into files, one at a time, since each is as large as memory should hold.
#[derive(Debug)]
pub struct ResultFiles {
    results: Results,
    file_bytes_max: usize,
    next_page: usize,
    made: usize,
}

impl ResultFiles {
    pub fn new(results: Results, file_bytes_max: usize) -> ResultFiles {
        ResultFiles { results, file_bytes_max, next_page: 0, made: 0 }
    }

    /// The next file, closed at the first page with which it reaches its size. A result without
    /// rows has one file too. Blocks.
    pub fn next_file(&mut self) -> Result<Option<ResultFile>, ResultsFault> {
        if self.made > 0 && self.next_page >= self.results.page_count() {
            return Ok(None);
        }
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        let mut lines = Vec::new();
        let header: Row = self.results.columns().iter().cloned().map(Some).collect();
        push_line(&mut lines, &header);
        loop {
            gz.write_all(&lines).expect("writing to memory does not fail");
            lines.clear();
            // Only then is it known how long the file is; it costs a few bytes for each page.
            gz.flush().expect("writing to memory does not fail");
            if self.next_page >= self.results.page_count()
                || gz.get_ref().len() >= self.file_bytes_max
            {
                break;
            }
            for row in self.results.page_rows(self.next_page)? {
                push_line(&mut lines, &row);
            }
            self.next_page += 1;
        }
        self.made += 1;
        let gz = gz.finish().expect("writing to memory does not fail");
        Ok(Some(ResultFile { name: format!("result_{}.csv.gz", self.made), gz: gz.into() }))
    }
}

fn push_line(lines: &mut Vec<u8>, row: &Row) {
    for (place, value) in row.iter().enumerate() {
        if place > 0 {
            lines.push(b',');
        }
        let Some(value) = value else { continue };
        let plain = !value.is_empty()
            && !value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
        if plain {
            lines.extend_from_slice(value.as_bytes());
        } else {
            lines.push(b'"');
            lines.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            lines.push(b'"');
        }
    }
    lines.extend_from_slice(b"\r\n");
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SignFile<'a> {
    version: &'static str,
    region: &'a str,
    files: Vec<SignedFile<'a>>,
    hash_algorithm: &'static str,
    signature_algorithm: &'static str,
    query_complete_time: String,
    hash_signature: String,
    public_key_fingerprint: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedFile<'a> {
    file_hash_value: &'a str,
    file_name: &'a str,
}

/// The text of `result_sign.json` for files given by name and lower-case hex SHA-256. What is
/// signed are the hashes, joined by single spaces.
pub fn sign_file(
    region: &str,
    files: &[(String, String)],
    completed: Timestamp,
    key: &SigningKey,
) -> Result<Vec<u8>, KeyFault> {
    let hashes: Vec<&str> = files.iter().map(|(_, hash)| hash.as_str()).collect();
    let file = SignFile {
        version: "1.0",
        region,
        files: files
            .iter()
            .map(|(name, hash)| SignedFile { file_hash_value: hash, file_name: name })
            .collect(),
        hash_algorithm: "SHA-256",
        signature_algorithm: SIGNATURE_ALGORITHM,
        query_complete_time: time_text(completed),
        hash_signature: key.sign(hashes.join(" ").as_bytes())?,
        public_key_fingerprint: &key.public().fingerprint,
    };
    Ok(serde_json::to_vec(&file).expect("texts are always JSON"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

    use std::io::Read as _;
    use std::sync::Arc;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::lake::Rows as _;
    use crate::queries::results::ResultsWriter;

    /// The files of a result, unpacked.
    fn cut(columns: &[&str], rows: Vec<Row>, file_bytes_max: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.rows");
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let disk = Arc::new(durable::RealDisk);
            let mut writer = ResultsWriter::new(disk, path.clone(), &columns, u64::MAX);
            writer.take(rows).await.unwrap();
            if let Some(small) = writer.finish().await.unwrap() {
                std::fs::write(&path, small).unwrap();
            }
        });
        let mut files = ResultFiles::new(Results::open(&path).unwrap().unwrap(), file_bytes_max);
        let mut texts = Vec::new();
        while let Some(file) = files.next_file().unwrap() {
            assert_eq!(file.name, format!("result_{}.csv.gz", texts.len() + 1));
            let mut text = String::new();
            GzDecoder::new(file.gz.as_ref()).read_to_string(&mut text).unwrap();
            texts.push(text);
        }
        texts
    }

    fn value(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn null_is_empty_and_an_empty_text_is_quoted() {
        let rows = vec![
            vec![value("a"), None, value("")],
            vec![value("b,c"), value("say \"x\""), value("two\nlines")],
        ];
        let text = "x,\"y,z\",_col2\r\na,,\"\"\r\n\"b,c\",\"say \"\"x\"\"\",\"two\nlines\"\r\n";
        assert_eq!(cut(&["x", "y,z", "_col2"], rows, 1 << 20), [text]);
    }

    #[test]
    fn a_result_without_rows_is_a_file_with_a_header() {
        assert_eq!(cut(&["a"], Vec::new(), 1), ["a\r\n"]);
    }

    #[test]
    fn a_large_result_is_cut_and_every_file_has_the_header() {
        let rows: Vec<Row> = (0..2500).map(|n: u64| vec![value(&n.to_string())]).collect();
        let files = cut(&["n"], rows, 100);
        assert_eq!(files.len(), 3, "a page has a thousand rows");
        let mut numbers = Vec::new();
        for file in &files {
            let mut lines = file.lines();
            assert_eq!(lines.next(), Some("n"));
            numbers.extend(lines.map(|line| line.parse::<u64>().unwrap()));
        }
        assert_eq!(numbers, (0..2500).collect::<Vec<_>>());
    }

    #[test]
    fn the_signature_is_over_the_hashes_with_single_spaces() {
        let key = SigningKey::generate().unwrap();
        let files = [("result_1.csv.gz", "aa"), ("result_2.csv.gz", "bb")]
            .map(|(name, hash)| (name.to_owned(), hash.to_owned()));
        let completed = "2022-05-10T22:06:30.999Z".parse().unwrap();
        let text = sign_file("us-east-1", &files, completed, &key).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let signature = json["hashSignature"].as_str().unwrap();
        assert!(delivery::keys::verify(&key.public().der, b"aa bb", signature));
        let expected = serde_json::json!({
            "version": "1.0", "region": "us-east-1",
            "files": [{"fileHashValue": "aa", "fileName": "result_1.csv.gz"},
                      {"fileHashValue": "bb", "fileName": "result_2.csv.gz"}],
            "hashAlgorithm": "SHA-256", "signatureAlgorithm": "SHA256withRSA",
            "queryCompleteTime": "2022-05-10T22:06:30Z", "hashSignature": signature,
            "publicKeyFingerprint": key.public().fingerprint,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn folders_are_those_of_the_user_guide() {
        let asked = "2026-03-04T23:59:59Z".parse().unwrap();
        assert_eq!(
            query_folder(Some("a/b"), "111122223333", asked, "id"),
            "a/b/AWSLogs/111122223333/CloudTrail-Lake/Query/2026/03/04/id/"
        );
        assert_eq!(account_folder(None, "1"), "AWSLogs/1/CloudTrail-Lake/Query/");
        let uri = |text| S3Uri::parse(text).map(|uri| (uri.bucket, uri.path));
        assert_eq!(uri("s3://b"), Some(("b".to_owned(), String::new())));
        assert_eq!(uri("s3://b/x/y/"), Some(("b".to_owned(), "x/y/".to_owned())));
        assert_eq!(uri("https://b/x"), None);
        assert_eq!(uri("s3:///x"), None);
    }
}
