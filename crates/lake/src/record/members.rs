//! The members of records that have columns.
//!
//! The place of a member in its object is its number in stored shapes: never change the order, add
//! new ones at the end.

use super::block;
use crate::schema::Content;

/// How the value of a member becomes a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Bool,
    Time,
    /// `map<string,string>`
    Map,
    Object(&'static Object),
    List(&'static Object),
    /// Another spelling of an earlier member, whose column it shares.
    Alias(usize),
}

/// One member: its key as records spell it. The column has the same name in lower case.
#[derive(Debug)]
pub(crate) struct Member {
    pub key: &'static str,
    /// The key in quotes and its colon, as they stand in the record.
    pub lead: &'static str,
    /// The same, to be compared as a block, and which bytes of it count.
    pub lead_block: [u8; block::BYTES],
    pub lead_mask: [u8; block::BYTES],
    pub kind: Kind,
}

/// A lead as a block and its mask. One that does not fit does not compile.
const fn block_of(lead: &str) -> ([u8; block::BYTES], [u8; block::BYTES]) {
    let (mut block, mut mask) = ([0; block::BYTES], [0; block::BYTES]);
    let mut at = 0;
    while at < lead.len() {
        block[at] = lead.as_bytes()[at];
        mask[at] = 0xFF;
        at += 1;
    }
    (block, mask)
}

/// A member; its parts are put together when this is compiled.
macro_rules! member {
    ($key:literal, $kind:expr) => {
        Member {
            key: $key,
            lead: concat!("\"", $key, "\":"),
            lead_block: block_of(concat!("\"", $key, "\":")).0,
            lead_mask: block_of(concat!("\"", $key, "\":")).1,
            kind: $kind,
        }
    };
}
macro_rules! text {
    ($key:literal) => {
        member!($key, Kind::Text)
    };
}
macro_rules! map {
    ($key:literal) => {
        member!($key, Kind::Map)
    };
}

#[derive(Debug)]
pub(crate) struct Object {
    pub members: &'static [Member],
    /// Many records of a batch have the same to the byte.
    pub repeats: bool,
}

impl Member {
    /// Whether `text` begins with the lead.
    #[inline(always)]
    pub fn leads(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(block) => block::are_alike(block, &self.lead_block, &self.lead_mask),
            None => text.starts_with(self.lead.as_bytes()),
        }
    }
}

impl Object {
    /// The members that have a column of their own, in the order of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static Member> {
        self.members.iter().filter(|member| !matches!(member.kind, Kind::Alias(_)))
    }

    /// The member with this key, letter for letter.
    pub fn number(&self, key: &[u8]) -> Option<usize> {
        self.members.iter().position(|member| member.key.as_bytes() == key)
    }
}

/// What the records of a table are.
pub(crate) fn record_of(content: Content) -> &'static Object {
    match content {
        Content::Events => &EVENT,
        Content::Activity => &ACTIVITY,
    }
}

pub(crate) static EVENT: Object = Object {
    members: &[
        text!("eventVersion"),
        member!("userIdentity", Kind::Object(&USER_IDENTITY)),
        member!("eventTime", Kind::Time),
        text!("eventSource"),
        text!("eventName"),
        text!("awsRegion"),
        text!("sourceIPAddress"),
        text!("userAgent"),
        text!("errorCode"),
        text!("errorMessage"),
        map!("requestParameters"),
        map!("responseElements"),
        map!("additionalEventData"),
        text!("requestID"),
        text!("eventID"),
        member!("readOnly", Kind::Bool),
        member!("resources", Kind::List(&RESOURCE)),
        text!("eventType"),
        text!("apiVersion"),
        member!("managementEvent", Kind::Bool),
        text!("recipientAccountId"),
        text!("sharedEventID"),
        text!("annotation"),
        text!("vpcEndpointId"),
        text!("vpcEndpointAccountId"),
        map!("serviceEventDetails"),
        map!("addendum"),
        map!("edgeDeviceDetails"),
        map!("insightDetails"),
        text!("eventCategory"),
        member!("tlsDetails", Kind::Object(&TLS_DETAILS)),
        text!("sessionCredentialFromConsole"),
        member!("eventContext", Kind::Object(&EVENT_CONTEXT)),
    ],
    repeats: false,
};

