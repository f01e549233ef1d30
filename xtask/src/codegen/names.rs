//! AWS's names as Rust names.

/// `S3BucketName` → `s3_bucket_name`, `TrailARN` → `trail_arn`; a Rust keyword gets a trailing `_`.
pub fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let starts_word = letter.is_ascii_uppercase()
            && i > 0
            && (!letters[i - 1].is_ascii_uppercase()
                || letters.get(i + 1).is_some_and(|next| next.is_ascii_lowercase()));
        if starts_word && !text.ends_with('_') {
            text.push('_');
        }
        text.push(if *letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    if ["type", "match", "enum", "ref"].contains(&text.as_str()) {
        text.push('_');
    }
    text
}

/// `EventDataStoreArn` → `EVENT_DATA_STORE_ARN`, the form of constants and statics.
pub fn screaming(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_awss_names() {
        for (name, expected) in [
            ("S3BucketName", "s3_bucket_name"),
            ("DeliveryS3Uri", "delivery_s3_uri"),
            ("TrailARN", "trail_arn"),
            ("eventID", "event_id"),
            ("SampleQuerySQL", "sample_query_sql"),
            ("Type", "type_"),
            ("FAILED_SIGNING_FILE", "failed_signing_file"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }
}
