//! Exactness is tested from outside: what was decoded is rebuilt, see `decode::tests`. Here: what
//! happens to columns that nobody should have written.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::*;
use crate::decode::{Decoder, RowIn};

const RECORD: &str = r#"{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","requestParameters":{"a":"x"},"resources":[{"ARN":"arn:aws:s3:::a"}],"new":1}"#;

fn batch() -> RecordBatch {
    let mut decoder = Decoder::new();
    decoder.push(RowIn { account: "111111111111", record: RECORD.as_bytes() }).unwrap();
    decoder.finish()
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, old)| {
        let column = if field.name() == name { column.clone() } else { old.clone() };
        (field.name().clone(), column)
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn other_layouts_of_text_are_read_too() {
    let batch = batch();
    for layout in [DataType::Utf8View, DataType::LargeUtf8] {
        let column = cast(batch.column_by_name("eventname").unwrap(), &layout).unwrap();
        let batch = with_column(&batch, "eventname", column);
        assert_eq!(records(&batch).unwrap().value(0), RECORD);
    }
    let shape = cast(batch.column_by_name("cairn_shape").unwrap(), &DataType::BinaryView).unwrap();
    assert_eq!(records(&with_column(&batch, "cairn_shape", shape)).unwrap().value(0), RECORD);
}

#[test]
fn only_the_record_columns_are_needed() {
    let batch = batch();
    let wanted: Vec<usize> =
        record_columns().map(|name| batch.schema().index_of(&name).unwrap()).collect();
    assert_eq!(wanted.len(), 35);
    assert_eq!(records(&batch.project(&wanted).unwrap()).unwrap().value(0), RECORD);
    let error = records(&batch.project(&wanted[1..]).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the column eventversion is missing");
}

#[test]
fn every_part_of_a_shape_can_be_damaged_without_a_panic() {
    let batch = batch();
    let shape = binary(&batch, "cairn_shape").unwrap().value(0).to_vec();
    let mut damaged = 0;
    for at in 0..shape.len() {
        for byte in 0..=255 {
            let mut shape = shape.clone();
            shape[at] = byte;
            let shape: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&shape]));
            match records(&with_column(&batch, "cairn_shape", shape)) {
                Err(DecodeError::Damaged { row: 0, .. }) => damaged += 1,
                Err(other) => panic!("{other}"),
                Ok(_) => {}
            }
        }
        let shape: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&shape[..at]]));
        assert!(records(&with_column(&batch, "cairn_shape", shape)).is_err());
    }
    assert!(damaged > 1_000, "{damaged}");
}
