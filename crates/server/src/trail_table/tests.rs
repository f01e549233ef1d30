use catalog::TrailSettings;
use event::selectors::{EventSelector, EventSelectors};
use event::{AccountId, Limits, check as check_record};
use jiff::Timestamp;

use super::*;

const OWN: &str = "111122223333";
const OTHER: &str = "444455556666";
const GRACE_MS: i64 = 10_000;
/// When the trails here start to log, and when those that stop do.
const STARTED: &str = "2026-01-02T12:00:00.700Z";
const STOPPED: &str = "2026-01-02T13:00:00.700Z";

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

/// A state of a trail at home in us-east-1 that logs everything there from journal entry 1 on.
fn logging(name: &str) -> TrailVersion {
    TrailVersion {
        arn: format!("arn:aws:cloudtrail:us-east-1:{OWN}:trail/{name}"),
        account: OWN.to_owned(),
        name: name.to_owned(),
        home_region: "us-east-1".to_owned(),
        from_seq: 1,
        changed_ms: ms(STARTED),
        state: TrailState {
            settings: TrailSettings {
                s3_bucket_name: "logs".to_owned(),
                s3_key_prefix: None,
                include_global_service_events: true,
                is_multi_region_trail: false,
                log_file_validation_enabled: false,
                recursive_logging: true,
                organization: None,
            },
            selectors: EventSelectors::default_for_trail(),
            has_custom_selectors: false,
            logging: Logging::Active { since_ms: ms(STARTED), stopped_before_ms: None },
            deleted: false,
            insight_selectors: Vec::new(),
            aggregation: Vec::new(),
        },
    }
}

/// The same trail from another entry on, changed.
fn then(
    before: &TrailVersion,
    from_seq: u64,
    change: impl FnOnce(&mut TrailState),
) -> TrailVersion {
    let mut version = TrailVersion { from_seq, ..before.clone() };
    change(&mut version.state);
    version
}

fn stop(state: &mut TrailState) {
    state.logging = Logging::Stopped { started_ms: ms(STARTED), since_ms: ms(STOPPED) };
}

/// An event of the account, in us-east-1, accepted at once as entry 5 while all trails log.
#[derive(Clone)]
struct Event {
    tenant: &'static str,
    region: &'static str,
    source: &'static str,
    read_only: bool,
    time: &'static str,
    accepted: &'static str,
    seq: u64,
}

const EVENT: Event = Event {
    tenant: OWN,
    region: "us-east-1",
    source: "ec2.amazonaws.com",
    read_only: false,
    time: "2026-01-02T12:30:00Z",
    accepted: "2026-01-02T12:30:00.100Z",
    seq: 5,
};

fn record_of(event: &Event) -> String {
    serde_json::json!({
        "eventVersion": "1.11",
        "userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"},
        "eventTime": event.time,
        "eventSource": event.source,
        "eventName": "Something",
        "awsRegion": event.region,
        "eventID": "6c0d5b7e-0ea5-4c8c-9e0b-5a3a1f6e0d11",
        "eventType": "AwsApiCall",
        "readOnly": event.read_only,
        "managementEvent": true,
        "eventCategory": "Management",
        "recipientAccountId": event.tenant,
    })
    .to_string()
}

/// Which trails take the event, by name.
#[track_caller]
fn check(versions: &[TrailVersion], event: &Event, expected: &[&str]) {
    let record = record_of(event);
    let header = check_record(record.as_bytes(), &Limits::default()).unwrap();
    let head = EntryHead {
        origin: crate::entry::Origin::Intake,
        accepted_ms: ms(event.accepted),
        tenant: AccountId::parse(event.tenant).unwrap(),
    };
    let region = Region::parse(event.region).unwrap();
    let table = TrailTable::new(versions.to_vec(), Memberships::default());
    let wanting = table.wanting(&head, event.seq, &header, &region, GRACE_MS);
    let names: Vec<&str> =
        wanting.iter().map(|(trail, _)| trail.arn.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, expected);
}

#[test]
fn an_event_goes_to_every_trail_of_its_account_that_logs() {
    let mut never = logging("never");
    never.state.logging = Logging::Never;
    let versions = [logging("a"), logging("b"), never];
    check(&versions, &EVENT, &["a", "b"]);
    check(&versions, &Event { tenant: OTHER, ..EVENT }, &[]);
    check(&[], &EVENT, &[]);
}

#[test]
fn other_regions_are_for_multi_region_trails_only() {
    let mut everywhere = logging("everywhere");
    everywhere.state.settings.is_multi_region_trail = true;
    let versions = [everywhere, logging("here")];
    check(&versions, &EVENT, &["everywhere", "here"]);
    check(&versions, &Event { region: "eu-west-1", ..EVENT }, &["everywhere"]);
}

#[test]
fn global_services_are_left_out_where_they_are_recorded() {
    let mut plain = logging("plain");
    plain.state.settings.include_global_service_events = false;
    for source in GLOBAL_SERVICES {
        check(std::slice::from_ref(&plain), &Event { source, ..EVENT }, &[]);
    }
    check(std::slice::from_ref(&plain), &EVENT, &["plain"]);

    // A call to a Region's own STS endpoint is an event of that Region.
    let mut abroad = TrailVersion { home_region: "eu-west-1".to_owned(), ..plain };
    abroad.arn = abroad.arn.replace("us-east-1", "eu-west-1");
    let regional = Event { region: "eu-west-1", source: "sts.amazonaws.com", ..EVENT };
    check(&[abroad], &regional, &["plain"]);
}