/// Places in [`EVENT`] of what is asked for by name.
pub(crate) mod place {
    pub const USER_IDENTITY: usize = 1;
    /// In userIdentity.
    pub const TYPE: usize = 0;
    pub const PRINCIPAL_ID: usize = 1;
    pub const ARN: usize = 2;
    pub const ACCESS_KEY_ID: usize = 4;
    pub const USER_NAME: usize = 5;
    /// In the event.
    pub const EVENT_TIME: usize = 2;
    pub const EVENT_SOURCE: usize = 3;
    pub const EVENT_NAME: usize = 4;
    pub const AWS_REGION: usize = 5;
    pub const REQUEST_PARAMETERS: usize = 10;
    pub const RESPONSE_ELEMENTS: usize = 11;
    pub const EVENT_ID: usize = 14;
    pub const READ_ONLY: usize = 15;
    pub const RESOURCES: usize = 16;
    pub const RECIPIENT_ACCOUNT_ID: usize = 20;
    pub const EVENT_CATEGORY: usize = 29;
    pub const SESSION_CREDENTIAL_FROM_CONSOLE: usize = 31;
    /// In an element of resources.
    pub const RESOURCE_TYPE: usize = 1;
    pub const RESOURCE_ARN: usize = 2;
    pub const RESOURCE_ARN_PREFIX: usize = 3;
}

pub(crate) static USER_IDENTITY: Object = Object {
    members: &[
        text!("type"),
        text!("principalId"),
        text!("arn"),
        text!("accountId"),
        text!("accessKeyId"),
        text!("userName"),
        member!("sessionContext", Kind::Object(&SESSION_CONTEXT)),
        member!("onBehalfOf", Kind::Object(&ON_BEHALF_OF)),
        member!("inScopeOf", Kind::Object(&IN_SCOPE_OF)),
        text!("invokedBy"),
        text!("identityProvider"),
    ],
    repeats: true,
};

static SESSION_CONTEXT: Object = Object {
    members: &[
        member!("attributes", Kind::Object(&SESSION_ATTRIBUTES)),
        member!("sessionIssuer", Kind::Object(&SESSION_ISSUER)),
        member!("webIdFederationData", Kind::Object(&WEB_ID_FEDERATION_DATA)),
        text!("sourceIdentity"),
        text!("ec2RoleDelivery"),
        text!("ec2IssuedInVpc"),
    ],
    repeats: false,
};

static SESSION_ATTRIBUTES: Object = Object {
    members: &[member!("creationDate", Kind::Time), text!("mfaAuthenticated")],
    repeats: false,
};

static SESSION_ISSUER: Object = Object {
    members: &[
        text!("type"),
        text!("principalId"),
        text!("arn"),
        text!("accountId"),
        text!("userName"),
    ],
    repeats: false,
};

static WEB_ID_FEDERATION_DATA: Object =
    Object { members: &[text!("federatedProvider"), map!("attributes")], repeats: false };

static ON_BEHALF_OF: Object =
    Object { members: &[text!("userId"), text!("identityStoreArn")], repeats: false };

static IN_SCOPE_OF: Object = Object {
    members: &[
        text!("sourceArn"),
        text!("sourceAccount"),
        text!("issuerType"),
        text!("credentialsIssuedTo"),
    ],
    repeats: false,
};

static RESOURCE: Object = Object {
    members: &[
        text!("accountId"),
        text!("type"),
        text!("ARN"),
        text!("ARNPrefix"),
        member!("arn", Kind::Alias(2)),
        member!("arnPrefix", Kind::Alias(3)),
    ],
    repeats: false,
};

static TLS_DETAILS: Object = Object {
    members: &[text!("tlsVersion"), text!("cipherSuite"), text!("clientProvidedHostHeader")],
    repeats: true,
};

static EVENT_CONTEXT: Object = Object {
    members: &[map!("requestContext"), member!("tagContext", Kind::Object(&TAG_CONTEXT))],
    repeats: false,
};

static TAG_CONTEXT: Object = Object {
    members: &[map!("principalTags"), member!("resourceTags", Kind::List(&RESOURCE_TAG))],
    repeats: false,
};

static RESOURCE_TAG: Object = Object { members: &[text!("arn"), map!("tags")], repeats: false };

/// An event from outside AWS: what was put, in an envelope of ours.
pub(crate) static ACTIVITY: Object = Object {
    members: &[
        text!("eventVersion"),
        text!("eventCategory"),
        text!("eventType"),
        text!("eventID"),
        member!("eventTime", Kind::Time),
        text!("awsRegion"),
        text!("recipientAccountId"),
        member!("addendum", Kind::Object(&ACTIVITY_ADDENDUM)),
        member!("metadata", Kind::Object(&ACTIVITY_METADATA)),
        member!("eventData", Kind::Object(&ACTIVITY_DATA)),
    ],
    repeats: false,
};

/// The place in [`ACTIVITY`] of what a row is found by.
pub(crate) const ACTIVITY_EVENT_TIME: usize = 4;

