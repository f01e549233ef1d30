#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use tempfile::TempDir;

use super::*;

const STORE: &str = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/s1";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

fn import(id: &str, account: &str) -> NewImport {
    NewImport {
        id: id.to_owned(),
        account: account.to_owned(),
        region: "us-east-1".to_owned(),
        store_arn: STORE.to_owned(),
        source: ImportSource {
            s3_location_uri: "s3://b/p".to_owned(),
            s3_bucket_region: "us-east-1".to_owned(),
            s3_bucket_access_role_arn: "arn:aws:iam::1:role/r".to_owned(),
        },
        start_ms: Some(5),
        end_ms: None,
        created_ms: 1000,
    }
}

fn found(key: &str) -> FoundFile {
    let prefix = key.split_once('/').map_or(String::new(), |(prefix, _)| format!("{prefix}/"));
    FoundFile { key: key.to_owned(), prefix, bytes: 10 }
}

/// An import with these files, all listed.
async fn listed(catalog: &Catalog, id: &str, keys: &[&str]) -> Import {
    assert!(catalog.start_import(&import(id, "a")).await.unwrap());
    let begun = catalog.import("a", id).await.unwrap().unwrap();
    let files: Vec<FoundFile> = keys.iter().map(|key| found(key)).collect();
    catalog.add_import_files(begun.number, &files, true, 1001).await.unwrap();
    catalog.import("a", id).await.unwrap().unwrap()
}

async fn waiting(catalog: &Catalog, import: &Import) -> Vec<String> {
    let files = catalog.import_files_waiting(import.number, 100).await.unwrap();
    files.into_iter().map(|file| file.key).collect()
}

/// Ends the first waiting file.
async fn end_first(catalog: &Catalog, import: &Import, outcome: FileOutcome) {
    let files = catalog.import_files_waiting(import.number, 1).await.unwrap();
    let ended = EndedFile { number: files[0].number, outcome };
    catalog.import_files_ended(import.number, &[ended], 1002).await.unwrap();
}

fn failed() -> FileOutcome {
    let (error_type, error) = ("Bad".to_owned(), "is bad".to_owned());
    FileOutcome::Failed { error_type, error, events: 2 }
}

async fn statistics(catalog: &Catalog, id: &str) -> (u64, u64, u64, u64, u64) {
    let import = catalog.import("a", id).await.unwrap().unwrap();
    let found = catalog.import_statistics(&import).await.unwrap();
    let ImportStatistics {
        prefixes_found,
        prefixes_completed,
        files_completed,
        events_completed,
        failed_entries,
    } = found;
    (prefixes_found, prefixes_completed, files_completed, events_completed, failed_entries)
}

#[tokio::test]
async fn one_import_of_an_account_is_under_way() {
    let (_folder, catalog) = open().await;
    assert!(catalog.start_import(&import("1", "a")).await.unwrap());
    assert!(!catalog.start_import(&import("2", "a")).await.unwrap());
    assert!(catalog.start_import(&import("3", "b")).await.unwrap());
    assert!(catalog.has_ongoing_import(STORE).await.unwrap());
    let first = catalog.import("a", "1").await.unwrap().unwrap();
    assert_eq!((&first.asked, first.status), (&import("1", "a"), ImportStatus::Initializing));
    assert!(catalog.import("b", "1").await.unwrap().is_none(), "another account's");
    assert!(catalog.stop_import(first.number, 9).await.unwrap());
    assert!(!catalog.stop_import(first.number, 9).await.unwrap());
    assert!(catalog.start_import(&import("2", "a")).await.unwrap());
    // The stopped one cannot go on now.
    assert!(!catalog.retry_import(first.number, 10).await.unwrap());
}

#[tokio::test]
async fn files_are_counted_as_they_end() {
    let (_folder, catalog) = open().await;
    let import = listed(&catalog, "i", &["p/1", "p/2", "q/1"]).await;
    assert_eq!(import.status, ImportStatus::InProgress);
    assert_eq!(statistics(&catalog, "i").await, (2, 0, 0, 0, 0));
    end_first(&catalog, &import, FileOutcome::Done { events: 7 }).await;
    assert_eq!(statistics(&catalog, "i").await, (2, 0, 1, 7, 0));
    end_first(&catalog, &import, FileOutcome::Done { events: 1 }).await;
    assert_eq!(statistics(&catalog, "i").await, (2, 1, 2, 8, 0));
    assert_eq!(catalog.complete_import(import.number, 9).await.unwrap(), None, "one waits");
    end_first(&catalog, &import, failed()).await;
    assert_eq!(statistics(&catalog, "i").await, (2, 1, 2, 10, 1));
    let ended = catalog.complete_import(import.number, 9).await.unwrap();
    assert_eq!(ended, Some(ImportStatus::Failed));
    assert!(!catalog.has_ongoing_import(STORE).await.unwrap());
}

#[tokio::test]
async fn a_file_is_marked_once() {
    let (_folder, catalog) = open().await;
    let import = listed(&catalog, "i", &["p/1"]).await;
    let file = catalog.import_files_waiting(import.number, 1).await.unwrap().remove(0);
    let ended = EndedFile { number: file.number, outcome: FileOutcome::Done { events: 7 } };
    for _ in 0..2 {
        catalog.import_files_ended(import.number, std::slice::from_ref(&ended), 9).await.unwrap();
    }
    assert_eq!(statistics(&catalog, "i").await, (1, 1, 1, 7, 0));
}

