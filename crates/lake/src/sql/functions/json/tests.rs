use proptest::prelude::*;

use super::*;

fn check(json: &str, path: &str, expected: Option<&str>) {
    let found = find(json, &parse_path(path).unwrap());
    assert_eq!(found.map(RawValue::get), expected);
}

#[test]
fn a_path_leads_through_members_and_items() {
    let json = r#"{"a": [1, {"b c": "x"}], "a:b": {"d-e": 2.50}}"#;
    check(json, "$", Some(json));
    check(json, "$.a[0]", Some("1"));
    check(json, r#"$.a[1]["b c"]"#, Some("\"x\""));
    check(json, "$.a:b.d-e", Some("2.50"));
    check(json, "$['a'][1]['b c']", Some("\"x\""));
}

#[test]
fn a_path_that_leads_nowhere_finds_nothing() {
    for path in ["$.b", "$.a.b", "$.a[7]", "$[0]"] {
        check(r#"{"a": [1]}"#, path, None);
    }
    check("not json", "$.a", None);
    check("", "$", None);
}

#[test]
fn escaped_keys_are_compared_by_what_they_say() {
    check(r#"{"\u0061": 1}"#, "$.a", Some("1"));
}

#[test]
fn a_path_that_cannot_be_read_is_an_error() {
    for path in ["", "a", "$.", "$[", "$['a'", "$..a", "$[*]", "$.a b"] {
        assert!(parse_path(path).is_err(), "{path}");
    }
}

#[test]
fn parsing_sorts_members_and_drops_white_space() {
    let text = sorted(r#" {"b" : [ {} , 1 ], "a" : "x y"} "#).unwrap();
    assert_eq!(text.as_deref(), Some(r#"{"a":"x y","b":[{},1]}"#));
}

#[test]
fn strings_keep_their_white_space() {
    assert_eq!(compact(r#"{ "a \" b" : 1 }"#), r#"{"a \" b":1}"#);
}

proptest! {
    #[test]
    fn no_text_and_no_path_panics(json in ".{0,40}", path in ".{0,20}") {
        if let Ok(path) = parse_path(&path) {
            let _ = find(&json, &path);
        }
        let _ = (sorted(&json), items(&json), members(&json), compact(&json), scalar_text(&json));
    }

    #[test]
    fn compact_text_means_the_same(keys in prop::collection::vec(".{0,6}", 0..5)) {
        let value = serde_json::json!(keys);
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(compact(&pretty), value.to_string());
    }
}
