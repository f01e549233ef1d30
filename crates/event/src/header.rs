//! What we ask of a record again and again, as slices of it.

use std::ops::Range;

use jiff::Timestamp;
use uuid::Uuid;

use crate::account::AccountId;
use crate::category::Category;
use crate::json;
use crate::refusal::Refusal;
use crate::text::Text;
use crate::time::event_time;

/// The fields of a checked record that selectors, delivery and lookup need. Everything borrows from
/// the record; an absent field, `null` and (except for `errorCode` values such as `"200"`, which are
/// kept) an empty string are all `None`.
///
/// | category | `event_time` | `event_source`, `event_name` |
/// |---|---|---|
/// | Management, Data, NetworkActivity | eventTime | the fields of that name, required |
/// | Insight | eventTime | the fields of that name, else those in insightDetails; may be empty |
/// | Aggregated | eventTime, else timeWindow.windowEnd | eventSource required; eventName empty |
/// | ActivityAuditLog | eventTime, else eventData.eventTime | the fields, else those in eventData; required |
/// | ConfigurationItem, Evidence | eventTime | may be empty |
///
/// `awsRegion` is always required.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    pub event_time: Timestamp,
    pub event_source: Text<'a>,
    pub event_name: Text<'a>,
    /// 1 to 64 ASCII letters, digits and hyphens: safe in an object key. Not always shaped like a
    /// [`crate::Region`], since anonymisers invent some.
    pub aws_region: Text<'a>,
    pub event_id: Option<Text<'a>>,
    pub event_type: Option<Text<'a>>,
    pub category: Category,
    /// Booleans written as strings are read as booleans.
    pub read_only: Option<bool>,
    pub management_event: Option<bool>,
    pub recipient_account: Option<Text<'a>>,
    pub error_code: Option<Text<'a>>,
    pub session_credential_from_console: Option<bool>,
    pub vpc_endpoint_id: Option<Text<'a>>,
    pub shared_event_id: Option<Text<'a>>,
    /// The text of the object, to be walked with [`json`].
    pub user_identity: Option<&'a str>,
    /// The text of the array, to be walked with [`Header::resources`].
    pub resources: Option<&'a str>,
    /// The text of the value, of whatever kind.
    pub event_context: Option<&'a str>,
    /// The check saw something that [`crate::redact()`] will hide.
    pub may_hold_secrets: bool,
    record: &'a str,
}

/// One element of `resources`. Every member may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// `ARN`, also when written `arn`.
    pub arn: Option<Text<'a>>,
    pub arn_prefix: Option<Text<'a>>,
    pub account_id: Option<Text<'a>>,
    /// Such as `AWS::S3::Object`.
    pub kind: Option<Text<'a>>,
}

/// See [`Header::resources`].
#[derive(Debug, Clone)]
pub struct Resources<'a>(json::Elements<'a>);

impl<'a> Iterator for Resources<'a> {
    type Item = Resource<'a>;

    fn next(&mut self) -> Option<Resource<'a>> {
        let element = self.0.find(|element| element.starts_with('{'))?;
        let mut resource = Resource { arn: None, arn_prefix: None, account_id: None, kind: None };
        for (key, value) in json::members(element) {
            let place = match &*key.to_str() {
                "ARN" | "arn" => &mut resource.arn,
                "ARNPrefix" | "arnPrefix" => &mut resource.arn_prefix,
                "accountId" => &mut resource.account_id,
                "type" => &mut resource.kind,
                _ => continue,
            };
            *place = json::string(value).filter(|text| !text.is_empty());
        }
        Some(resource)
    }
}

/// Namespace of the event IDs that we derive for records without a UUID of their own. Never change
/// it: a replayed record must get the same ID again.
const DERIVED_EVENT_IDS: Uuid = Uuid::from_u128(0x8f14_7b52_6d0a_4c0e_9a55_3c1e_77d2_b0a6);

/// The ID of an event whose `eventID` is `id`: that, when it is a UUID (36 characters, any case),
/// otherwise a UUID derived from it.
pub fn event_id(id: &str) -> Uuid {
    match Uuid::try_parse(id) {
        Ok(uuid) if id.len() == uuid::fmt::Hyphenated::LENGTH => uuid,
        _ => Uuid::new_v5(&DERIVED_EVENT_IDS, id.as_bytes()),
    }
}

impl<'a> Header<'a> {
    /// The event's ID as [`event_id`] has it, or one derived from all bytes of the record `raw`.
    pub fn event_id_or_derived(&self, raw: &[u8]) -> Uuid {
        match self.event_id {
            Some(id) => event_id(&id.to_str()),
            None => Uuid::new_v5(&DERIVED_EVENT_IDS, raw),
        }
    }

