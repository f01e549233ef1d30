//! The AWS query protocol, as far as STS's `GetCallerIdentity` and `AssumeRole` need it: parameters in
//! a form body or in the URI's query, XML in return.
//!
//! ```text
//! Action=GetCallerIdentity&Version=2011-06-15
//!      ◀── <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">…
//!      or  <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">…
//! ```
//!
//! Source: AWS STS API reference, "GetCallerIdentity", "AssumeRole" and "Common errors".

use percent_encoding::percent_decode_str;

use crate::{ApiError, ErrorCode};

pub const CONTENT_TYPE: &str = "text/xml";
/// The only version of the API that STS has.
pub const VERSION: &str = "2011-06-15";

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The STS operations that are answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    GetCallerIdentity,
    AssumeRole(AssumeRole),
}

/// What AssumeRole is asked for; within the reference's bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssumeRole {
    pub role_arn: String,
    pub session_name: String,
    /// 900 to 43200.
    pub duration_seconds: Option<i64>,
    pub external_id: Option<String>,
    pub source_identity: Option<String>,
    /// A policy as JSON, which bounds what the session may do.
    pub policy: Option<String>,
}

/// What the query protocol tells a client that failed. Codes are short names of its own, such as
/// `InvalidClientTokenId`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct QueryError {
    pub code: &'static str,
    pub status: u16,
    pub message: String,
}

/// Which action the parameters (`a=b&c=d`, percent-encoded, `+` for a space) ask for.
pub fn parse_action(parameters: &str) -> Result<Action, QueryError> {
    let refuse = |code, message| QueryError { code, status: 400, message };
    let mut action = None;
    let mut version = None;
    let mut others: Vec<(String, String)> = Vec::new();
    for (key, value) in form(parameters).map_err(|error| refuse("MalformedQueryString", error))? {
        let slot = match key.as_str() {
            "Action" => &mut action,
            "Version" => &mut version,
            _ => {
                if others.iter().any(|(known, _)| *known == key) {
                    return Err(refuse("MalformedQueryString", format!("{key} is given twice")));
                }
                others.push((key, value));
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(refuse("MalformedQueryString", format!("{key} is given twice")));
        }
    }
    let Some(action) = action else {
        return Err(refuse(
            "MissingAction",
            "The request must contain the parameter Action".into(),
        ));
    };
    let version = version.unwrap_or_else(|| "NO_VERSION_SPECIFIED".to_owned());
    match (action.as_str(), version.as_str()) {
        ("GetCallerIdentity", VERSION) => Ok(Action::GetCallerIdentity),
        ("AssumeRole", VERSION) => assume_role(others)
            .map(Action::AssumeRole)
            .map_err(|message| refuse("ValidationError", message)),
        _ => Err(refuse(
            "InvalidAction",
            format!("Could not find operation {action} for version {version}"),
        )),
    }
}

fn assume_role(parameters: Vec<(String, String)>) -> Result<AssumeRole, String> {
    let mut asked = AssumeRole::default();
    for (key, value) in parameters {
        let chars = value.chars().count();
        let bounded = |min, max| match (min..=max).contains(&chars) {
            true => Ok(value.clone()),
            false => Err(format!("{key} must have {min} to {max} characters; it has {chars}.")),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let named = |text: String| match text.chars().all(is_name) {
            true => Ok(text),
            false => Err(format!("{key} can only have letters, digits and _+=,.@-.")),
        };
        match key.as_str() {
            "RoleArn" => asked.role_arn = bounded(20, 2048)?,
            "RoleSessionName" => asked.session_name = named(bounded(2, 64)?)?,
            "SourceIdentity" => asked.source_identity = Some(named(bounded(2, 64)?)?),
            "ExternalId" => asked.external_id = Some(bounded(2, 1224)?),
            "Policy" => asked.policy = Some(bounded(1, 2048)?),
            "DurationSeconds" => {
                let seconds = value.parse().ok().filter(|seconds| (900..=43_200).contains(seconds));
                let message = || format!("DurationSeconds must be 900 to 43200, not {value:?}.");
                asked.duration_seconds = Some(seconds.ok_or_else(message)?);
            }
            _ => {
                let name = key.split('.').next().unwrap_or_default();
                let known = [
                    "PolicyArns",
                    "Tags",
                    "TransitiveTagKeys",
                    "SerialNumber",
                    "TokenCode",
                    "ProvidedContexts",
                ];
                // Whatever a session would be given without these would be another one.
                if known.contains(&name) {
                    return Err(format!("{name} is not implemented in this version of Cairn."));
                }
            }
        }
    }
    for (name, value) in [("RoleArn", &asked.role_arn), ("RoleSessionName", &asked.session_name)] {
        if value.is_empty() {
            return Err(format!("{name} is missing."));
        }
    }
    Ok(asked)
}

/// The percent-decoded pairs of a URI's query, in order; the error is a sentence. A `+` stays one: it
/// means a space in forms only, and SigV4 signs it as it stands.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let decode = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err("the parameters are not UTF-8".to_owned()),
    };
    let mut pairs = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(key)?, decode(value)?));
    }
    Ok(pairs)
}

