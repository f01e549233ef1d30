use std::path::Path;

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::tables::{Failure, Tables};

struct Database(Tables);

#[async_trait]
impl AsyncDB for Database {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, query: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let answer = self.0.ask(query, &[]).await?;
        let shown = |value: Option<String>| match value {
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => text,
            None => "NULL".to_owned(),
        };
        let rows = answer.rows.into_iter().map(|row| row.into_iter().map(shown).collect());
        let types = vec![DefaultColumnType::Text; answer.columns.len()];
        Ok(DBOutput::Rows { types, rows: rows.collect() })
    }

    async fn shutdown(&mut self) {}
}

async fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql").join(file);
    let tables = Tables::new();
    let mut runner = Runner::new(|| async { Ok(Database(tables.clone())) });
    if std::env::var_os("UPDATE_SLT").is_some() {
        let updated = runner
            .update_test_file(
                &path,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            )
            .await;
        updated.unwrap();
        return;
    }
    if let Err(error) = runner.run_file_async(&path).await {
        panic!("{}", error.display(false));
    }
}

/// One test per file, so that they run side by side and fail by name.
macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            check(concat!(stringify!($name), ".slt")).await;
        })*

        #[test]
        fn every_file_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
            let names = [$(stringify!($name)),*];
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if let Some(stem) = name.strip_suffix(".slt") {
                    assert!(names.contains(&stem), "{name} is in no test");
                }
            }
        }
    };
}

files!(
    aggregates,
    casts,
    collections,
    errors,
    fields,
    guide,
    json,
    lambdas,
    published,
    shape,
    strings,
    times,
    unnest
);

async fn columns(query: &str) -> Vec<String> {
    Tables::new().ask(query, &[]).await.unwrap().columns
}

#[tokio::test]
async fn columns_are_named_as_written() {
    let query = "SELECT eventName, userIdentity.sessionContext.sessionIssuer.userName,
                        userIdentity.userName, lower(eventName), count(*) AS \"How Many\"
                 FROM events GROUP BY 1, 2, 3, 4";
    assert_eq!(columns(query).await, ["eventName", "userName", "userName", "_col3", "How Many"]);
}

#[tokio::test]
async fn a_wildcard_has_the_names_of_the_table() {
    let names = columns("SELECT 1, *, eventID AS Id FROM events").await;
    assert_eq!(names[..3], ["_col0", "eventversion", "useridentity"]);
    assert_eq!(names.last().map(String::as_str), Some("Id"));
    assert_eq!(names.len(), 37);
}

#[tokio::test]
async fn a_field_of_a_calls_result_has_no_name() {
    assert_eq!(columns("SELECT element_at(resources, 1).arn FROM events").await, ["_col0"]);
}

#[tokio::test]
async fn parameters_take_the_place_of_question_marks() {
    let query = "SELECT count(*) FROM events WHERE eventTime > '?' AND eventSource = '?'";
    let answer = Tables::new().ask(query, &["2024-05-13 10:00:00", "s3.amazonaws.com"]).await;
    assert_eq!(answer.unwrap().rows, [[Some("1".to_owned())]]);
}

#[tokio::test]
async fn stores_are_named_once_and_without_the_querys_own_relations() {
    let query = "WITH a AS (SELECT * FROM 11111111-2222-3333-4444-555555555555)
                 SELECT * FROM a, b WHERE x IN (SELECT y FROM B)";
    let parsed = lake::sql::parse(query, &[]).unwrap();
    let names: Vec<_> = parsed.stores().iter().map(|store| store.name.as_str()).collect();
    assert_eq!(names, ["11111111-2222-3333-4444-555555555555", "b"]);
}

#[tokio::test]
async fn hostile_queries_end_in_an_error() {
    let nested = |open: &str, close: &str, n: usize| {
        format!("SELECT {}1{} FROM events", open.repeat(n), close.repeat(n))
    };
    let hostile = [
        nested("(", ")", 4000),
        nested("lower(", ")", 1200),
        nested("max_by(1, ", ")", 60),
        nested("(SELECT ", ")", 900),
        nested("NOT ", "", 2000),
        nested("- ", "", 4000),
        nested("CASE WHEN true THEN ", " END", 300),
        format!("SELECT {}", "x".repeat(10_000)),
        "SELECT '".to_owned(),
        "\u{0}".to_owned(),
        String::new(),
    ];
    for query in hostile {
        let answer = Tables::new().ask(&query, &[]).await;
        assert!(answer.is_err(), "{}", &query[..query.len().min(80)]);
    }
}

