use super::*;

#[track_caller]
fn check(raw: &str, expected: &str) {
    let found = redact(raw.as_bytes());
    assert_eq!(std::str::from_utf8(&found).unwrap(), expected);
    assert_eq!(matches!(found, Cow::Borrowed(_)), raw == expected, "copied only when it must be");
    // Redacting again changes nothing: what is hidden is known to be hidden.
    assert_eq!(redact(&found), found);
}

#[track_caller]
fn unchanged(raw: &str) {
    check(raw, raw);
}

const H: &str = HIDDEN;

#[test]
fn secrets_by_name_are_hidden_at_any_depth_and_nothing_else_moves() {
    check(
        r#"{ "requestParameters" : {"userName":"ana","password": "p\"w" ,"a":[{"SecretAccessKey":"k"}],"n":1.50}}"#,
        &format!(
            r#"{{ "requestParameters" : {{"userName":"ana","password": "{H}" ,"a":[{{"SecretAccessKey":"{H}"}}],"n":1.50}}}}"#
        ),
    );
    for name in [
        "secretAccessKey",
        "masterUserPassword",
        "newPassword",
        "oldPassword",
        "privateKey",
        "private_key",
        "clientSecret",
        "client_secret",
        "Authorization",
        "Proxy-Authorization",
        "secretString",
        "pass\\u0077ord",
    ] {
        check(
            &format!(r#"{{"responseElements":{{"x":{{"{name}":"v"}}}}}}"#),
            &format!(r#"{{"responseElements":{{"x":{{"{name}":"{H}"}}}}}}"#),
        );
    }
    check(
        r#"{"requestParameters":{"passwords":["a","b"]}}"#,
        &format!(r#"{{"requestParameters":{{"passwords":["{H}","{H}"]}}}}"#),
    );
}

#[test]
fn what_is_no_secret_or_hidden_already_stays() {
    unchanged(r#"{"requestParameters":{"password":"HIDDEN_DUE_TO_SECURITY_REASONS"}}"#);
    unchanged(r#"{"requestParameters":{"password":"","masterUserPassword":"****"}}"#);
    unchanged(r#"{"requestParameters":{"keyMaterial":"<sensitiveDataRemoved>"}}"#);
    unchanged(r#"{"requestParameters":{"password":null,"passwordPolicy":"x","oldPassword":true}}"#);
    unchanged(r#"{"requestParameters":{"password":{"length":8}}}"#);
    unchanged(r#"{"responseElements":{"credentials":{"sessionToken":"t","accessKeyId":"ASIA"}}}"#);
    unchanged(r#"{"additionalEventData":{"password":"p"},"password":"p"}"#);
    unchanged(r#"{"requestParameters":{"publicKey":"-----BEGIN PUBLIC KEY-----\nx"}}"#);
    unchanged("not json");
    unchanged("[]");
}

#[test]
fn pem_private_keys_are_hidden_wherever_they_stand() {
    check(
        r#"{"additionalEventData":{"x":["a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n"]},"y":"z"}"#,
        &format!(r#"{{"additionalEventData":{{"x":["{H}"]}},"y":"z"}}"#),
    );
}

#[test]
fn the_check_says_whether_there_is_anything_to_hide() {
    let record = |parameters: &str| {
        format!(
            r#"{{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"n","awsRegion":"us-east-1","requestParameters":{parameters}}}"#
        )
    };
    for (parameters, expected) in [
        (r#"{"password":"p"}"#, true),
        (r#"{"a":"-----BEGIN PRIVATE KEY-----"}"#, true),
        (r#"{"a":"-----END PRIVATE KEY-----"}"#, false),
        (r#"{"password":""}"#, false),
        (r#"{"a":"b"}"#, false),
        (r#""password""#, false),
    ] {
        let record = record(parameters);
        let header = crate::check(record.as_bytes(), &crate::Limits::default()).unwrap();
        assert_eq!(header.may_hold_secrets, expected, "{parameters}");
        let changed = redact(record.as_bytes()) != record.as_bytes();
        assert_eq!(changed, expected, "{parameters}");
    }
}

#[test]
fn every_listed_name_gets_past_the_quick_tests() {
    for name in SECRET_NAMES {
        assert!(is_secret_name(name.as_bytes()), "{name}");
        assert!(is_secret_name(name.to_uppercase().as_bytes()), "{name}");
    }
}
