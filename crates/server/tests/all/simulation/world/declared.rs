//! What a world's trails were told, what was posted, and what the trails therefore owe.

use std::collections::BTreeSet;

use catalog::{Chain, Logging, Trail, TrailSettings, TrailState, TrailStatus};
use event::AccountId;
use event::selectors::EventSelectors;
use jiff::Timestamp;
use server::intake;

use super::{HOME, TENANT, World};
use crate::simulation::checker::inflated;
use crate::simulation::store::Object;

/// A trail as it was declared, and what it owes.
#[derive(Debug, Clone)]
pub struct Declared {
    pub name: String,
    pub arn: String,
    pub state: TrailState,
    /// Events accepted while it logged.
    pub must: BTreeSet<String>,
    /// Events it may deliver: not acknowledged, or late ones around a stop.
    pub may: BTreeSet<String>,
}

impl Declared {
    /// What was accepted so far may be lost.
    pub fn forgive(&mut self) {
        self.may.append(&mut self.must);
    }
}

impl World {
    pub async fn create(&mut self, name: &str, bucket: &str) {
        let arn = format!("arn:aws:cloudtrail:{HOME}:{TENANT}:trail/{name}");
        let state = TrailState {
            settings: TrailSettings {
                s3_bucket_name: bucket.to_owned(),
                s3_key_prefix: None,
                include_global_service_events: true,
                is_multi_region_trail: true,
                log_file_validation_enabled: true,
                recursive_logging: true,
                organization: None,
            },
            selectors: EventSelectors::default_for_trail(),
            has_custom_selectors: false,
            logging: Logging::Never,
            deleted: false,
            insight_selectors: Vec::new(),
            aggregation: Vec::new(),
        };
        let trail = Trail {
            arn: arn.clone(),
            account: TENANT.to_owned(),
            name: name.to_owned(),
            home_region: HOME.to_owned(),
            created_ms: self.now().as_millisecond(),
            state: state.clone(),
        };
        let from_seq = self.node().journal.next_seq();
        let admit = |_: &[Trail]| Ok::<_, std::convert::Infallible>(());
        let Ok(()) = self.node().catalog.create_trail(&trail, &[], from_seq, admit).await.unwrap();
        self.node().trails_changed();
        match self.trails.iter_mut().find(|trail| trail.arn == arn) {
            Some(again) => again.state = state,
            None => self.trails.push(Declared {
                name: name.to_owned(),
                arn,
                state,
                must: BTreeSet::new(),
                may: BTreeSet::new(),
            }),
        }
    }

    /// Changes a trail as the operations do.
    pub async fn change(&mut self, name: &str, change: impl Fn(&mut TrailState)) {
        let from_seq = self.node().journal.next_seq();
        let now_ms = self.now().as_millisecond();
        let arn = self.trail(name).arn.clone();
        let next = |trail: &Trail| {
            let mut state = trail.state.clone();
            change(&mut state);
            Ok::<_, std::convert::Infallible>(state)
        };
        let changed = self.node().catalog.change_trail(&arn, from_seq, now_ms, next).await;
        let Ok(trail) = changed.unwrap();
        self.node().trails_changed();
        self.trail_mut(name).state = trail.state;
    }

    pub async fn start(&mut self, name: &str) {
        let since_ms = self.now().as_millisecond();
        self.change(name, |state| {
            state.logging = match state.logging {
                Logging::Never => Logging::Active { since_ms, stopped_before_ms: None },
                Logging::Stopped { since_ms: stopped, .. } => {
                    Logging::Active { since_ms, stopped_before_ms: Some(stopped) }
                }
                active => active,
            };
        })
        .await;
    }

    pub async fn stop(&mut self, name: &str) {
        let now_ms = self.now().as_millisecond();
        self.change(name, |state| state.logging = stopped(state.logging, now_ms)).await;
    }

    pub async fn delete(&mut self, name: &str) {
        let now_ms = self.now().as_millisecond();
        self.change(name, |state| {
            state.logging = stopped(state.logging, now_ms);
            state.deleted = true;
        })
        .await;
    }

    pub async fn set_bucket(&mut self, name: &str, bucket: &str) {
        self.change(name, |state| state.settings.s3_bucket_name = bucket.to_owned()).await;
    }

    pub fn trail(&self, name: &str) -> &Declared {
        self.trails.iter().find(|trail| trail.name == name).expect("a trail's name")
    }

    pub fn trail_mut(&mut self, name: &str) -> &mut Declared {
        self.trails.iter_mut().find(|trail| trail.name == name).expect("a trail's name")
    }

