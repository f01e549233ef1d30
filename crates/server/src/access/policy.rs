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
//! An explicit deny wins; no matching allow is no. A policy variable whose value is not known is
//! [`Fit::Unknown`]: an Allow with something unknown in it does not apply, a Deny with it does.
//! `NotPrincipal` makes the whole document malformed: it is easy to get wrong, and AWS advises against
//! it.
//!
//! Never here: where policies are kept, and what a denial becomes on the wire.

mod bounds;
mod conditions;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

pub use bounds::Bounds;
use conditions::Condition;
pub use parse::MalformedPolicy;
use pattern::Pattern;
pub use pattern::wildcards_fit;

/// Which document: the grammar differs in one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Attached to a resource: every statement names its principals.
    Resource,
    /// Attached to a user: no statement does.
    Identity,
    /// Attached to a role, about who may assume it: every statement names its principals, and the role
    /// is the resource.
    Trust,
}

/// A parsed policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
    /// AWS: policy variables came with the version of 2012-10-17; before it `${` is a text.
    has_variables: bool,
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
        /// Of a session: the ARN of its role, which a principal element may name too.
        role: Option<&'a str>,
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
        self.decided(question, true)
    }

    /// As [`Policy::decide`], for somebody of the resource's own account. AWS: an Allow for the account
    /// leaves it to the account's own policies; one for the principal itself, or for `*`, allows.
    pub fn decide_for_own(&self, question: &Question<'_>) -> Decision {
        self.decided(question, false)
    }

    /// Does it allow everything, whoever asks from wherever?
    pub fn allows_all(&self) -> bool {
        let is_all = |listed: &Listed| matches!(listed, Listed::In(patterns) if patterns.iter().any(|p| p == "*"));
        self.statements.iter().any(|statement| {
            statement.effect == Effect::Allow
                && matches!(statement.principals, Principals::Anyone)
                && is_all(&statement.actions)
                && is_all(&statement.resources)
                && statement.conditions.is_empty()
        })
    }

    /// Can it deny anything?
    pub fn has_denials(&self) -> bool {
        self.statements.iter().any(|statement| statement.effect == Effect::Deny)
    }

    /// Does a condition ask about a key that begins so? In lower case.
    pub fn asks_about(&self, beginning: &str) -> bool {
        let mut conditions = self.statements.iter().flat_map(|statement| &statement.conditions);
        conditions.any(|condition| condition.key.starts_with(beginning))
    }

    /// `by_account`: an Allow for an account is one for each of its principals.
    fn decided(&self, question: &Question<'_>, by_account: bool) -> Decision {
        let mut decision = Decision::NotAllowed;
        let facts = Facts { context: question.context, has_variables: self.has_variables };
        for statement in &self.statements {
            let by_account = by_account || statement.effect == Effect::Deny;
            match (statement.effect, statement.fit(question, &facts, by_account)) {
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

/// What conditions and variables are about.
#[derive(Debug, Clone, Copy)]
struct Facts<'a> {
    context: &'a [(&'a str, &'a str)],
    has_variables: bool,
}

impl<'a> Facts<'a> {
    fn variables(&self) -> Option<&'a [(&'a str, &'a str)]> {
        self.has_variables.then_some(self.context)
    }
}

impl Statement {
    fn fit(&self, question: &Question<'_>, facts: &Facts<'_>, by_account: bool) -> Fit {
        let mut fit = self.principals.fit(question.asker, by_account);
        fit = fit.min(self.actions.fit(&question.action.to_ascii_lowercase(), None));
        fit = fit.min(self.resources.fit(question.resource, facts.variables()));
        for condition in &self.conditions {
            fit = fit.min(condition.fit(facts));
        }
        fit
    }
}

impl Principals {
    fn fit(&self, asker: Asker<'_>, by_account: bool) -> Fit {
        let Principals::Listed { aws, services } = self else { return Fit::Yes };
        let listed = match asker {
            Asker::Account { account, arn, role } => aws.iter().any(|named| {
                // AWS: the account's number and its root ARN both mean everyone in the account.
                named == "*"
                    || named == arn
                    || Some(named.as_str()) == role
                    || (by_account
                        && (named == account || *named == format!("arn:aws:iam::{account}:root")))
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
    fn fit(&self, text: &str, variables: Option<&[(&str, &str)]>) -> Fit {
        let any = |patterns: &[String]| {
            let fits =
                patterns.iter().map(|pattern| match Pattern::new(pattern, true, variables) {
                    Some(pattern) if pattern.fits(text) => Fit::Yes,
                    Some(_) => Fit::No,
                    None => Fit::Unknown,
                });
            fits.max().unwrap_or(Fit::No)
        };
        match self {
            Listed::In(patterns) => any(patterns),
            Listed::NotIn(patterns) => any(patterns).opposite(),
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