/// Who is calling, for [`caller_identity_body`].
#[derive(Clone, Copy, Debug)]
pub struct CallerIdentity<'a> {
    pub arn: &'a str,
    /// The principal's unique identifier, such as `AIDA…` or `AROA…:session`.
    pub user_id: &'a str,
    pub account: &'a str,
}

/// The body of a successful GetCallerIdentity.
pub fn caller_identity_body(caller: CallerIdentity, request_id: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">\n  <GetCallerIdentityResult>\n    \
         <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    <Account>{}</Account>\n  \
         </GetCallerIdentityResult>\n  <ResponseMetadata>\n    <RequestId>{}</RequestId>\n  \
         </ResponseMetadata>\n</GetCallerIdentityResponse>\n",
        escaped(caller.arn),
        escaped(caller.user_id),
        escaped(caller.account),
        escaped(request_id)
    )
}

/// A session that begins, for [`assumed_role_body`].
#[derive(Clone, Copy, Debug)]
pub struct AssumedRole<'a> {
    /// `AROA…:session`
    pub id: &'a str,
    pub arn: &'a str,
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    pub session_token: &'a str,
    /// `YYYY-MM-DDTHH:MM:SSZ`
    pub expiration: &'a str,
    pub source_identity: Option<&'a str>,
    /// How much of the room for its policy a session takes, in percent.
    pub packed_policy_size: Option<u8>,
}

/// The body of a successful AssumeRole.
pub fn assumed_role_body(session: AssumedRole, request_id: &str) -> String {
    let element = |name: &str, value: Option<&str>| match value {
        Some(value) => format!("    <{name}>{}</{name}>\n", escaped(value)),
        None => String::new(),
    };
    let size = session.packed_policy_size.map(|percent| percent.to_string());
    format!(
        "<AssumeRoleResponse xmlns=\"{NAMESPACE}\">\n  <AssumeRoleResult>\n    <AssumedRoleUser>\n      \
         <AssumedRoleId>{}</AssumedRoleId>\n      <Arn>{}</Arn>\n    </AssumedRoleUser>\n    \
         <Credentials>\n      <AccessKeyId>{}</AccessKeyId>\n      \
         <SecretAccessKey>{}</SecretAccessKey>\n      <SessionToken>{}</SessionToken>\n      \
         <Expiration>{}</Expiration>\n    </Credentials>\n{}{}  </AssumeRoleResult>\n  \
         <ResponseMetadata>\n    <RequestId>{}</RequestId>\n  </ResponseMetadata>\n\
         </AssumeRoleResponse>\n",
        escaped(session.id),
        escaped(session.arn),
        escaped(session.access_key_id),
        escaped(session.secret_access_key),
        escaped(session.session_token),
        escaped(session.expiration),
        element("SourceIdentity", session.source_identity),
        element("PackedPolicySize", size.as_deref()),
        escaped(request_id)
    )
}

impl QueryError {
    /// The body; `Type` says whose fault it is, by the status.
    pub fn body(&self, request_id: &str) -> String {
        let fault = if self.status < 500 { "Sender" } else { "Receiver" };
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{fault}</Type>\n    \
             <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
             <RequestId>{}</RequestId>\n</ErrorResponse>\n",
            escaped(self.code),
            escaped(&self.message),
            escaped(request_id)
        )
    }
}

/// The same failure under the query protocol's names: they differ for the errors of signing.
impl From<ApiError> for QueryError {
    fn from(error: ApiError) -> Self {
        use ErrorCode::*;
        let code = match error.code {
            AccessDeniedException => "AccessDenied",
            ExpiredTokenException => "ExpiredToken",
            IncompleteSignatureException => "IncompleteSignature",
            InvalidSignatureException => "SignatureDoesNotMatch",
            MissingAuthenticationTokenException => "MissingAuthenticationToken",
            ThrottlingException => "Throttling",
            UnknownOperationException => "InvalidAction",
            UnrecognizedClientException => "InvalidClientTokenId",
            ValidationException => "ValidationError",
            same => same.as_str(),
        };
        Self { code, status: error.status(), message: error.message }
    }
}

