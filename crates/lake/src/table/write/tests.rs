use std::sync::Arc;

use arrow::array::{BinaryArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::Schema;
use arrow::json::ReaderBuilder;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::*;
use crate::schema::TIME_ZONE;

/// More than a page, and more than a frame of a dictionary.
const ROWS: usize = 9_000;

/// A row whose members come and go by its number, each by a rule of its own.
fn row(n: usize) -> Value {
    let some = |every: usize, value: Value| match n.is_multiple_of(every) {
        true => Value::Null,
        false => value,
    };
    let identity = json!({
        "type": some(3, json!("AssumedRole")),
        "arn": some(5, json!(format!("arn:{}", n % 1_500))),
        "sessioncontext": some(4, json!({
            "attributes": some(7, json!({"creationdate": some(6, json!(n as i64 / 100)), "mfaauthenticated": "false"})),
            "sessionissuer": some(2, json!({"username": some(8, json!(format!("u{}", n % 7)))})),
            "webidfederationdata": some(9, json!({"attributes": some(3, json!({"a": some(5, json!("b"))}))})),
        })),
    });
    let parameters = match n % 6 {
        0 => Value::Null,
        1 => json!({}),
        2 => json!({"bucketName": format!("b{}", n % 50), "key": format!("key-{n}")}),
        3 => json!({"none": null, "empty": ""}),
        4 => json!({"long": "x".repeat(n % 300), "\u{fc}": "\u{1f980}"}),
        _ => (0..n % 11).map(|entry| (format!("k{entry}"), json!(entry.to_string()))).collect(),
    };
    let resources = match n % 5 {
        0 => Value::Null,
        1 => json!([]),
        2 => json!([null, {"arn": format!("arn:{n}")}]),
        _ => json!([{"arn": "a", "type": some(3, json!("t"))}, {"accountid": "1"}, {}]),
    };
    json!({
        "eventversion": "1.11",
        "useridentity": some(11, identity),
        "eventsource": some(13, json!(["s3", "ec2", "iam"][n % 3])),
        // Runs of the same.
        "eventname": format!("Name{}", n / 700),
        // Hardly any come again.
        "errormessage": some(10, json!(format!("{n} {}", "\u{e9}".repeat(40 + n % 40)))),
        "requestparameters": parameters,
        "resources": resources,
        "requestid": n.to_string(),
        "readonly": some(3, json!(n.is_multiple_of(2))),
        "cairn_account": "111111111111",
        "eventcontext": some(2, json!({"requestcontext": {"a": "b"}, "tagcontext": {
            "principaltags": {}, "resourcetags": [{"arn": "a", "tags": {"k": some(3, json!("v"))}}]}})),
    })
}

/// Rows `numbers` as columns; each has the time `time` of its number.
fn batch(numbers: impl Iterator<Item = usize> + Clone, time: impl Fn(usize) -> i64) -> RecordBatch {
    let schema = Content::Events.stored();
    let own = ["eventtime", "eventid", "cairn_shape"];
    let fields = schema.fields().iter().map(|field| match own.contains(&field.name().as_str()) {
        true => Arc::new(field.as_ref().clone().with_nullable(true)),
        false => field.clone(),
    });
    let read_as = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut reader = ReaderBuilder::new(read_as).build_decoder().unwrap();
    let rows: Vec<Value> = numbers.clone().map(row).collect();
    reader.serialize(&rows).unwrap();
    let mut columns = reader.flush().unwrap().unwrap().columns().to_vec();
    let place = |name| schema.index_of(name).unwrap();
    let times = TimestampMicrosecondArray::from_iter_values(numbers.clone().map(&time));
    columns[place("eventtime")] = Arc::new(times.with_timezone(TIME_ZONE));
    let ids = numbers.clone().map(|n| format!("{n:08x}-0001-494f-bdfe-2eab5e5373a3"));
    columns[place("eventid")] = Arc::new(StringArray::from_iter_values(ids));
    let shapes = numbers.map(|n| [b'{', 0xff, n as u8 % 9]);
    columns[place("cairn_shape")] = Arc::new(BinaryArray::from_iter_values(shapes));
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Batches of which the rows lie between each other in time, and one that has none of them.
fn batches() -> Vec<RecordBatch> {
    let time = |n: usize| (n as i64 / 3) * 1_000_000;
    vec![
        batch((0..ROWS).filter(|n| !n.is_multiple_of(3)), time),
        batch(ROWS..ROWS + 5, time),
        batch((0..ROWS).filter(|n| n.is_multiple_of(3)), time),
    ]
}

fn read(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn any_reader_gets_the_rows_in_order() {
    let batches = batches();
    let mut rows = in_order(&batches);
    rows.retain(|row| row.batch != 1);
    for threads in [1, 3] {
        let encoded = encode(Content::Events, &batches, &rows, Effort::Quick, threads).unwrap();
        assert_eq!(encoded.rows, ROWS as u64);
        let read = read(encoded.bytes);
        let places: Vec<_> =
            rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
        let all: Vec<&RecordBatch> = batches.iter().collect();
        let expected = interleave_record_batch(&all, &places).unwrap();
        assert_eq!(read.num_columns(), expected.num_columns() + 1);
        for (place, field) in expected.schema().fields().iter().enumerate() {
            // What is in a struct that is null is nobody's business.
            let found = arrow::util::pretty::pretty_format_columns(
                field.name(),
                &[read.column(place).clone()],
            );
            let wanted = arrow::util::pretty::pretty_format_columns(
                field.name(),
                &[expected.column(place).clone()],
            );
            let (found, wanted) = (found.unwrap().to_string(), wanted.unwrap().to_string());
            let differs = found.lines().zip(wanted.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{}", field.name());
            assert_eq!(
                read.column(place).null_count(),
                expected.column(place).null_count(),
                "{}",
                field.name()
            );
        }
    }
}

#[test]
fn columns_say_how_they_are_encoded_and_what_they_hold() {
    let batches = [batch(0..ROWS, |n| n as i64)];
    let rows = in_order(&batches);
    let encoded = encode(Content::Events, &batches, &rows, Effort::Quick, 2).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(encoded.bytes)).unwrap();
    let group = reader.metadata().row_group(0);
    let leaf = |path: &str| {
        group.columns().iter().find(|leaf| leaf.column_path().string() == path).unwrap()
    };
    let is_coded = |path| leaf(path).dictionary_page_offset().is_some();
    assert!(is_coded("eventname") && is_coded("useridentity.arn") && !is_coded("eventid"));
    assert!(is_coded("annotation"), "all null");
    // Nearly all are different.
    assert!(!is_coded("errormessage"));
    let bounds = |path: &str| {
        let statistics = leaf(path).statistics().unwrap();
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8(b.to_vec()).unwrap());
        let nulls = statistics.null_count_opt().unwrap();
        (text(statistics.min_bytes_opt()), text(statistics.max_bytes_opt()), nulls)
    };
    let all = |text: &str| Some(text.to_owned());
    assert_eq!(bounds("eventversion"), (all("1.11"), all("1.11"), 0));
    assert_eq!(bounds("annotation"), (None, None, ROWS as u64));
    let (min, max, nulls) = bounds("errormessage");
    assert_eq!(nulls, ROWS as u64 / 10);
    let text = |n: usize| format!("{n} {}", "\u{e9}".repeat(40 + n % 40));
    assert!(min.as_ref().unwrap().len() <= 64 && min.unwrap() <= text(1));
    assert!(max.as_ref().unwrap().len() <= 64 && max.unwrap() >= text(999));
    assert!(leaf("useridentity.arn").bloom_filter_offset().is_some());
    assert!(leaf("eventname").bloom_filter_offset().is_none());
}