#[tokio::test]
async fn relations_that_multiply_are_refused() {
    let mut query = "WITH t0 AS (SELECT eventName FROM events)".to_owned();
    for i in 1..100 {
        let before = i - 1;
        query += &format!(", t{i} AS (SELECT * FROM t{before} UNION ALL SELECT * FROM t{before})");
    }
    let unions = vec!["SELECT 1 FROM events"; 300].join(" UNION ALL ");
    for hostile in [query + " SELECT count(*) FROM t99", unions] {
        let error = Tables::new().ask(&hostile, &[]).await.unwrap_err().to_string();
        assert!(error.ends_with("the query reads more than 256 relations"), "{error}");
    }
    let unions = vec!["SELECT 1 AS x FROM events"; 200].join(" UNION ALL ");
    let answer = Tables::new().ask(&format!("SELECT count(*) FROM ({unions})"), &[]).await;
    assert_eq!(answer.unwrap().rows, [[Some("3200".to_owned())]]);
}

#[tokio::test]
async fn a_long_chain_is_not_deep() {
    let chain = vec!["eventName = 'x'"; 500].join(" OR ");
    let answer =
        Tables::new().ask(&format!("SELECT count(*) FROM events WHERE {chain}"), &[]).await;
    assert_eq!(answer.unwrap().rows, [[Some("0".to_owned())]]);
    let sum = |terms| format!("SELECT {}", vec!["1"; terms].join("+"));
    let answer = Tables::new().ask(&sum(900), &[]).await;
    assert_eq!(answer.unwrap().rows, [[Some("900".to_owned())]]);
    for terms in [1_100, 4_900] {
        let error = Tables::new().ask(&sum(terms), &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "line 1:8: the query is nested too deeply");
    }
}

/// Pieces of queries, to be put together at random.
const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "events",
    "WHERE",
    "(",
    ")",
    ",",
    "*",
    "'x'",
    "1",
    "x -> x",
    "->",
    ".",
    "[",
    "]",
    "CAST(",
    "AS",
    "map(varchar, json)",
    "UNNEST(",
    "CROSS JOIN",
    "UNION ALL",
    "WITH",
    "GROUP BY",
    "ORDER BY",
    "max_by(",
    "resources",
    "element_at(",
    "INTERVAL",
    "'1' DAY",
    "timestamp '2024'",
    "$EDS_ID",
    "3e5ab001-59a1-4448-8dd1-d27a4796502d",
    "\"",
    "--",
    "/*",
    "?",
    "CASE",
    "WHEN",
    "END",
    "OVER (",
    "NOT",
    "IN (",
    "LIMIT 1",
    ";",
    "= ANY (",
    "eventName",
    "e.userIdentity.arn",
    "IF(",
    "try(",
    "AS t(a, b)",
];

proptest::proptest! {
    #[test]
    fn any_pieces_are_a_query_or_an_error(
        chosen in proptest::collection::vec(proptest::sample::select(PIECES), 0..24),
    ) {
        let _ = lake::sql::parse(&format!("SELECT {}", chosen.join(" ")), &[]);
    }
}

/// The optimized plan's filters.
async fn filters(condition: &str) -> String {
    let tables = Tables::new();
    let plan = tables.optimized(&format!("SELECT count(*) FROM events WHERE {condition}")).await;
    let lines = plan.lines().filter(|line| line.contains("Filter:") || line.contains("filters="));
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_scan_sees_comparisons_with_literals() {
    let cases = [
        ("eventTime > '2024-05-13 09:00:00'", "events.eventtime > TimestampMicrosecond("),
        (
            "eventTime BETWEEN '2024-05-13' AND '2024-05-14'",
            "events.eventtime >= TimestampMicrosecond(",
        ),
        ("eventTime > now() - INTERVAL '7' DAY", "events.eventtime > TimestampMicrosecond("),
        ("eventTime >= date_add('day', -7, now())", "events.eventtime >= TimestampMicrosecond("),
        ("date(eventTime) = date '2024-05-13'", "events.eventtime >= TimestampMicrosecond("),
        (
            "sessionCredentialFromConsole = true",
            "events.sessioncredentialfromconsole = Utf8(\"true\")",
        ),
        ("eventSource = 's3.amazonaws.com'", "events.eventsource = Utf8(\"s3.amazonaws.com\")"),
    ];
    for (condition, expected) in cases {
        let seen = filters(condition).await;
        assert!(seen.contains(expected), "{condition}: {seen}");
    }
}
