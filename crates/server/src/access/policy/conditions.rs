//! The `Condition` element: all conditions must hold; a condition's values are alternatives.
//! Source: IAM user guide, "IAM JSON policy elements: Condition operators".

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;

use super::pattern::Pattern;
use super::{Facts, Fit};

/// One operator on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub operator: Operator,
    pub set: Set,
    pub if_exists: bool,
    /// Lower-case.
    pub key: String,
    pub values: Vec<String>,
}

/// How a key's several values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// Keys of one value.
    One,
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Compare { comparison: Comparison, negated: bool },
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    EqualIgnoringCase,
    Like,
    ArnLike,
    Bool,
    Date(Order),
    Numeric(Order),
    IpAddress,
    /// Base64 texts, compared as they stand.
    Binary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// The operator, its set prefix, and whether it has the `IfExists` suffix; `None` when AWS knows
    /// none such.
    pub(super) fn read(name: &str) -> Option<(Self, Set, bool)> {
        let (set, rest) = match name.split_once(':') {
            None => (Set::One, name),
            Some(("ForAllValues", rest)) => (Set::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Set::ForAnyValue, rest),
            Some(_) => return None,
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        if base == "Null" {
            return (!if_exists && set == Set::One).then_some((Self::Null, set, false));
        }
        use Comparison::*;
        let (comparison, negated) = match base {
            "StringEquals" => (Equal, false),
            "StringNotEquals" => (Equal, true),
            "StringEqualsIgnoreCase" => (EqualIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (EqualIgnoringCase, true),
            "StringLike" => (Like, false),
            "StringNotLike" => (Like, true),
            // AWS: ArnEquals and ArnLike behave alike.
            "ArnEquals" | "ArnLike" => (ArnLike, false),
            "ArnNotEquals" | "ArnNotLike" => (ArnLike, true),
            "Bool" => (Bool, false),
            "IpAddress" => (IpAddress, false),
            "NotIpAddress" => (IpAddress, true),
            "BinaryEquals" => (Binary, false),
            "DateNotEquals" => (Date(Order::Equal), true),
            "NumericNotEquals" => (Numeric(Order::Equal), true),
            _ => match (base.strip_prefix("Date"), base.strip_prefix("Numeric")) {
                (Some(order), _) => (Date(Order::read(order)?), false),
                (_, Some(order)) => (Numeric(Order::read(order)?), false),
                _ => return None,
            },
        };
        Some((Self::Compare { comparison, negated }, set, if_exists))
    }

    /// Whether a value of the policy can be what the operator compares with. One with a variable is only
    /// known when it is asked about.
    pub(super) fn takes(self, value: &str) -> bool {
        value.contains("${")
            || match self {
                Operator::Null | Operator::Compare { comparison: Comparison::Bool, .. } => {
                    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
                }
                Operator::Compare { comparison: Comparison::Date(_), .. } => {
                    nanoseconds(value).is_some()
                }
                Operator::Compare { comparison: Comparison::Numeric(_), .. } => {
                    value.parse::<f64>().is_ok()
                }
                Operator::Compare { comparison: Comparison::IpAddress, .. } => {
                    network(value).is_some()
                }
                Operator::Compare { .. } => true,
            }
    }
}

impl Order {
    fn read(name: &str) -> Option<Order> {
        match name {
            "Equals" => Some(Order::Equal),
            "LessThan" => Some(Order::Less),
            "LessThanEquals" => Some(Order::LessOrEqual),
            "GreaterThan" => Some(Order::Greater),
            "GreaterThanEquals" => Some(Order::GreaterOrEqual),
            _ => None,
        }
    }

    fn holds<T: PartialOrd>(self, value: T, wanted: T) -> bool {
        match self {
            Order::Equal => value == wanted,
            Order::Less => value < wanted,
            Order::LessOrEqual => value <= wanted,
            Order::Greater => value > wanted,
            Order::GreaterOrEqual => value >= wanted,
        }
    }
}

impl Condition {
    pub(super) fn fit(&self, facts: &Facts<'_>) -> Fit {
        let has_key = |(key, _): &&(&str, &str)| key.eq_ignore_ascii_case(&self.key);
        let present: Vec<&str> =
            facts.context.iter().filter(has_key).map(|(_, value)| *value).collect();
        let (comparison, negated) = match self.operator {
            Operator::Null => {
                let is_absent = if present.is_empty() { "true" } else { "false" };
                let holds = self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case(is_absent));
                return if holds { Fit::Yes } else { Fit::No };
            }
            Operator::Compare { comparison, negated } => (comparison, negated),
        };
        if present.is_empty() {
            // AWS: an absent key fails a positive comparison and satisfies a negated one. Of no values, all
            // are anything and none is.
            let holds = match self.set {
                _ if self.if_exists => true,
                Set::One => negated,
                Set::ForAllValues => true,
                Set::ForAnyValue => false,
            };
            return if holds { Fit::Yes } else { Fit::No };
        }
        let one = |value: &str| {
            let fits = self.values.iter().map(|wanted| comparison.fit(wanted, value, facts));
            let fit = fits.max().unwrap_or(Fit::No);
            if negated { fit.opposite() } else { fit }
        };
        let fits = present.iter().map(|value| one(value));
        let fit = match self.set {
            Set::ForAllValues => fits.min(),
            Set::One if negated => fits.min(),
            Set::One | Set::ForAnyValue => fits.max(),
        };
        fit.unwrap_or(Fit::No)
    }
}

impl Comparison {
    fn fit(self, wanted: &str, value: &str, facts: &Facts<'_>) -> Fit {
        let wildcards = matches!(self, Comparison::Like | Comparison::ArnLike);
        let Some(wanted) = Pattern::new(wanted, wildcards, facts.variables()) else {
            return Fit::Unknown;
        };
        let holds = match self {
            Comparison::Equal | Comparison::Like => wanted.fits(value),
            Comparison::EqualIgnoringCase => wanted.fits_ignoring_case(value),
            Comparison::ArnLike => wanted.fits_arn(value),
            Comparison::Bool => wanted.text().eq_ignore_ascii_case(value),
            Comparison::Binary => wanted.text() == value,
            Comparison::Date(order) => {
                let both = nanoseconds(value).zip(nanoseconds(&wanted.text()));
                both.is_some_and(|(value, wanted)| order.holds(value, wanted))
            }
            Comparison::Numeric(order) => {
                let both = value.parse::<f64>().ok().zip(wanted.text().parse::<f64>().ok());
                both.is_some_and(|(value, wanted)| order.holds(value, wanted))
            }
            Comparison::IpAddress => {
                let both = value.parse::<IpAddr>().ok().zip(network(&wanted.text()));
                both.is_some_and(|(address, network)| network.contains(&address.to_canonical()))
            }
        };
        if holds { Fit::Yes } else { Fit::No }
    }
}

/// Nanoseconds since 1970 of a date as policies write it: ISO 8601 with or without a time, or seconds
/// since 1970.
fn nanoseconds(text: &str) -> Option<i128> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(i128::from(seconds) * 1_000_000_000);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_nanosecond());
    }
    let day = text.parse::<Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(day.timestamp().as_nanosecond())
}

/// `203.0.113.0/24`, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
