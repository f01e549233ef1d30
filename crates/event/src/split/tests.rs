use expect_test::{Expect, expect};

use super::*;

/// `NAME` becomes a record whose eventName is NAME.
fn expand(body: &str) -> String {
    let mut out = String::new();
    for piece in body.split_inclusive(|c: char| !c.is_ascii_uppercase()) {
        let name = piece.trim_end_matches(|c: char| !c.is_ascii_uppercase());
        if name.len() == 1 {
            out += &format!(
                r#"{{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":"{name}","awsRegion":"us-east-1"}}"#
            );
            out += &piece[1..];
        } else {
            out += piece;
        }
    }
    out
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
    check("A\nB\r\n\n  C  \n{\"x\n[]\nD", expect![[]]);
    check("{\"a\":1,\nA\n", expect![[]]);
    check("nonsense\nA\n", expect![[]]);
    check_bytes(&[expand("A\n").as_bytes(), b"{\"\xff\"}\n", expand("B").as_bytes()].concat(), expect![[]]);
}

#[test]
fn documents_of_every_form_give_their_records() {
    check("[A,B]", expect![[]]);
    check(" [ A ,\n B ] \n", expect![[]]);
    check("{\"Records\":[A,B]}", expect![[]]);
    check("\u{feff}{ \"Records\" : [\n A,\n B\n ] , \"more\":{\"x\":1}}\n", expect![[]]);
    check("A", expect![[]]);
    check("{\"Records\":[A]}\n{\"Records\":[B]}\n[C]\nD", expect![[]]);
}

#[test]
fn a_pretty_printed_record_is_one_record() {
    let value: serde_json::Value = serde_json::from_str(&expand("A")).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    check_bytes(pretty.as_bytes(), expect![[]]);
    check_bytes(format!("{pretty}\n{pretty}").as_bytes(), expect![[]]);
    check_bytes(format!("[{pretty}]").as_bytes(), expect![[]]);
}

#[test]
fn empty_bodies_hold_nothing() {
    check("", expect![[]]);
    check(" \n\n", expect![[]]);
    check("[]", expect![[]]);
    check("{\"Records\":[]}", expect![[]]);
}

#[test]
fn a_record_that_is_only_not_taken_does_not_end_its_document() {
    check("[A,5,{\"a\":1,\"a\":2},{},B]", expect![[]]);
    let deep = format!("[A,{{\"a\":{}{}}},B]", "[".repeat(100), "]".repeat(100));
    check(&deep, expect![[]]);
}

#[test]
fn a_broken_document_ends_with_the_place() {
    check("[A,{\"a\":tru},B]", expect![[]]);
    check("[A B]", expect![[]]);
    check("[A,]", expect![[]]);
    check("[A", expect![[]]);
    check("{\"Records\":[A]", expect![[]]);
    check("{\"Records\":[A],\"Records\":[B]}", expect![[]]);
    check("[A] x", expect![[]]);
    check_bytes(&[expand("[A,").as_bytes(), b"{\"\xff\":1}]"].concat(), expect![[]]);
    check_bytes(&[expand("[A]").as_bytes(), b"\xff"].concat(), expect![[]]);
}
