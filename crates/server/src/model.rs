//! Asks a configured OpenAI-compatible model for a statement. What it answers is untrusted: the
//! caller checks it as any other statement.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::settings::ModelSettings;

/// Sample queries that are shown to the model.
pub const EXAMPLES: usize = 5;
/// An answer is one statement; more is not read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// API reference: QueryStatement has at most 10000 characters.
const STATEMENT_CHARS_MAX: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the model was not reached")]
    Unreached(#[source] reqwest::Error),
    #[error("the model answered with status {0}")]
    Refused(u16),
    #[error("the model's answer is {0}")]
    Answer(&'static str),
}

const COLUMNS: &str = "eventVersion, userIdentity (type, principalId, arn, accountId, accessKeyId, userName, \
sessionContext (attributes (creationDate, mfaAuthenticated), sessionIssuer (type, principalId, arn, accountId, userName)), invokedBy), \
eventTime (timestamp), eventSource, eventName, awsRegion, sourceIPAddress, userAgent, errorCode, errorMessage, \
requestParameters (map), responseElements (map), additionalEventData (map), requestID, eventID, readOnly (boolean), \
resources (array of accountId, type, arn), eventType, managementEvent (boolean), recipientAccountId, sharedEventID, vpcEndpointId, \
eventCategory, tlsDetails (tlsVersion, cipherSuite, clientProvidedHostHeader), sessionCredentialFromConsole, eventJson";

/// One statement over the event data store `store_id` for a prompt.
pub async fn ask(
    settings: &ModelSettings,
    prompt: &str,
    store_id: &str,
    examples: &[&str],
    now: Timestamp,
) -> Result<String, ModelError> {
    let shown = examples.join(";\n\n").replace("$EDS_ID", store_id);
    let task = format!(
        "You write one SQL SELECT statement in Trino's dialect over a table of AWS CloudTrail events. \
         The table is named {store_id}, without quotes. Its columns: {COLUMNS}. \
         Values of the maps are texts; take them with element_at(map, 'key'). \
         Compare eventTime with texts such as '2026-01-31 00:00:00'. It is {} UTC now. \
         End lists with a LIMIT. Answer with the statement alone. Examples:\n\n{shown}",
        now.strftime("%Y-%m-%d %H:%M:%S")
    );
    let body = json!({
        "model": settings.model,
        "temperature": 0,
        "messages": [{"role": "system", "content": task}, {"role": "user", "content": prompt}],
    });
    let client = reqwest::Client::builder()
        .timeout(settings.time_max)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(ModelError::Unreached)?;
    let mut request = client
        .post(format!("{}/chat/completions", settings.url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .body(body.to_string());
    if let Some(key) = &settings.api_key {
        request = request.bearer_auth(key.reveal());
    }
    let mut response = request.send().await.map_err(ModelError::Unreached)?;
    if !response.status().is_success() {
        return Err(ModelError::Refused(response.status().as_u16()));
    }
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ModelError::Unreached)? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(ModelError::Answer("too long"));
        }
    }
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|_| ModelError::Answer("not JSON"))?;
    let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
    statement(text.ok_or(ModelError::Answer("without a message"))?)
}

/// The statement in what a model says: models like to put it in a fenced block.
fn statement(text: &str) -> Result<String, ModelError> {
    let fenced = text.split("```").nth(1);
    let text = match fenced {
        Some(block) => block.strip_prefix("sql").unwrap_or(block),
        None => text,
    };
    let text = text.trim().trim_end_matches(';').trim_end();
    if text.is_empty() || text.chars().count() > STATEMENT_CHARS_MAX {
        return Err(ModelError::Answer("no statement of the right length"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a model that says `answer` to whatever, and what was asked of it.
    async fn asked(answer: &'static str) -> (Result<String, ModelError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = ModelSettings {
            url: format!("http://{}/v1", listener.local_addr().unwrap()),
            model: "small".to_owned(),
            api_key: None,
            time_max: Duration::from_secs(20),
        };
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            // The body is JSON in one piece, and ends with the object.
            while !heard.ends_with(b"}") {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).await.unwrap();
                assert!(count > 0, "the request ends early");
                heard.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(heard).unwrap()
        });
        let now = "2026-11-23T10:30:00Z".parse().unwrap();
        let result =
            ask(&settings, "top users", "the-store", &["SELECT 1 FROM $EDS_ID"], now).await;
        (result, server.await.unwrap())
    }

    fn ok(body: &str) -> &'static str {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Box::leak(format!("{head}{body}").into_boxed_str())
    }

    #[tokio::test]
    async fn the_model_is_asked_with_examples_and_answers_with_a_statement() {
        let body = r#"{"choices":[{"message":{"content":"Sure:\n```sql\nSELECT 1 FROM the-store;\n```"}}]}"#;
        let (statement, heard) = asked(ok(body)).await;
        assert_eq!(statement.unwrap(), "SELECT 1 FROM the-store");
        assert!(heard.starts_with("POST /v1/chat/completions "), "{heard}");
        assert!(
            heard.contains("top users") && heard.contains("SELECT 1 FROM the-store"),
            "{heard}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error() {
        for answer in [
            ok("{}"),
            ok("no JSON"),
            ok(r#"{"choices":[{"message":{"content":""}}]}"#),
            "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(asked(answer).await.0.is_err(), "{answer}");
        }
    }

    #[test]
    fn fences_and_semicolons_are_taken_off() {
        assert_eq!(statement(" SELECT 1 ; ").unwrap(), "SELECT 1");
        assert_eq!(statement("```\nSELECT 1\n```").unwrap(), "SELECT 1");
        assert!(statement(" ; ").is_err());
    }
}
