//! What is read page by page from a file is what its columns hold in memory.

use arrow::array::{Int32Array, MapBuilder, MapFieldNames, StringBuilder, StructArray};
use arrow::datatypes::{Field, Fields};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::*;
use crate::pages::picks::{Picks, picks};
use crate::prune::leaf_of;
use crate::table::log::FileEntry;

const ROWS: usize = 5_000;

/// Nulls and values in bursts, texts that repeat and texts that do not.
fn text(row: usize) -> Option<String> {
    match row / 300 % 3 {
        0 => None,
        1 => Some(format!("name-{}", row % 7)),
        _ => (!row.is_multiple_of(5)).then(|| format!("long-and-never-again-{row}")),
    }
}

fn batch() -> RecordBatch {
    let texts: ArrayRef = Arc::new((0..ROWS).map(text).collect::<StringArray>());
    let few = (0..ROWS).map(|row| if row / 700 % 2 == 0 { "a" } else { "b" });
    let few: ArrayRef = Arc::new(StringArray::from_iter_values(few));
    // Most rows have none; there is a run of those that have one.
    let has_one = |row: &usize| row % 37 == 3 || (1_000..1_100).contains(row);
    let seldom = (0..ROWS).map(|row| has_one(&row).then(|| format!("code-{}", row % 90)));
    let seldom: ArrayRef = Arc::new(seldom.collect::<StringArray>());
    let inner: ArrayRef = Arc::new((0..ROWS).map(|row| text(row + 150)).collect::<StringArray>());
    let fields = Fields::from(vec![Field::new("inner", DataType::Utf8, true)]);
    let is_there = (0..ROWS).map(|row| row % 11 != 0).collect::<Vec<bool>>();
    let outer: ArrayRef = Arc::new(StructArray::new(fields, vec![inner], Some(is_there.into())));
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..ROWS {
        if row % 13 == 0 {
            maps.append(false).unwrap();
            continue;
        }
        let mut add = |key: &str, value: Option<String>| {
            maps.keys().append_value(key);
            maps.values().append_option(value);
        };
        for entry in 0..row % 4 {
            add(&format!("other-{entry}"), text(row + entry));
        }
        if row % 3 == 0 {
            add("wanted", text(row));
            // The first counts, even when it is null.
            if row % 2 == 0 {
                add("wanted", Some("second".to_owned()));
            }
        }
        maps.append(true).unwrap();
    }
    let maps: ArrayRef = Arc::new(maps.finish());
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..ROWS as i32));
    let columns = [
        ("texts", texts, true),
        ("few", few, false),
        ("seldom", seldom, true),
        ("outer", outer, true),
        ("maps", maps, true),
        ("numbers", numbers, false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

async fn file(batch: &RecordBatch) -> Arc<DataFile> {
    file_compressed(batch, Compression::ZSTD(ZstdLevel::try_new(1).unwrap())).await
}

async fn file_compressed(batch: &RecordBatch, compression: Compression) -> Arc<DataFile> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_data_page_row_count_limit(512)
        .set_write_batch_size(128)
        // So that columns begin with codes and go on with texts.
        .set_dictionary_page_size_limit(8 << 10);
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let entry = FileEntry {
        path: "file.parquet".to_owned(),
        bytes: bytes.len() as u64,
        rows: ROWS as u64,
        month: jiff::civil::date(2026, 3, 1),
        oldest_us: 0,
        newest_us: 0,
    };
    store.put(&Path::from("file.parquet"), bytes.into()).await.unwrap();
    Arc::new(DataFile::new(entry, &Arc::from("t"), store))
}

fn value(codes: &Codes, row: usize) -> Option<&str> {
    let place = codes.of_rows.as_ref().map_or(row, |rows| rows[row] as usize);
    let values = codes.values.as_string_opt::<i32>()?;
    (place < values.len() && values.is_valid(place)).then(|| values.value(place))
}

#[tokio::test]
async fn pages_hold_what_was_written() {
    let batch = batch();
    let memory = Columns::Memory(batch.clone());
    let text = |path: &[&str]| Source::Text(path.iter().map(|name| (*name).to_owned()).collect());
    let entry = |key: &str| Source::Entry { column: "maps".to_owned(), key: key.to_owned() };
    let sources = [
        text(&["texts"]),
        text(&["few"]),
        text(&["seldom"]),
        text(&["outer", "inner"]),
        entry("wanted"),
        entry("other-2"),
        entry("nothing"),
    ];
    let wanted: [(&str, Option<Vec<u32>>); 5] = [
        ("all", None),
        ("none", Some(vec![])),
        ("one", Some(vec![3_333])),
        ("a burst", Some((1_000..1_700).collect())),
        ("some", Some((5..ROWS as u32).step_by(97).collect())),
    ];
    let named: Vec<&Source> = sources.iter().collect();
    let file = file(&batch).await;
    let (columns, bytes) = Columns::read(&file, 0, &named).await.unwrap();
    assert!(bytes > 0 && columns.rows() == ROWS);
    for source in &sources {
        let all = memory.codes(source, None).unwrap();
        for (name, rows) in &wanted {
            let rows = rows.as_deref();
            let found = columns.codes(source, rows).unwrap();
            let in_memory = memory.codes(source, rows).unwrap();
            let rows = rows.map_or_else(|| (0..ROWS as u32).collect(), <[u32]>::to_vec);
            assert_eq!(found.of_rows.as_ref().map(Vec::len), Some(rows.len()), "{source:?} {name}");
            for (place, row) in rows.into_iter().enumerate() {
                let expected = value(&all, row as usize);
                assert_eq!(value(&found, place), expected, "{source:?} {name} {row}");
                assert_eq!(value(&in_memory, place), expected, "{source:?} {name} {row}");
            }
        }
    }
    for source in &sources {
        let all = memory.codes(source, None).unwrap();
        let expected: Vec<(u32, &str)> =
            (0..ROWS).filter_map(|row| Some((row as u32, value(&all, row)?))).collect();
        let Some((rows, found)) = columns.present(source).unwrap() else {
            assert!(
                expected.len() * 2 >= ROWS || matches!(source, Source::Entry { .. }),
                "{source:?}"
            );
            continue;
        };
        let found: Vec<(u32, &str)> = rows
            .into_iter()
            .enumerate()
            .map(|(place, row)| (row, value(&found, place).unwrap()))
            .collect();
        assert_eq!(found, expected, "{source:?}");
    }
    let found = columns.codes(&sources[0], wanted[2].1.as_deref()).unwrap();
    assert!(found.values.len() <= 1, "texts of other rows are not copied");
}

#[tokio::test]
async fn single_rows_are_read_however_a_file_is_compressed() {
    let batch = batch();
    let memory = Columns::Memory(batch.clone());
    let source = Source::Text(vec!["outer".to_owned(), "inner".to_owned()]);
    let expected = memory.codes(&source, None).unwrap();
    let maps = batch.column_by_name("maps").unwrap().as_map();
    let (keys, values) = (maps.keys().as_string::<i32>(), maps.values().as_string::<i32>());
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::try_new(3).unwrap()),
    ] {
        let file = file_compressed(&batch, compression).await;
        let metadata = file.metadata().await.unwrap();
        let place = |path| leaf_of(&metadata, path).unwrap();
        for step in [1, 3, 700, ROWS] {
            let rows: Vec<u32> = (0..ROWS as u32).rev().step_by(step).collect();
            let rows: Vec<u32> = rows.into_iter().rev().collect();
            let [inner, key, text] =
                ["outer.inner", "maps.key_value.key", "maps.key_value.value"].map(place);
            let wanted = [inner, key, text].map(|place| (place, rows.as_slice()));
            let leaves = Leaf::fetch_rows(&file, 0, &wanted).await.unwrap();
            let read: Vec<Picks> = leaves.iter().map(|leaf| picks(leaf, &rows).unwrap()).collect();
            for (place, row) in rows.iter().enumerate() {
                let row = *row as usize;
                let found = read[0].value(place).map(|text| std::str::from_utf8(text).unwrap());
                assert_eq!(found, value(&expected, row), "{compression} {step} {row}");
                let list = read[1].list(place);
                assert_eq!(list, read[2].list(place));
                assert_eq!(list.is_some(), maps.is_valid(row), "{compression} {step} {row}");
                let entries = maps.value_offsets()[row]..maps.value_offsets()[row + 1];
                assert_eq!(list.clone().map_or(0, |list| list.len()), entries.len());
                for (found, entry) in list.into_iter().flatten().zip(entries) {
                    let entry = entry as usize;
                    assert_eq!(read[1].value(found), Some(keys.value(entry).as_bytes()));
                    let text = values.is_valid(entry).then(|| values.value(entry).as_bytes());
                    assert_eq!(read[2].value(found), text, "{compression} {step} {row}");
                }
            }
        }
    }
}

