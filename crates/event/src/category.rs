//! The kinds of events, as `eventCategory` names them.

use std::fmt;

/// What `eventCategory` says. It decides which log folder or store an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    Management,
    Data,
    NetworkActivity,
    Insight,
    Aggregated,
    ActivityAuditLog,
    ConfigurationItem,
    Evidence,
}

impl Category {
    pub const ALL: [Category; 8] = [
        Category::Management,
        Category::Data,
        Category::NetworkActivity,
        Category::Insight,
        Category::Aggregated,
        Category::ActivityAuditLog,
        Category::ConfigurationItem,
        Category::Evidence,
    ];

    /// The value as written in `eventCategory`.
    pub fn name(self) -> &'static str {
        match self {
            Category::Management => "Management",
            Category::Data => "Data",
            Category::NetworkActivity => "NetworkActivity",
            Category::Insight => "Insight",
            Category::Aggregated => "Aggregated",
            Category::ActivityAuditLog => "ActivityAuditLog",
            Category::ConfigurationItem => "ConfigurationItem",
            Category::Evidence => "Evidence",
        }
    }

    /// The category with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name() == name)
    }

    /// The category that an `eventType` belongs to, where the type alone decides. The reference
    /// page prints `AwsVpceEvents`, all samples the singular: both are read.
    pub(crate) fn of_event_type(event_type: &str) -> Option<Self> {
        match event_type {
            "AwsCloudTrailInsight" => Some(Category::Insight),
            "AwsAggregatedEvent" => Some(Category::Aggregated),
            "AwsVpceEvent" | "AwsVpceEvents" => Some(Category::NetworkActivity),
            "AwsConfigurationItem" => Some(Category::ConfigurationItem),
            "AwsAuditManagerEvidence" => Some(Category::Evidence),
            "ActivityLog" => Some(Category::ActivityAuditLog),
            _ => None,
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
