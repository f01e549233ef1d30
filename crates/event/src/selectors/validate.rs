//! What PutEventSelectors refuses for a trail, and CreateEventDataStore for an event data store.
//!
//! Sentences marked AWS are CloudTrail's own; for the others its wording is not known, only the rule.

use super::matcher::is_whole_service;
use super::{
    AdvancedEventSelector, AdvancedFieldSelector, EventSelector, EventSelectors, Operator,
    StoreClass,
};

/// Why selectors are refused: the message of an `InvalidEventSelectorsException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSelectors(pub String);

type Valid = Result<(), InvalidSelectors>;

const DATA_RESOURCE_VALUES_MAX: usize = 250;
const ADVANCED_VALUES_MAX: usize = 500;
const STORE_SELECTORS_MAX: usize = 5;
const NAME_CHARS_MAX: usize = 1_000;
const FIELD_CHARS_MAX: usize = 1_000;
const VALUE_CHARS_MAX: usize = 2_048;
/// The only sources whose management events a trail may leave out, because of their volume.
const EXCLUDABLE_SOURCES: [&str; 2] = ["kms.amazonaws.com", "rdsdata.amazonaws.com"];

pub(super) fn for_trail(selectors: &EventSelectors) -> Valid {
    match selectors {
        EventSelectors::Basic(list) => basic(list),
        EventSelectors::Advanced(list) => advanced(list, Owner::Trail).map(|_| ()),
    }
}

/// What a store of these selectors holds. Its events are management, data and network activity
/// events in any mixture, or all of one other category.
pub(super) fn for_event_data_store(
    selectors: &EventSelectors,
) -> Result<StoreClass, InvalidSelectors> {
    let EventSelectors::Advanced(list) = selectors else {
        return refuse("An event data store takes advanced event selectors only.");
    };
    let mut classes = advanced(list, Owner::EventDataStore)?.into_iter().map(Category::class);
    let Some(first) = classes.next() else {
        return refuse("An event data store has at least one event selector.");
    };
    if classes.any(|class| class != first) {
        return refuse(
            "The eventCategory values Insight, ConfigurationItem, Evidence and ActivityAuditLog \
             cannot be combined with other values in one event data store.",
        );
    }
    Ok(first)
}

/// Whose selectors they are: a store can select more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Trail,
    EventDataStore,
}

impl Owner {
    fn selectors_max(self) -> usize {
        match self {
            Owner::Trail => ADVANCED_VALUES_MAX,
            Owner::EventDataStore => STORE_SELECTORS_MAX,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Owner::Trail => "trail",
            Owner::EventDataStore => "event data store",
        }
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T, InvalidSelectors> {
    Err(InvalidSelectors(message.into()))
}

// ---- basic -------------------------------------------------------------------------------------

fn basic(selectors: &[EventSelector]) -> Valid {
    if !(1..=5).contains(&selectors.len()) {
        // AWS
        return refuse("Specify a valid number of selectors (1 to 5) for your trail");
    }
    let mut values = 0;
    for selector in selectors {
        values += basic_one(selector)?;
    }
    if values > DATA_RESOURCE_VALUES_MAX {
        return refuse(format!(
            "The total number of data resource values across all event selectors of a trail is {values}. The limit is {DATA_RESOURCE_VALUES_MAX}."
        ));
    }
    Ok(())
}

/// Checks one selector and counts its values; "all resources of a service" does not count.
fn basic_one(selector: &EventSelector) -> Result<usize, InvalidSelectors> {
    let read_write = &selector.read_write_type;
    if !matches!(read_write.as_str(), "All" | "ReadOnly" | "WriteOnly") {
        // AWS
        return refuse(format!("Value {read_write} for ReadWriteType is invalid."));
    }
    for source in &selector.exclude_management_event_sources {
        if !EXCLUDABLE_SOURCES.contains(&source.as_str()) {
            return refuse(format!("Value {source} for ExcludeManagementEventSources is invalid."));
        }
    }
    let mut counted = 0;
    for resource in &selector.data_resources {
        let kind = resource.r#type.as_str();
        let service = match kind {
            "AWS::S3::Object" => "s3",
            "AWS::Lambda::Function" => "lambda",
            "AWS::DynamoDB::Table" => "dynamodb",
            _ => return refuse(format!("Value {kind} for DataResources.Type is invalid.")),
        };
        if resource.values.is_empty() {
            return refuse(format!("Specify at least one value for DataResources of type {kind}."));
        }
        for value in &resource.values {
            if is_whole_service(value, service) {
                continue;
            }
            if !is_arn_of(value, service) {
                return refuse(format!("Value {value} for DataResources.Values is invalid."));
            }
            counted += 1;
        }
    }
    Ok(counted)
}

/// Whether `arn` has the six parts of an ARN of this service and names something.
fn is_arn_of(arn: &str, service: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, name, _, _, resource]
        if partition.starts_with("aws") && name == service && !resource.is_empty())
}

