//! The columns of tables, in one place.
//!
//! Names are lower-case, as CloudTrail Lake publishes them ("Supported event schemas"); nested
//! values inside the `map` columns are kept as JSON text. Lists and maps name their inner fields
//! as Delta and Parquet do (`element`, `key_value`), so that a file written with this schema needs
//! no renaming.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

/// What the rows of a table are. A table never changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// CloudTrail's management, data and network activity events.
    Events,
    /// Events from outside AWS, which came by a channel.
    Activity,
}

impl Content {
    pub const ALL: [Content; 2] = [Content::Events, Content::Activity];

    /// The columns that queries see, in the order in which `SELECT *` shows them.
    pub fn published(self) -> SchemaRef {
        match self {
            Content::Events => events_schema(),
            Content::Activity => activity_schema(),
        }
    }

    /// The columns as they lie in memory: those of [`Content::published`] without `eventjson` and
    /// `eventjsonchecksum`, which are computed from the rest, and behind them our own.
    ///
    /// | column | holds |
    /// |---|---|
    /// | `cairn_account` | the account that the row belongs to; it decides who may read it |
    /// | `cairn_username`, `cairn_resources` | what LookupEvents calls Username and Resources; of events only, as nothing else is looked up |
    /// | `cairn_shape`, `cairn_rest` | with the other columns, the exact bytes of the record: see [`crate::record`] |
    pub fn stored(self) -> SchemaRef {
        let published = self.published();
        let computed =
            |field: &&FieldRef| matches!(&**field.name(), "eventjson" | "eventjsonchecksum");
        let mut columns: Vec<FieldRef> =
            published.fields().iter().filter(|field| !computed(field)).cloned().collect();
        columns.push(Arc::new(Field::new("cairn_account", DataType::Utf8, false)));
        if self == Content::Events {
            columns.push(column("cairn_username", DataType::Utf8));
            columns.push(column("cairn_resources", list(texts_of(&["type", "name"]))));
        }
        columns.push(Arc::new(Field::new("cairn_shape", DataType::Binary, false)));
        columns.push(column("cairn_rest", DataType::Binary));
        Arc::new(Schema::new(columns))
    }

    /// The columns of files: those of [`Content::stored`], and [`ID_HASH`], which is made of `eventid`
    /// when a file is written.
    pub fn in_files(self) -> SchemaRef {
        let mut columns = self.stored().fields().to_vec();
        columns.push(column(ID_HASH, DataType::Int32));
        Arc::new(Schema::new(columns))
    }
}

/// Every time is UTC in microseconds: Delta's `timestamp`.
pub const TIME_ZONE: &str = "UTC";

/// The type of `eventtime` and of every time a query computes.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(TIME_ZONE.into()))
}

/// `map<string,string>`.
pub fn text_map() -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

/// The columns of an event data store that holds CloudTrail events (management, data and network
/// activity), in the order in which `SELECT *` shows them.
pub fn events_schema() -> SchemaRef {
    let mut columns = texts(&["eventversion"]);
    columns.push(column("useridentity", user_identity()));
    columns.push(column("eventtime", timestamp()));
    columns.extend(texts(&["eventsource", "eventname", "awsregion", "sourceipaddress"]));
    columns.extend(texts(&["useragent", "errorcode", "errormessage"]));
    columns.extend(maps(&["requestparameters", "responseelements", "additionaleventdata"]));
    columns.extend(texts(&["requestid", "eventid"]));
    columns.push(column("readonly", DataType::Boolean));
    columns.push(column("resources", list(texts_of(&["accountid", "type", "arn", "arnprefix"]))));
    columns.extend(texts(&["eventtype", "apiversion"]));
    columns.push(column("managementevent", DataType::Boolean));
    columns.extend(texts(&["recipientaccountid", "sharedeventid", "annotation"]));
    columns.extend(texts(&["vpcendpointid", "vpcendpointaccountid"]));
    columns.extend(maps(&["serviceeventdetails", "addendum", "edgedevicedetails"]));
    columns.extend(maps(&["insightdetails"]));
    columns.extend(texts(&["eventcategory"]));
    columns.push(column(
        "tlsdetails",
        texts_of(&["tlsversion", "ciphersuite", "clientprovidedhostheader"]),
    ));
    columns.extend(texts(&["sessioncredentialfromconsole"]));
    columns.push(column("eventcontext", event_context()));
    columns.extend(texts(&["eventjson", "eventjsonchecksum"]));
    Arc::new(Schema::new(columns))
}

