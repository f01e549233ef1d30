//! Walking through JSON text.
//!
//! ```text
//! path: $ step*      step: .name | ["name"] | ['name'] | [index]
//! name without quotes: letters, digits, `_`, `-`, `:` and `/`    (Trino's JsonPathTokenizer)
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::unquoted;

/// How deep [`sorted`] follows; serde_json's own limit when it reads.
const DEPTH_MAX: usize = 128;

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    Item(usize),
}

pub fn parse_path(path: &str) -> Result<Vec<Step>, String> {
    let invalid = || format!("Invalid JSON path: '{path}'");
    let mut rest = path.trim().strip_prefix('$').ok_or_else(invalid)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c| !is_name_letter(c)).unwrap_or(after.len());
            if end == 0 {
                return Err(invalid());
            }
            steps.push(Step::Member(after[..end].to_owned()));
            rest = &after[end..];
            continue;
        }
        let after = rest.strip_prefix('[').ok_or_else(invalid)?;
        let (step, after) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => parse_quoted(&after[1..], quote).ok_or_else(invalid)?,
            _ => {
                let (inside, after) = after.split_once(']').ok_or_else(invalid)?;
                (subscript(inside).ok_or_else(invalid)?, after)
            }
        };
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | ':' | '/')
}

/// A number is an item; a bare word is a member, as Trino allows.
fn subscript(inside: &str) -> Option<Step> {
    if let Ok(index) = inside.parse() {
        return Some(Step::Item(index));
    }
    let is_name = !inside.is_empty() && inside.chars().all(is_name_letter);
    is_name.then(|| Step::Member(inside.to_owned()))
}

/// After `["`: the name, a backslash taking the next letter as it is.
fn parse_quoted(text: &str, quote: char) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            _ if letter == quote => {
                let after = text[at + quote.len_utf8()..].strip_prefix(']')?;
                return Some((Step::Member(name), after));
            }
            _ => name.push(letter),
        }
    }
    None
}

/// The first value at the path.
pub fn find<'j>(json: &'j str, path: &[Step]) -> Option<&'j RawValue> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    // Once found, the walk ends with an error of ours: the rest need not be read.
    let _ = Find { path, found: &mut found }.deserialize(&mut deserializer);
    found
}

struct Find<'p, 'f, 'j> {
    path: &'p [Step],
    found: &'f mut Option<&'j RawValue>,
}

impl<'j> DeserializeSeed<'j> for Find<'_, '_, 'j> {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            *self.found = Some(<&RawValue>::deserialize(deserializer)?);
            return Err(D::Error::custom("found"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'j> Visitor<'j> for Find<'_, '_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<(), A::Error> {
        let name = match &self.path[0] {
            Step::Member(name) => Some(name.as_str()),
            Step::Item(_) => None,
        };
        while let Some(is_it) = map.next_key_seed(Is(name))? {
            if is_it {
                return map.next_value_seed(Find { path: &self.path[1..], found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut seq: A) -> Result<(), A::Error> {
        let Step::Item(index) = &self.path[0] else { return Err(A::Error::custom("no member")) };
        for _ in 0..*index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Find { path: &self.path[1..], found: self.found })?;
        Ok(())
    }
}

/// Whether a key is the wanted one.
struct Is<'n>(Option<&'n str>);

impl<'j> DeserializeSeed<'j> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'j> Visitor<'j> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

/// The items of an array; `None` for any other text.
pub fn items(json: &str) -> Option<Vec<&RawValue>> {
    json.trim_start().starts_with('[').then(|| serde_json::from_str(json).ok())?
}

/// The members of an object in their order, the last one winning; `None` for any other text.
pub fn members(json: &str) -> Option<Vec<(String, &RawValue)>> {
    if !json.trim_start().starts_with('{') {
        return None;
    }
    let Members(mut all) = serde_json::from_str(json).ok()?;
    let mut seen = std::collections::HashSet::new();
    let mut last = Vec::with_capacity(all.len());
    while let Some((name, value)) = all.pop() {
        if seen.insert(name.clone()) {
            last.push((name, value));
        }
    }
    last.reverse();
    Some(last)
}

struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'de: 'j, 'j> Deserialize<'de> for Members<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The text of a string, number or boolean; `None` for null, objects and arrays.
pub fn scalar_text(json: &str) -> Option<String> {
    let json = json.trim();
    match json.as_bytes().first()? {
        b'"' => unquoted(json).map(Cow::into_owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// The text without the white space between its tokens.
pub fn compact(json: &str) -> Cow<'_, str> {
    if !json.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut inside = false;
    let mut escaped = false;
    for letter in json.chars() {
        if inside {
            inside = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            inside = letter == '"';
        }
        text.push(letter);
    }
    Cow::Owned(text)
}

/// The value with the members of every object in order of name: Trino's form of a parsed value.
pub fn sorted(json: &str) -> Result<Option<String>, String> {
    let value = super::whole(json)?;
    let mut text = String::with_capacity(json.len());
    write_sorted(value.get(), &mut text, 0)?;
    Ok(Some(text))
}

fn write_sorted(json: &str, text: &mut String, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("the JSON is nested too deeply".to_owned());
    }
    let json = json.trim();
    if let Some(all) = members(json) {
        let all: BTreeMap<String, &RawValue> = all.into_iter().collect();
        text.push('{');
        for (i, (name, value)) in all.into_iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(&super::quoted(&name));
            text.push(':');
            write_sorted(value.get(), text, depth + 1)?;
        }
        text.push('}');
        return Ok(());
    }
    if let Some(all) = items(json) {
        text.push('[');
        for (i, value) in all.into_iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            write_sorted(value.get(), text, depth + 1)?;
        }
        text.push(']');
        return Ok(());
    }
    text.push_str(json);
    Ok(())
}
