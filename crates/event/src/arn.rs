//! Names and ARNs of trails, ARNs of event data stores and channels.
//!
//! ```text
//!   arn:aws:cloudtrail:us-east-1:111122223333:trail/audit
//!       partition      Region    account            name
//!   arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10
//!   arn:aws:cloudtrail:us-east-1:111122223333:channel/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10
//! ```

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{AccountId, Region};

/// The name of a trail: 3 to 128 ASCII letters, digits, `.`, `_`, `-`; starts and ends with a letter
/// or digit; no two of `.`, `_`, `-` side by side; not an IPv4 address. Safe in object keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrailName(String);

/// Why a text is no trail name. The sentences are CloudTrail's, as far as they are known; the last
/// two are ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrailName {
    #[error("Trail name or ARN can not be blank.")]
    Blank,
    #[error(
        "Trail name too short. Minimum allowed length: 3 characters. Specified name length: {0} characters."
    )]
    TooShort(usize),
    #[error(
        "Trail name too long. Maximum allowed length: 128 characters. Specified name length: {0} characters."
    )]
    TooLong(usize),
    #[error("Trail name must starts with a letter or number.")]
    BadStart,
    #[error("Trail name must ends with a letter or number.")]
    BadEnd,
    #[error(
        "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_)."
    )]
    BadCharacter,
    #[error("Trail name can not have adjacent periods (.), hyphens (-), or underscores (_).")]
    AdjacentMarks,
    #[error("Trail name can not be formatted as an IP address.")]
    IpAddress,
}

const NAME_CHARS_MIN: usize = 3;
const NAME_CHARS_MAX: usize = 128;

impl TrailName {
    /// Reads a bare name, not an ARN. The first rule that is broken is the one that is named.
    pub fn parse(text: &str) -> Result<Self, InvalidTrailName> {
        use InvalidTrailName::*;
        let chars = text.chars().count();
        let is_mark = |c: char| matches!(c, '.' | '_' | '-');
        if text.trim().is_empty() {
            return Err(Blank);
        }
        if chars < NAME_CHARS_MIN {
            return Err(TooShort(chars));
        }
        if chars > NAME_CHARS_MAX {
            return Err(TooLong(chars));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(BadStart);
        }
        if !text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(BadEnd);
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || is_mark(c)) {
            return Err(BadCharacter);
        }
        if text.as_bytes().windows(2).any(|two| two.iter().all(|b| is_mark(char::from(*b)))) {
            return Err(AdjacentMarks);
        }
        if text.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(IpAddress);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of a trail, in the partition `aws`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrailArn {
    /// The trail's home Region.
    pub region: Region,
    pub account: AccountId,
    pub name: TrailName,
}

/// Why a text is no trail ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrailArn {
    #[error(
        "{0} is not a trail ARN. A valid ARN has the form arn:aws:cloudtrail:us-east-1:123456789012:trail/MyTrail."
    )]
    Malformed(String),
    #[error(transparent)]
    Name(#[from] InvalidTrailName),
}

/// The ARN of an event data store, in the partition `aws`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventDataStoreArn {
    pub region: Region,
    pub account: AccountId,
    pub id: Uuid,
}

/// Why a text is no event data store ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not an event data store ARN. A valid ARN has the form arn:aws:cloudtrail:us-east-1:123456789012:eventdatastore/12345678-1234-1234-1234-123456789012."
)]
pub struct InvalidEventDataStoreArn(String);

/// The ARN of a channel, in the partition `aws`. (Those of AWS's own service-linked channels have
/// names instead of a UUID; Cairn has none.)
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelArn {
    pub region: Region,
    pub account: AccountId,
    pub id: Uuid,
}

/// Why a text is no channel ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a channel ARN. A valid ARN has the form arn:aws:cloudtrail:us-east-1:123456789012:channel/12345678-1234-1234-1234-123456789012."
)]
pub struct InvalidChannelArn(String);

/// A UUID in the only form that the API knows: 36 characters.
pub fn hyphenated_uuid(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then_some(id)
}

/// The Region, account and UUID of an ARN whose resource is `kind` and a UUID.
fn parts_of(text: &str, kind: &str) -> Option<(Region, AccountId, Uuid)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", "aws", "cloudtrail", region, account, resource] = parts[..] else { return None };
    let id = resource.strip_prefix(kind)?.strip_prefix('/').and_then(hyphenated_uuid)?;
    Some((Region::parse(region).ok()?, AccountId::parse(account).ok()?, id))
}

/// As much of a text as a message repeats.
fn echo(text: &str) -> String {
    text.chars().take(256).collect()
}

impl EventDataStoreArn {
    pub fn parse(text: &str) -> Result<Self, InvalidEventDataStoreArn> {
        let malformed = || InvalidEventDataStoreArn(echo(text));
        let (region, account, id) = parts_of(text, "eventdatastore").ok_or_else(malformed)?;
        Ok(Self { region, account, id })
    }
}

