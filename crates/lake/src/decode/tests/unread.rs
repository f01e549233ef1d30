//! Records that are read without a check become the rows, and the refusals, that the check makes of them.

use event::{AccountId, Records};
use jiff::Timestamp;
use proptest::prelude::*;

use super::random::{USUAL, any_record, changed_record};
use super::*;

/// What becomes of a body.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    batch: Option<RecordBatch>,
    pushed: Vec<Pushed>,
    expired: usize,
    refused: Vec<String>,
    /// How many records were taken, or expired, without a check.
    pub unchecked: usize,
}

fn outcome(body: &[u8], limits: &Limits, from: Option<Timestamp>, checks_all: bool) -> Outcome {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let wanted = Wanted { limits, account: Account::RecipientOr(account), from };
    let mut decoder = Decoder::new();
    let mut outcome = Outcome::default();
    let mut records = Records::of_log_file(body);
    loop {
        let item = records.next_untaken(limits, |unread| {
            if checks_all {
                return None;
            }
            let read = decoder.push_unread(unread, &wanted)?;
            match read.pushed {
                Some(pushed) => outcome.pushed.push(pushed),
                None => outcome.expired += 1,
            }
            outcome.unchecked += 1;
            Some(read.bytes)
        });
        let Some(item) = item else { break };
        match item.result {
            Err(reason) => outcome.refused.push(format!("{}: {reason:?}", item.place)),
            Ok((_, header)) if from.is_some_and(|from| header.event_time < from) => {
                outcome.expired += 1;
            }
            Ok((record, header)) => {
                let account = header.recipient().unwrap_or(account);
                let row = RowIn { account: account.as_str(), record };
                outcome.pushed.push(decoder.push_checked(row, &header).unwrap());
            }
        }
    }
    outcome.batch = Some(decoder.finish());
    outcome
}

/// Both ways give the same; gives how many records were not checked.
#[track_caller]
pub(super) fn check_both_ways(body: &[u8], limits: &Limits, from: Option<Timestamp>) -> usize {
    let mut quick = outcome(body, limits, from, false);
    let unchecked = std::mem::take(&mut quick.unchecked);
    let told = String::from_utf8_lossy(body);
    let checked = outcome(body, limits, from, true);
    assert_eq!(quick, checked, "{told}");
    unchecked
}

/// The body of a log file.
fn body(records: &[String], style: u8) -> Vec<u8> {
    let text = match style {
        0 => format!("{{\"Records\":[{}]}}", records.join(",")),
        1 => records.join("\n"),
        2 => format!("[ {} ] {}", records.join(" , "), records.concat()),
        _ => format!("\u{feff}{{ \"a\": 1 }}\n{}\r\n\n", records.join(" \n")),
    };
    text.into_bytes()
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (
        prop::sample::select(&[300, 700, 1_100, 4 << 20][..]),
        prop::sample::select(&[4, 33, 64][..]),
        prop::sample::select(&[10, 97, 10_000][..]),
        any::<[bool; 2]>(),
    )
        .prop_map(|(record_bytes_max, depth_max, keys_per_object_max, [early, late])| {
            let bound: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
            Limits {
                record_bytes_max,
                depth_max,
                keys_per_object_max,
                earliest: early.then_some(bound),
                latest: late.then_some(bound),
            }
        })
}

fn any_from() -> impl Strategy<Value = Option<Timestamp>> {
    prop::sample::select(&[None, Some("2026-01-02T03:04:05Z"), Some("2026-01-02T03:04:06Z")][..])
        .prop_map(|from| from.map(|from| from.parse().unwrap()))
}

fn some_record() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => changed_record(),
        2 => any_record(),
        1 => Just(USUAL.to_owned()),
        1 => any_value().prop_map(|value| record_with(&value)),
        1 => prop::sample::select(&["{}", "]", ",", " 1", "\0"][..])
            .prop_map(|after| format!("{USUAL}{after}")),
    ]
}

/// [`USUAL`] with one more parameter.
fn record_with(value: &str) -> String {
    USUAL.replace("\"not\":", &format!("\"more\":{value},\"not\":"))
}

