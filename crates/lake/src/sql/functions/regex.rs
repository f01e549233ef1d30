//! Regular expressions. Trino's are Java's; the syntax that both share is that of the `regex` crate,
//! which has no look-around and no back-references, and in return cannot be made to run for ever.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use regex::Regex;

use super::scalar::{
    Call, Definition, Parameter, Row, boolean_result, integer, integer_result, text, text_result,
    texts_result,
};

/// The memory one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

const PATTERN: &[Parameter] = &[Parameter::Text, Parameter::Text];

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "regexp_like",
        parameters: PATTERN,
        optional: 0,
        variadic: false,
        result: boolean_result,
        run: |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
            call.collect_booleans(|i| {
                Ok(both(&texts, &mut patterns, i)?.map(|(text, pattern)| pattern.is_match(text)))
            })
        },
    },
    Definition {
        name: "regexp_extract",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Integer],
        optional: 1,
        variadic: false,
        result: text_result,
        run: |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
            let groups = groups(call)?;
            call.collect_texts(|i| {
                let Some((text, pattern)) = both(&texts, &mut patterns, i)? else {
                    return Ok(None);
                };
                let group = group_of(&groups, i, pattern)?;
                let found = pattern.captures(text).and_then(|found| found.get(group));
                Ok(found.map(|found| found.as_str().to_owned()))
            })
        },
    },
    Definition {
        name: "regexp_extract_all",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Integer],
        optional: 1,
        variadic: false,
        result: texts_result,
        run: |call| {
            let groups = groups(call)?;
            lists(call, |pattern, text, i| {
                let group = group_of(&groups, i, pattern)?;
                let found = pattern.captures_iter(text).map(|found| found.get(group));
                Ok(Some(found.map(|part| part.map(|part| part.as_str().to_owned())).collect()))
            })
        },
    },
    Definition {
        name: "regexp_split",
        parameters: PATTERN,
        optional: 0,
        variadic: false,
        result: texts_result,
        run: |call| {
            lists(call, |pattern, text, _| {
                Ok(Some(pattern.split(text).map(|part| Some(part.to_owned())).collect()))
            })
        },
    },
    Definition {
        name: "regexp_count",
        parameters: PATTERN,
        optional: 0,
        variadic: false,
        result: integer_result,
        run: |call| {
            let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
            call.collect_integers(|i| {
                let pair = both(&texts, &mut patterns, i)?;
                let count = pair.map(|(text, pattern)| pattern.find_iter(text).count());
                Ok(count.and_then(|count| i64::try_from(count).ok()))
            })
        },
    },
    Definition {
        name: "regexp_replace",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Text],
        optional: 1,
        variadic: false,
        result: text_result,
        run: regexp_replace,
    },
];

/// Every match is replaced. `$1` and `${name}` in the replacement are groups, as in Java.
fn regexp_replace(call: &Call) -> Result<ArrayRef> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
    let replacements = if call.count() > 2 { Some(call.texts(2)?) } else { None };
    call.collect_texts(|i| {
        let replacement = match &replacements {
            Some(all) => text(all, i),
            None => Some(""),
        };
        let (Some((text, pattern)), Some(replacement)) =
            (both(&texts, &mut patterns, i)?, replacement)
        else {
            return Ok(None);
        };
        let replacement = with_braces(replacement);
        Ok(Some(pattern.replace_all(text, replacement.as_str()).into_owned()))
    })
}

/// The crate reads `$1a` as a group named `1a`, Java as group 1 before an `a`.
fn with_braces(replacement: &str) -> String {
    let mut text = String::with_capacity(replacement.len() + 2);
    let mut letters = replacement.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('$') => text.push_str("$$"),
                Some(other) => text.push(other),
                None => {}
            },
            '$' if letters.peek().is_some_and(char::is_ascii_digit) => {
                text.push_str("${");
                while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                    text.push(digit);
                }
                text.push('}');
            }
            other => text.push(other),
        }
    }
    text
}

/// The pattern of each row, compiled once if it is the same for all.
struct Patterns {
    texts: StringArray,
    compiled: Option<(String, Regex)>,
}

impl Patterns {
    fn new(call: &Call) -> Result<Self> {
        Ok(Self { texts: call.texts(1)?, compiled: None })
    }

    fn of_row(&mut self, row: usize) -> Row<&Regex> {
        let Some(pattern) = text(&self.texts, row) else { return Ok(None) };
        if self.compiled.as_ref().is_none_or(|(of, _)| of != pattern) {
            let regex = regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            self.compiled = Some((pattern.to_owned(), regex.map_err(|error| error.to_string())?));
        }
        Ok(self.compiled.as_ref().map(|(_, regex)| regex))
    }
}

fn both<'a>(
    texts: &'a StringArray,
    patterns: &'a mut Patterns,
    row: usize,
) -> Row<(&'a str, &'a Regex)> {
    let pattern = patterns.of_row(row)?;
    Ok(text(texts, row).zip(pattern))
}

fn groups(call: &Call) -> Result<Option<arrow::array::Int64Array>> {
    if call.count() > 2 { call.integers(2).map(Some) } else { Ok(None) }
}

fn group_of(
    groups: &Option<arrow::array::Int64Array>,
    row: usize,
    pattern: &Regex,
) -> std::result::Result<usize, String> {
    let group = groups.as_ref().and_then(|groups| integer(groups, row)).unwrap_or(0);
    let there = usize::try_from(group).ok().filter(|group| *group < pattern.captures_len());
    there.ok_or_else(|| {
        format!("Pattern has {} groups. Cannot access group {group}", pattern.captures_len() - 1)
    })
}

fn lists(
    call: &Call,
    parts: impl Fn(&Regex, &str, usize) -> Row<Vec<Option<String>>>,
) -> Result<ArrayRef> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new(
        "item",
        DataType::Utf8,
        true,
    )));
    for i in 0..call.rows {
        let row = both(&texts, &mut patterns, i).and_then(|pair| match pair {
            Some((text, pattern)) => parts(pattern, text, i),
            None => Ok(None),
        });
        match call.settle(row)? {
            Some(parts) => {
                for part in parts {
                    lists.values().append_option(part);
                }
                lists.append(true);
            }
            None => lists.append_null(),
        }
    }
    Ok(Arc::new(lists.finish()))
}
