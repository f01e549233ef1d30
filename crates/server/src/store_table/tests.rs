use catalog::{BillingMode, Ingestion};
use event::AccountId;
use event::selectors::{EventSelectors, StoreClass};
use uuid::Uuid;

use super::*;
use crate::entry::Origin;

const OWN: &str = "111122223333";
/// In the organization from entry 2 to 3.
const MEMBER: &str = "222233334444";
const NONE: [u64; 0] = [];

fn state() -> EventDataStoreState {
    EventDataStoreState {
        selectors: EventSelectors::default_for_event_data_store(),
        class: StoreClass::Events,
        multi_region: false,
        retention_days: 366,
        billing_mode: BillingMode::ExtendableRetention,
        termination_protection: true,
        ingestion: Ingestion::Enabled { since_ms: 0 },
        deletion: Deletion::None,
        configuration: catalog::EventConfiguration::default(),
        insights: None,
        federation: catalog::Federation::Disabled,
        organization: None,
    }
}

fn version(from_seq: u64, state: EventDataStoreState) -> EventDataStoreVersion {
    let id = Uuid::from_u128(1);
    EventDataStoreVersion {
        arn: format!("arn:aws:cloudtrail:us-east-1:{OWN}:eventdatastore/{id}"),
        id,
        account: OWN.to_owned(),
        home_region: "us-east-1".to_owned(),
        from_seq,
        state,
    }
}

/// The numbers from 1 to 5 at which such an event is wanted.
fn wanted(
    versions: &[EventDataStoreVersion],
    tenant: &str,
    region: &str,
    category: &str,
) -> Vec<u64> {
    let member = catalog::Membership {
        organization: "o-a".to_owned(),
        account: MEMBER.to_owned(),
        from_seq: 2,
        until_seq: Some(4),
        joined_ms: 0,
        delegated_ms: None,
    };
    let table = StoreTable::new(versions.to_vec(), Memberships::new(vec![member]));
    let record = serde_json::json!({
        "eventTime": "2026-01-02T03:04:05Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": region,
        "eventCategory": category,
    })
    .to_string();
    let header = event::check(record.as_bytes(), &event::Limits::default()).unwrap();
    let tenant = AccountId::parse(tenant).unwrap();
    let head = EntryHead { origin: Origin::Intake, accepted_ms: 0, tenant };
    let region = Region::parse(region).unwrap();
    let store = table.get(&TableName::of_store(&Uuid::from_u128(1)));
    let wants =
        |seq| store.is_some_and(|store| table.wants(store, &head, seq, &header, &region).is_some());
    (1..=5).filter(|seq| wants(*seq)).collect()
}

#[test]
fn a_store_wants_what_its_state_at_the_entry_selects() {
    let stopped = EventDataStoreState { ingestion: Ingestion::Stopped { since_ms: 0 }, ..state() };
    let pending = EventDataStoreState { deletion: Deletion::Pending { since_ms: 0 }, ..state() };
    let versions =
        [version(2, state()), version(3, stopped), version(4, state()), version(5, pending)];
    assert_eq!(wanted(&versions, OWN, "us-east-1", "Management"), [2, 4]);
    assert_eq!(wanted(&versions, OWN, "us-east-1", "Data"), NONE);
    assert_eq!(wanted(&versions, "444455556666", "us-east-1", "Management"), NONE);
}

#[test]
fn other_regions_go_into_multi_region_stores_only() {
    let everywhere = EventDataStoreState { multi_region: true, ..state() };
    let versions = [version(1, state()), version(4, everywhere)];
    assert_eq!(wanted(&versions, OWN, "eu-west-1", "Management"), [4, 5]);
    assert_eq!(wanted(&versions, OWN, "us-east-1", "Management"), [1, 2, 3, 4, 5]);
}

#[test]
fn nothing_goes_into_a_store_that_is_being_removed_also_not_what_it_wanted_once() {
    let removing = EventDataStoreState { deletion: Deletion::Removing, ..state() };
    assert_eq!(
        wanted(&[version(1, state()), version(5, removing)], OWN, "us-east-1", "Management"),
        NONE
    );
}

#[test]
fn an_organization_s_store_wants_what_members_do_while_they_are_in_it() {
    let shared = EventDataStoreState { organization: Some("o-a".to_owned()), ..state() };
    let other = EventDataStoreState { organization: Some("o-b".to_owned()), ..state() };
    let versions = [version(1, shared.clone()), version(3, state())];
    assert_eq!(wanted(&[version(1, shared)], MEMBER, "us-east-1", "Management"), [2, 3]);
    assert_eq!(wanted(&versions, MEMBER, "us-east-1", "Management"), [2]);
    assert_eq!(wanted(&versions, OWN, "us-east-1", "Management"), [1, 2, 3, 4, 5]);
    assert_eq!(wanted(&[version(1, other)], MEMBER, "us-east-1", "Management"), NONE);
}
