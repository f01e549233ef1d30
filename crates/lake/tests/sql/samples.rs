//! Published queries, which are not in this repository: each `*.sql` in the folder that
//! `CAIRN_SQL_SAMPLES` names, as published but for the store's name.

use super::tables::{Failure, Tables};

const STORE: &str = "11111111-2222-3333-4444-555555555555";

/// What the samples write where the store's name goes.
const PLACEHOLDERS: &[&str] = &[
    "<event_data_store_id>",
    "<EDS ID>",
    "<EDS_ID>",
    "<EVENT_DATA_STORE_ID>",
    "<Event data store Id>",
    "<event-data-store-ID>",
];

/// The queries that SearchSampleQueries offers and GenerateQuery fills in.
const OWN: &str = include_str!("../../../server/src/sample_queries/samples.sql");

/// The widgets of managed dashboards.
const MANAGED: &str = include_str!("../../../server/src/dashboards/managed.sql");

#[tokio::test]
async fn our_own_samples_run() {
    assert!(run_all(OWN).await >= 60);
}

#[tokio::test]
async fn widgets_of_managed_dashboards_run() {
    let mut dashboards = MANAGED.split("\n-- dashboard: ").skip(1).peekable();
    assert!(dashboards.peek().is_some());
    for dashboard in dashboards {
        let store =
            if dashboard.starts_with("AWSCloudTrail-Insights\n") { "insights" } else { STORE };
        let filled = format!("-- {dashboard}")
            .replace("$EventDataStoreId$", store)
            .replace("$StartTime$", "2024-01-01 00:00:00.000")
            .replace("$EndTime$", "2025-01-01 00:00:00.000")
            .replace("$Period$", "hour");
        assert!(run_all(&filled).await >= 4, "{dashboard}");
    }
}

/// Runs each statement of a text, and answers how many there were.
async fn run_all(text: &str) -> usize {
    let tables = Tables::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let statements: Vec<&str> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
    let mut failed = Vec::new();
    for statement in &statements {
        if let Err(error) = tables.ask(statement, &[]).await {
            failed.push(format!("{error}\n{statement}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    statements.len()
}

#[tokio::test]
async fn published_queries_run() {
    let Some(folder) = std::env::var_os("CAIRN_SQL_SAMPLES") else { return };
    let tables = Tables::new();
    let mut failed = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "sql")) {
        let mut query = std::fs::read_to_string(file).unwrap();
        for placeholder in PLACEHOLDERS {
            query = query.replace(placeholder, STORE);
        }
        // The samples' way of saying "a time".
        query = query.replace("${date_filter}", "2024-05-14 00:00:00");
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        match tables.ask(&query, &[]).await {
            Ok(answer) => println!("ran     {name}: {} rows", answer.rows.len()),
            Err(Failure::Query(error)) => println!("refused {name}: {error}"),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
