//! Tables of events from outside AWS, beside one of CloudTrail's own.

use super::*;

const APPS: &str = "apps";

/// What was put is odd on purpose: another order, escapes, numbers, members that nobody knows.
fn record_of_app(n: u64) -> String {
    format!(
        r#"{{"eventVersion":"1.0","eventCategory":"ActivityAuditLog","eventType":"ActivityLog","eventID":"{n:08x}-0000-4000-8000-000000000001","eventTime":"2026-03-0{}T10:00:00Z","awsRegion":"us-east-1","recipientAccountId":"{ACCOUNT}","metadata":{{"ingestionTime":"2026-03-02T10:00:01Z","channelARN":"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:channel/c"}},"eventData":{{"UID":"u{n}","version":"1.0","userIdentity":{{"type":"Employee","principalId":"p{}","details":{{"desk":{n},"name":"J\u00f6rg"}}}},"eventSource":"shop","eventName":"Buy","eventTime":"2026-03-0{}T10:00:00","recipientAccountId":"{ACCOUNT}","requestParameters":{{"items":[{{"n":1.50}}],"order":"o-{n}"}},"errorCode":null,"extra":{{"a": [1, 2]}}}}}}"#,
        n % 2 + 1,
        n % 3,
        n % 2 + 1,
    )
}

fn row_of_app(seq: u64) -> Row {
    Row { seq, account: ACCOUNT.to_owned(), record: record_of_app(seq).into() }
}

async fn asked(world: &World, statement: &str) -> Vec<TextRow> {
    let tables = [(NAME, "t"), (APPS, "a")]
        .map(|(table, name)| (name.to_owned(), world.lake.readable(table, None).unwrap()));
    let limits = Limits::default();
    let prepared =
        world.lake.prepare(statement.to_owned(), Vec::new(), HashMap::from(tables), limits).await;
    let prepared = prepared.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let mut portions = prepared.start(world.lake.runtime(), Arc::default());
    let mut rows = Vec::new();
    while let Some(portion) = portions.recv().await {
        rows.extend(portion.unwrap());
    }
    rows
}

fn texts(row: &[&str]) -> TextRow {
    row.iter().map(|text| Some((*text).to_owned())).collect()
}

/// Whatever is in files or in memory, the answers are these.
async fn check(world: &World, count: u64) {
    let members = asked(
        world,
        "SELECT eventData.UID, eventData.userIdentity.type, element_at(eventData.userIdentity.details, 'name'),
            json_extract_scalar(element_at(eventData.requestParameters, 'items'), '$[0].n'),
            element_at(eventData.requestParameters, 'order'), eventData.eventTime, eventTime, metadata.channelARN
         FROM a WHERE eventData.UID = 'u4'",
    )
    .await;
    let expected = texts(&[
        "u4",
        "Employee",
        "Jörg",
        "1.50",
        "o-4",
        "2026-03-01T10:00:00",
        "2026-03-01 10:00:00.000",
        &format!("arn:aws:cloudtrail:us-east-1:{ACCOUNT}:channel/c"),
    ]);
    assert_eq!(members, [expected]);
    let counted = "SELECT count(*), count(DISTINCT eventID), count(eventData.errorCode), count(addendum) FROM a";
    assert_eq!(
        asked(world, counted).await,
        [texts(&[&count.to_string(), &count.to_string(), "0", "0"])]
    );
    let by_day = "SELECT eventData.userIdentity.principalId, count(*) FROM a
        WHERE eventTime >= '2026-03-02 00:00:00' GROUP BY 1 ORDER BY 1";
    let odd = |rest| (1..=count).filter(|n| n % 2 == 1 && n % 3 == rest).count().to_string();
    let expected: Vec<TextRow> =
        (0..3).map(|rest| texts(&[&format!("p{rest}"), &odd(rest)])).collect();
    assert_eq!(asked(world, by_day).await, expected);
    let records = asked(world, "SELECT eventJson FROM a ORDER BY eventID").await;
    let expected: Vec<TextRow> = (1..=count).map(|n| texts(&[&record_of_app(n)])).collect();
    assert_eq!(records, expected);
    let both = "SELECT count(*) FROM a JOIN t ON a.eventTime >= t.eventTime WHERE t.eventID = '00000001-0000-4000-8000-000000000000'";
    assert_eq!(asked(world, both).await, [texts(&[&count.to_string()])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_channels_is_asked_with_its_own_columns() {
    let world = World::new().await;
    world.lake.open_table(APPS, Content::Activity, None, world.now).await.unwrap();
    // Both kinds in one batch, each row only where it is wanted.
    let rows: Vec<Row> = (1..=20).flat_map(|seq| [row(seq), row_of_app(seq)]).collect();
    let places = |rest| (0..40).filter(|place| place % 2 == rest).collect();
    let wanted = vec![(APPS.to_owned(), places(1)), (NAME.to_owned(), places(0))];
    assert_eq!(world.lake.append(rows, wanted).await.unwrap(), []);
    check(&world, 20).await;
    assert_eq!(world.count().await, 20);

    world.lake.commit(APPS, 20, world.now).await.unwrap();
    world.lake.commit(NAME, 20, world.now).await.unwrap();
    check(&world, 20).await;
    let rows: Vec<Row> = (21..=30).map(row_of_app).collect();
    let wanted = vec![(APPS.to_owned(), (0..10).collect())];
    world.lake.append(rows, wanted).await.unwrap();
    check(&world, 30).await;
    world.lake.commit(APPS, 30, world.now).await.unwrap();

    let (world, _) = world.reopened().await;
    let reopened = world.lake.open_table(APPS, Content::Activity, None, world.now).await;
    assert_eq!(reopened.unwrap(), 30);
    check(&world, 30).await;
    // Small files of the month become one when it is over.
    let later = "2026-04-02T12:00:00Z".parse().unwrap();
    let keep_from = "2026-01-01T00:00:00Z".parse().unwrap();
    assert!(world.lake.maintain(APPS, keep_from, later).await.unwrap());
    assert_eq!(world.lake.size(APPS).files, 1);
    check(&world, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_does_not_have_cannot_be_asked() {
    let world = World::new().await;
    world.lake.open_table(APPS, Content::Activity, None, world.now).await.unwrap();
    for statement in ["SELECT userIdentity.arn FROM t", "SELECT requestParameters FROM t"] {
        let tables = HashMap::from([("t".to_owned(), world.lake.readable(APPS, None).unwrap())]);
        let prepared =
            world.lake.prepare(statement.to_owned(), Vec::new(), tables, Limits::default()).await;
        assert!(matches!(prepared, Err(QueryFailure::Query(_))), "{statement}: {prepared:?}");
    }
}
