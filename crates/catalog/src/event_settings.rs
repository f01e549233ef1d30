//! What trails and event data stores are told about their events beside selectors: Insights, how
//! large events may be, what is summed up, who else may read. Parts of their states.

use event::context::ContextKeySelector;
use serde::{Deserialize, Serialize};

/// One Insights type, with the categories it watches. As JSON it is the API's own member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightSelector {
    pub insight_type: InsightType,
    /// As they were put. Empty: management events (API reference, PutInsightSelectors); then answers do
    /// not have the member either, which older clients do not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_categories: Vec<SourceCategory>,
}

impl InsightSelector {
    /// The categories that are watched.
    pub fn watched(&self) -> &[SourceCategory] {
        match self.event_categories.as_slice() {
            [] => &[SourceCategory::Management],
            named => named,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InsightType {
    ApiCallRateInsight,
    ApiErrorRateInsight,
}

/// The events that an Insights type watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceCategory {
    Management,
    Data,
}

/// Insights of an event data store: what it watches, and where Insights events go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInsights {
    /// Never empty.
    pub selectors: Vec<InsightSelector>,
    /// The ARN of an event data store of Insights events, of the same account and Region.
    pub destination: String,
}

/// The event configuration of an event data store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventConfiguration {
    pub max_event_size: MaxEventSize,
    pub context_keys: Vec<ContextKeySelector>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaxEventSize {
    /// 256 KB.
    #[default]
    Standard,
    /// 1 MB.
    Large,
}

/// By what the data events of a trail are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AggregationTemplate {
    ApiActivity,
    ResourceAccess,
    UserActions,
}

/// Whether other engines are told where an event data store's table lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Federation {
    #[default]
    Disabled,
    /// Asked for; not yet in the listing of tables.
    Enabling {
        role_arn: String,
    },
    Enabled {
        role_arn: String,
    },
    /// Still in the listing.
    Disabling,
}

impl Federation {
    /// The role, while the store is federated or is about to be.
    pub fn role_arn(&self) -> Option<&str> {
        match self {
            Federation::Enabling { role_arn } | Federation::Enabled { role_arn } => Some(role_arn),
            Federation::Disabled | Federation::Disabling => None,
        }
    }
}