/// The pairs of a form: as [`pairs`], and `+` is a space.
pub fn form(text: &str) -> Result<Vec<(String, String)>, String> {
    pairs(&text.replace('+', " "))
}

/// Text for XML 1.0 content: markup is escaped, and characters that XML cannot hold become U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A bare carriage return would be read back as a newline.
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(letter),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn refused(parameters: &str) -> String {
        parse_action(parameters).unwrap_err().to_string()
    }

    #[test]
    fn the_one_action_is_found_wherever_it_stands() {
        for parameters in [
            "Action=GetCallerIdentity&Version=2011-06-15",
            "X-Amz-Date=20260913T171218Z&Version=2011-06-15&Action=Get%43allerIdentity&",
        ] {
            assert_eq!(parse_action(parameters), Ok(Action::GetCallerIdentity));
        }
    }

    #[test]
    fn other_actions_versions_and_doubles_are_refused() {
        assert_eq!(
            refused("Action=GetCallerIdentity&Version=2010-01-01"),
            "InvalidAction: Could not find operation GetCallerIdentity for version 2010-01-01"
        );
        assert_eq!(
            refused("Action=GetSessionToken"),
            "InvalidAction: Could not find operation GetSessionToken for version NO_VERSION_SPECIFIED"
        );
        assert_eq!(refused(""), "MissingAction: The request must contain the parameter Action");
        assert_eq!(refused("Action=a&Action=b"), "MalformedQueryString: Action is given twice");
        assert!(refused("Action=%ff").starts_with("MalformedQueryString"));
    }

    #[test]
    fn a_role_is_asked_for_within_bounds() {
        let ask = |rest: &str| {
            parse_action(&format!(
                "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::111111111111:role/a{rest}"
            ))
        };
        let Ok(Action::AssumeRole(asked)) =
            ask("&RoleSessionName=ann%40x&DurationSeconds=900&ExternalId=e1&Unknown=1")
        else {
            panic!("it is refused")
        };
        assert_eq!((asked.session_name.as_str(), asked.duration_seconds), ("ann@x", Some(900)));
        for (rest, message) in [
            ("", "RoleSessionName is missing"),
            ("&RoleSessionName=a", "2 to 64"),
            ("&RoleSessionName=a%20b", "letters"),
            ("&RoleSessionName=ab&DurationSeconds=899", "900 to 43200"),
            ("&RoleSessionName=ab&DurationSeconds=x", "900 to 43200"),
            ("&RoleSessionName=ab&Tags.member.1.Key=x", "Tags is not implemented"),
            ("&RoleSessionName=ab&RoleSessionName=cd", "twice"),
        ] {
            let refused = ask(rest).unwrap_err().to_string();
            assert!(refused.contains(message), "{rest}: {refused}");
        }
    }

    #[test]
    fn the_caller_is_told_in_xml() {
        let caller = CallerIdentity {
            arn: "arn:aws:iam::111111111111:user/a&b",
            user_id: "AIDAEXAMPLE",
            account: "111111111111",
        };
        expect![[r#"
            <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <GetCallerIdentityResult>
                <Arn>arn:aws:iam::111111111111:user/a&amp;b</Arn>
                <UserId>AIDAEXAMPLE</UserId>
                <Account>111111111111</Account>
              </GetCallerIdentityResult>
              <ResponseMetadata>
                <RequestId>r-1</RequestId>
              </ResponseMetadata>
            </GetCallerIdentityResponse>
        "#]]
        .assert_eq(&caller_identity_body(caller, "r-1"));
    }

    #[test]
    fn an_error_is_told_in_xml_under_stss_names() {
        let error = ApiError::new(
            ErrorCode::UnrecognizedClientException,
            "The security token <x> is invalid\u{1}",
        );
        expect![[r#"
            <ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <Error>
                <Type>Sender</Type>
                <Code>InvalidClientTokenId</Code>
                <Message>The security token &lt;x&gt; is invalid�</Message>
              </Error>
              <RequestId>r-1</RequestId>
            </ErrorResponse>
        "#]]
        .assert_eq(&QueryError::from(error).body("r-1"));
    }
}