#[tokio::test]
async fn listing_again_changes_nothing() {
    let (_folder, catalog) = open().await;
    assert!(catalog.start_import(&import("i", "a")).await.unwrap());
    let begun = catalog.import("a", "i").await.unwrap().unwrap();
    catalog.add_import_files(begun.number, &[found("p/1")], false, 1).await.unwrap();
    // The server stopped; the listing begins anew.
    catalog.add_import_files(begun.number, &[found("p/1")], false, 2).await.unwrap();
    catalog.add_import_files(begun.number, &[found("p/2")], true, 3).await.unwrap();
    assert_eq!(waiting(&catalog, &begun).await, ["p/1", "p/2"]);
}

#[tokio::test]
async fn only_failed_files_are_tried_again() {
    let (_folder, catalog) = open().await;
    let import = listed(&catalog, "i", &["p/1", "p/2"]).await;
    end_first(&catalog, &import, failed()).await;
    end_first(&catalog, &import, FileOutcome::Done { events: 1 }).await;
    catalog.complete_import(import.number, 9).await.unwrap();
    assert!(catalog.retry_import(import.number, 10).await.unwrap());
    assert_eq!(waiting(&catalog, &import).await, ["p/1"]);
    end_first(&catalog, &import, FileOutcome::Done { events: 1 }).await;
    let ended = catalog.complete_import(import.number, 11).await.unwrap();
    assert_eq!(ended, Some(ImportStatus::Completed));
    let failures = catalog.import_failures(import.number, 0, 10).await.unwrap();
    let shown: Vec<_> = failures.iter().map(|f| (f.key.as_str(), f.status)).collect();
    assert_eq!(shown, [("p/1", "SUCCEEDED")]);
    assert!(!catalog.retry_import(import.number, 12).await.unwrap(), "it is complete");
}

#[tokio::test]
async fn a_file_that_is_tried_again_is_listed_so() {
    let (_folder, catalog) = open().await;
    let import = listed(&catalog, "i", &["p/1"]).await;
    let (error_type, error) = ("SlowDown".to_owned(), "later".to_owned());
    end_first(&catalog, &import, FileOutcome::Again { error_type, error }).await;
    let file = catalog.import_files_waiting(import.number, 1).await.unwrap().remove(0);
    assert_eq!(file.attempts, 1);
    let failure = catalog.import_failures(import.number, 0, 10).await.unwrap().remove(0);
    let shown = (failure.status, failure.error_type.as_str(), failure.error.as_str());
    assert_eq!(shown, ("RETRY", "SlowDown", "later"));
    assert_eq!(catalog.import_failures(import.number, failure.number, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_import_that_fails_as_a_whole_lists_its_source_and_can_be_tried_again() {
    let (_folder, catalog) = open().await;
    assert!(catalog.start_import(&import("i", "a")).await.unwrap());
    let begun = catalog.import("a", "i").await.unwrap().unwrap();
    catalog.fail_import(begun.number, "s3://b/p", "AccessDenied", "no", 5).await.unwrap();
    let failures = catalog.import_failures(begun.number, 0, 10).await.unwrap();
    let shown: Vec<_> = failures.iter().map(|f| (f.key.as_str(), f.status)).collect();
    assert_eq!(shown, [("s3://b/p", "FAILED")]);
    let failed = catalog.import("a", "i").await.unwrap().unwrap();
    assert_eq!(failed.status, ImportStatus::Failed);
    assert!(catalog.retry_import(begun.number, 6).await.unwrap());
    let again = catalog.import("a", "i").await.unwrap().unwrap();
    assert_eq!(again.status, ImportStatus::Initializing, "it is listed anew");
    assert_eq!(catalog.import_failures(begun.number, 0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn lists_go_by_store_and_status_newest_first() {
    let (_folder, catalog) = open().await;
    for id in ["1", "2", "3"] {
        assert!(catalog.start_import(&import(id, "a")).await.unwrap());
        if id != "3" {
            let begun = catalog.import("a", id).await.unwrap().unwrap();
            catalog.stop_import(begun.number, 1).await.unwrap();
        }
    }
    let ids = async |filter: ImportFilter, count| -> Vec<String> {
        let found = catalog.imports_of("a", &filter, count).await.unwrap();
        found.into_iter().map(|import| import.asked.id).collect()
    };
    assert_eq!(ids(ImportFilter::default(), 2).await, ["3", "2"]);
    let status = Some(ImportStatus::Stopped);
    assert_eq!(ids(ImportFilter { status, ..ImportFilter::default() }, 9).await, ["2", "1"]);
    let store_arn = Some("x".to_owned());
    let none = ids(ImportFilter { store_arn, ..ImportFilter::default() }, 9).await;
    assert_eq!(none, Vec::<String>::new());
}

#[tokio::test]
async fn contents_are_known_by_table_until_it_goes() {
    let (_folder, catalog) = open().await;
    let (one, two) = ([1; 32], [2; 32]);
    catalog.add_imported_files("t", &[one], 5).await.unwrap();
    catalog.add_imported_files("t", &[one], 6).await.unwrap();
    let known = async |table: &str| catalog.known_imported_files(table, &[one, two]).await.unwrap();
    assert_eq!(known("t").await, HashSet::from([one]));
    assert_eq!(known("u").await, HashSet::new());
    catalog.forget_imported_files("t").await.unwrap();
    assert_eq!(known("t").await, HashSet::new());
}
