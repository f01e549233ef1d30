//! Asking selectors about an event.

use std::borrow::Cow;

use super::{AdvancedEventSelector, EventSelector, EventSelectors, Operator};
use crate::{Category, Header, Resource};

/// Compiled selectors. An event is wanted when any of them matches.
#[derive(Debug, Clone)]
pub struct Matcher {
    selectors: Vec<Selector>,
}

#[derive(Debug, Clone)]
enum Selector {
    Basic(Basic),
    Advanced(Advanced),
}

impl Matcher {
    pub(super) fn new(selectors: &EventSelectors) -> Self {
        let selectors = match selectors {
            EventSelectors::Basic(list) => {
                list.iter().map(|selector| Selector::Basic(Basic::new(selector))).collect()
            }
            EventSelectors::Advanced(list) => {
                list.iter().map(|selector| Selector::Advanced(Advanced::new(selector))).collect()
            }
        };
        Self { selectors }
    }

    pub fn matches(&self, event: &Header<'_>) -> bool {
        self.selectors.iter().any(|selector| selector.obstacle(event).is_none())
    }

    /// Why the event is wanted or not, in one line: the first selector that matches, or what stands
    /// against each. Selectors are numbered from 1.
    pub fn explain(&self, event: &Header<'_>) -> String {
        let mut obstacles = Vec::new();
        for (number, selector) in (1..).zip(&self.selectors) {
            let label = selector.label(number);
            match selector.obstacle(event) {
                None => return format!("match: {label} wants {}", selector.wish()),
                Some(obstacle) => obstacles.push(format!("{label}: {}", obstacle.sentence(event))),
            }
        }
        if obstacles.is_empty() {
            return "no match: there are no selectors".to_owned();
        }
        format!("no match: {}", obstacles.join("; "))
    }
}

/// What keeps a selector from matching.
enum Obstacle<'s> {
    /// A basic selector that does not want this category at all.
    Category,
    ReadWriteType(ReadWrite),
    ExcludedSource,
    NoDataResource,
    Condition(&'s Condition),
}

impl Obstacle<'_> {
    fn sentence(&self, event: &Header<'_>) -> String {
        match self {
            Obstacle::Category => format!("it does not select {} events", event.category),
            Obstacle::ReadWriteType(wanted) => {
                format!(
                    "readOnly is {}, and it selects {}",
                    shown(&event.read_only.map(boolean)),
                    wanted.name()
                )
            }
            Obstacle::ExcludedSource => format!("it excludes {}", event.event_source),
            Obstacle::NoDataResource => {
                "no resource of the event is among its data resources".to_owned()
            }
            Obstacle::Condition(condition) => condition.sentence(event),
        }
    }
}

fn shown<T: AsRef<str>>(value: &Option<T>) -> String {
    value.as_ref().map_or("absent".to_owned(), |value| format!("{:?}", value.as_ref()))
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

impl Selector {
    fn obstacle(&self, event: &Header<'_>) -> Option<Obstacle<'_>> {
        match self {
            Selector::Basic(basic) => basic.obstacle(event),
            Selector::Advanced(advanced) => advanced.obstacle(event),
        }
    }

    fn label(&self, number: usize) -> String {
        match self {
            Selector::Advanced(Advanced { name: Some(name), .. }) => {
                format!("selector {number} ({name})")
            }
            _ => format!("selector {number}"),
        }
    }

    fn wish(&self) -> String {
        match self {
            Selector::Basic(basic) => basic.wish(),
            Selector::Advanced(advanced) => {
                let conditions: Vec<String> =
                    advanced.conditions.iter().map(Condition::wish).collect();
                conditions.join(" and ")
            }
        }
    }
}

// ---- basic -------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Basic {
    read_write: ReadWrite,
    management: bool,
    excluded_sources: Vec<String>,
    data: Vec<DataValue>,
}

/// `ReadOnly` and `WriteOnly` stand for readOnly Equals "true" and "false"; an event that does not
/// say is selected by `All` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadWrite {
    All,
    ReadOnly,
    WriteOnly,
}

impl ReadWrite {
    fn name(self) -> &'static str {
        match self {
            ReadWrite::All => "All",
            ReadWrite::ReadOnly => "ReadOnly",
            ReadWrite::WriteOnly => "WriteOnly",
        }
    }
}