// ---- advanced ----------------------------------------------------------------------------------

/// The category of each selector.
fn advanced(
    selectors: &[AdvancedEventSelector],
    owner: Owner,
) -> Result<Vec<Category>, InvalidSelectors> {
    let (noun, selectors_max) = (owner.noun(), owner.selectors_max());
    if !(1..=selectors_max).contains(&selectors.len()) {
        // AWS, of a trail
        return refuse(format!("Specify between 1 and {selectors_max} selectors for your {noun}."));
    }
    let mut values = 0;
    let mut categories = Vec::with_capacity(selectors.len());
    for selector in selectors {
        categories.push(advanced_one(selector, owner)?);
        let lists = selector.field_selectors.iter().flat_map(AdvancedFieldSelector::operators);
        values += lists.map(|(_, list)| list.len()).sum::<usize>();
    }
    if values > ADVANCED_VALUES_MAX {
        let article = if owner == Owner::Trail { "a" } else { "an" };
        return refuse(format!(
            "The total number of values across all conditions in the advanced event selectors of {article} {noun} is {values}. The limit is {ADVANCED_VALUES_MAX}."
        ));
    }
    Ok(categories)
}

fn advanced_one(
    selector: &AdvancedEventSelector,
    owner: Owner,
) -> Result<Category, InvalidSelectors> {
    if selector.name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS_MAX) {
        return refuse(format!("A selector name can have at most {NAME_CHARS_MAX} characters."));
    }
    if selector.name.as_ref().is_some_and(|name| name.contains(is_line_break)) {
        return refuse("A selector name cannot contain line breaks.");
    }
    let fields = &selector.field_selectors;
    for (number, field) in fields.iter().enumerate() {
        well_formed(field)?;
        if fields[..number].iter().any(|earlier| earlier.field == field.field) {
            return refuse(format!("Specify the field {} only once in a selector.", field.field));
        }
    }
    let category = category(fields, owner)?;
    for field in fields {
        allowed(category, field, owner)?;
    }
    let required = match category {
        Category::Data => "resources.type",
        Category::NetworkActivity => "eventSource",
        _ => "eventCategory",
    };
    require(fields, required)?;
    Ok(category)
}

fn well_formed(field: &AdvancedFieldSelector) -> Valid {
    let name = &field.field;
    let known_letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '|');
    if name.is_empty() || name.len() > FIELD_CHARS_MAX || !name.chars().all(known_letters) {
        return refuse(format!("The field name {name:?} is invalid."));
    }
    if field.operators().next().is_none() {
        return refuse(format!("Specify at least one operator for the field {name}."));
    }
    for (operator, values) in field.operators() {
        let operator = operator.name();
        if values.is_empty() {
            return refuse(format!(
                "Specify at least one value for {operator} of the field {name}."
            ));
        }
        if values.iter().any(|v| v.is_empty() || v.chars().count() > VALUE_CHARS_MAX) {
            return refuse(format!(
                "The values of {operator} of the field {name} must have 1 to {VALUE_CHARS_MAX} characters."
            ));
        }
        if values.iter().any(|v| v.contains(is_line_break)) {
            return refuse(format!(
                "The values of {operator} of the field {name} cannot contain line breaks."
            ));
        }
    }
    Ok(())
}

/// What the model's patterns `.*` and `.+` leave out.
fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// The categories that can be selected; the last four by event data stores only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    Management,
    Data,
    NetworkActivity,
    Insight,
    ConfigurationItem,
    Evidence,
    ActivityAuditLog,
}

impl Category {
    fn class(self) -> StoreClass {
        match self {
            Category::Management | Category::Data | Category::NetworkActivity => StoreClass::Events,
            Category::Insight => StoreClass::Insights,
            Category::ConfigurationItem => StoreClass::ConfigurationItems,
            Category::Evidence => StoreClass::Evidence,
            Category::ActivityAuditLog => StoreClass::Activity,
        }
    }
}

