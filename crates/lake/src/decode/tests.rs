use super::*;
use crate::record::records;

const RECORD: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","userName":"ana"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","readOnly":true,"requestParameters":{"a":"x","b":1,"c":null,"d":"1","e":{"f":[1, 2]}},"responseElements":null,"resources":[{"ARN":"arn:aws:s3:::a","type":"AWS::S3::Bucket"},{"ARN":"arn:aws:s3:::b","type":"AWS::S3::Bucket"}],"new":{"x":1}}"#;

#[test]
fn a_record_comes_back() {
    let mut decoder = Decoder::new();
    decoder.push(RowIn { account: "111111111111", record: RECORD.as_bytes() }).unwrap();
    let batch = decoder.finish();
    assert_eq!(records(&batch).unwrap().value(0), RECORD);
}