#[test]
fn selectors_decide_last() {
    let mut writes = logging("writes");
    writes.state.selectors = EventSelectors::Basic(vec![EventSelector {
        read_write_type: "WriteOnly".to_owned(),
        ..EventSelector::default()
    }]);
    let versions = [logging("all"), writes];
    check(&versions, &EVENT, &["all", "writes"]);
    check(&versions, &Event { read_only: true, ..EVENT }, &["all"]);
}

#[test]
fn the_state_at_the_entrys_number_counts_whenever_it_is_read() {
    let first = logging("audit");
    let versions = [
        TrailVersion { from_seq: 10, ..first.clone() },
        then(&first, 20, |state| state.settings.is_multi_region_trail = true),
        then(&first, 30, |state| state.logging = Logging::Never),
    ];
    let abroad = Event { region: "eu-west-1", ..EVENT };
    // Not in order: a reader starts again at an earlier entry after a crash.
    for (seq, here, there) in [
        (9, false, false),
        (30, false, false),
        (10, true, false),
        (19, true, false),
        (20, true, true),
        (29, true, true),
        (u64::MAX, false, false),
        (10, true, false),
    ] {
        let names = |takes: bool| if takes { &["audit"][..] } else { &[] };
        check(&versions, &Event { seq, ..EVENT.clone() }, names(here));
        check(&versions, &Event { seq, ..abroad.clone() }, names(there));
    }
}

#[test]
fn changes_at_one_entry_leave_the_last_one() {
    let first = logging("audit");
    let versions = [first.clone(), then(&first, 1, |state| state.logging = Logging::Never)];
    check(&versions, &EVENT, &[]);
}

/// The trail logs until entry 4; these come after it.
#[test]
fn after_a_stop_only_what_happened_before_and_comes_soon_is_taken() {
    let first = logging("audit");
    for change in [stop as fn(&mut TrailState), |state| {
        stop(state);
        state.deleted = true;
    }] {
        let versions = [first.clone(), then(&first, 4, change)];
        for (time, accepted, taken) in [
            // happened               came
            ("2026-01-02T12:30:00Z", "2026-01-02T13:00:01Z", true),
            ("2026-01-02T12:30:00Z", "2026-01-02T13:00:10.699Z", true),
            ("2026-01-02T12:30:00Z", "2026-01-02T13:00:10.700Z", false),
            // Within the second of the stop: event times are whole seconds.
            ("2026-01-02T13:00:00Z", "2026-01-02T13:00:01Z", true),
            ("2026-01-02T13:00:01Z", "2026-01-02T13:00:01Z", false),
            // Within the second of the start, and before it.
            ("2026-01-02T12:00:00Z", "2026-01-02T13:00:01Z", true),
            ("2026-01-02T11:59:59Z", "2026-01-02T13:00:01Z", false),
        ] {
            let expected = if taken { &["audit"][..] } else { &[] };
            check(&versions, &Event { time, accepted, ..EVENT }, expected);
        }
    }
}

#[test]
fn what_was_accepted_before_the_stop_is_taken_however_late_it_is_read() {
    let first = logging("audit");
    let versions = [first.clone(), then(&first, 6, stop)];
    check(&versions, &EVENT, &["audit"]);
}

#[test]
fn a_trail_made_again_under_its_name_begins_anew() {
    let first = logging("audit");
    let deleted = then(&first, 4, |state| {
        stop(state);
        state.deleted = true;
    });
    let again = then(&first, 5, |state| state.logging = Logging::Never);
    let started = then(&first, 6, |_| {});
    let versions = [first, deleted, again, started];
    let late = Event { accepted: "2026-01-02T13:00:01Z", ..EVENT };
    for (seq, expected) in
        [(3, &["audit"][..]), (4, &["audit"]), (5, &[]), (6, &["audit"]), (7, &["audit"])]
    {
        check(&versions, &Event { seq, ..late.clone() }, expected);
    }
}

#[test]
fn an_organization_trail_takes_what_accounts_do_while_they_are_members() {
    let mut all = logging("all");
    all.state.settings.organization = Some("o-a".to_owned());
    let versions =
        [all.clone(), then(&all, 9, |state| state.settings.organization = None), logging("own")];
    let span = |account: &str, from_seq, until_seq| catalog::Membership {
        organization: "o-a".to_owned(),
        account: account.to_owned(),
        from_seq,
        until_seq,
        joined_ms: 0,
        delegated_ms: None,
    };
    let memberships = vec![span(OWN, 1, None), span(OTHER, 4, Some(6)), span(OTHER, 8, None)];
    let table = TrailTable::new(versions.to_vec(), Memberships::new(memberships));
    let wanted = |tenant: &'static str, seq: u64| -> Vec<String> {
        let record = record_of(&Event { tenant, ..EVENT });
        let header = check_record(record.as_bytes(), &Limits::default()).unwrap();
        let head = EntryHead {
            origin: crate::entry::Origin::Intake,
            accepted_ms: ms(EVENT.accepted),
            tenant: AccountId::parse(tenant).unwrap(),
        };
        let region = Region::parse(EVENT.region).unwrap();
        let wanting = table.wanting(&head, seq, &header, &region, GRACE_MS);
        wanting.iter().map(|(trail, _)| trail.arn.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let of_other: Vec<bool> = (3..=9).map(|seq| wanted(OTHER, seq) == ["all"]).collect();
    assert_eq!(of_other, [false, true, true, false, false, true, false]);
    assert!((3..=9).all(|seq| wanted(OWN, seq) == ["all", "own"]));
    assert!(wanted("777788889999", 5).is_empty());
    assert!(table.has_trails(&AccountId::parse(OTHER).unwrap()));
    assert!(!table.has_trails(&AccountId::parse("777788889999").unwrap()));
}
