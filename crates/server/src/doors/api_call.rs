//! What the doors of AWS's JSON protocols do alike: errors with their code in a header, and the Region of
//! a signature.

use api::{ApiError, ErrorCode};
use event::Region;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::access::{AuthError, Expect, Refusal, Verified};
use crate::http::{Body, BodyError, answer};
use crate::node::Node;

/// Status, code and body of an error.
pub type Refused = (StatusCode, String, String);

pub fn refused(error: ApiError) -> Refused {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, error.code.as_str().to_owned(), error.body())
}

pub fn unread(error: BodyError) -> Refused {
    let code = match error {
        BodyError::TooLarge { .. } => ErrorCode::RequestEntityTooLarge,
        BodyError::Broken(_) => ErrorCode::SerializationException,
    };
    refused(ApiError::new(code, error.to_string()))
}

pub fn unauthentic(error: AuthError) -> Refused {
    let body = json!({ "__type": error.code, "message": error.message }).to_string();
    (error.status, error.code.to_owned(), body)
}

/// The Region that a request was signed for.
pub fn region_of(node: &Node, verified: &Verified, expect: &Expect) -> Result<Region, Refused> {
    let presented = &verified.scope.region;
    Region::parse(presented).map_err(|_| {
        let expected = node.settings.region.to_string();
        let refusal = Refusal::WrongRegion { presented: presented.clone(), expected };
        unauthentic(AuthError::new(refusal, expect.dialect))
    })
}

/// Status, code and message of an error of another service than CloudTrail.
pub type NeighbourRefused = (StatusCode, &'static str, String);

/// The answer of another service than CloudTrail: some of their SDKs read `Message`, others `message`.
pub fn answered(done: Result<Value, NeighbourRefused>) -> Response<Body> {
    const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
    let (status, code, message) = match done {
        Ok(value) => return answer(StatusCode::OK, CONTENT_TYPE, value.to_string()),
        Err(refused) => refused,
    };
    let body = json!({ "__type": code, "Message": message, "message": message });
    let mut response = answer(status, CONTENT_TYPE, body.to_string());
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    response
}
