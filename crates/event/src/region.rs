//! Region names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A Region name of AWS's shape, `^[a-z]{2}(-[a-z]+)+-\d$`, such as `us-east-1` or `us-gov-west-1`.
/// Consumers of log files parse the object key with such patterns (ecosystem notes, rule 3), so
/// nothing else may name a Region of ours. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

/// Why a text is no Region name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Region: a name shaped like us-east-1 is wanted")]
pub struct NotARegion(String);

/// Longer than any Region of AWS (`us-isob-east-1` has 14 letters); keeps object keys short.
const REGION_BYTES_MAX: usize = 32;

impl Region {
    pub fn parse(text: &str) -> Result<Self, NotARegion> {
        if text.len() <= REGION_BYTES_MAX && has_region_shape(text) {
            return Ok(Self(Arc::from(text)));
        }
        Err(NotARegion(text.chars().take(64).collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_region_shape(text: &str) -> bool {
    let parts: Vec<&[u8]> = text.as_bytes().split(|byte| *byte == b'-').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return false };
    let letters = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_lowercase);
    first.len() == 2
        && letters(first)
        && !middle.is_empty()
        && middle.iter().all(|part| letters(part))
        && matches!(last, [digit] if digit.is_ascii_digit())
}

impl FromStr for Region {
    type Err = NotARegion;
    fn from_str(text: &str) -> Result<Self, NotARegion> {
        Self::parse(text)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_shaped_like_aws_regions_are_regions() {
        for text in ["us-east-1", "us-gov-west-1", "us-isob-east-1", "cn-north-1", "eu-site-9"] {
            assert_eq!(Region::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_that_would_break_a_parser_of_object_keys_is_not() {
        for text in [
            "",
            "local",
            "dc1",
            "us-east",
            "us-1",
            "us-east-12",
            "us--east-1",
            "US-east-1",
            "usa-east-1",
            "us-east-1/",
            "../us-east-1",
            "us-east-1\n",
            "eu-ost-1-",
            "eu-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1",
        ] {
            assert!(Region::parse(text).is_err(), "{text}");
        }
    }
}
