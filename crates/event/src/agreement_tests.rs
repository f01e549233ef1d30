//! Our scanner and serde_json must agree on what is JSON, whatever the bytes are.

use proptest::prelude::*;
use serde_json::Value;

use crate::{Limits, Refusal, check, read_again};

/// Any JSON value of moderate size, with strings that need escapes.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        r#"["\\/\n\t\u{1}é가🎉 a]{0,12}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(r#"[a-c"\\é]{0,3}"#, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Compares syntax only: the value is wrapped so that the fields a record needs are there.
fn agree(json: &[u8]) -> Result<(), TestCaseError> {
    let mut record = Vec::from(RECORD_START);
    record.extend_from_slice(json);
    record.push(b'}');
    agree_on_record(&record)
}

const RECORD_START: &[u8] = br#"{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","x":"#;

fn agree_on_record(record: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<Value>(record);
    let ours = check(record, &Limits::default());
    if let Ok(mut checked) = ours.clone() {
        // What was taken once is read the same way again.
        let again = read_again(record).expect("it was taken");
        checked.may_hold_secrets = again.may_hold_secrets;
        prop_assert_eq!(format!("{checked:?}"), format!("{again:?}"));
    }
    match (&ours, &theirs) {
        (Ok(_), Ok(_)) => {}
        // A number too large for an f64 is fine here: we keep its text.
        (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("number out of range"), "{e}"),
        (Err(Refusal::NotJson { .. } | Refusal::InvalidUtf8 { .. }), theirs) => {
            prop_assert!(theirs.is_err(), "{ours:?} but serde_json takes it");
        }
        // Valid JSON that we do not take for reasons of our own.
        (Err(_), Ok(_)) => {}
        (Err(_), Err(e)) => {
            prop_assert!(e.to_string().contains("number out of range"), "{ours:?} {e}")
        }
    }
    Ok(())
}

/// What the mutations start from: every kind of token, nesting, escapes, non-ASCII.
const SEED: &str = r#"{"a":[1,-0.5e+10,true,false,null,"x\n\u00e9\ud83d\ude00é가🎉"],"b":{"c":{},"d":[],"":" "},"é":-0,"long":"0123456789abcdef\"0123456789"}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_serde_json_writes_is_taken(value in any_json(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value),
            false => serde_json::to_string(&value),
        };
        let mut record = Vec::from(RECORD_START);
        record.extend_from_slice(text.unwrap().as_bytes());
        record.push(b'}');
        prop_assert!(check(&record, &Limits::default()).is_ok(), "{}", String::from_utf8_lossy(&record));
    }

    #[test]
    fn changed_bytes_are_judged_as_serde_json_judges_them(
        changes in prop::collection::vec((0..SEED.len(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        agree(&changed(SEED.as_bytes(), &changes))?;
    }

    #[test]
    fn changed_tokens_are_judged_as_serde_json_judges_them(
        changes in prop::collection::vec((0..SEED.len(), prop::sample::select(br#""\{}[],:0-.e u1"#.to_vec()), 0..3_u8), 1..4),
    ) {
        agree(&changed(SEED.as_bytes(), &changes))?;
    }

    #[test]
    fn texts_of_tokens_are_judged_as_serde_json_judges_them(text in r#"[\[\]{}",:\\/untrefals0-9.eE+\- \nD8é]{0,24}"#) {
        agree(text.as_bytes())?;
        agree_on_record(text.as_bytes())?;
    }

    #[test]
    fn strings_and_numbers_are_judged_as_serde_json_judges_them(
        string in r#""(\\[a-z"/]|\\u[dD][89a-fA-F][0-9a-f]{2}|\\u[0-9a-g]{3,4}|[a-z\t\u{7f}é]){0,10}"?"#,
        number in r"-?[0-9]{0,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?",
    ) {
        agree(string.as_bytes())?;
        agree(number.as_bytes())?;
    }

    #[test]
    fn splitting_never_panics_and_gives_slices_of_the_body(
        mut body in r#"(\{"Records":\[|\{"a":1\}|\[|\]|\}|,|\n| |"x"|\{){0,12}"#.prop_map(String::into_bytes),
        change in prop::option::of((0..40_usize, any::<u8>())),
    ) {
        if let Some((at, byte)) = change && at < body.len() {
            body[at] = byte;
        }
        // Every step consumes at least one byte, so there cannot be more items than bytes.
        prop_assert!(crate::split(&body, &Limits::default()).count() <= body.len());
    }
}

fn changed(seed: &[u8], changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (at, byte, kind) in changes {
        let at = (*at).min(bytes.len().saturating_sub(1));
        match kind {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}
