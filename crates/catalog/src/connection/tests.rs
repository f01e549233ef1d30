#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::path::Path;

use futures::FutureExt as _;
use tempfile::TempDir;

use crate::Catalog;

const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/s1";
const PUT: &str = "INSERT INTO resource_policies (arn, document) VALUES ('other', 'policy')";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&path(&folder)).await.unwrap();
    (folder, catalog)
}

fn path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("catalog.sqlite")
}

/// Writes go on, are durable, and are told of.
async fn check_writes(catalog: &Catalog, path: &Path) {
    for policy in ["one", "two"] {
        catalog.put_resource_policy(ARN, policy).await.unwrap();
        assert_eq!(catalog.resource_policy(ARN).await.unwrap().as_deref(), Some(policy));
    }
    let other = Catalog::open(path).await.unwrap();
    assert_eq!(other.resource_policy(ARN).await.unwrap().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let (folder, catalog) = open().await;
    let mut transaction = catalog.database.begin().await.unwrap();
    sqlx::query(PUT).execute(&mut *transaction).await.unwrap();
    drop(transaction);
    assert_eq!(catalog.resource_policy("other").await.unwrap(), None);
    check_writes(&catalog, &path(&folder)).await;
}

#[tokio::test]
async fn a_transaction_that_is_committed_stays() {
    let (folder, catalog) = open().await;
    let mut transaction = catalog.database.begin().await.unwrap();
    sqlx::query(PUT).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let other = Catalog::open(&path(&folder)).await.unwrap();
    assert_eq!(other.resource_policy("other").await.unwrap().as_deref(), Some("policy"));
    check_writes(&catalog, &path(&folder)).await;
}

#[tokio::test]
async fn calls_that_are_cut_off_hold_up_nobody() {
    let (folder, catalog) = open().await;
    // By the time of the cut the connection's thread may have done it, or not.
    drop(catalog.database.begin().now_or_never());
    check_writes(&catalog, &path(&folder)).await;
    let mut transaction = catalog.database.begin().await.unwrap();
    drop(sqlx::query(PUT).execute(&mut *transaction).now_or_never());
    drop(transaction);
    assert_eq!(catalog.resource_policy("other").await.unwrap(), None);
    let transaction = catalog.database.begin().await.unwrap();
    drop(transaction.commit().now_or_never());
    check_writes(&catalog, &path(&folder)).await;
}

/// As SQLite does when the disk is full.
#[tokio::test]
async fn a_connection_whose_transaction_sqlite_ended_is_replaced() {
    let (folder, catalog) = open().await;
    let mut transaction = catalog.database.begin().await.unwrap();
    sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
    assert!(transaction.commit().await.is_err());
    check_writes(&catalog, &path(&folder)).await;
}

#[tokio::test]
async fn a_closed_catalog_says_so() {
    let (_folder, catalog) = open().await;
    catalog.close().await;
    assert!(catalog.ping().await.is_err());
    catalog.close().await;
}