/// One value of a basic selector's DataResources.
#[derive(Debug, Clone)]
enum DataValue {
    /// Every resource of the types that the service's selector stands for.
    All(Service),
    S3Prefix(String),
    Function(String),
    Table(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Lambda,
    DynamoDb,
}

impl Basic {
    fn new(selector: &EventSelector) -> Self {
        let values = selector.data_resources.iter().flat_map(|resource| {
            resource.values.iter().filter_map(|value| DataValue::new(&resource.r#type, value))
        });
        Self {
            read_write: match selector.read_write_type.as_str() {
                "ReadOnly" => ReadWrite::ReadOnly,
                "WriteOnly" => ReadWrite::WriteOnly,
                _ => ReadWrite::All,
            },
            management: selector.include_management_events,
            excluded_sources: selector.exclude_management_event_sources.clone(),
            data: values.collect(),
        }
    }

    fn obstacle(&self, event: &Header<'_>) -> Option<Obstacle<'_>> {
        match event.category {
            Category::Management if self.management => {
                if self.excluded_sources.iter().any(|source| event.event_source == source.as_str())
                {
                    return Some(Obstacle::ExcludedSource);
                }
            }
            Category::Data if !self.data.is_empty() => {
                let wanted = |resource: Resource<'_>| self.data.iter().any(|v| v.wants(&resource));
                if !event.resources().any(wanted) {
                    return Some(Obstacle::NoDataResource);
                }
            }
            // Network activity and Insights are never a matter of basic selectors.
            _ => return Some(Obstacle::Category),
        }
        let wanted = match self.read_write {
            ReadWrite::All => true,
            ReadWrite::ReadOnly => event.read_only == Some(true),
            ReadWrite::WriteOnly => event.read_only == Some(false),
        };
        (!wanted).then_some(Obstacle::ReadWriteType(self.read_write))
    }

    fn wish(&self) -> String {
        let management = if self.management { "management events" } else { "no management events" };
        format!("{management} and {} data resources, {}", self.data.len(), self.read_write.name())
    }
}

impl DataValue {
    fn new(kind: &str, value: &str) -> Option<Self> {
        let value = value.to_owned();
        match kind {
            "AWS::S3::Object" if is_whole_service(&value, "s3") => Some(Self::All(Service::S3)),
            // A bucket without its slash means the bucket, not every bucket whose name starts so.
            "AWS::S3::Object" if !value.contains('/') => Some(Self::S3Prefix(value + "/")),
            "AWS::S3::Object" => Some(Self::S3Prefix(value)),
            "AWS::Lambda::Function" if is_whole_service(&value, "lambda") => {
                Some(Self::All(Service::Lambda))
            }
            "AWS::Lambda::Function" => Some(Self::Function(value)),
            "AWS::DynamoDB::Table" if is_whole_service(&value, "dynamodb") => {
                Some(Self::All(Service::DynamoDb))
            }
            "AWS::DynamoDB::Table" => Some(Self::Table(value)),
            _ => None,
        }
    }

    fn wants(&self, resource: &Resource<'_>) -> bool {
        let arn = resource.arn.or(resource.arn_prefix).map(|arn| arn.to_str());
        let arn = arn.as_deref().unwrap_or_default();
        let kind = resource.kind.map(|kind| kind.to_str());
        // A resource without a type is judged by its ARN alone.
        let is = |wanted: &[&str]| kind.as_deref().is_none_or(|kind| wanted.contains(&kind));
        let continues = |whole: &str, with: char| {
            arn.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(with))
        };
        match self {
            Self::All(service) => {
                kind.as_deref().is_some_and(|kind| service.types().contains(&kind))
            }
            Self::S3Prefix(prefix) => is(Service::S3.types()) && arn.starts_with(prefix.as_str()),
            // A version or alias is written after one more colon.
            Self::Function(function) => is(Service::Lambda.types()) && continues(function, ':'),
            // AWS: a table in a basic selector covers its streams (and `/index/…` lies in it too).
            Self::Table(table) => is(Service::DynamoDb.types()) && continues(table, '/'),
        }
    }
}

impl Service {
    fn types(self) -> &'static [&'static str] {
        match self {
            Service::S3 => &["AWS::S3::Object"],
            Service::Lambda => &["AWS::Lambda::Function"],
            Service::DynamoDb => &["AWS::DynamoDB::Table", "AWS::DynamoDB::Stream"],
        }
    }
}

/// `arn:aws:s3` or `arn:aws:s3:::`: everything of the service, in any partition.
pub(super) fn is_whole_service(value: &str, service: &str) -> bool {
    let mut parts = value.splitn(4, ':');
    let head = (parts.next(), parts.next(), parts.next());
    let rest = parts.next().unwrap_or_default();
    matches!(head, (Some("arn"), Some(partition), Some(name)) if partition.starts_with("aws") && name == service)
        && rest.bytes().all(|byte| byte == b':')
}

// ---- advanced ----------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Advanced {
    name: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
struct Condition {
    name: String,
    field: Field,
    tests: Vec<(Operator, Vec<String>)>,
    /// What the selector's resources.type equals: only such resources count for resources.ARN.
    resources_type: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    EventCategory,
    ReadOnly,
    EventSource,
    EventName,
    EventType,
    UserIdentityArn,
    SessionCredentialFromConsole,
    VpcEndpointId,
    ErrorCode,
    ResourcesType,
    ResourcesArn,
    Unknown,
}

impl Field {
    fn from_name(name: &str) -> Self {
        match name {
            "eventCategory" => Field::EventCategory,
            "readOnly" => Field::ReadOnly,
            "eventSource" => Field::EventSource,
            "eventName" => Field::EventName,
            "eventType" => Field::EventType,
            "userIdentity.arn" => Field::UserIdentityArn,
            "sessionCredentialFromConsole" => Field::SessionCredentialFromConsole,
            "vpcEndpointId" => Field::VpcEndpointId,
            "errorCode" => Field::ErrorCode,
            "resources.type" => Field::ResourcesType,
            "resources.ARN" => Field::ResourcesArn,
            _ => Field::Unknown,
        }
    }
}

impl Advanced {
    fn new(selector: &AdvancedEventSelector) -> Self {
        let fields = &selector.field_selectors;
        let resources_type = fields
            .iter()
            .find(|field| field.field == "resources.type")
            .and_then(|field| field.equals.as_ref()?.first().cloned());
        let conditions = fields.iter().map(|field| Condition {
            name: field.field.clone(),
            field: Field::from_name(&field.field),
            tests: field.operators().map(|(op, values)| (op, values.to_vec())).collect(),
            resources_type: resources_type.clone(),
        });
        Self {
            name: selector.name.clone().filter(|name| !name.is_empty()),
            conditions: conditions.collect(),
        }
    }

