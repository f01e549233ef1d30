//! Account numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An AWS account number: exactly twelve ASCII digits, leading zeros kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

/// Why a text is no account number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an account: twelve digits are wanted")]
pub struct NotAnAccountId(String);

impl AccountId {
    /// Reads twelve ASCII digits, nothing before or after them.
    pub fn parse(text: &str) -> Result<Self, NotAnAccountId> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(NotAnAccountId(text.chars().take(64).collect())),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII digits get past parse")
    }
}

impl FromStr for AccountId {
    type Err = NotAnAccountId;
    fn from_str(text: &str) -> Result<Self, NotAnAccountId> {
        Self::parse(text)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_digits_are_an_account_and_keep_their_zeros() {
        let account = AccountId::parse("012345678901").unwrap();
        assert_eq!(account.to_string(), "012345678901");
        assert_eq!(serde_json::to_string(&account).unwrap(), r#""012345678901""#);
        assert_eq!(serde_json::from_str::<AccountId>(r#""012345678901""#).unwrap(), account);
    }

    #[test]
    fn anything_else_is_not() {
        for text in ["", "12345678901", "1234567890123", "12345678901a", "../45678901", "１２３４"]
        {
            assert!(AccountId::parse(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<AccountId>("123456789012").is_err());
    }
}
