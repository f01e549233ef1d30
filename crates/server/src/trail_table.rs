//! Which trails want an event: every state of every trail, with its selectors ready to match.
//!
//! States are chosen by sequence number, not by the time of asking, so that reading the journal
//! again after a crash gives the same answer as the first time.

use std::collections::HashMap;

use catalog::{Logging, TrailState, TrailVersion};
use event::selectors::Matcher;
use event::{AccountId, Header, Region};

use crate::entry::EntryHead;

#[derive(Debug, Default)]
pub struct TrailTable {
    by_account: HashMap<String, Vec<Trail>>,
}

#[derive(Debug)]
pub struct Trail {
    pub arn: String,
    pub home_region: String,
    /// Oldest first.
    states: Vec<(u64, TrailState, Matcher)>,
}

#[cfg(test)]
mod tests;

const GLOBAL_REGION: &str = "us-east-1";
/// Services whose events are recorded once, in us-east-1 (spec a.4).
const GLOBAL_SERVICES: [&str; 5] = [
    "iam.amazonaws.com",
    "sts.amazonaws.com",
    "cloudfront.amazonaws.com",
    "route53.amazonaws.com",
    "organizations.amazonaws.com",
];

impl TrailTable {
    /// `versions` as the catalog gives them: grouped by trail, oldest first.
    pub fn new(versions: Vec<TrailVersion>) -> TrailTable {
        let mut by_account: HashMap<String, Vec<Trail>> = HashMap::new();
        for version in versions {
            let trails = by_account.entry(version.account).or_default();
            let matcher = version.state.selectors.compile();
            let state = (version.from_seq, version.state, matcher);
            match trails.last_mut() {
                Some(trail) if trail.arn == version.arn => trail.states.push(state),
                _ => trails.push(Trail {
                    arn: version.arn,
                    home_region: version.home_region,
                    states: vec![state],
                }),
            }
        }
        TrailTable { by_account }
    }

    /// Whether the tenant has any trail at all.
    pub fn has_trails(&self, tenant: &AccountId) -> bool {
        self.by_account.contains_key(tenant.as_str())
    }

    /// The tenant's trails that want this event, each with the state that held at `seq`.
    pub fn wanting<'t>(
        &'t self,
        head: &EntryHead,
        seq: u64,
        header: &Header<'_>,
        region: &Region,
        late_grace_ms: i64,
    ) -> Vec<(&'t Trail, &'t TrailState)> {
        let Some(trails) = self.by_account.get(head.tenant.as_str()) else { return Vec::new() };
        let mut wanting = Vec::new();
        for trail in trails {
            let Some((_, state, matcher)) =
                trail.states.iter().rev().find(|(from, ..)| *from <= seq)
            else {
                continue;
            };
            if takes(state, head, header, late_grace_ms)
                && trail.covers(state, header, region)
                && matcher.matches(header)
            {
                wanting.push((trail, state));
            }
        }
        wanting
    }
}

impl Trail {
    fn covers(&self, state: &TrailState, header: &Header<'_>, region: &Region) -> bool {
        let settings = &state.settings;
        if !settings.is_multi_region_trail && region.as_str() != self.home_region {
            return false;
        }
        // The same service's calls in another Region, such as STS has them, are that Region's own.
        settings.include_global_service_events
            || region.as_str() != GLOBAL_REGION
            || !GLOBAL_SERVICES.contains(&&*header.event_source.to_str())
    }
}

/// A stopped trail still takes what happened while it logged and arrived a little late (spec D 15).
fn takes(state: &TrailState, head: &EntryHead, header: &Header<'_>, late_grace_ms: i64) -> bool {
    match state.logging {
        Logging::Never => false,
        Logging::Active { .. } => !state.deleted,
        Logging::Stopped { started_ms, since_ms } => {
            let happened_ms = header.event_time.as_millisecond();
            // Event times are whole seconds: the second of the stop itself counts as before it.
            happened_ms + 999 >= started_ms
                && happened_ms < since_ms
                && head.accepted_ms < since_ms + late_grace_ms
        }
    }
}
