use expect_test::{Expect, expect};

use super::*;

/// Each letter from A to D becomes a record with that eventName.
fn expand(body: &str) -> String {
    let record = |name: char| {
        format!(
            r#"{{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"{name}","awsRegion":"us-east-1"}}"#
        )
    };
    let expand_one = |letter: char| match letter {
        'A'..='D' => record(letter),
        other => other.to_string(),
    };
    body.chars().map(expand_one).collect()
}

#[track_caller]
fn check(body: &str, expected: Expect) {
    check_bytes(expand(body).as_bytes(), expected);
}

#[track_caller]
fn check_bytes(body: &[u8], expected: Expect) {
    let mut out = String::new();
    for item in split(body, &Limits::default()) {
        out += &match item.result {
            Ok((raw, header)) => {
                assert_eq!(raw.first(), Some(&b'{'));
                assert_eq!(raw.last(), Some(&b'}'));
                crate::check(raw, &Limits::default()).unwrap();
                format!("{}: {}\n", item.place, header.event_name)
            }
            Err(refusal) => format!("{}: {refusal}\n", item.place),
        };
    }
    expected.assert_eq(&out);
}

#[test]
fn lines_are_records_and_a_bad_one_costs_only_itself() {
    check(
        "A\nB\r\n\n  C  \n{\"x\n[]\nD",
        expect![[r#"
        line 1: A
        line 2: B
        line 4: C
        line 5: not valid JSON: unexpected end at byte 3
        line 6: a record must be a JSON object
        line 7: D
    "#]],
    );
    check(
        "{\"a\":1,\nA\n",
        expect![[r#"
        line 1: not valid JSON: unexpected end at byte 7
        line 2: A
    "#]],
    );
    check(
        "nonsense\nA\n",
        expect![[r#"
        line 1: not valid JSON: an unknown word at byte 1
        line 2: A
    "#]],
    );
    check_bytes(
        &[expand("A\n").as_bytes(), b"{\"\xff\"}\n", expand("B").as_bytes()].concat(),
        expect![[r#"
        line 1: A
        line 2: not valid UTF-8 at byte 2
        line 3: B
    "#]],
    );
}

#[test]
fn documents_of_every_form_give_their_records() {
    check(
        "[A,B]",
        expect![[r#"
        record 0: A
        record 1: B
    "#]],
    );
    check(
        " [ A ,\n B ] \n",
        expect![[r#"
        record 0: A
        record 1: B
    "#]],
    );
    check(
        "{\"Records\":[A,B]}",
        expect![[r#"
        record 0: A
        record 1: B
    "#]],
    );
    check(
        "\u{feff}{ \"Records\" : [\n A,\n B\n ] , \"more\":{\"x\":1}}\n",
        expect![[r#"
        record 0: A
        record 1: B
    "#]],
    );
    check(
        "A",
        expect![[r#"
        line 1: A
    "#]],
    );
    check(
        "{\"Records\":[A]}\n{\"Records\":[B]}\n[C]\nD",
        expect![[r#"
        record 0: A
        record 1: B
        record 2: C
        record 3: D
    "#]],
    );
}

#[test]
fn a_pretty_printed_record_is_one_record() {
    let value: serde_json::Value = serde_json::from_str(&expand("A")).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    check_bytes(
        pretty.as_bytes(),
        expect![[r#"
        record 0: A
    "#]],
    );
    check_bytes(
        format!("{pretty}\n{pretty}").as_bytes(),
        expect![[r#"
        record 0: A
        record 1: A
    "#]],
    );
    check_bytes(
        format!("[{pretty}]").as_bytes(),
        expect![[r#"
        record 0: A
    "#]],
    );
}

#[test]
fn empty_bodies_hold_nothing() {
    check("", expect![[""]]);
    check(" \n\n", expect![[""]]);
    check("[]", expect![[""]]);
    check("{\"Records\":[]}", expect![""]);
}

#[test]
fn a_record_that_is_only_not_taken_does_not_end_its_document() {
    check(
        "[A,5,{\"a\":1,\"a\":2},{},B]",
        expect![[r#"
        record 0: A
        record 1: a record must be a JSON object
        record 2: the key "a" occurs twice in one object, again at byte 106
        record 3: the field eventSource is missing or empty
        record 4: B
    "#]],
    );
    let deep = format!("[A,{{\"a\":{}{}}},B]", "[".repeat(100), "]".repeat(100));
    check(
        &deep,
        expect![[r#"
        record 0: A
        record 1: nested deeper than 64 levels at byte 164
        record 2: B
    "#]],
    );
}

#[test]
fn a_broken_document_ends_with_the_place() {
    check(
        "[A,{\"a\":tru},B]",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: an unknown word at byte 104
    "#]],
    );
    check(
        "[A B]",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: a comma or ] is wanted at byte 96
    "#]],
    );
    check(
        "[A,]",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: a value is wanted at byte 96
    "#]],
    );
    check(
        "[A",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: unexpected end at byte 95
    "#]],
    );
    check(
        "{\"Records\":[A]",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: unexpected end at byte 107
    "#]],
    );
    check(
        "{\"Records\":[A],\"Records\":[B]}",
        expect![[r#"
        record 0: A
        record 1: the key "Records" occurs twice in one object, again at byte 109
    "#]],
    );
    check(
        "[A] x",
        expect![[r#"
        record 0: A
        record 1: not valid JSON: an object or an array is wanted at byte 97
    "#]],
    );
    check_bytes(
        &[expand("[A,").as_bytes(), b"{\"\xff\":1}]"].concat(),
        expect![[r#"
        record 0: A
        record 1: not valid UTF-8 at byte 98
    "#]],
    );
    check_bytes(
        &[expand("[A]").as_bytes(), b"\xff"].concat(),
        expect![[r#"
        record 0: A
        record 1: not valid UTF-8 at byte 96
    "#]],
    );
}

#[test]
fn a_log_file_is_taken_as_any_body_but_nobody_looks_for_secrets() {
    let record = |parameters: &str| {
        format!(
            r#"{{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"n","awsRegion":"r","requestParameters":{{{parameters}}}}}"#
        )
    };
    let pem = r#""a":"-----BEGIN RSA PRIVATE KEY-----""#;
    let body = [record(r#""password":"x""#), record(pem), record(r#""a":1,"a":2"#)].join("\n");
    let limits = Limits::default();
    let (mut any, mut log_file) =
        (Records::new(body.as_bytes()), Records::of_log_file(body.as_bytes()));
    let mut taken = 0;
    while let Some(item) = any.next_checked(&limits) {
        let other = log_file.next_checked(&limits).unwrap();
        assert_eq!(item.place, other.place);
        match (item.result, other.result) {
            (Ok((record, header)), Ok((other_record, other))) => {
                assert_eq!(record, other_record);
                assert_eq!(other.record().as_bytes(), record);
                assert_eq!((header.may_hold_secrets, other.may_hold_secrets), (true, false));
                taken += 1;
            }
            (result, other) => assert_eq!(result.err(), other.err()),
        }
    }
    assert_eq!(taken, 2);
    assert!(log_file.next_checked(&limits).is_none());
}

#[test]
fn what_is_taken_unread_is_not_checked_but_counted() {
    let good =
        r#"{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"n","awsRegion":"r"}"#;
    let limits = Limits::default();
    for (body, is_whole, places) in [
        (
            format!("[{good},{{}}, {good} ]\n{{\"Records\":[7,{good}]}}"),
            false,
            "[Index(1), Index(3)]",
        ),
        (format!("{good}\n\n{{}}\n{good}\r\n7\n{good}"), true, "[Line(3), Line(5)]"),
    ] {
        let mut records = Records::of_log_file(body.as_bytes());
        let (mut taken, mut left) = (0, Vec::new());
        while let Some(item) = records.next_untaken(&limits, |unread| {
            assert_eq!(unread.is_whole, is_whole);
            let is_good = unread.text.starts_with(good);
            taken += usize::from(is_good);
            is_good.then_some(good.len())
        }) {
            assert!(item.result.is_err());
            left.push(item.place);
        }
        assert_eq!((taken, format!("{left:?}").as_str()), (3, places));
    }
    // A line that is too long, or not UTF-8, is offered to nobody.
    let body = format!("{good}\n\"\u{fffd}\"");
    let limits = Limits { record_bytes_max: good.len() - 1, ..limits };
    let mut records = Records::of_log_file(&body.as_bytes()[..body.len() - 2]);
    let next = || records.next_untaken(&limits, |_| panic!("offered"));
    assert_eq!(std::iter::from_fn(next).filter(|item| item.result.is_err()).count(), 2);
}

proptest::proptest! {
    #[test]
    fn parts_that_come_again_are_checked_as_the_first_time(
        values in proptest::collection::vec(any_part(), 1..4),
        picks in proptest::collection::vec(proptest::prelude::any::<[proptest::sample::Index; 2]>(), 1..12),
        is_lines: bool,
        depth_max in 2..6_usize,
    ) {
        let records: Vec<String> = picks
            .iter()
            .map(|[identity, tls]| {
                let (identity, tls) = (identity.get(&values), tls.get(&values));
                format!(r#"{{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"n","awsRegion":"r","tlsDetails":{tls},"userIdentity":{identity}}}"#)
            })
            .collect();
        let body = match is_lines {
            true => records.join("\n"),
            false => format!("[{}]", records.join(",")),
        };
        let limits = Limits { depth_max, keys_per_object_max: 3, ..Limits::default() };
        let all = |records: Records<'_>| {
            let mut records = records;
            std::iter::from_fn(|| records.next_checked(&limits)).map(|item| format!("{item:?}")).collect::<Vec<_>>()
        };
        let body = body.as_bytes();
        proptest::prop_assert_eq!(all(Records::of_log_file(body)), all(Records::new(body)));
    }
}

/// Values that are good, are refused, or are broken.
fn any_part() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop::sample::select(
        &[
            "{}",
            "null",
            "[]",
            "{\"a\":1}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":{\"c\":{}}}}",
            "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}",
            "{\"a\":1",
            "{\"a\":\"}\"}",
            "{\"a\":01}",
            "{\"a\":\"\\ud800\"}",
            "{\"é\":\"x\"}",
            "{ }",
            "\"{}\"",
        ][..],
    );
    prop_oneof![
        3 => piece.prop_map(str::to_owned),
        1 => crate::agreement_tests::any_json().prop_map(|value| value.to_string()),
    ]
}