fn require<'f>(
    fields: &'f [AdvancedFieldSelector],
    name: &str,
) -> Result<&'f AdvancedFieldSelector, InvalidSelectors> {
    match fields.iter().find(|field| field.field == name) {
        Some(field) => Ok(field),
        // AWS
        None => refuse(format!("The following fields are required: [{name}].")),
    }
}

fn category(fields: &[AdvancedFieldSelector], owner: Owner) -> Result<Category, InvalidSelectors> {
    let field = require(fields, "eventCategory")?;
    let value = one_value(field)?;
    let category = match value {
        "Management" => Category::Management,
        "Data" => Category::Data,
        "NetworkActivity" => Category::NetworkActivity,
        "Insight" => Category::Insight,
        "ConfigurationItem" => Category::ConfigurationItem,
        "Evidence" => Category::Evidence,
        "ActivityAuditLog" => Category::ActivityAuditLog,
        _ => return refuse(format!("Value {value} for the field eventCategory is invalid.")),
    };
    if owner == Owner::Trail && category.class() != StoreClass::Events {
        return refuse(format!(
            "The eventCategory {value} is only valid for event data stores, not for trails."
        ));
    }
    Ok(category)
}

/// The one value of a field that must be written as Equals with one value.
fn one_value(field: &AdvancedFieldSelector) -> Result<&str, InvalidSelectors> {
    let mut operators = field.operators();
    match (operators.next(), operators.next()) {
        (Some((Operator::Equals, [value])), None) => Ok(value),
        _ => refuse(format!("The field {} takes only Equals with exactly one value.", field.field)),
    }
}

/// The table of d.2: which fields a category has, with which operators and values.
fn allowed(category: Category, field: &AdvancedFieldSelector, owner: Owner) -> Valid {
    use Category::*;
    use Operator::*;
    let name = field.field.as_str();
    match (category, name) {
        (_, "eventCategory") => Ok(()),
        (Management | Data, "readOnly") => only(field, &[Equals], |v| v == "true" || v == "false"),
        (Management, "eventSource") if owner == Owner::Trail => {
            only(field, &[NotEquals], |value| EXCLUDABLE_SOURCES.contains(&value))
        }
        (
            Management,
            "eventName" | "eventType" | "userIdentity.arn" | "sessionCredentialFromConsole",
        ) if owner == Owner::Trail => refuse(format!(
            "The field {name} is only valid for management events in event data stores, not in trails."
        )),
        (Data, "resources.type") => one_value(field).map(|_| ()),
        (Data, "resources.ARN") => resource_arns(field),
        (Management | Data, "eventName" | "eventSource" | "eventType" | "userIdentity.arn") => {
            Ok(())
        }
        (Management | Data, "sessionCredentialFromConsole") => {
            only(field, &[Equals, NotEquals], |value| value == "true")
        }
        (NetworkActivity, "eventSource") => one_value(field).map(|_| ()),
        (NetworkActivity, "eventName" | "vpcEndpointId") => Ok(()),
        (NetworkActivity, "errorCode") => only(field, &[Equals], |v| v == "VpceAccessDenied"),
        _ => refuse(format!("The field {name} is not valid for the eventCategory {category:?}.")),
    }
}

fn only(
    field: &AdvancedFieldSelector,
    operators: &[Operator],
    is_valid: fn(&str) -> bool,
) -> Valid {
    let name = &field.field;
    for (operator, values) in field.operators() {
        if !operators.contains(&operator) {
            return refuse(format!(
                "The operator {} is not valid for the field {name}.",
                operator.name()
            ));
        }
        if let Some(value) = values.iter().find(|value| !is_valid(value)) {
            return refuse(format!("Value {value} for the field {name} is invalid."));
        }
    }
    Ok(())
}

/// Whole ARNs must be ARNs; the other operators compare plain text. A function must be named
/// without version or alias, as its events name it.
fn resource_arns(field: &AdvancedFieldSelector) -> Valid {
    let whole = [&field.equals, &field.not_equals];
    for value in whole.into_iter().flatten().flatten() {
        let parts: Vec<&str> = value.splitn(6, ':').collect();
        let valid = match parts[..] {
            ["arn", partition, "lambda", _, _, resource] => {
                partition.starts_with("aws")
                    && resource.strip_prefix("function:").is_some_and(|name| !name.contains(':'))
            }
            ["arn", partition, service, _, _, resource] => {
                partition.starts_with("aws") && !service.is_empty() && !resource.is_empty()
            }
            _ => false,
        };
        if !valid {
            return refuse(format!(
                "Value {value} for the field resources.ARN is not a valid ARN."
            ));
        }
    }
    Ok(())
}