static ACTIVITY_ADDENDUM: Object = Object {
    members: &[
        text!("reason"),
        text!("updatedFields"),
        text!("originalUID"),
        text!("originalEventID"),
    ],
    repeats: false,
};

static ACTIVITY_METADATA: Object =
    Object { members: &[text!("ingestionTime"), text!("channelARN")], repeats: true };

static ACTIVITY_DATA: Object = Object {
    members: &[
        text!("version"),
        member!("userIdentity", Kind::Object(&ACTIVITY_IDENTITY)),
        text!("userAgent"),
        text!("eventSource"),
        text!("eventName"),
        text!("eventTime"),
        text!("UID"),
        map!("requestParameters"),
        map!("responseElements"),
        text!("errorCode"),
        text!("errorMessage"),
        text!("sourceIPAddress"),
        text!("recipientAccountId"),
        map!("additionalEventData"),
    ],
    repeats: false,
};

static ACTIVITY_IDENTITY: Object =
    Object { members: &[text!("type"), text!("principalId"), map!("details")], repeats: true };

/// The elements of `cairn_resources`; not part of a record.
pub(crate) static NAMED_RESOURCE: Object =
    Object { members: &[text!("type"), text!("name")], repeats: false };

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Fields};

    use super::*;
    use crate::schema::{text_map, timestamp};

    #[test]
    fn members_and_columns_agree_in_name_order_and_type() {
        for content in Content::ALL {
            let schema = content.stored();
            let ours = schema.fields().iter().filter(|field| !field.name().starts_with("cairn_"));
            check(record_of(content), &ours.cloned().collect::<Fields>());
        }
        assert_eq!(ACTIVITY.number(b"eventTime"), Some(ACTIVITY_EVENT_TIME));
        for (place, key) in [
            (place::USER_IDENTITY, "userIdentity"),
            (place::EVENT_TIME, "eventTime"),
            (place::EVENT_SOURCE, "eventSource"),
            (place::EVENT_NAME, "eventName"),
            (place::AWS_REGION, "awsRegion"),
            (place::REQUEST_PARAMETERS, "requestParameters"),
            (place::RESPONSE_ELEMENTS, "responseElements"),
            (place::EVENT_ID, "eventID"),
            (place::READ_ONLY, "readOnly"),
            (place::RESOURCES, "resources"),
            (place::RECIPIENT_ACCOUNT_ID, "recipientAccountId"),
            (place::EVENT_CATEGORY, "eventCategory"),
            (place::SESSION_CREDENTIAL_FROM_CONSOLE, "sessionCredentialFromConsole"),
        ] {
            assert_eq!(EVENT.number(key.as_bytes()), Some(place));
        }
        for (place, key) in [
            (place::TYPE, "type"),
            (place::PRINCIPAL_ID, "principalId"),
            (place::ARN, "arn"),
            (place::ACCESS_KEY_ID, "accessKeyId"),
            (place::USER_NAME, "userName"),
        ] {
            assert_eq!(USER_IDENTITY.number(key.as_bytes()), Some(place));
        }
        for (place, key) in [
            (place::RESOURCE_TYPE, "type"),
            (place::RESOURCE_ARN, "ARN"),
            (place::RESOURCE_ARN_PREFIX, "ARNPrefix"),
        ] {
            assert_eq!(RESOURCE.number(key.as_bytes()), Some(place));
        }
    }

    fn check(object: &Object, fields: &Fields) {
        assert!(object.members.len() <= crate::record::shape::MEMBERS_MAX);
        assert_eq!(object.columns().count(), fields.len(), "{fields:?}");
        for (member, field) in object.columns().zip(fields) {
            assert_eq!(&member.key.to_lowercase(), field.name());
            match (member.kind, field.data_type()) {
                (Kind::Text, DataType::Utf8) | (Kind::Bool, DataType::Boolean) => {}
                (Kind::Time, kind) => assert_eq!(kind, &timestamp()),
                (Kind::Map, kind) => assert_eq!(kind, &text_map()),
                (Kind::Object(object), DataType::Struct(fields)) => check(object, fields),
                (Kind::List(object), DataType::List(element)) => match element.data_type() {
                    DataType::Struct(fields) => check(object, fields),
                    other => panic!("{other:?}"),
                },
                (kind, field) => panic!("{kind:?} {field:?}"),
            }
        }
        for member in object.members {
            if let Kind::Alias(of) = member.kind {
                assert_eq!(member.key.to_lowercase(), object.members[of].key.to_lowercase());
                assert!(of < object.columns().count(), "aliases come after all columns");
            }
        }
    }
}
