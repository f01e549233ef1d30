#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::convert::Infallible;

use event::selectors::{EventSelectors, StoreClass};
use tempfile::TempDir;

use super::*;
use crate::{BillingMode, Deletion, EventDataStoreState, Ingestion};

const ACCOUNT: &str = "111122223333";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

async fn store(catalog: &Catalog, n: u128) -> String {
    let id = Uuid::from_u128(n);
    let store = EventDataStore {
        arn: format!("arn:aws:cloudtrail:us-east-1:{ACCOUNT}:eventdatastore/{id}"),
        id,
        account: ACCOUNT.to_owned(),
        name: format!("store-{n}"),
        home_region: "us-east-1".to_owned(),
        created_ms: 1,
        updated_ms: 1,
        state: EventDataStoreState {
            selectors: EventSelectors::default_for_event_data_store(),
            class: StoreClass::Activity,
            multi_region: true,
            retention_days: 7,
            billing_mode: BillingMode::ExtendableRetention,
            termination_protection: false,
            ingestion: Ingestion::Enabled { since_ms: 1 },
            deletion: Deletion::None,
            configuration: Default::default(),
            insights: None,
            federation: crate::Federation::Disabled,
            organization: None,
        },
    };
    let admit = |_: &[EventDataStore]| Ok::<_, Infallible>(());
    let Ok(()) = catalog.create_event_data_store(&store, &[], 1, admit).await.unwrap();
    store.arn
}

async fn channel(catalog: &Catalog, n: u128, destinations: &[&str]) -> Channel {
    let id = Uuid::from_u128(n);
    let channel = Channel {
        number: 0,
        arn: format!("arn:aws:cloudtrail:us-east-1:{ACCOUNT}:channel/{id}"),
        id,
        account: ACCOUNT.to_owned(),
        region: "us-east-1".to_owned(),
        name: format!("channel-{n}"),
        source: format!("source {n}"),
        destinations: destinations.iter().map(|arn| (*arn).to_owned()).collect(),
        created_ms: 1,
        updated_ms: 1,
    };
    let tags = [Tag { key: "a".to_owned(), value: "b".to_owned() }];
    let admit = |_: Beside<'_>| Ok::<_, Infallible>(());
    let Ok(()) = catalog.create_channel(&channel, &tags, admit).await.unwrap();
    catalog.channel(id).await.unwrap().unwrap()
}

async fn delete_store(catalog: &Catalog, arn: &str) -> Result<(), CatalogError> {
    let deleted = catalog.change_event_data_store(arn, 1, 2, |store, _| {
        store.state.deletion = Deletion::Pending { since_ms: 2 };
        Ok::<_, Infallible>(())
    });
    deleted.await.map(|_| ())
}

#[tokio::test]
async fn a_channel_is_kept_as_it_was_declared_and_changed() {
    let (_folder, catalog) = open().await;
    let (first, second) = (store(&catalog, 1).await, store(&catalog, 2).await);
    let made = channel(&catalog, 7, &[&second, &first]).await;
    assert_eq!(made.destinations, [second.clone(), first.clone()]);
    let changed = catalog.change_channel(ACCOUNT, &made.arn, 9, |channel, beside| {
        assert_eq!((beside.channels.len(), beside.stores.len()), (0, 2));
        channel.name = "renamed".to_owned();
        channel.destinations = vec![first.clone()];
        Ok::<_, Infallible>(())
    });
    let Ok(changed) = changed.await.unwrap().unwrap();
    let expected = Channel {
        name: "renamed".to_owned(),
        destinations: vec![first.clone()],
        updated_ms: 9,
        ..made.clone()
    };
    assert_eq!(changed, expected);
    assert_eq!(catalog.channel(made.id).await.unwrap(), Some(expected.clone()));
    let other = channel(&catalog, 8, &[&first]).await;
    assert_eq!(catalog.channels_of(ACCOUNT).await.unwrap(), [expected, other]);
    assert_eq!(catalog.channels_of("999988887777").await.unwrap(), []);
}

