//! Request JSON → a value that conforms to a shape. Stricter than serde_json where two readers of
//! one text could understand different things.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::Timestamp;
use crate::shape::Shape;
use crate::violation::member_path;

/// Reads exactly one JSON value. Refuses a key that occurs twice in an object, anything after the
/// value, and nesting deeper than serde_json's limit of 128.
pub(crate) fn read(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Unique.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Unique)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
            let value = entries.next_value_seed(Unique)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

/// A value of the wrong kind: where, and AWS's words for it.
#[derive(Debug, PartialEq)]
pub(crate) struct Mismatch {
    /// `tagsList.1.member.key`; empty for the body itself.
    pub path: String,
    pub words: String,
}

/// Checks that `value` has the kinds `shape` asks for, so that the struct can be built from it.
///
/// Members the shape does not know, and null members, are taken out: AWS ignores both. An integer
/// written with a fraction of zero or an exponent (`1e3`) becomes a plain one.
pub(crate) fn conform(shape: &Shape, value: &mut Value, path: &str) -> Result<(), Mismatch> {
    match (shape, &mut *value) {
        (Shape::String { .. }, Value::String(_)) | (Shape::Boolean, Value::Bool(_)) => Ok(()),
        (Shape::Integer(_), Value::Number(number)) => match integer(number) {
            Some(integer) => {
                *value = integer.into();
                Ok(())
            }
            None => refuse(path, format!("{number} can not be converted to an Integer")),
        },
        (Shape::Timestamp, Value::Number(_) | Value::String(_)) => {
            match serde_json::from_value::<Timestamp>(value.clone()) {
                Ok(_) => Ok(()),
                Err(_) => refuse(path, format!("{value} can not be converted to a Timestamp")),
            }
        }
        (Shape::List { member, .. }, Value::Array(items)) => {
            for (i, item) in items.iter_mut().enumerate() {
                conform(member, item, &format!("{path}.{}.member", i + 1))?;
            }
            Ok(())
        }
        (Shape::Map { value: element, .. }, Value::Object(entries)) => {
            for (key, item) in entries.iter_mut() {
                conform(element, item, &format!("{path}.{key}.member"))?;
            }
            Ok(())
        }
        (Shape::Structure { members, .. }, Value::Object(entries)) => {
            let known = |name: &str| members.iter().any(|member| member.name == name);
            entries.retain(|name, value| known(name) && !value.is_null());
            for member in *members {
                if let Some(value) = entries.get_mut(member.name) {
                    conform(member.shape, value, &member_path(path, member.name))?;
                }
            }
            Ok(())
        }
        (expected, found) => refuse(path, words(expected, found)),
    }
}

fn refuse(path: &str, words: String) -> Result<(), Mismatch> {
    Err(Mismatch { path: path.to_owned(), words })
}

fn integer(number: &Number) -> Option<i32> {
    if let Some(whole) = number.as_i64() {
        return i32::try_from(whole).ok();
    }
    let float = number.as_f64()?;
    let fits = float.fract() == 0.0 && (i32::MIN as f64..=i32::MAX as f64).contains(&float);
    fits.then_some(float as i32)
}

/// AWS's words for a value of the wrong kind, such as `NUMBER_VALUE can not be converted to a String`.
fn words(expected: &Shape, found: &Value) -> String {
    let token = match found {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => return "Unexpected list".to_owned(),
        Value::Object(_) => {
            return "Start of structure or map found where not expected.".to_owned();
        }
    };
    let kind = match expected {
        Shape::String { .. } => "a String",
        Shape::Integer(_) => "an Integer",
        Shape::Boolean => "a Boolean",
        Shape::Timestamp => "a Timestamp",
        Shape::List { .. } => "a List",
        Shape::Map { .. } => "a Map",
        Shape::Structure { .. } => "a Structure",
    };
    format!("{token} can not be converted to {kind}")
}
