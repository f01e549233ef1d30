//! What a request claims about itself: parsed, not believed.
//!
//! ```text
//!   Authorization: AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request,
//!                  SignedHeaders=a;b;c, Signature=<64 hex>          + X-Amz-Date (or Date)
//!   ?X-Amz-Algorithm=…&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=…&X-Amz-SignedHeaders=…&X-Amz-Signature=…
//! ```

use std::borrow::Cow;

use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::refusal::Refusal;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const TARGET_BYTES_MAX: usize = 8 * 1024;
/// AWS: seven days (IAM user guide, "Signature Version 4 query parameters").
const PRESIGNED_SECONDS_MAX: i64 = 604_800;

/// Headers that mean one thing: sent twice, two programs could read two different things.
const SINGLE_HEADERS: [&str; 8] = [
    "authorization",
    "content-length",
    "date",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-target",
];

/// Which day, Region and service a signature is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `YYYYMMDD`
    pub date: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    /// `date/region/service/aws4_request`
    pub fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// The credentials a request presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    pub access_key_id: String,
    pub scope: Scope,
    /// The last part of the credential; right only when `aws4_request`.
    pub(super) terminator: String,
    /// Lower-case, sorted, each once, `host` among them.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: [u8; 32],
    /// `YYYYMMDDTHHMMSSZ`
    pub(super) time_text: String,
    pub(super) time: Timestamp,
    /// `Some` when presigned.
    pub(super) expires_seconds: Option<i64>,
    pub(super) session_token: Option<String>,
    /// The declared hash of the body, or `UNSIGNED-PAYLOAD`, or `STREAMING-…`.
    pub(super) content_sha256: Option<String>,
}

impl Presented {
    /// Reads the claims of a request, and refuses what is ambiguous, oversized or malformed.
    pub fn read(request: &Parts) -> Result<Self, Refusal> {
        within_limits(request)?;
        for name in SINGLE_HEADERS {
            if request.headers.get_all(name).iter().nth(1).is_some() {
                return Err(Refusal::Repeated(name.to_owned()));
            }
        }
        let auth = AuthParameters::read(request.uri.query().unwrap_or(""))?;
        let header = text_header(&request.headers, "authorization")?;
        match (header, auth.any()) {
            (Some(_), true) => Err(Refusal::TwoWays),
            (Some(header), false) => from_header(header, &request.headers),
            (None, true) => from_query(auth, &request.headers),
            (None, false) => Err(Refusal::Missing),
        }
    }

    pub fn is_presigned(&self) -> bool {
        self.expires_seconds.is_some()
    }
}

fn within_limits(request: &Parts) -> Result<(), Refusal> {
    let headers = &request.headers;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Refusal::HeadersTooLarge);
    }
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    Ok(())
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => Err(Refusal::Incomplete(format!("Header '{name}' must be printable ASCII."))),
    }
}