/// Text that is a JSON value, or nearly one.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        r#"[\[\]{}",:\\untrefals0-9.eE+\- \nD8é]{0,24}"#,
        r#""(\\[a-z"/]|\\u[dD][89a-fA-F][0-9a-f]{2}|\\u[0-9a-g]{3,4}|[a-z\t\u{7f}é]){0,10}"?"#,
        r"-?[0-9]{0,70}(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?",
        r#"\{("[ab]":[0-9],){0,3}"[ab]":\{"a":\[\{("[a-c]{1,2}":"x",){0,3}"a": null \}\]\}\}"#,
        (0..80_usize, 0..80_usize).prop_map(|(up, down)| "[".repeat(up) + &"]".repeat(down)),
        (0..60_usize).prop_map(|depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)),
        (0..150_usize, 0..150_usize).prop_map(|(keys, other)| {
            let keys: Vec<_> =
                (0..keys).chain([other]).map(|key| format!("\"k{key}\":1")).collect();
            format!("{{{}}}", keys.join(","))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_body_is_read_as_the_check_reads_it(
        records in prop::collection::vec(some_record(), 1..6),
        style in 0..4_u8,
        limits in prop_oneof![3 => Just(Limits::default()), 1 => any_limits()],
        from in any_from(),
        cut in prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut body = body(&records, style);
        if let Some((at, byte)) = cut {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check_both_ways(&body, &limits, from);
    }

    #[test]
    fn any_value_is_judged_as_the_check_judges_it(value in any_value()) {
        let record = record_with(&value);
        check_both_ways(record.as_bytes(), &Limits::default(), None);
        // Deeper, and beside the members that have columns.
        let nested = USUAL.replace(r#"{"a":"b"}"#, &format!(r#"[{{"a":{value}}}]"#));
        check_both_ways(nested.as_bytes(), &Limits::default(), None);
    }
}

#[test]
fn the_usual_record_needs_no_check() {
    let twice = [USUAL.to_owned(), USUAL.to_owned()];
    for style in 0..2 {
        assert_eq!(check_both_ways(&body(&twice, style), &Limits::default(), None), 2);
    }
    let spaced = USUAL.replace("\":", "\": ").replace(",\"", ", \"").replace(",{", ", {");
    assert_eq!(check_both_ways(spaced.as_bytes(), &Limits::default(), None), 1, "{spaced}");
}

#[test]
fn what_the_check_refuses_is_refused() {
    for (found, instead) in [
        (r#""eventName":"GetObject","#, ""),
        ("GetObject", ""),
        (r#""GetObject""#, "null"),
        ("us-east-1", "us_east_1"),
        ("us-east-1", ""),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:65Z"),
        ("2026-01-02T03:04:05Z", ""),
        (r#""2026-01-02T03:04:05Z""#, "null"),
        (r#""Data""#, r#""Date""#),
        (r#""readOnly":true"#, r#""readOnly":"yes""#),
        (r#""readOnly":true"#, r#""sessionCredentialFromConsole":"yes""#),
        (r#""readOnly":true"#, r#""userAgent":null"#),
        (r#""readOnly":true"#, r#""new":1"#),
        (r#""readOnly":true"#, r#""errorCode":404"#),
        (r#""n":"#, r#""b":"#),
        (r#""arn:aws:s3:::a""#, r#""x","ARN":null"#),
        (r#""resources":["#, r#""resources":"","x":["#),
        (r#"1, "x"#, "01, \"x"),
        (r#"x\n"#, r#"x\x"#),
        (r#"x\n"#, "x\n"),
        ("Dev", "D\u{1}v"),
        (r#"\"b\""#, r#"\ud800"#),
        ("[1, ", "[1, ,"),
    ] {
        let broken = USUAL.replace(found, instead);
        assert!(event::check(broken.as_bytes(), &Limits::default()).is_err(), "{broken}");
        for style in 0..4 {
            check_both_ways(
                &body(&[broken.clone(), USUAL.to_owned()], style),
                &Limits::default(),
                None,
            );
        }
    }
}