#[tokio::test]
async fn a_refusal_stores_nothing() {
    let (_folder, catalog) = open().await;
    let arn = store(&catalog, 1).await;
    let made = channel(&catalog, 7, &[&arn]).await;
    let refused = catalog.change_channel(ACCOUNT, &made.arn, 9, |channel, _| {
        channel.name = "x".to_owned();
        Err::<(), _>("no")
    });
    assert_eq!(refused.await.unwrap(), Some(Err("no")));
    assert_eq!(catalog.channel(made.id).await.unwrap(), Some(made.clone()));
    let of_other = catalog.change_channel("999988887777", &made.arn, 9, |_, _| Ok::<_, ()>(()));
    assert_eq!(of_other.await.unwrap(), None);
    assert!(!catalog.delete_channel("999988887777", &made.arn).await.unwrap());
}

#[tokio::test]
async fn a_destination_is_not_deleted_before_its_channel() {
    let (_folder, catalog) = open().await;
    let arn = store(&catalog, 1).await;
    let made = channel(&catalog, 7, &[&arn]).await;
    let refused = delete_store(&catalog, &arn).await;
    assert!(matches!(refused, Err(CatalogError::IsDestination(_))), "{refused:?}");
    assert!(catalog.delete_channel(ACCOUNT, &made.arn).await.unwrap());
    assert_eq!(catalog.tags(&made.arn).await.unwrap(), []);
    delete_store(&catalog, &arn).await.unwrap();
}

#[tokio::test]
async fn of_two_changes_at_once_both_stay() {
    let (_folder, catalog) = open().await;
    let arn = store(&catalog, 1).await;
    let made = channel(&catalog, 7, &[&arn]).await;
    let changes = (0..20).map(|n| {
        let (catalog, arn) = (catalog.clone(), made.arn.clone());
        tokio::spawn(async move {
            let changed = catalog.change_channel(ACCOUNT, &arn, 9, |channel, _| {
                channel.name.push_str(&format!(".{n}"));
                Ok::<_, Infallible>(())
            });
            changed.await.unwrap().unwrap()
        })
    });
    for change in changes.collect::<Vec<_>>() {
        let Ok(_) = change.await.unwrap();
    }
    let name = catalog.channel(made.id).await.unwrap().unwrap().name;
    let mut parts: Vec<&str> = name.split('.').skip(1).collect();
    parts.sort_unstable_by_key(|part| part.parse::<u32>().unwrap());
    assert_eq!(parts, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_latest_puts_are_remembered_and_go_with_the_channel() {
    let (_folder, catalog) = open().await;
    let arn = store(&catalog, 1).await;
    let made = channel(&catalog, 7, &[&arn]).await;
    let attempt = |n: i64| Some(Attempt { at_ms: n, event_id: n.to_string() });
    let good = |n| Ingestions { attempt: attempt(n), success: attempt(n), error_code: None };
    let bad = |n| Ingestions {
        attempt: attempt(n),
        success: None,
        error_code: Some("InvalidData".to_owned()),
    };
    let gone = format!("{}x", made.arn);
    for latest in [good(1), bad(2)] {
        let latest = [(made.arn.clone(), latest.clone()), (gone.clone(), latest)];
        catalog.note_channel_ingestions(&latest).await.unwrap();
    }
    let expected = Ingestions { success: attempt(1), ..bad(2) };
    assert_eq!(catalog.channel_ingestions(&made.arn).await.unwrap(), expected);
    assert_eq!(catalog.channel_ingestions(&gone).await.unwrap(), Ingestions::default());
    catalog.note_channel_ingestions(&[(made.arn.clone(), good(3))]).await.unwrap();
    assert_eq!(catalog.channel_ingestions(&made.arn).await.unwrap(), good(3));
    assert!(catalog.delete_channel(ACCOUNT, &made.arn).await.unwrap());
    assert_eq!(catalog.channel_ingestions(&made.arn).await.unwrap(), Ingestions::default());
}