fn from_header(header: &str, headers: &HeaderMap) -> Result<Presented, Refusal> {
    let (algorithm, parameters) = header.split_once(' ').unwrap_or((header, ""));
    if algorithm != ALGORITHM {
        return Err(Refusal::WrongAlgorithm);
    }
    let [mut credential, mut signed_headers, mut signature] = [None, None, None];
    for parameter in parameters.split(',') {
        let parameter = parameter.trim_matches(' ');
        let (name, value) = parameter.split_once('=').ok_or_else(|| {
            Refusal::Incomplete(
                "A part of the Authorization header is not a valid key=value pair (missing equal-sign)."
                    .to_owned(),
            )
        })?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                return Err(Refusal::Incomplete(
                    "Unknown part in the Authorization header.".into(),
                ));
            }
        };
        if place.replace(value).is_some() {
            return Err(Refusal::Incomplete(format!("Authorization header repeats '{name}'.")));
        }
    }
    let time = match text_header(headers, "x-amz-date")? {
        Some(text) => Some(("x-amz-date", text)),
        None => text_header(headers, "date")?.map(|text| ("date", text)),
    };
    let (Some(credential), Some(signed_headers), Some(signature), Some((date_header, time_text))) =
        (credential, signed_headers, signature, time)
    else {
        let mut message = String::new();
        for (present, name) in [
            (credential.is_some(), "Credential"),
            (signature.is_some(), "Signature"),
            (signed_headers.is_some(), "SignedHeaders"),
        ] {
            if !present {
                message += &format!("Authorization header requires '{name}' parameter. ");
            }
        }
        if time.is_none() {
            message += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
        }
        return Err(Refusal::Incomplete(message.trim_end().to_owned()));
    };
    let time = match date_header {
        "x-amz-date" => basic_time(time_text),
        _ => basic_time(time_text).or_else(|| http_time(time_text)),
    };
    let time = time.ok_or_else(|| bad_time(time_text))?;
    let (access_key_id, scope, terminator) = split_credential(credential)?;
    let presented = Presented {
        access_key_id,
        scope,
        terminator,
        signed_headers: split_signed_headers(signed_headers)?,
        signature: split_signature(signature)?,
        time_text: basic_text(time),
        time,
        expires_seconds: None,
        session_token: text_header(headers, "x-amz-security-token")?.map(str::to_owned),
        content_sha256: text_header(headers, "x-amz-content-sha256")?.map(str::to_owned),
    };
    // The clock check is worth nothing when the time can be changed.
    require_signed(&presented.signed_headers, date_header)?;
    all_amz_headers_signed(&presented.signed_headers, headers)?;
    Ok(presented)
}

fn from_query(auth: AuthParameters, headers: &HeaderMap) -> Result<Presented, Refusal> {
    if auth.algorithm.as_deref() != Some(ALGORITHM) {
        return Err(Refusal::WrongAlgorithm);
    }
    let required = |value: Option<String>, name: &str| {
        value.ok_or_else(|| {
            Refusal::Incomplete(format!("AWS query-string parameters must include '{name}'."))
        })
    };
    let (access_key_id, scope, terminator) =
        split_credential(&required(auth.credential, "X-Amz-Credential")?)?;
    let time_text = required(auth.date, "X-Amz-Date")?;
    let expires = required(auth.expires, "X-Amz-Expires")?;
    let expires_seconds = Some(expires)
        .filter(|text| text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds))
        .ok_or_else(|| {
            Refusal::Incomplete(
                "X-Amz-Expires must be at least 1 second and less than a week (in seconds) that is 604800."
                    .to_owned(),
            )
        })?;
    let declared = text_header(headers, "x-amz-content-sha256")?.map(str::to_owned);
    let presented = Presented {
        access_key_id,
        scope,
        terminator,
        signed_headers: split_signed_headers(&required(
            auth.signed_headers,
            "X-Amz-SignedHeaders",
        )?)?,
        signature: split_signature(&required(auth.signature, "X-Amz-Signature")?)?,
        time: basic_time(&time_text).ok_or_else(|| bad_time(&time_text))?,
        time_text,
        expires_seconds: Some(expires_seconds),
        session_token: auth.session_token,
        content_sha256: auth.content_sha256.or(declared),
    };
    all_amz_headers_signed(&presented.signed_headers, headers)?;
    Ok(presented)
}

/// The `X-Amz-…` query parameters of a presigned request, decoded.
#[derive(Default)]
struct AuthParameters {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
    session_token: Option<String>,
    content_sha256: Option<String>,
}

