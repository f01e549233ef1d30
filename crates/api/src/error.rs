use crate::{ErrorCode, Violation, sentence};

/// What a client is told when a call fails: AWS's code and a sentence for a person.
///
/// The sentence must be fit for the caller's eyes: nothing about other accounts, no inner causes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}", code = code.as_str())]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// ValidationException with AWS's sentence; `None` when nothing is violated.
    pub fn validation(violations: &[Violation]) -> Option<Self> {
        match violations {
            [] => None,
            some => Some(Self::new(ErrorCode::ValidationException, sentence(some))),
        }
    }

    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The body in both JSON protocols: `{"__type":"<ShortName>","message":"…"}`, with no namespace
    /// and in this order, as CloudTrail answers (compared with native Content-Length values).
    pub fn body(&self) -> String {
        let message = serde_json::Value::from(self.message.as_str());
        format!(r#"{{"__type":"{}","message":{message}}}"#, self.code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_body_has_the_short_name_and_an_escaped_message() {
        let error = ApiError::new(ErrorCode::TrailNotFoundException, "Unknown trail: \"a\"\n");
        assert_eq!(
            error.body(),
            r#"{"__type":"TrailNotFoundException","message":"Unknown trail: \"a\"\n"}"#
        );
        assert_eq!(error.status(), 400);
    }

    #[test]
    fn every_error_code_has_a_name_of_its_own() {
        let names: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn only_common_errors_have_another_status_than_400() {
        for code in ErrorCode::ALL {
            assert!(code.status() == 400 || code.is_common(), "{code:?}");
        }
        for (code, status) in [
            (ErrorCode::AccessDeniedException, 403),
            (ErrorCode::InternalFailure, 500),
            (ErrorCode::RequestEntityTooLarge, 413),
            (ErrorCode::ServiceUnavailable, 503),
            (ErrorCode::ThrottlingException, 400),
            (ErrorCode::UnrecognizedClientException, 403),
        ] {
            assert_eq!(code.status(), status, "{code:?}");
        }
    }
}
