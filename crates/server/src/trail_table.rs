//! Which trails want an event: every state of every trail, with its selectors ready to match.
//!
//! An organization trail wants those of the organization's members too. States and members are chosen
//! by sequence number, not by the time of asking, so that reading the journal
//! again after a crash gives the same answer as the first time.

use std::collections::HashMap;

use catalog::{Logging, TrailState, TrailVersion};
use event::selectors::Matcher;
use event::{AccountId, Header, Region};

use crate::entry::EntryHead;
use crate::memberships::Memberships;

#[derive(Debug, Default)]
pub struct TrailTable {
    by_account: HashMap<String, Vec<Trail>>,
    /// Whose trails may want the events of an organization's members: its management account.
    by_organization: HashMap<String, String>,
    memberships: Memberships,
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
    pub fn new(versions: Vec<TrailVersion>, memberships: Memberships) -> TrailTable {
        let mut by_account: HashMap<String, Vec<Trail>> = HashMap::new();
        let mut by_organization = HashMap::new();
        for version in versions {
            if let Some(organization) = &version.state.settings.organization {
                by_organization.insert(organization.clone(), version.account.clone());
            }
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
        TrailTable { by_account, by_organization, memberships }
    }

    /// The first entry from which on a trail that sums data events up has done so without a break;
    /// `None` when none does.
    pub fn aggregates_from(&self) -> Option<u64> {
        let since = |trail: &Trail| {
            let newest_first = trail.states.iter().rev();
            newest_first
                .take_while(|(_, state, _)| !state.deleted && !state.aggregation.is_empty())
                .last()
                .map(|(from_seq, ..)| *from_seq)
        };
        self.by_account.values().flatten().filter_map(since).min()
    }

    /// The first entry of the newest known state of any trail.
    pub fn newest_from_seq(&self) -> u64 {
        let states = self.by_account.values().flatten().flat_map(|trail| &trail.states);
        states.map(|(from_seq, ..)| *from_seq).max().unwrap_or(0)
    }

    /// Whether there is any trail at all that may want the tenant's events.
    pub fn has_trails(&self, tenant: &AccountId) -> bool {
        let mut organizations = self.memberships.organizations_of(tenant.as_str());
        self.by_account.contains_key(tenant.as_str())
            || organizations.any(|id| self.by_organization.contains_key(id))
    }

    /// The trails of the tenant, and of the organization that it was in, that want this event, each with
    /// the state that held at `seq`.
    pub fn wanting<'t>(
        &'t self,
        head: &EntryHead,
        seq: u64,
        header: &Header<'_>,
        region: &Region,
        late_grace_ms: i64,
    ) -> Vec<(&'t Trail, &'t TrailState)> {
        let tenant = head.tenant.as_str();
        let organization = self.memberships.organization_at(tenant, seq);
        let management = organization.and_then(|id| self.by_organization.get(id));
        // The management account's own trails are among its own, whatever they take besides.
        let management = management.filter(|account| *account != tenant);
        let of = |account: &str| self.by_account.get(account).into_iter().flatten();
        let own = of(tenant).map(|trail| (trail, true));
        let shared = management.into_iter().flat_map(|account| of(account));
        let mut wanting = Vec::new();
        for (trail, is_own) in own.chain(shared.map(|trail| (trail, false))) {
            let Some((_, state, matcher)) =
                trail.states.iter().rev().find(|(from, ..)| *from <= seq)
            else {
                continue;
            };
            if (is_own || state.settings.organization.as_deref() == organization)
                && takes(state, head, header, late_grace_ms)
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