impl AuthParameters {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for piece in query.split('&') {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            // Decoded, so that no other spelling of a name can be slipped past us.
            let name = decoded(name);
            let place = match name.to_ascii_lowercase().as_str() {
                "x-amz-algorithm" => &mut found.algorithm,
                "x-amz-credential" => &mut found.credential,
                "x-amz-date" => &mut found.date,
                "x-amz-expires" => &mut found.expires,
                "x-amz-signedheaders" => &mut found.signed_headers,
                "x-amz-signature" => &mut found.signature,
                "x-amz-security-token" => &mut found.session_token,
                "x-amz-content-sha256" => &mut found.content_sha256,
                _ => continue,
            };
            if place.replace(decoded(value).into_owned()).is_some() {
                return Err(Refusal::Repeated(name.into_owned()));
            }
        }
        Ok(found)
    }

    fn any(&self) -> bool {
        self.algorithm.is_some() || self.credential.is_some() || self.signature.is_some()
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

fn split_credential(text: &str) -> Result<(String, Scope, String), Refusal> {
    let parts: Vec<&str> = text.split('/').collect();
    let [access_key_id, date, region, service, terminator] = parts[..] else {
        return Err(Refusal::Incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
                .to_owned(),
        ));
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let all_plain =
        parts.iter().all(|part| (1..=128).contains(&part.len()) && part.bytes().all(plain));
    if !all_plain {
        return Err(Refusal::Incomplete(
            "Credential has an element that is empty or malformed.".into(),
        ));
    }
    let scope = Scope { date: date.into(), region: region.into(), service: service.into() };
    Ok((access_key_id.to_owned(), scope, terminator.to_owned()))
}

fn split_signed_headers(text: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let lower =
        |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if !names.iter().all(lower) || !names.is_sorted_by(|before, after| before < after) {
        return Err(Refusal::Incomplete(
            "SignedHeaders must be lower-case header names in order, each once, between semicolons."
                .to_owned(),
        ));
    }
    require_signed(&names, "host")?;
    Ok(names)
}

fn split_signature(text: &str) -> Result<[u8; 32], Refusal> {
    let mut signature = [0; 32];
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // A signature of the wrong form is a wrong signature: AWS says no more than that.
    if !lower || hex::decode_to_slice(text, &mut signature).is_err() {
        return Err(Refusal::SignatureMismatch);
    }
    Ok(signature)
}

fn require_signed(signed_headers: &[String], name: &str) -> Result<(), Refusal> {
    if signed_headers.iter().any(|signed| signed == name) {
        return Ok(());
    }
    Err(Refusal::HeadersNotSigned(vec![name.to_owned()]))
}

/// `x-amz-user-agent` may be unsigned: browsers' SDKs add it after presigning, and it only names the
/// client program.
fn all_amz_headers_signed(signed_headers: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
    let mut unsigned = Vec::new();
    for name in headers.keys().map(http::HeaderName::as_str) {
        let must = name.starts_with("x-amz-") && name != "x-amz-user-agent";
        if must && !signed_headers.iter().any(|signed| signed == name) {
            unsigned.push(name.to_owned());
        }
    }
    if unsigned.is_empty() {
        return Ok(());
    }
    Err(Refusal::HeadersNotSigned(unsigned))
}

fn bad_time(text: &str) -> Refusal {
    Refusal::Incomplete(format!(
        "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
        text.escape_debug()
    ))
}

/// `YYYYMMDDTHHMMSSZ`, to the letter.
fn basic_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = &bytes[from..to];
        let mut value = 0;
        for digit in digits {
            value =
                value * 10 + i16::from(char::from(*digit).to_digit(10).map(|digit| digit as u8)?);
        }
        Some(value)
    };
    let small = |from: usize| number(from, from + 2).and_then(|value| i8::try_from(value).ok());
    // A second of 60 does not exist here: no client signs one.
    let civil =
        DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0);
    Some(civil.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `Sun, 30 Aug 2015 12:36:00 GMT`, or with an offset as botocore writes it.
fn http_time(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

pub(super) fn basic_text(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_form() {
        let time: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        assert_eq!(basic_time("20150830T123600Z"), Some(time));
        assert_eq!(basic_text(time), "20150830T123600Z");
        for wrong in [
            "",
            "20150830T123600",
            "20150830t123600Z",
            "20150830T123660Z",
            "20150830T243600Z",
            "20150231T123600Z",
            "2015083 T123600Z",
            "2015-08-30T12:36",
            "+0150830T123600Z",
        ] {
            assert_eq!(basic_time(wrong), None, "{wrong}");
        }
        for text in ["Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000"] {
            assert_eq!(http_time(text), Some(time), "{text}");
        }
    }
}
