use proptest::prelude::*;

use super::*;

const STORE: &str = "3e5ab001-59a1-4448-8dd1-d27a4796502d";

fn check(text: &str, parameters: &[&str], expected: &str) {
    let parameters: Vec<String> = parameters.iter().map(|&p| p.to_owned()).collect();
    let tokens = tokenize(text, &parameters).unwrap();
    let words: String = tokens.tokens.iter().map(|token| token.token.to_string()).collect();
    assert_eq!(words, expected);
}

#[test]
fn a_uuid_is_an_identifier() {
    check(&format!("FROM {STORE} t"), &[], &format!("from \"{STORE}\" t"));
}

#[test]
fn a_uuid_with_more_letters_is_not_a_store() {
    check(&format!("{STORE}-1"), &[], "3e5ab001-59a1-4448-8dd1-d27a4796502d-1");
    check(&format!("x{STORE}"), &[], &format!("x{STORE}"));
}

#[test]
fn a_uuid_in_a_string_or_comment_stays() {
    for text in [format!("'{STORE}'"), format!("-- {STORE}\n"), format!("/* {STORE} */")] {
        check(&text, &[], &text);
    }
}

#[test]
fn a_dollar_name_is_an_identifier() {
    check("FROM $EDS_ID", &[], "from \"$eds_id\"");
}

#[test]
fn parameters_fill_the_placeholders_in_order() {
    check("x > '?' AND y = '?'", &["a", "b"], "x > 'a' and y = 'b'");
    check("FROM ? WHERE x = ?", &[STORE, "a"], &format!("from \"{STORE}\" where x = 'a'"));
}

#[test]
fn without_parameters_a_question_mark_is_a_string() {
    check("x = '?'", &[], "x = '?'");
}

#[test]
fn too_few_parameters_are_an_error() {
    let error = tokenize("'?' '?'", &["a".to_owned()]).err().unwrap();
    assert_eq!(error.to_string(), "the query has 2 placeholders, 1 parameters were given");
}

#[test]
fn what_was_written_is_kept_by_position() {
    let tokens = tokenize(&format!("SELECT\n  eventTime FROM {STORE}"), &[]).unwrap();
    let at = |line, column| tokens.written.get(&Position { line, column }).map(String::as_str);
    assert_eq!(at(2, 3), Some("eventTime"));
    assert_eq!(at(2, 18), None);
}

#[test]
fn a_broken_string_is_reported_where_it_begins() {
    let error = tokenize("SELECT\n 'abc", &[]).err().unwrap();
    assert_eq!(error.position(), Some(Position { line: 2, column: 2 }));
}

proptest! {
    #[test]
    fn replacing_names_keeps_every_position(text in "[-a-f0-9'\"/* $\n]{0,80}") {
        let (sql, _) = replace_names(&text);
        let shape = |t: &str| t.chars().map(|c| c == '\n').collect::<Vec<_>>();
        prop_assert_eq!(shape(&sql), shape(&text));
    }

    #[test]
    fn any_text_is_tokens_or_an_error(text in ".{0,80}") {
        let _ = tokenize(&text, &[]);
    }
}