    pub async fn chains(&self) -> Vec<Chain> {
        self.node().catalog.chains().await.unwrap()
    }

    pub async fn status(&self, name: &str) -> TrailStatus {
        self.node().catalog.trail_status(&self.trail(name).arn, HOME).await.unwrap()
    }

    // --- events

    /// Posts events that happen now. Says whether they were acknowledged.
    pub async fn post(&mut self, count: u64, account: &str, region: &str) -> bool {
        let now = self.now();
        let (body, ids) = self.events(count, account, region, now);
        let tenant = AccountId::parse(TENANT).unwrap();
        let checked = intake::check(body.as_bytes(), &tenant, now, &self.node().settings);
        assert_eq!(checked.refused, 0, "{:?}", checked.refusals);
        let outcome = intake::accept(&self.node().journal, checked).await;
        let accepted = outcome.ok().and_then(|posted| posted.accepted);
        let grace_ms = self.node().late_grace_ms();
        for trail in &mut self.trails {
            let late = is_late(trail.state.logging, now, grace_ms);
            let active = trail.state.logging.is_active() && !trail.state.deleted;
            match active {
                true if accepted.is_some() => trail.must.extend(ids.iter().cloned()),
                true => trail.may.extend(ids.iter().cloned()),
                false if late => trail.may.extend(ids.iter().cloned()),
                false => {}
            }
        }
        if let Some(accepted) = accepted {
            self.entries.extend((accepted.first_seq..).zip(ids));
        }
        accepted.is_some()
    }

    /// Posts events that happened before now, and which the trail owes all the same.
    pub async fn post_late(&mut self, name: &str, count: u64, region: &str, happened: Timestamp) {
        let (body, ids) = self.events(count, TENANT, region, happened);
        let tenant = AccountId::parse(TENANT).unwrap();
        let checked = intake::check(body.as_bytes(), &tenant, self.now(), &self.node().settings);
        let posted = intake::accept(&self.node().journal, checked).await.unwrap();
        self.entries.extend((posted.accepted.unwrap().first_seq..).zip(ids.iter().cloned()));
        self.trail_mut(name).must.extend(ids);
    }

    /// Events in the log files of a bucket, counted as often as they are there.
    pub fn delivered_events(&self, bucket: &str) -> usize {
        let objects = self.store.objects(bucket).into_iter();
        objects.filter(|(key, _)| !key.contains("Digest")).map(|(_, object)| ids_in(&object)).sum()
    }

    /// The ids of the last events that were made.
    pub fn newest_ids(&self, count: u64) -> Vec<String> {
        (self.posted - count + 1..=self.posted).map(id_of).collect()
    }

    fn events(
        &mut self,
        count: u64,
        account: &str,
        region: &str,
        happened: Timestamp,
    ) -> (String, Vec<String>) {
        let happened = happened.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (mut body, mut ids) = (String::new(), Vec::new());
        for _ in 0..count {
            self.posted += 1;
            let id = id_of(self.posted);
            let event = serde_json::json!({
                "eventVersion": "1.11",
                "userIdentity": {"type": "IAMUser", "accountId": account, "userName": "sim"},
                "eventTime": happened,
                "eventSource": "s3.amazonaws.com",
                "eventName": "CreateBucket",
                "awsRegion": region,
                "sourceIPAddress": "192.0.2.1",
                "userAgent": "simulation",
                "eventID": id,
                "readOnly": false,
                "eventType": "AwsApiCall",
                "managementEvent": true,
                "recipientAccountId": account,
                "eventCategory": "Management",
            });
            body.push_str(&event.to_string());
            body.push('\n');
            ids.push(id);
        }
        (body, ids)
    }
}

fn id_of(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn stopped(logging: Logging, now_ms: i64) -> Logging {
    match logging {
        Logging::Active { since_ms, .. } => {
            Logging::Stopped { started_ms: since_ms, since_ms: now_ms }
        }
        other => other,
    }
}

/// Could an event of this moment be taken for one from before the stop that arrives late?
fn is_late(logging: Logging, now: Timestamp, grace_ms: i64) -> bool {
    let Logging::Stopped { since_ms, .. } = logging else { return false };
    now.as_second() * 1000 < since_ms && now.as_millisecond() < since_ms + grace_ms
}

fn ids_in(file: &Object) -> usize {
    let json: serde_json::Value = serde_json::from_slice(&inflated(&file.bytes)).unwrap();
    json["Records"].as_array().unwrap().len()
}
