//! May this principal do this action on this resource? Answered from one policy document.
//!
//! ```text
//!   { "Version": "2012-10-17",
//!     "Statement": [ { "Effect": "Allow" | "Deny",
//!                      "Principal": "*" | {"AWS": …, "Service": …},
//!                      "Action" | "NotAction": …, "Resource" | "NotResource": …,
//!                      "Condition": { operator: { key: value | [value, …] } } } ] }
//! ```
//!
//! An explicit deny wins; no matching allow is no. What this evaluator does not know (policy
//! variables, condition operators beyond strings, ARNs, `Bool` and `Null`) is [`Fit::Unknown`]: an
//! Allow with something unknown in it does not apply, a Deny with it does. `NotPrincipal` makes the
//! whole document malformed: it is easy to get wrong, and AWS advises against it.
//!
//! Never here: where policies are kept, and what a denial becomes on the wire.

mod conditions;
mod parse;
#[cfg(test)]
mod tests;

use conditions::Condition;
pub use parse::MalformedPolicy;

/// Which document: the grammar differs in one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to a resource: every statement names its principals.
    Resource,
    /// Attached to a user: no statement does.
    Identity,
}

/// A parsed policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    effect: Effect,
    principals: Principals,
    actions: Listed,
    resources: Listed,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Principals {
    /// `"*"`, or an identity policy, whose principal is whoever it is attached to.
    Anyone,
    Listed {
        aws: Vec<String>,
        services: Vec<String>,
    },
}

/// Patterns of `Action`/`Resource`, or of their `Not…` forms.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listed {
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// Whether a part of a statement fits the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Unknown,
    Yes,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker<'a> {
    /// Someone of an account, by account id and ARN.
    Account {
        account: &'a str,
        arn: &'a str,
    },
    /// A service, as in `cloudtrail.amazonaws.com`.
    Service(&'a str),
    Anonymous,
}

/// What is asked of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub asker: Asker<'a>,
    /// As in `s3:PutObject`.
    pub action: &'a str,
    pub resource: &'a str,
    /// Condition keys and their values; a key's case does not matter, a key may stand more than once.
    pub context: &'a [(&'a str, &'a str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// A Deny statement applies: nothing else can allow it.
    ExplicitlyDenied,
    /// No statement applies.
    NotAllowed,
}

impl Policy {
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, MalformedPolicy> {
        parse::policy(text, kind)
    }

    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let mut decision = Decision::NotAllowed;
        for statement in &self.statements {
            match (statement.effect, statement.fit(question)) {
                (Effect::Deny, Fit::Yes | Fit::Unknown) => return Decision::ExplicitlyDenied,
                (Effect::Allow, Fit::Yes) => decision = Decision::Allowed,
                (Effect::Deny, Fit::No) | (Effect::Allow, Fit::No | Fit::Unknown) => {}
            }
        }
        decision
    }
}

/// Whether a resource policy is well formed; the error's text says what is wrong with it.
pub fn validate(policy_json: &str) -> Result<(), MalformedPolicy> {
    Policy::parse(policy_json, PolicyKind::Resource).map(|_| ())
}

/// Whether a resource policy, as its owner wrote it, allows this. One that cannot be read denies.
pub fn allows(policy_json: &str, question: &Question<'_>) -> bool {
    Policy::parse(policy_json, PolicyKind::Resource)
        .is_ok_and(|policy| policy.decide(question) == Decision::Allowed)
}

impl Statement {
    fn fit(&self, question: &Question<'_>) -> Fit {
        let mut fit = self.principals.fit(question.asker);
        fit = fit.min(self.actions.fit(&question.action.to_ascii_lowercase()));
        fit = fit.min(self.resources.fit(question.resource));
        for condition in &self.conditions {
            fit = fit.min(condition.fit(question.context));
        }
        fit
    }
}

impl Principals {
    fn fit(&self, asker: Asker<'_>) -> Fit {
        let Principals::Listed { aws, services } = self else { return Fit::Yes };
        let listed = match asker {
            Asker::Account { account, arn } => aws.iter().any(|named| {
                // AWS: the account's number and its root ARN both mean everyone in the account.
                named == "*"
                    || named == arn
                    || named == account
                    || *named == format!("arn:aws:iam::{account}:root")
            }),
            Asker::Service(service) => {
                aws.iter().any(|named| named == "*")
                    || services.iter().any(|named| named == "*" || named == service)
            }
            Asker::Anonymous => aws.iter().any(|named| named == "*"),
        };
        if listed { Fit::Yes } else { Fit::No }
    }
}

impl Listed {
    fn fit(&self, text: &str) -> Fit {
        match self {
            Listed::In(patterns) => any_fits(patterns, |pattern| like(pattern, text)),
            Listed::NotIn(patterns) => any_fits(patterns, |pattern| like(pattern, text)).opposite(),
        }
    }
}

impl Fit {
    fn opposite(self) -> Self {
        match self {
            Fit::No => Fit::Yes,
            Fit::Unknown => Fit::Unknown,
            Fit::Yes => Fit::No,
        }
    }
}

/// The best fit of any pattern. A pattern with a policy variable (`${…}`) is of unknown fit.
fn any_fits(patterns: &[String], fits: impl Fn(&str) -> bool) -> Fit {
    let mut best = Fit::No;
    for pattern in patterns {
        let fit = match (pattern.contains("${"), fits(pattern)) {
            (true, _) => Fit::Unknown,
            (false, true) => Fit::Yes,
            (false, false) => Fit::No,
        };
        best = best.max(fit);
    }
    best
}

/// `*` is any run of characters, none included; `?` is any one. Time: pattern × text at worst.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut in_text) = (0, 0);
    // Where the last star was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        if at < pattern.len() && pattern[at] == '*' {
            star = Some((at, in_text));
            at += 1;
        } else if at < pattern.len() && (pattern[at] == '?' || pattern[at] == text[in_text]) {
            at += 1;
            in_text += 1;
        } else if let Some((star_at, taken_to)) = star {
            star = Some((star_at, taken_to + 1));
            at = star_at + 1;
            in_text = taken_to + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// AWS: each of an ARN's six parts is matched by itself, with wildcards.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let pattern: Vec<&str> = pattern.splitn(6, ':').collect();
    let arn: Vec<&str> = arn.splitn(6, ':').collect();
    pattern.len() == 6 && arn.len() == 6 && pattern.iter().zip(&arn).all(|(p, a)| like(p, a))
}