/// [`Content::stored`] of events.
pub fn stored_events_schema() -> SchemaRef {
    Content::Events.stored()
}

/// The column of files by which a row with a given event ID is found: see
/// [`crate::groups::codes::id_hash`].
pub const ID_HASH: &str = "cairn_id_hash";

/// The columns of an event data store that holds AWS Config configuration items.
pub fn configuration_items_schema() -> SchemaRef {
    let mut columns = header();
    let mut data = texts(&[
        "configurationitemversion",
        "configurationitemcapturetime",
        "configurationitemstatus",
        "configurationitemstateid",
        "accountid",
        "resourcetype",
        "resourceid",
        "resourcename",
        "arn",
        "awsregion",
        "availabilityzone",
        "resourcecreationtime",
    ]);
    data.extend(maps(&["configuration", "supplementaryconfiguration"]));
    data.extend(texts(&["relatedevents"]));
    data.push(column(
        "relationships",
        list(texts_of(&["name", "resourcetype", "resourceid", "resourcename"])),
    ));
    data.extend(maps(&["tags"]));
    columns.push(column("eventdata", DataType::Struct(data.into())));
    columns.extend(texts(&["eventjson", "eventjsonchecksum"]));
    Arc::new(Schema::new(columns))
}

/// The columns of an event data store that holds Insights events.
pub fn insights_schema() -> SchemaRef {
    let numbers =
        |names: &[&str]| names.iter().map(|name| column(name, DataType::Float64)).collect();
    let share = || {
        list(structure(vec![column("value", DataType::Utf8), column("average", DataType::Float64)]))
    };
    let attribution = structure(vec![
        column("attribute", DataType::Utf8),
        column("insightvalue", DataType::Utf8),
        column("insightaverage", DataType::Float64),
        column("baselinevalue", DataType::Utf8),
        column("baselineaverage", DataType::Float64),
        column("insight", share()),
        column("baseline", share()),
    ]);
    let mut context: Vec<FieldRef> = numbers(&["baselineaverage", "insightaverage"]);
    context.push(column("baselineduration", DataType::Int32));
    context.push(column("insightduration", DataType::Int32));
    context.push(column("attributions", list(attribution)));

    let mut columns = texts(&["eventversion", "eventcategory", "eventtype", "eventid"]);
    columns.push(column("eventtime", timestamp()));
    columns.extend(texts(&["awsregion", "recipientaccountid", "sharedeventid"]));
    columns.extend(maps(&["addendum"]));
    columns.extend(texts(&["insightsource", "insightstate", "insighteventsource"]));
    columns.extend(texts(&["insighteventname", "insighterrorcode", "insighttype"]));
    columns.push(column("insightcontext", structure(context)));
    columns.extend(texts(&["eventjson", "eventjsonchecksum"]));
    Arc::new(Schema::new(columns))
}

/// The columns of an event data store that holds events from outside AWS, which came by a channel.
pub fn activity_schema() -> SchemaRef {
    let mut columns = header();
    columns.retain(|field| field.name() != "addendum");
    columns.push(column(
        "addendum",
        texts_of(&["reason", "updatedfields", "originaluid", "originaleventid"]),
    ));
    columns.push(column("metadata", texts_of(&["ingestiontime", "channelarn"])));
    let mut identity = texts(&["type", "principalid"]);
    identity.extend(maps(&["details"]));
    let mut data = texts(&["version"]);
    data.push(column("useridentity", structure(identity)));
    data.extend(texts(&["useragent", "eventsource", "eventname", "eventtime", "uid"]));
    data.extend(maps(&["requestparameters", "responseelements"]));
    data.extend(texts(&["errorcode", "errormessage", "sourceipaddress", "recipientaccountid"]));
    data.extend(maps(&["additionaleventdata"]));
    columns.push(column("eventdata", structure(data)));
    columns.extend(texts(&["eventjson", "eventjsonchecksum"]));
    Arc::new(Schema::new(columns))
}