    /// The account that `recipientAccountId` names, when it is an account number.
    pub fn recipient(&self) -> Option<AccountId> {
        self.recipient_account.and_then(|text| AccountId::parse(&text.to_str()).ok())
    }

    /// The account whose copy this is: `recipientAccountId`, else the caller's `accountId`; `None`
    /// when neither is an account number. What the record says, not who sent it: never a tenant.
    pub fn account(&self) -> Option<AccountId> {
        let parse = |text: Text<'_>| AccountId::parse(&text.to_str()).ok();
        self.recipient().or_else(|| self.user_identity_text("accountId").and_then(parse))
    }

    /// The record that this is the header of, without space around it.
    pub fn record(&self) -> &'a str {
        self.record
    }

    pub fn resources(&self) -> Resources<'a> {
        Resources(json::elements(self.resources.unwrap_or_default()))
    }

    pub fn user_identity_arn(&self) -> Option<Text<'a>> {
        self.user_identity_text("arn")
    }

    pub fn user_identity_type(&self) -> Option<Text<'a>> {
        self.user_identity_text("type")
    }

    /// The non-empty string member `key` of userIdentity.
    pub fn user_identity_text(&self, key: &str) -> Option<Text<'a>> {
        json::string_member(self.user_identity?, key).filter(|text| !text.is_empty())
    }

    /// Reads the header of the `record` that stands in `text`, whose known values lie at `fields`.
    pub(crate) fn from_fields(
        text: &'a str,
        record: Range<usize>,
        fields: &Fields,
        may_hold_secrets: bool,
    ) -> Result<Self, Refusal> {
        let values = Values { text, fields };
        let event_type = values.string(Field::EventType)?;
        let management_event = values.boolean(Field::ManagementEvent)?;
        let category = category(&values, event_type, management_event)?;
        let (event_source, event_name) = source_and_name(&values, category)?;
        Ok(Self {
            event_time: time(&values, category)?,
            event_source,
            event_name,
            aws_region: region(&values)?,
            event_id: match values.string(Field::EventId)? {
                None => values.string(Field::EventIdOfAggregate)?,
                id => id,
            },
            event_type,
            category,
            read_only: values.boolean(Field::ReadOnly)?,
            management_event,
            recipient_account: match values.string(Field::RecipientAccountId)? {
                None => values.string(Field::AccountIdOfAggregate)?,
                account => account,
            },
            error_code: values.string(Field::ErrorCode)?,
            session_credential_from_console: values.boolean(Field::SessionCredentialFromConsole)?,
            vpc_endpoint_id: values.string(Field::VpcEndpointId)?,
            shared_event_id: values.string(Field::SharedEventId)?,
            user_identity: values.container(Field::UserIdentity, '{', "an object")?,
            resources: values.container(Field::Resources, '[', "an array")?,
            event_context: values.get(Field::EventContext),
            may_hold_secrets,
            record: &text[record],
        })
    }
}

fn category(
    values: &Values<'_, '_>,
    event_type: Option<Text<'_>>,
    management_event: Option<bool>,
) -> Result<Category, Refusal> {
    if let Some(name) = values.string(Field::EventCategory)? {
        let name = name.to_str();
        let unknown = || Refusal::UnknownCategory { value: Refusal::echo(&name) };
        return Category::from_name(&name).ok_or_else(unknown);
    }
    if let Some(category) = event_type.and_then(|text| Category::of_event_type(&text.to_str())) {
        return Ok(category);
    }
    if values.fields.is_set(Field::InsightDetails) {
        return Ok(Category::Insight);
    }
    match management_event {
        Some(false) => Ok(Category::Data),
        _ => Ok(Category::Management),
    }
}

fn source_and_name<'a>(
    values: &Values<'a, '_>,
    category: Category,
) -> Result<(Text<'a>, Text<'a>), Refusal> {
    let mut source = values.string(Field::EventSource)?;
    let mut name = values.string(Field::EventName)?;
    let inner = match category {
        Category::Insight => values.get(Field::InsightDetails),
        Category::ActivityAuditLog => values.get(Field::EventData),
        _ => None,
    };
    if let Some(inner) = inner.filter(|_| source.is_none() || name.is_none()) {
        source = source.or(json::string_member(inner, "eventSource"));
        name = name.or(json::string_member(inner, "eventName"));
    }
    let none = Text::plain("");
    let required = |text: Option<Text<'a>>, field: &'static str| match text {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Refusal::MissingField { name: field }),
    };
    match category {
        Category::Management
        | Category::Data
        | Category::NetworkActivity
        | Category::ActivityAuditLog => {
            Ok((required(source, "eventSource")?, required(name, "eventName")?))
        }
        Category::Aggregated => Ok((required(source, "eventSource")?, name.unwrap_or(none))),
        Category::Insight | Category::ConfigurationItem | Category::Evidence => {
            Ok((source.unwrap_or(none), name.unwrap_or(none)))
        }
    }
}

