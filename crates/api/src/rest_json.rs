//! REST-JSON, which CloudTrail Data speaks.
//!
//! ```text
//! POST /PutAuditEvents?channelArn=arn%3Aaws%3A…&externalId=…
//! Content-Type: application/json
//!
//! {"auditEvents": [{"id": "1", "eventData": "{…}"}]}     ◀── {"successful":[…],"failed":[…]}
//!                                                        or  x-amzn-ErrorType: ChannelNotFound
//!                                                            {"__type":"ChannelNotFound","message":"…"}
//! ```

use serde_json::Value;

use crate::cloudtrail_data::PutAuditEventsRequest;
use crate::json11::{InputError, build, read_body};
use crate::shape::{Input, Shape};

pub const CONTENT_TYPE: &str = "application/json";
pub const PUT_AUDIT_EVENTS_PATH: &str = "/PutAuditEvents";
/// The response header that carries an error's short name; the body repeats it.
pub const ERROR_HEADER: &str = "x-amzn-ErrorType";

/// Reads PutAuditEvents from the URI's query (without `?`) and the body. `channelArn` and
/// `externalId` count only in the query: a body that holds them does not override it.
pub fn parse_put_audit_events(
    query: &str,
    body: &[u8],
) -> Result<PutAuditEventsRequest, InputError> {
    parse_input(query, body)
}

fn parse_input<T: Input>(query: &str, body: &[u8]) -> Result<T, InputError> {
    let mut value = read_body(body)?;
    if let (Value::Object(object), Shape::Structure { members, .. }) = (&mut value, T::SHAPE) {
        for member in members.iter().filter(|member| member.in_query) {
            object.remove(member.name);
            if let Some(text) = query_value(query, member.name)? {
                object.insert(member.name.to_owned(), text.into());
            }
        }
    }
    build(value)
}

fn query_value(query: &str, name: &str) -> Result<Option<String>, InputError> {
    let mut found = None;
    for (key, value) in crate::query::pairs(query).map_err(InputError::Json)? {
        if key != name {
            continue;
        }
        if found.is_some() {
            return Err(InputError::Json(format!("duplicate query parameter {name:?}")));
        }
        found = Some(value);
    }
    Ok(found)
}
