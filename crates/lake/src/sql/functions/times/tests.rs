use jiff::civil::datetime;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    iso8601(text).unwrap().unwrap()
}

#[test]
fn truncation_goes_down_to_the_unit() {
    let time = at("2024-05-16T13:47:21.987654Z");
    let cases = [
        ("millisecond", "2024-05-16T13:47:21.987Z"),
        ("second", "2024-05-16T13:47:21Z"),
        ("minute", "2024-05-16T13:47:00Z"),
        ("hour", "2024-05-16T13:00:00Z"),
        ("DAY", "2024-05-16T00:00:00Z"),
        ("week", "2024-05-13T00:00:00Z"),
        ("month", "2024-05-01T00:00:00Z"),
        ("quarter", "2024-04-01T00:00:00Z"),
        ("year", "2024-01-01T00:00:00Z"),
    ];
    for (unit, expected) in cases {
        assert_eq!(truncate(unit, time), Ok(at(expected)), "{unit}");
    }
    assert!(truncate("fortnight", time).is_err());
}

#[test]
fn differences_count_whole_units() {
    let (from, to) = (at("2024-01-31T12:00:00Z"), at("2024-03-30T11:00:00Z"));
    for (unit, expected) in [("day", 58), ("hour", 1415), ("month", 1), ("year", 0)] {
        assert_eq!(difference(unit, from, to), Ok(expected), "{unit}");
        assert_eq!(difference(unit, to, from), Ok(-expected), "{unit}, backwards");
    }
}

#[test]
fn patterns_write_and_read_the_same() {
    let time = datetime(2024, 3, 9, 7, 5, 6, 120_000_000);
    let cases = [
        (Pattern::mysql("%Y-%m-%d %H:%i:%s"), "2024-03-09 07:05:06"),
        (Pattern::mysql("%a %b %e %y, %h:%i %p"), "Sat Mar 9 24, 07:05 AM"),
        (Pattern::mysql("%W, %d %M %Y %T.%f"), "Saturday, 09 March 2024 07:05:06.120000"),
        (Pattern::joda("yyyy-MM-dd'T'HH:mm:ss.SSSZ"), "2024-03-09T07:05:06.120+0000"),
        (Pattern::joda("EEE, d MMM yyyy h a"), "Sat, 9 Mar 2024 7 AM"),
    ];
    for (pattern, expected) in cases {
        let pattern = pattern.unwrap();
        assert_eq!(pattern.write(time), expected);
        let read = pattern.read(expected).unwrap();
        assert_eq!(read.date(), time.date());
        assert_eq!(pattern.write(read), expected);
    }
}

#[test]
fn text_that_is_not_so_written_is_not_read() {
    let pattern = Pattern::mysql("%Y-%m-%d").unwrap();
    for text in ["", "2024-13-01", "2024-02-30", "2024-01-01 ", "x"] {
        assert_eq!(pattern.read(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_pattern_and_no_text_panics(format in ".{0,20}", text in ".{0,20}") {
        for pattern in [Pattern::mysql(&format), Pattern::joda(&format)].into_iter().flatten() {
            let _ = pattern.read(&text);
            let _ = pattern.write(datetime(2024, 1, 1, 0, 0, 0, 0));
        }
    }

    #[test]
    fn a_truncated_time_is_at_most_the_time(time in -4_000_000_000_000_000_i64..4_000_000_000_000_000) {
        for unit in ["second", "hour", "day", "week", "month", "year"] {
            let down = truncate(unit, time).unwrap();
            prop_assert!(down <= time);
            prop_assert_eq!(truncate(unit, down), Ok(down));
        }
    }
}
