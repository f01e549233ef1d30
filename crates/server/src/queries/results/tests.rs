#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use durable::RealDisk;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The file of a result with these rows, handed over in lots. A small one is made a file here.
fn written(columns: &[&str], lots: &[Vec<Row>]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries/q.rows");
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    run(async {
        let disk = Arc::new(RealDisk);
        let mut writer = ResultsWriter::new(disk, path.clone(), &columns, u64::MAX);
        for lot in lots {
            writer.take(lot.clone()).await.unwrap();
        }
        if let Some(small) = writer.finish().await.unwrap() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, small).unwrap();
        }
    });
    (folder, path)
}

fn row(number: usize) -> Row {
    vec![Some(format!("value {number}")), None, Some("x".repeat(number % 700))]
}

#[test]
fn any_part_of_a_result_is_read_without_the_rest() {
    let rows: Vec<Row> = (0..5000).map(row).collect();
    let (_folder, path) =
        written(&["a", "b", "a"], &[rows[..4000].to_vec(), rows[4000..].to_vec()]);
    let mut results = Results::open(&path).unwrap().unwrap();
    assert_eq!(results.columns(), ["a", "b", "a"]);
    assert_eq!(results.row_count(), 5000);
    assert!(results.page_count() > 4, "{}", results.page_count());
    for (from, count) in [(0, 1), (0, 1000), (999, 2), (1000, 1000), (4999, 10), (5000, 10)] {
        let found = results.rows(from as u64, count, usize::MAX).unwrap();
        assert_eq!(found, rows[from..(from + count).min(5000)], "{count} from {from}");
    }
    let all: Vec<Row> =
        (0..results.page_count()).flat_map(|page| results.page_rows(page).unwrap()).collect();
    assert_eq!(all, rows);
}

#[test]
fn a_part_ends_at_its_bytes_but_holds_one_row() {
    let rows: Vec<Row> = (0..10).map(|_| vec![Some("x".repeat(996))]).collect();
    let (_folder, path) = written(&["a"], &[rows]);
    let mut results = Results::open(&path).unwrap().unwrap();
    assert_eq!(results.rows(0, 10, 3000).unwrap().len(), 3);
    assert_eq!(results.rows(0, 10, 1).unwrap().len(), 1);
}

#[test]
fn a_result_without_rows_has_its_columns() {
    let (_folder, path) = written(&["only"], &[]);
    let mut results = Results::open(&path).unwrap().unwrap();
    assert_eq!((results.columns(), results.row_count()), (["only".to_owned()].as_slice(), 0));
    assert_eq!(results.rows(0, 10, 10).unwrap(), Vec::<Row>::new());
}

#[test]
fn a_result_that_was_not_finished_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.rows");
    run(async {
        let disk = Arc::new(RealDisk);
        // The second run begins it again.
        for _ in 0..2 {
            let mut writer = ResultsWriter::new(disk.clone(), path.clone(), &[], u64::MAX);
            writer.take((0..1500).map(row).collect()).await.unwrap();
            drop(writer);
            assert!(Results::open(&path).unwrap().is_none());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        let mut writer = ResultsWriter::new(disk, path.clone(), &[], u64::MAX);
        writer.take((0..1500).map(row).collect()).await.unwrap();
        writer.discard().await;
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_result_that_grows_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.rows");
    run(async {
        let mut writer = ResultsWriter::new(Arc::new(RealDisk), path.clone(), &[], 100);
        writer.take(vec![vec![Some("x".repeat(50))]]).await.unwrap();
        let refused = writer.take(vec![vec![Some("x".repeat(50))]]).await.unwrap_err();
        assert!(matches!(refused, QueryFault::Sink(message) if message == TOO_LARGE));
    });
}

#[test]
fn a_small_result_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.rows");
    let rows: Vec<Row> = (0..50).map(row).collect();
    for (rows, is_small) in [(vec![], true), (rows, true), ((0..1000).map(row).collect(), false)] {
        let kept = run(async {
            let mut writer =
                ResultsWriter::new(Arc::new(RealDisk), path.clone(), &["a".to_owned()], u64::MAX);
            writer.take(rows.clone()).await.unwrap();
            writer.finish().await.unwrap()
        });
        assert_eq!((kept.is_some(), path.exists()), (is_small, !is_small));
        let mut results = match kept {
            Some(bytes) => Results::of(&path, bytes).unwrap(),
            None => Results::open(&path).unwrap().unwrap(),
        };
        assert_eq!(
            (results.columns(), results.row_count()),
            (&["a".to_owned()][..], rows.len() as u64)
        );
        assert_eq!(results.rows(0, usize::MAX, usize::MAX).unwrap(), rows);
    }
}

#[test]
fn damage_anywhere_is_found_or_harmless() {
    let rows: Vec<Row> = (0..50).map(row).collect();
    let (folder, path) = written(&["a", "b", "c"], std::slice::from_ref(&rows));
    let good = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        let path = folder.path().join("damaged");
        std::fs::write(&path, bytes).unwrap();
        let mut results = Results::open(&path)?.unwrap();
        results.rows(0, usize::MAX, usize::MAX)
    };
    assert_eq!(read(&good).unwrap(), rows);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        if let Ok(found) = read(&bad) {
            assert_eq!(found, rows, "byte {at}");
        }
        assert!(read(&good[..at]).is_err(), "cut at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_value_comes_back(
        rows in prop::collection::vec(prop::collection::vec(prop::option::of(any::<String>()), 2), 0..20)
    ) {
        let (_folder, path) = written(&["a", "b"], std::slice::from_ref(&rows));
        let mut results = Results::open(&path).unwrap().unwrap();
        prop_assert_eq!(results.rows(0, usize::MAX, usize::MAX).unwrap(), rows);
    }
}
