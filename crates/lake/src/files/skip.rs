//! Over values that nobody asks for, by their quotes and brackets alone.
//!
//! What is inside a skipped container is not read: keys that are there twice, words that are none,
//! commas too many go unnoticed there. `None` means: odd, let the checking decoder say what it is.
//! Control characters are odd even between values, so that a pretty-printed record is.

use super::masks::{BYTES, masks, parity, rare, stops};

/// As [`crate::import::FILE_LIMITS`]: containers in a record, which is the first.
const DEPTH_MAX: usize = 64;

/// The end of the string whose first character is at `at`, without its quote, and whether it has
/// escapes, which are all good ones.
#[inline(always)]
pub(super) fn string_end(text: &[u8], at: usize) -> Option<(usize, bool)> {
    let end = stop(text, at);
    match text.get(end)? {
        b'"' => Some((end, false)),
        b'\\' => string_with_escapes(text, end).map(|end| (end, true)),
        _ => None,
    }
}

/// The next place where a quote, a backslash or a control character stands, or the end.
#[inline(always)]
fn stop(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let stops = stops(block);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += 32;
    }
    let rest = text.get(at..).unwrap_or_default();
    let is_stop = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + rest.iter().position(is_stop).unwrap_or(rest.len())
}

#[inline(never)]
fn string_with_escapes(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                let length = match text.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        let digits = text.get(at + 2..at + 6)?;
                        // Halves of a pair are rare enough for the checking decoder.
                        let is_half = matches!(
                            digits,
                            [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                        );
                        if is_half || !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        6
                    }
                    _ => return None,
                };
                at = stop(text, at + length);
            }
            _ => return None,
        }
    }
}

/// The end of the container whose first bracket stands at `at`, `depth` containers deep.
#[inline]
pub(super) fn container_end(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    let last = text.get(at)? + (b'}' - b'{');
    brackets_end(text, at, depth, 0, last)
}

/// The end of an object from a place in it that is not in a string.
#[inline]
pub(super) fn object_end(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    brackets_end(text, at, depth, 1, b'}')
}

/// Where as many brackets are closed as are opened, `open` of them before `at`, and the last by the
/// right one.
#[inline(never)]
fn brackets_end(
    text: &[u8],
    mut at: usize,
    depth: usize,
    mut open: usize,
    last: u8,
) -> Option<usize> {
    // All ones inside a string; one when the first character of a block is escaped.
    let (mut in_string, mut is_escaped) = (0_u64, 0_u64);
    loop {
        let rest = text.get(at..)?;
        let end;
        let block = match rest.first_chunk() {
            Some(block) => block,
            None if rest.is_empty() => return None,
            None => {
                end = padded(rest);
                &end
            }
        };
        let masks = masks(block);
        let mut quotes = masks.quotes;
        if masks.has_backslash | (is_escaped != 0) {
            quotes &= !escaped(rare(block).0, &mut is_escaped);
        }
        let inside = parity(quotes) ^ in_string;
        in_string = (inside.cast_signed() >> 63).cast_unsigned();
        let mut brackets = masks.brackets & !inside;
        while brackets != 0 {
            let place = brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            // Closing ones have this bit. Where what looks like a bracket is none, it closes or
            // opens too much, or stands in a value that nobody reads.
            if block[place] & 4 == 0 {
                open += 1;
                if depth + open > DEPTH_MAX {
                    return None;
                }
            } else {
                open -= 1;
                if open == 0 {
                    let before = (1_u64 << place) - 1;
                    let is_plain = !masks.has_control || rare(block).1 & before == 0;
                    return (is_plain && block[place] == last).then_some(at + place + 1);
                }
            }
        }
        if masks.has_control {
            return None;
        }
        at += BYTES;
    }
}

/// The last bytes of a text, with space behind them.
#[cold]
fn padded(rest: &[u8]) -> [u8; BYTES] {
    let mut block = [b' '; BYTES];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    block
}

/// The places whose character an odd number of backslashes stands before. Runs of backslashes are
/// short and rare: one after the other.
#[inline]
fn escaped(backslashes: u64, is_first_escaped: &mut u64) -> u64 {
    let mut all = *is_first_escaped;
    let mut left = backslashes & !all;
    *is_first_escaped = 0;
    while left != 0 {
        let backslash = left & left.wrapping_neg();
        let next = backslash << 1;
        if next == 0 {
            *is_first_escaped = 1;
        }
        all |= next;
        left &= !(backslash | next);
    }
    all
}

/// The end of the value at `at`, whatever it is, `depth` containers deep.
#[inline]
pub(super) fn value_end(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at + 1).map(|(end, _)| end + 1),
        b'{' | b'[' => container_end(text, at, depth),
        _ => word_end(text, at),
    }
}

/// The end of a number or word. Numbers with a fraction or an exponent are not read here.
#[inline]
pub(super) fn word_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let length = match rest.first()? {
        b'n' if rest.starts_with(b"null") => 4,
        b't' if rest.starts_with(b"true") => 4,
        b'f' if rest.starts_with(b"false") => 5,
        b'0' => 1,
        b'1'..=b'9' => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => return None,
    };
    // Twenty digits are an ordinary number; absurd ones are refused elsewhere.
    (length <= 20).then_some(at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        let long = format!(r#"{{"a":"{}","b":["{}\\"]}}"#, "x]\\\"".repeat(40), "y".repeat(61));
        for value in [
            "1",
            "0",
            "true",
            "null",
            "\"\"",
            r#""a\"b\\""#,
            "{}",
            "[]",
            r#"{"a":[1,"]}",{"b":"\\\""}],"c":{}}"#,
            r#"[[[]],"x"]"#,
            "\"é가🎉 0123456789 0123456789 0123456789\"",
            &long,
        ] {
            for after in ["", ",1", "}", "]", " ,", "\n", &"]".repeat(100), &"\\\"".repeat(50)] {
                let text = format!("{value}{after}");
                assert_eq!(value_end(text.as_bytes(), 0, 1), Some(value.len()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_odd_is_left_to_the_checking_decoder() {
        let deep = "[".repeat(64) + &"]".repeat(64);
        for odd in [
            "\"abc",
            "{\"a",
            "[1",
            "\"\\",
            "",
            "-",
            "nul",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[\"a\tb\"]",
            "[\n]",
            "\"\\ud83d\\ude00\"",
            "[\"]",
            "[\"\\\"]",
            &deep,
        ] {
            assert_eq!(value_end(odd.as_bytes(), 0, 1), None, "{odd}");
        }
        assert_eq!(value_end(deep.as_bytes(), 0, 0), Some(128));
    }

    proptest::proptest! {
        #[test]
        fn backslashes_escape_every_second_of_their_kind(text in r#"[\\"a]{0,200}"#) {
            let text = text.as_bytes();
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            let mut is_escaped = false;
            for byte in text {
                expected.push(is_escaped);
                is_escaped = *byte == b'\\' && !is_escaped;
            }
            let mut carry = 0;
            for part in text.chunks(BYTES) {
                let all = escaped(rare(&padded(part)).0, &mut carry);
                found.extend((0..part.len()).map(|place| all >> place & 1 == 1));
            }
            assert_eq!(found, expected);
        }
    }
}
