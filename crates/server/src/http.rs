//! Bodies and answers, the same for every door.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};

/// Every door answers with this body; the bucket door streams, the others are short.
pub type Body = s3s::Body;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the request body broke off: {0}")]
    Broken(String),
}

/// Reads a whole body, but never more than `bytes_max`.
pub async fn collect(
    request: Request<Incoming>,
    bytes_max: usize,
) -> Result<(http::request::Parts, Bytes), BodyError> {
    let (parts, body) = request.into_parts();
    Ok((parts, collect_body(body, bytes_max).await?))
}

/// As `collect`, where the head has been looked at already.
pub async fn collect_body(body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    let body = Limited::new(body, bytes_max).collect().await.map_err(|e| {
        if e.is::<http_body_util::LengthLimitError>() {
            BodyError::TooLarge { max: bytes_max }
        } else {
            BodyError::Broken(e.to_string())
        }
    })?;
    Ok(body.to_bytes())
}

/// A short answer with a content type.
pub fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// The answer with its request's ID in the header that AWS has for it.
pub fn identified(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    if let Ok(id) = header::HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A header as text, if it is there once and is text.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
