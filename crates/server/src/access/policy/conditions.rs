//! The `Condition` element: all conditions must hold; a condition's values are alternatives.

use super::{Fit, any_fits, arn_like, like};

/// One operator on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub operator: Operator,
    pub if_exists: bool,
    /// Lower-case.
    pub key: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Compare {
        comparison: Comparison,
        negated: bool,
    },
    Null,
    /// AWS's, but not evaluated here.
    Unsupported,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    EqualIgnoringCase,
    Like,
    ArnLike,
    Bool,
}

/// AWS's operators that we do not evaluate. Well-formed, of unknown outcome.
const UNSUPPORTED: [&str; 15] = [
    "BinaryEquals",
    "DateEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateNotEquals",
    "IpAddress",
    "NotIpAddress",
    "NumericEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericNotEquals",
];

impl Operator {
    /// The operator and whether it has the `IfExists` suffix; `None` when AWS knows none such.
    pub(super) fn read(name: &str) -> Option<(Self, bool)> {
        if let Some((set, rest)) = name.split_once(':') {
            let known = set == "ForAllValues" || set == "ForAnyValue";
            return Self::read(rest)
                .filter(|_| known && !rest.contains(':'))
                .map(|(_, if_exists)| (Self::Unsupported, if_exists));
        }
        let (base, if_exists) = match name.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (name, false),
        };
        let compare = |comparison, negated| Self::Compare { comparison, negated };
        let operator = match base {
            "StringEquals" => compare(Comparison::Equal, false),
            "StringNotEquals" => compare(Comparison::Equal, true),
            "StringEqualsIgnoreCase" => compare(Comparison::EqualIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => compare(Comparison::EqualIgnoringCase, true),
            "StringLike" => compare(Comparison::Like, false),
            "StringNotLike" => compare(Comparison::Like, true),
            // AWS: ArnEquals and ArnLike behave alike.
            "ArnEquals" | "ArnLike" => compare(Comparison::ArnLike, false),
            "ArnNotEquals" | "ArnNotLike" => compare(Comparison::ArnLike, true),
            "Bool" => compare(Comparison::Bool, false),
            "Null" if !if_exists => Self::Null,
            _ if UNSUPPORTED.contains(&base) => Self::Unsupported,
            _ => return None,
        };
        Some((operator, if_exists))
    }
}

impl Condition {
    pub(super) fn fit(&self, context: &[(&str, &str)]) -> Fit {
        let has_key = |(key, _): &&(&str, &str)| key.eq_ignore_ascii_case(&self.key);
        let present: Vec<&str> = context.iter().filter(has_key).map(|(_, value)| *value).collect();
        let (comparison, negated) = match self.operator {
            Operator::Unsupported => return Fit::Unknown,
            Operator::Null => {
                return any_fits(&self.values, |wanted| {
                    wanted.eq_ignore_ascii_case(if present.is_empty() { "true" } else { "false" })
                });
            }
            Operator::Compare { comparison, negated } => (comparison, negated),
        };
        if present.is_empty() {
            // AWS: an absent key fails a positive comparison and satisfies a negated one.
            return if negated || self.if_exists { Fit::Yes } else { Fit::No };
        }
        let fit = any_fits(&self.values, |wanted| {
            present.iter().any(|value| comparison.holds(wanted, value))
        });
        if negated { fit.opposite() } else { fit }
    }
}

impl Comparison {
    fn holds(self, wanted: &str, value: &str) -> bool {
        match self {
            Comparison::Equal => wanted == value,
            Comparison::EqualIgnoringCase => wanted.to_lowercase() == value.to_lowercase(),
            Comparison::Like => like(wanted, value),
            Comparison::ArnLike => arn_like(wanted, value),
            Comparison::Bool => wanted.eq_ignore_ascii_case(value),
        }
    }
}
