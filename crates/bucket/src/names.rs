//! Which names S3 allows.

use std::net::Ipv4Addr;

use crate::{Result, StoreError};

/// Source: S3 user guide, "General purpose bucket naming rules".
pub fn check_bucket_name(name: &str) -> Result<()> {
    match bucket_name_fault(name) {
        Some(fault) => Err(StoreError::InvalidBucketName(name.to_owned(), fault)),
        None => Ok(()),
    }
}

fn bucket_name_fault(name: &str) -> Option<&'static str> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    if !(3..=63).contains(&bytes.len()) {
        return Some("it needs 3 to 63 characters");
    }
    if !bytes.iter().all(|&b| alphanumeric(b) || b == b'.' || b == b'-') {
        return Some("only a-z, 0-9, dots and hyphens are allowed");
    }
    if !alphanumeric(bytes[0]) || !alphanumeric(bytes[bytes.len() - 1]) {
        return Some("it must begin and end with a letter or a digit");
    }
    if name.contains("..") {
        return Some("two dots may not follow each other");
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Some("it may not look like an IP address");
    }
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|s| name.ends_with(s));
    reserved.then_some("this beginning or ending is reserved")
}

/// A key is any UTF-8 of 1 to 1024 bytes.
pub(crate) fn check_key(key: &str) -> Result<()> {
    match key.len() {
        1..=1024 => Ok(()),
        n => Err(StoreError::KeyLength(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_are_dns_labels_and_never_paths() {
        for good in ["abc", "audit-logs", "a.b.c", "123", &"a".repeat(63)] {
            assert_eq!(bucket_name_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "ab",
            "..",
            "../x",
            "a/b",
            "A-b",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "192.168.1.1",
            "xn--abc",
            "a\0b",
            "aé0",
            &"a".repeat(64),
        ] {
            assert!(bucket_name_fault(bad).is_some(), "{bad}");
        }
    }
}