    fn obstacle(&self, event: &Header<'_>) -> Option<Obstacle<'_>> {
        self.conditions.iter().find(|condition| !condition.holds(event)).map(Obstacle::Condition)
    }
}

impl Condition {
    fn holds(&self, event: &Header<'_>) -> bool {
        match self.field {
            Field::ResourcesType | Field::ResourcesArn => {
                let mut values = self.values_of_resources(event).peekable();
                match values.peek() {
                    None => self.judge(None),
                    Some(_) => values.any(|value| self.judge(Some(&value))),
                }
            }
            _ => self.judge(self.value(event).as_deref()),
        }
    }

    /// Positive operators are alternatives, negative ones must all hold, both groups must.
    fn judge(&self, value: Option<&str>) -> bool {
        let mut wanted = None;
        for (operator, operands) in &self.tests {
            let any = |test: fn(&str, &str) -> bool| {
                value.is_some_and(|value| operands.iter().any(|operand| test(value, operand)))
            };
            let found = match operator {
                Operator::Equals | Operator::NotEquals => any(|value, operand| value == operand),
                Operator::StartsWith | Operator::NotStartsWith => {
                    any(|v, operand| v.starts_with(operand))
                }
                Operator::EndsWith | Operator::NotEndsWith => {
                    any(|v, operand| v.ends_with(operand))
                }
            };
            match operator {
                Operator::Equals | Operator::StartsWith | Operator::EndsWith => {
                    wanted = Some(wanted.unwrap_or(false) || found);
                }
                _ if found => return false,
                _ => {}
            }
        }
        wanted.unwrap_or(true)
    }

    fn value<'a>(&self, event: &Header<'a>) -> Option<Cow<'a, str>> {
        match self.field {
            Field::EventCategory => Some(Cow::Borrowed(event.category.name())),
            Field::ReadOnly => event.read_only.map(|value| Cow::Borrowed(boolean(value))),
            Field::EventSource => Some(event.event_source.to_str()).filter(|text| !text.is_empty()),
            Field::EventName => Some(event.event_name.to_str()).filter(|text| !text.is_empty()),
            // The reference page prints a plural that no record has.
            Field::EventType => event.event_type.map(|text| match text == "AwsVpceEvents" {
                true => Cow::Borrowed("AwsVpceEvent"),
                false => text.to_str(),
            }),
            Field::UserIdentityArn => event.user_identity_arn().map(|text| text.to_str()),
            Field::SessionCredentialFromConsole => {
                event.session_credential_from_console.map(|value| Cow::Borrowed(boolean(value)))
            }
            Field::VpcEndpointId => event.vpc_endpoint_id.map(|text| text.to_str()),
            Field::ErrorCode => event.error_code.map(|text| text.to_str()),
            Field::ResourcesType | Field::ResourcesArn | Field::Unknown => None,
        }
    }

    /// The types, or the ARNs of the resources of the selector's type (for listing calls the
    /// prefix that stands in place of an ARN).
    fn values_of_resources<'a>(&self, event: &Header<'a>) -> impl Iterator<Item = Cow<'a, str>> {
        event.resources().filter_map(move |resource| {
            if self.field == Field::ResourcesType {
                return Some(resource.kind?.to_str());
            }
            if let Some(wanted) = &self.resources_type
                && resource.kind? != wanted.as_str()
            {
                return None;
            }
            Some(resource.arn.or(resource.arn_prefix)?.to_str())
        })
    }

    fn wish(&self) -> String {
        let tests: Vec<String> = self
            .tests
            .iter()
            .map(|(operator, values)| format!("{} {values:?}", operator.name()))
            .collect();
        format!("{} {}", self.name, tests.join(" "))
    }

    fn sentence(&self, event: &Header<'_>) -> String {
        let value = match self.field {
            Field::ResourcesType | Field::ResourcesArn => {
                let values: Vec<_> = self.values_of_resources(event).collect();
                if values.is_empty() { "absent".to_owned() } else { format!("{values:?}") }
            }
            _ => shown(&self.value(event)),
        };
        format!("{} is {value}, and it wants {}", self.name, self.wish())
    }
}