fn time(values: &Values<'_, '_>, category: Category) -> Result<Timestamp, Refusal> {
    let inner = |field, key| values.get(field).and_then(|object| json::string_member(object, key));
    let (field, text) = match (values.string(Field::EventTime)?, category) {
        (Some(text), _) => ("eventTime", Some(text)),
        (None, Category::Aggregated) => {
            ("timeWindow.windowEnd", inner(Field::TimeWindow, "windowEnd"))
        }
        (None, Category::ActivityAuditLog) => {
            ("eventData.eventTime", inner(Field::EventData, "eventTime"))
        }
        (None, _) => ("eventTime", None),
    };
    let text = text.ok_or(Refusal::MissingField { name: field })?.to_str();
    event_time(&text).ok_or_else(|| Refusal::BadTime { field, value: Refusal::echo(&text) })
}

/// AWS: at most 14 letters today; anonymisers invent longer ones.
const REGION_BYTES_MAX: usize = 64;

/// Whether `awsRegion` may be this, which is not empty.
pub fn may_be_region(region: &str) -> bool {
    let letters = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    letters && region.len() <= REGION_BYTES_MAX
}

fn region<'a>(values: &Values<'a, '_>) -> Result<Text<'a>, Refusal> {
    let region = values.string(Field::AwsRegion)?;
    let region = region.ok_or(Refusal::MissingField { name: "awsRegion" })?;
    if may_be_region(region.raw()) {
        return Ok(region);
    }
    Err(Refusal::BadRegion { value: Refusal::echo(&region.to_str()) })
}

/// Where the value of a field lies in the text. `end` is 0 when there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
    /// The value is a string with escapes in it.
    pub escaped: bool,
}

/// The spans of the known fields of one record.
#[derive(Debug, Default)]
pub(crate) struct Fields([Span; Field::COUNT]);

impl Fields {
    #[inline(always)]
    pub fn is_set(&self, field: Field) -> bool {
        self.0[field as usize].end != 0
    }

    #[inline(always)]
    pub fn set(&mut self, field: Field, span: Span) {
        self.0[field as usize] = span;
    }
}

/// The values of the known fields, read on demand.
struct Values<'a, 'f> {
    text: &'a str,
    fields: &'f Fields,
}

impl<'a> Values<'a, '_> {
    /// The text of the value; `None` when it is absent or null.
    fn get(&self, field: Field) -> Option<&'a str> {
        let Span { start, end, .. } = self.fields.0[field as usize];
        let value = &self.text[start..end];
        (end != 0 && value != "null").then_some(value)
    }

    /// A non-empty string.
    fn string(&self, field: Field) -> Result<Option<Text<'a>>, Refusal> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some("") => Ok(None),
            Some(inside) => Ok(Some(Text::new(inside, self.fields.0[field as usize].escaped))),
            None => Err(Refusal::WrongType { field: field.name(), wanted: "a string" }),
        }
    }

    /// A boolean, also when it was written as a string (seen in the wild for `readOnly`).
    fn boolean(&self, field: Field) -> Result<Option<bool>, Refusal> {
        match self.get(field) {
            None | Some("\"\"") => Ok(None),
            Some("true" | "\"true\"" | "\"True\"") => Ok(Some(true)),
            Some("false" | "\"false\"" | "\"False\"") => Ok(Some(false)),
            Some(_) => Err(Refusal::WrongType { field: field.name(), wanted: "true or false" }),
        }
    }

    fn container(
        &self,
        field: Field,
        open: char,
        wanted: &'static str,
    ) -> Result<Option<&'a str>, Refusal> {
        match self.get(field) {
            Some(value) if !value.starts_with(open) => {
                Err(Refusal::WrongType { field: field.name(), wanted })
            }
            value => Ok(value),
        }
    }
}

/// The top-level fields that we know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    EventTime,
    EventSource,
    EventName,
    AwsRegion,
    EventId,
    EventIdOfAggregate,
    EventType,
    EventCategory,
    ReadOnly,
    ManagementEvent,
    RecipientAccountId,
    AccountIdOfAggregate,
    ErrorCode,
    SessionCredentialFromConsole,
    VpcEndpointId,
    SharedEventId,
    UserIdentity,
    Resources,
    InsightDetails,
    TimeWindow,
    EventData,
    RequestParameters,
    ResponseElements,
    EventContext,
    // Below: only so that a second one is noticed cheaply.
    EventVersion,
    SourceIpAddress,
    UserAgent,
    ErrorMessage,
    RequestId,
    AdditionalEventData,
    TlsDetails,
    ApiVersion,
}

