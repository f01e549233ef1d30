use serde_json::{Map, Value};

use crate::shape::{Bounds, Member, Pattern, Shape};

/// One constraint that one value breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The input's own member that the value lies in, as in JSON: `TagsList`.
    pub member: &'static str,
    /// Where the value lies, as AWS writes it: `tagsList.1.member.key`.
    pub path: String,
    /// As AWS prints it; `None` for null.
    pub value: Option<String>,
    /// `Member must …`
    pub constraint: String,
}

/// AWS's sentence: `1 validation error detected: Value '…' at '…' failed to satisfy constraint: …`,
/// `2 validation errors detected: a; b`. Empty for no violations.
pub fn sentence(violations: &[Violation]) -> String {
    let parts: Vec<String> = violations.iter().map(part).collect();
    match parts.len() {
        0 => String::new(),
        1 => format!("1 validation error detected: {}", parts[0]),
        count => format!("{count} validation errors detected: {}", parts.join("; ")),
    }
}

fn part(violation: &Violation) -> String {
    let value = match &violation.value {
        Some(value) => format!("'{value}'"),
        None => "null".to_owned(),
    };
    format!(
        "Value {value} at '{}' failed to satisfy constraint: {}",
        violation.path, violation.constraint
    )
}

/// Judges an input's value against the shape of its structure.
pub(crate) fn judge(shape: &Shape, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    if let (Shape::Structure { members, .. }, Value::Object(object)) = (shape, value) {
        for member in *members {
            let mut judge = Judge { member: member.name, found: &mut found };
            judge.member(member, object, "");
        }
    }
    found
}

struct Judge<'a> {
    member: &'static str,
    found: &'a mut Vec<Violation>,
}

impl Judge<'_> {
    fn member(&mut self, member: &Member, object: &Map<String, Value>, parent: &str) {
        let path = member_path(parent, member.name);
        match object.get(member.name) {
            Some(value) => self.value(member.shape, value, &path),
            None if member.required => self.add(&path, None, "Member must not be null".into()),
            None => {}
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value, path: &str) {
        for constraint in constraints(shape, value) {
            self.add(path, Some(shown(value)), constraint);
        }
        match (shape, value) {
            (Shape::Structure { members, .. }, Value::Object(object)) => {
                for member in *members {
                    self.member(member, object, path);
                }
            }
            (Shape::List { member, .. }, Value::Array(items)) if is_container(member) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(member, item, &format!("{path}.{}.member", i + 1));
                }
            }
            (Shape::List { member, .. }, Value::Array(items)) => {
                self.elements(path, value, "Member", member, items.iter());
            }
            (Shape::Map { key, value: element, .. }, Value::Object(object)) => {
                let keys: Vec<Value> = object.keys().map(|key| key.as_str().into()).collect();
                self.elements(path, value, "Map keys", key, keys.iter());
                if !is_container(element) {
                    self.elements(path, value, "Map value", element, object.values());
                    return;
                }
                for (key, item) in object {
                    self.value(element, item, &format!("{path}.{key}.member"));
                }
            }
            _ => {}
        }
    }

    /// AWS names the whole collection, not the element, when a plain element breaks a constraint,
    /// and lists all that elements must satisfy.
    fn elements<'v>(
        &mut self,
        path: &str,
        whole: &Value,
        subject: &str,
        shape: &Shape,
        mut items: impl Iterator<Item = &'v Value>,
    ) {
        if items.any(|item| !constraints(shape, item).is_empty()) {
            let all = every_constraint(shape).join(", ");
            self.add(
                path,
                Some(shown(whole)),
                format!("{subject} must satisfy constraint: [{all}]"),
            );
        }
    }

    fn add(&mut self, path: &str, value: Option<String>, constraint: String) {
        let path = path.to_owned();
        self.found.push(Violation { member: self.member, path, value, constraint });
    }
}

fn is_container(shape: &Shape) -> bool {
    matches!(shape, Shape::List { .. } | Shape::Map { .. } | Shape::Structure { .. })
}

/// `tagsList` + `Key` → `tagsList.key`: AWS writes members with a lower-case first letter here.
pub(crate) fn member_path(parent: &str, name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase()).unwrap_or_default();
    let own = format!("{first}{}", letters.as_str());
    if parent.is_empty() { own } else { format!("{parent}.{own}") }
}

/// The texts of the constraints on the value itself that it breaks, not those on its elements.
fn constraints(shape: &Shape, value: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    match (shape, value) {
        (Shape::String { length, pattern, values }, Value::String(text)) => {
            broken.extend(pattern.filter(|pattern| !pattern.matches(text)).map(must_match));
            if !values.is_empty() && !values.contains(&text.as_str()) {
                broken.push(must_be_one_of(values));
            }
            broken.extend(outside(*length, text.chars().count() as i64, "length"));
        }
        (Shape::Integer(bounds), Value::Number(number)) => {
            let number = number.as_i64().expect("members of this shape are i32 in the structs");
            broken.extend(outside(*bounds, number, "value"));
        }
        (Shape::List { length, .. }, Value::Array(items)) => {
            broken.extend(outside(*length, items.len() as i64, "length"));
        }
        (Shape::Map { length, .. }, Value::Object(items)) => {
            broken.extend(outside(*length, items.len() as i64, "length"));
        }
        _ => {}
    }
    broken
}

/// The texts of all constraints a scalar shape has.
fn every_constraint(shape: &Shape) -> Vec<String> {
    let mut all = Vec::new();
    match shape {
        Shape::String { length, pattern, values } => {
            all.extend(length.max.map(|max| must_be_at_most(max, "length")));
            all.extend(length.min.map(|min| must_be_at_least(min, "length")));
            all.extend(pattern.map(must_match));
            if !values.is_empty() {
                all.push(must_be_one_of(values));
            }
        }
        Shape::Integer(bounds) => {
            all.extend(bounds.max.map(|max| must_be_at_most(max, "value")));
            all.extend(bounds.min.map(|min| must_be_at_least(min, "value")));
        }
        _ => {}
    }
    all
}

fn outside(bounds: Bounds, number: i64, what: &str) -> Option<String> {
    if let Some(min) = bounds.min.filter(|min| number < *min) {
        return Some(must_be_at_least(min, what));
    }
    bounds.max.filter(|max| number > *max).map(|max| must_be_at_most(max, what))
}

fn must_be_at_least(min: i64, what: &str) -> String {
    format!("Member must have {what} greater than or equal to {min}")
}

fn must_be_at_most(max: i64, what: &str) -> String {
    format!("Member must have {what} less than or equal to {max}")
}

fn must_match(pattern: &Pattern) -> String {
    format!("Member must satisfy regular expression pattern: {}", pattern.text)
}

fn must_be_one_of(values: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", values.join(", "))
}

/// A value as AWS prints it: texts bare, lists and maps in Java's manner (`[a, b]`, `{k=v}`).
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}