#[tokio::test]
async fn rows_are_found_by_their_values() {
    let batch = batch();
    let memory = Columns::Memory(batch.clone());
    let file = file(&batch).await;
    let source = Source::Text(vec!["outer".to_owned(), "inner".to_owned()]);
    let expected = memory.codes(&source, None).unwrap();
    for wanted in ["name-3", "long-and-never-again-1801", "absent"] {
        let found = rows_with(&file, 0, "outer.inner", &[wanted.to_owned()]).await.unwrap();
        for (row, holds) in found.unwrap().iter().enumerate() {
            assert_eq!(holds, value(&expected, row) == Some(wanted), "{wanted} {row}");
        }
    }
    for path in ["maps.key_value.key", "unknown"] {
        let found = rows_with(&file, 0, path, &["wanted".to_owned()]).await.unwrap();
        assert!(found.is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_column_that_a_file_lacks_is_null() {
    let file = file(&batch()).await;
    let sources = [
        Source::Text(vec!["newer".to_owned()]),
        Source::Entry { column: "newer".to_owned(), key: "k".to_owned() },
    ];
    let (columns, _) = Columns::read(&file, 0, &sources.iter().collect::<Vec<_>>()).await.unwrap();
    for source in &sources {
        let codes = columns.codes(source, None).unwrap();
        assert_eq!(codes.of_rows.as_ref().map(Vec::len), Some(ROWS));
        assert!((0..ROWS).all(|row| value(&codes, row).is_none()));
    }
}
