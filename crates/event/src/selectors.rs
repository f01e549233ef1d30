//! Which events a trail or an event data store wants: basic and advanced event selectors.
//!
//! ```text
//!   JSON of the API ──serde──▶ EventSelectors ──validate_for_…──▶ stored, echoed as it came
//!                                   │ compile
//!                                   ▼
//!                 Matcher: selectors OR ─ fields AND ─ positive operators OR, negative ones AND
//! ```
//!
//! An absent field fails every positive operator and passes every negative one.

mod matcher;
mod validate;

use serde::{Deserialize, Deserializer, Serialize};

pub use matcher::Matcher;
pub use validate::InvalidSelectors;

use crate::Category;

/// The selectors of a trail: one kind or the other, never both. As JSON it is the API's own member,
/// `{"EventSelectors":[…]}` or `{"AdvancedEventSelectors":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventSelectors {
    #[serde(rename = "EventSelectors")]
    Basic(Vec<EventSelector>),
    #[serde(rename = "AdvancedEventSelectors")]
    Advanced(Vec<AdvancedEventSelector>),
}

/// A basic selector. Absent and null members take the API's defaults, and all are written out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSelector {
    /// `All`, `ReadOnly` or `WriteOnly`; text, so that a wrong value can be named in the answer.
    #[serde(default = "all", deserialize_with = "all_if_null")]
    pub read_write_type: String,
    #[serde(default = "yes", deserialize_with = "yes_if_null")]
    pub include_management_events: bool,
    #[serde(default, deserialize_with = "empty_if_null")]
    pub data_resources: Vec<DataResource>,
    #[serde(default, deserialize_with = "empty_if_null")]
    pub exclude_management_event_sources: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataResource {
    /// `AWS::S3::Object`, `AWS::Lambda::Function` or `AWS::DynamoDB::Table`.
    #[serde(default, deserialize_with = "empty_if_null")]
    pub r#type: String,
    #[serde(default, deserialize_with = "empty_if_null")]
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AdvancedEventSelector {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "empty_if_null")]
    pub field_selectors: Vec<AdvancedFieldSelector>,
}

/// Conditions on one field. An operator that was not sent is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AdvancedFieldSelector {
    pub field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_with: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_starts_with: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ends_with: Option<Vec<String>>,
}

/// What an event data store holds. Which it is follows from its selectors, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreClass {
    /// Management, data and network activity events.
    Events,
    Insights,
    ConfigurationItems,
    Evidence,
    Activity,
}

/// The six ways to compare, in the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equals,
    StartsWith,
    EndsWith,
    NotEquals,
    NotStartsWith,
    NotEndsWith,
}

impl Operator {
    pub fn name(self) -> &'static str {
        match self {
            Operator::Equals => "Equals",
            Operator::StartsWith => "StartsWith",
            Operator::EndsWith => "EndsWith",
            Operator::NotEquals => "NotEquals",
            Operator::NotStartsWith => "NotStartsWith",
            Operator::NotEndsWith => "NotEndsWith",
        }
    }
}

impl EventSelectors {
    /// What a new trail has: all management events, as GetEventSelectors returns it.
    pub fn default_for_trail() -> Self {
        Self::Basic(vec![EventSelector::default()])
    }

    /// Refuses what PutEventSelectors refuses for a trail, in CloudTrail's words where they are known.
    pub fn validate_for_trail(&self) -> Result<(), InvalidSelectors> {
        validate::for_trail(self)
    }

    /// What an event data store has that was made without any: all management events.
    pub fn default_for_event_data_store() -> Self {
        Self::Advanced(vec![AdvancedEventSelector {
            name: Some("Default management events".to_owned()),
            field_selectors: vec![AdvancedFieldSelector {
                field: "eventCategory".to_owned(),
                equals: Some(vec!["Management".to_owned()]),
                ..AdvancedFieldSelector::default()
            }],
        }])
    }

    /// Refuses what CreateEventDataStore refuses; says what such a store holds.
    pub fn validate_for_event_data_store(&self) -> Result<StoreClass, InvalidSelectors> {
        validate::for_event_data_store(self)
    }

    /// Whether some event of this category could be selected: one that reads, with `read_only`
    /// true, one that does not, with false, and either, with `None`. Other conditions are not
    /// looked at.
    pub fn may_select(&self, category: Category, read_only: Option<bool>) -> bool {
        match self {
            Self::Basic(list) => list.iter().any(|selector| {
                let fits = match selector.read_write_type.as_str() {
                    "ReadOnly" => read_only != Some(false),
                    "WriteOnly" => read_only != Some(true),
                    _ => true,
                };
                fits && match category {
                    Category::Management => selector.include_management_events,
                    Category::Data => !selector.data_resources.is_empty(),
                    _ => false,
                }
            }),
            Self::Advanced(list) => list.iter().any(|selector| {
                let equals = |name: &str| {
                    let field = selector.field_selectors.iter().find(|field| field.field == name);
                    field.and_then(|field| field.equals.as_deref())
                };
                let reads = |read_only: bool| {
                    let wanted = if read_only { "true" } else { "false" };
                    equals("readOnly").is_none_or(|values| values.iter().any(|v| v == wanted))
                };
                equals("eventCategory").is_some_and(|v| v.iter().any(|v| v == category.name()))
                    && read_only.is_none_or(reads)
            }),
        }
    }

    /// Makes the selectors ready to be asked. Selectors that were never validated compile too; a
    /// field that nobody knows counts as absent from every event.
    pub fn compile(&self) -> Matcher {
        Matcher::new(self)
    }

    /// As GetEventSelectors returns them: the field selectors of each advanced selector sorted by
    /// field. (PutEventSelectors echoes the order that was sent.)
    pub fn sorted_by_field(&self) -> Self {
        let mut sorted = self.clone();
        if let Self::Advanced(selectors) = &mut sorted {
            for selector in selectors {
                selector.field_selectors.sort_by(|a, b| a.field.cmp(&b.field));
            }
        }
        sorted
    }
}

impl Default for EventSelector {
    fn default() -> Self {
        Self {
            read_write_type: all(),
            include_management_events: true,
            data_resources: Vec::new(),
            exclude_management_event_sources: Vec::new(),
        }
    }
}

impl AdvancedFieldSelector {
    /// The operators that were sent, with their values.
    pub fn operators(&self) -> impl Iterator<Item = (Operator, &[String])> {
        [
            (Operator::Equals, &self.equals),
            (Operator::StartsWith, &self.starts_with),
            (Operator::EndsWith, &self.ends_with),
            (Operator::NotEquals, &self.not_equals),
            (Operator::NotStartsWith, &self.not_starts_with),
            (Operator::NotEndsWith, &self.not_ends_with),
        ]
        .into_iter()
        .filter_map(|(operator, values)| Some((operator, values.as_deref()?)))
    }
}

fn all() -> String {
    "All".to_owned()
}

fn yes() -> bool {
    true
}

fn all_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(all))
}

fn yes_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}

fn empty_if_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