impl ChannelArn {
    pub fn parse(text: &str) -> Result<Self, InvalidChannelArn> {
        let malformed = || InvalidChannelArn(echo(text));
        let (region, account, id) = parts_of(text, "channel").ok_or_else(malformed)?;
        Ok(Self { region, account, id })
    }
}

impl fmt::Display for ChannelArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, id } = self;
        write!(f, "arn:aws:cloudtrail:{region}:{account}:channel/{}", id.hyphenated())
    }
}

impl fmt::Display for EventDataStoreArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, id } = self;
        write!(f, "arn:aws:cloudtrail:{region}:{account}:eventdatastore/{}", id.hyphenated())
    }
}

impl TrailArn {
    pub fn parse(text: &str) -> Result<Self, InvalidTrailArn> {
        let malformed = || InvalidTrailArn::Malformed(echo(text));
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", "aws", "cloudtrail", region, account, resource] = parts[..] else {
            return Err(malformed());
        };
        Ok(Self {
            region: Region::parse(region).map_err(|_| malformed())?,
            account: AccountId::parse(account).map_err(|_| malformed())?,
            name: TrailName::parse(resource.strip_prefix("trail/").ok_or_else(malformed)?)?,
        })
    }
}

impl fmt::Display for TrailArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:cloudtrail:{}:{}:trail/{}", self.region, self.account, self.name)
    }
}

impl Serialize for TrailName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TrailName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for TrailArn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TrailArn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<(), &str>) {
        let found = TrailName::parse(name).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{name:?}");
    }

    #[test]
    fn names_by_the_rules_are_names() {
        for name in ["abc", "a.b_c-d", "123", "My-Trail.2026", "1.2.3.4.5", &"x".repeat(128)] {
            check(name, Ok(()));
        }
    }

    #[test]
    fn each_broken_rule_has_its_own_sentence() {
        const CHARACTERS: &str = "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_).";
        check("", Err("Trail name or ARN can not be blank."));
        check("   ", Err("Trail name or ARN can not be blank."));
        check(
            "ab",
            Err(
                "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 2 characters.",
            ),
        );
        check(
            &"x".repeat(129),
            Err(
                "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters.",
            ),
        );
        check("-abc", Err("Trail name must starts with a letter or number."));
        check("abc.", Err("Trail name must ends with a letter or number."));
        check("a b", Err(CHARACTERS));
        check("a/../b", Err(CHARACTERS));
        check("aéb", Err(CHARACTERS));
        check(
            "a..b",
            Err("Trail name can not have adjacent periods (.), hyphens (-), or underscores (_)."),
        );
        check(
            "a._b",
            Err("Trail name can not have adjacent periods (.), hyphens (-), or underscores (_)."),
        );
        check("192.168.5.4", Err("Trail name can not be formatted as an IP address."));
    }

    #[test]
    fn arns_read_as_they_are_written() {
        let text = "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit";
        let arn = TrailArn::parse(text).unwrap();
        assert_eq!((arn.region.as_str(), arn.name.as_str()), ("us-east-1", "audit"));
        assert_eq!(arn.to_string(), text);
        let json = serde_json::to_string(&arn).unwrap();
        assert_eq!(serde_json::from_str::<TrailArn>(&json).unwrap(), arn);
    }

    #[test]
    fn arns_of_event_data_stores_hold_a_uuid_with_its_hyphens() {
        let text = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10";
        assert_eq!(EventDataStoreArn::parse(text).unwrap().to_string(), text);
        for other in [
            "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/4e0b29e52c1f4a0aa9b46d2b1c9c7f10",
            "arn:aws:cloudtrail:us-east-1:111122223333:channel/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
            "arn:aws:cloudtrail:us-east-1:1:eventdatastore/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
            "4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
            "",
        ] {
            assert!(EventDataStoreArn::parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn arns_of_channels_are_not_those_of_stores() {
        let text = "arn:aws:cloudtrail:us-east-1:111122223333:channel/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10";
        assert_eq!(ChannelArn::parse(text).unwrap().to_string(), text);
        for other in [
            "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
            "arn:aws:cloudtrail:us-east-1:111122223333:channel/aws-service-channel/a/b",
            "arn:aws:cloudtrail:us-east-1:111122223333:channel/",
            "4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
        ] {
            assert!(ChannelArn::parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn other_texts_are_no_trail_arns() {
        for text in [
            "audit",
            "arn:aws:s3:us-east-1:111122223333:trail/audit",
            "arn:aws:cloudtrail:nowhere:111122223333:trail/audit",
            "arn:aws:cloudtrail:us-east-1:1111:trail/audit",
            "arn:aws:cloudtrail:us-east-1:111122223333:channel/audit",
            "arn:aws:cloudtrail:us-east-1:111122223333:audit",
        ] {
            let found = TrailArn::parse(text).unwrap_err();
            assert!(matches!(found, InvalidTrailArn::Malformed(_)), "{text}");
        }
        let found =
            TrailArn::parse("arn:aws:cloudtrail:us-east-1:111122223333:trail/a").unwrap_err();
        assert_eq!(found, InvalidTrailArn::Name(InvalidTrailName::TooShort(1)));
    }
}