impl Field {
    const COUNT: usize = Field::ApiVersion as usize + 1;

    /// The field with this name. The literals have lengths known when this is compiled, so that each
    /// comparison is one or two instructions and not a call.
    #[inline]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        use Field::*;
        let field = match name.len() {
            7 => match name {
                b"eventID" => EventId,
                b"eventId" => EventIdOfAggregate,
                _ => return None,
            },
            8 if name == b"readOnly" => ReadOnly,
            9 => match name {
                b"eventTime" => EventTime,
                b"eventName" => EventName,
                b"awsRegion" => AwsRegion,
                b"userAgent" => UserAgent,
                b"requestID" => RequestId,
                b"eventType" => EventType,
                b"resources" => Resources,
                b"errorCode" => ErrorCode,
                b"accountId" => AccountIdOfAggregate,
                b"eventData" => EventData,
                _ => return None,
            },
            10 => match name {
                b"tlsDetails" => TlsDetails,
                b"apiVersion" => ApiVersion,
                b"timeWindow" => TimeWindow,
                _ => return None,
            },
            11 if name == b"eventSource" => EventSource,
            12 => match name {
                b"eventVersion" => EventVersion,
                b"userIdentity" => UserIdentity,
                b"eventContext" => EventContext,
                b"errorMessage" => ErrorMessage,
                _ => return None,
            },
            13 => match name {
                b"eventCategory" => EventCategory,
                b"sharedEventID" => SharedEventId,
                b"vpcEndpointId" => VpcEndpointId,
                _ => return None,
            },
            14 if name == b"insightDetails" => InsightDetails,
            15 => match name {
                b"sourceIPAddress" => SourceIpAddress,
                b"managementEvent" => ManagementEvent,
                _ => return None,
            },
            16 if name == b"responseElements" => ResponseElements,
            17 if name == b"requestParameters" => RequestParameters,
            18 if name == b"recipientAccountId" => RecipientAccountId,
            19 if name == b"additionalEventData" => AdditionalEventData,
            28 if name == b"sessionCredentialFromConsole" => SessionCredentialFromConsole,
            _ => return None,
        };
        Some(field)
    }

    pub fn name(self) -> &'static str {
        use Field::*;
        match self {
            EventTime => "eventTime",
            EventSource => "eventSource",
            EventName => "eventName",
            AwsRegion => "awsRegion",
            EventId => "eventID",
            EventIdOfAggregate => "eventId",
            EventType => "eventType",
            EventCategory => "eventCategory",
            ReadOnly => "readOnly",
            ManagementEvent => "managementEvent",
            RecipientAccountId => "recipientAccountId",
            AccountIdOfAggregate => "accountId",
            ErrorCode => "errorCode",
            SessionCredentialFromConsole => "sessionCredentialFromConsole",
            VpcEndpointId => "vpcEndpointId",
            SharedEventId => "sharedEventID",
            UserIdentity => "userIdentity",
            Resources => "resources",
            InsightDetails => "insightDetails",
            TimeWindow => "timeWindow",
            EventData => "eventData",
            RequestParameters => "requestParameters",
            ResponseElements => "responseElements",
            EventContext => "eventContext",
            EventVersion => "eventVersion",
            SourceIpAddress => "sourceIPAddress",
            UserAgent => "userAgent",
            ErrorMessage => "errorMessage",
            RequestId => "requestID",
            AdditionalEventData => "additionalEventData",
            TlsDetails => "tlsDetails",
            ApiVersion => "apiVersion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Field;

    #[test]
    fn every_field_is_found_by_its_name() {
        use Field::*;
        let all = [
            EventTime,
            EventSource,
            EventName,
            AwsRegion,
            EventId,
            EventIdOfAggregate,
            EventType,
            EventCategory,
            ReadOnly,
            ManagementEvent,
            RecipientAccountId,
            AccountIdOfAggregate,
            ErrorCode,
            SessionCredentialFromConsole,
            VpcEndpointId,
            SharedEventId,
            UserIdentity,
            Resources,
            InsightDetails,
            TimeWindow,
            EventData,
            RequestParameters,
            ResponseElements,
            EventContext,
            EventVersion,
            SourceIpAddress,
            UserAgent,
            ErrorMessage,
            RequestId,
            AdditionalEventData,
            TlsDetails,
            ApiVersion,
        ];
        assert_eq!(all.len(), Field::COUNT);
        for field in all {
            assert_eq!(Field::from_name(field.name().as_bytes()), Some(field));
            assert_eq!(Field::from_name(&field.name().as_bytes()[1..]), None);
            assert_eq!(Field::from_name(field.name().to_uppercase().as_bytes()), None);
        }
    }
}