/// The columns of an event data store that holds Audit Manager evidence.
pub fn evidence_schema() -> SchemaRef {
    let mut columns = header();
    let mut data = maps(&["attributes"]);
    data.extend(texts(&["awsaccountid", "awsorganization", "compliancecheck", "datasource"]));
    data.extend(texts(&["eventname", "eventsource", "evidenceawsaccountid", "evidencebytype"]));
    data.extend(texts(&["iamid", "evidenceid"]));
    data.push(column("time", timestamp()));
    data.extend(texts(&["assessmentid", "controlsetid", "controlid", "controlname"]));
    data.extend(texts(&["controldomainname", "frameworkname", "frameworkid", "service"]));
    data.extend(texts(&["servicecategory", "resourcearn", "resourcetype", "evidencefolderid"]));
    data.extend(texts(&["description", "manualevidences3resourcepath", "evidencefoldername"]));
    data.extend(texts(&["resourcecompliancecheck"]));
    columns.push(column("eventdata", structure(data)));
    columns.extend(texts(&["eventjson", "eventjsonchecksum"]));
    Arc::new(Schema::new(columns))
}

/// The columns that every category of event data store begins with.
fn header() -> Vec<FieldRef> {
    let mut columns = texts(&["eventversion", "eventcategory", "eventtype", "eventid"]);
    columns.push(column("eventtime", timestamp()));
    columns.extend(texts(&["awsregion", "recipientaccountid"]));
    columns.extend(maps(&["addendum"]));
    columns
}

fn user_identity() -> DataType {
    let session_attributes = structure(vec![
        column("creationdate", timestamp()),
        column("mfaauthenticated", DataType::Utf8),
    ]);
    let web_identity = structure(vec![
        column("federatedprovider", DataType::Utf8),
        column("attributes", text_map()),
    ]);
    let mut session = vec![
        column("attributes", session_attributes),
        column("sessionissuer", texts_of(&["type", "principalid", "arn", "accountid", "username"])),
        column("webidfederationdata", web_identity),
    ];
    session.extend(texts(&["sourceidentity", "ec2roledelivery", "ec2issuedinvpc"]));
    let mut identity = texts(&["type", "principalid", "arn", "accountid"]);
    identity.extend(texts(&["accesskeyid", "username"]));
    identity.push(column("sessioncontext", structure(session)));
    identity.push(column("onbehalfof", texts_of(&["userid", "identitystorearn"])));
    identity.push(column(
        "inscopeof",
        texts_of(&["sourcearn", "sourceaccount", "issuertype", "credentialsissuedto"]),
    ));
    identity.extend(texts(&["invokedby", "identityprovider"]));
    structure(identity)
}

fn event_context() -> DataType {
    let tagged = structure(vec![column("arn", DataType::Utf8), column("tags", text_map())]);
    let tags =
        structure(vec![column("principaltags", text_map()), column("resourcetags", list(tagged))]);
    structure(vec![column("requestcontext", text_map()), column("tagcontext", tags)])
}

/// Every column may be absent: an event has what its service wrote.
fn column(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn texts(names: &[&str]) -> Vec<FieldRef> {
    names.iter().map(|name| column(name, DataType::Utf8)).collect()
}

fn maps(names: &[&str]) -> Vec<FieldRef> {
    names.iter().map(|name| column(name, text_map())).collect()
}

fn structure(fields: Vec<FieldRef>) -> DataType {
    DataType::Struct(fields.into())
}

fn texts_of(names: &[&str]) -> DataType {
    structure(texts(names))
}

fn list(element: DataType) -> DataType {
    DataType::List(column("element", element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_so_that_sql_can_ignore_case() {
        let schemas = [
            events_schema(),
            configuration_items_schema(),
            insights_schema(),
            activity_schema(),
            evidence_schema(),
        ];
        for schema in schemas {
            for field in schema.flattened_fields() {
                assert_eq!(field.name(), &field.name().to_lowercase());
            }
        }
    }

    #[test]
    fn select_star_begins_and_ends_as_the_published_schema() {
        let schema = events_schema();
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names[..3], ["eventversion", "useridentity", "eventtime"]);
        assert_eq!(names[names.len() - 2..], ["eventjson", "eventjsonchecksum"]);
        assert_eq!(names.len(), 35);
    }
}
