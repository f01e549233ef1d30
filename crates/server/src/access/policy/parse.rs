//! From JSON to [`Policy`], refusing whatever the grammar does not name.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::conditions::{Condition, Operator};
use super::{Effect, Listed, Policy, PolicyKind, Principals, Statement};

/// AWS: a bucket policy has at most 20 KB.
const POLICY_BYTES_MAX: usize = 20 * 1024;

/// What is wrong with a policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedPolicy(pub(super) String);

fn malformed(message: impl Into<String>) -> MalformedPolicy {
    MalformedPolicy(message.into())
}

/// JSON as far as a policy may hold it: numbers as texts, no null, no member named twice.
enum Tree {
    Text(String),
    Truth(bool),
    List(Vec<Tree>),
    Members(Vec<(String, Tree)>),
}

pub(super) fn policy(text: &str, kind: PolicyKind) -> Result<Policy, MalformedPolicy> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(malformed(format!("Policies must be at most {POLICY_BYTES_MAX} bytes long")));
    }
    if !text.starts_with('{') {
        return Err(malformed("Policies must be valid JSON and the first byte must be '{'"));
    }
    let tree: Tree = serde_json::from_str(text)
        .map_err(|error| malformed(format!("Policies must be valid JSON: {error}")))?;
    let (mut statements, mut has_variables) = (None, false);
    for (name, value) in members(tree, "policy")? {
        match (name.as_str(), value) {
            ("Version", Tree::Text(version))
                if version == "2012-10-17" || version == "2008-10-17" =>
            {
                has_variables = version == "2012-10-17";
            }
            ("Version", _) => {
                return Err(malformed("The policy must contain a valid version string"));
            }
            ("Id", Tree::Text(_)) => {}
            ("Statement", Tree::List(list)) => statements = Some(list),
            ("Statement", one @ Tree::Members(_)) => statements = Some(vec![one]),
            _ => return Err(malformed(format!("Unknown field {name}"))),
        }
    }
    let trees = statements.ok_or_else(|| malformed("Missing required field Statement"))?;
    if trees.is_empty() {
        return Err(malformed("Policy has no statement"));
    }
    let mut sids = HashSet::new();
    let mut statements = Vec::with_capacity(trees.len());
    for tree in trees {
        statements.push(statement(tree, kind, &mut sids)?);
    }
    Ok(Policy { statements, has_variables })
}

fn statement(
    tree: Tree,
    kind: PolicyKind,
    sids: &mut HashSet<String>,
) -> Result<Statement, MalformedPolicy> {
    let (mut effect, mut principals, mut actions, mut resources) = (None, None, None, None);
    let mut conditions = Vec::new();
    for (name, value) in members(tree, "Statement")? {
        match name.as_str() {
            "Sid" => {
                let Tree::Text(sid) = value else { return Err(malformed("Sid must be a text")) };
                if !sids.insert(sid) {
                    return Err(malformed(
                        "Statement IDs (SID) in a single policy must be unique.",
                    ));
                }
            }
            "Effect" => effect = Some(value),
            "Principal" => principals = Some(value),
            "NotPrincipal" => {
                return Err(malformed(
                    "NotPrincipal is not supported; name the principals, or use conditions",
                ));
            }
            "Action" | "NotAction" => {
                let lower =
                    texts(value, "action")?.iter().map(|text| text.to_ascii_lowercase()).collect();
                put_once(&mut actions, listed(name == "NotAction", lower), "Action and NotAction")?;
            }
            "Resource" | "NotResource" => {
                let texts = texts(value, "resource")?;
                put_once(
                    &mut resources,
                    listed(name == "NotResource", texts),
                    "Resource and NotResource",
                )?;
            }
            "Condition" => conditions = read_conditions(value)?,
            _ => return Err(malformed(format!("Unknown field {name}"))),
        }
    }
    let effect = match effect {
        Some(Tree::Text(text)) if text == "Allow" => Effect::Allow,
        Some(Tree::Text(text)) if text == "Deny" => Effect::Deny,
        Some(_) => return Err(malformed("Invalid effect")),
        None => return Err(malformed("Missing required field Effect")),
    };
    let principals = match (kind, principals) {
        (PolicyKind::Resource | PolicyKind::Trust, Some(tree)) => read_principals(tree)?,
        (PolicyKind::Resource | PolicyKind::Trust, None) => {
            return Err(malformed("Missing required field Principal"));
        }
        (PolicyKind::Identity, None) => Principals::Anyone,
        (PolicyKind::Identity, Some(_)) => {
            return Err(malformed("Policy document should not specify a principal."));
        }
    };
    let actions = actions.ok_or_else(|| malformed("Missing required field Action"))?;
    let resources = match (kind, resources) {
        // AWS: a trust policy is about its role.
        (PolicyKind::Trust, None) => Listed::In(vec!["*".to_owned()]),
        (PolicyKind::Trust, Some(_)) => {
            return Err(malformed("Has prohibited field Resource"));
        }
        (PolicyKind::Resource | PolicyKind::Identity, Some(listed)) => listed,
        (PolicyKind::Resource | PolicyKind::Identity, None) => {
            return Err(malformed("Missing required field Resource"));
        }
    };
    let (Listed::In(patterns) | Listed::NotIn(patterns)) = &actions;
    // As in s3:PutObject; a lone star is every action of every service.
    if !patterns.iter().all(|pattern| pattern == "*" || is_action(pattern)) {
        return Err(malformed("Policy has invalid action"));
    }
    let (Listed::In(patterns) | Listed::NotIn(patterns)) = &resources;
    if !patterns.iter().all(|pattern| pattern == "*" || pattern.starts_with("arn:")) {
        return Err(malformed("Policy has invalid resource"));
    }
    Ok(Statement { effect, principals, actions, resources, conditions })
}

fn is_action(pattern: &str) -> bool {
    let Some((service, verb)) = pattern.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !service.is_empty()
        && service.bytes().all(plain)
        && !verb.is_empty()
        && verb.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*' || byte == b'?')
}

fn listed(negated: bool, patterns: Vec<String>) -> Listed {
    if negated { Listed::NotIn(patterns) } else { Listed::In(patterns) }
}

fn put_once<T>(place: &mut Option<T>, value: T, names: &str) -> Result<(), MalformedPolicy> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(format!("{names} cannot stand in one statement"))),
    }
}

fn read_principals(tree: Tree) -> Result<Principals, MalformedPolicy> {
    let invalid = || malformed("Invalid principal in policy");
    let named = match tree {
        Tree::Text(text) if text == "*" => return Ok(Principals::Anyone),
        Tree::Members(named) if !named.is_empty() => named,
        Tree::Members(_) | Tree::Text(_) | Tree::Truth(_) | Tree::List(_) => return Err(invalid()),
    };
    let (mut aws, mut services) = (Vec::new(), Vec::new());
    for (name, value) in named {
        let texts = texts(value, "principal")?;
        match name.as_str() {
            "AWS" => {
                let is_account = |text: &String| event::AccountId::parse(text).is_ok();
                let is_known =
                    |text: &String| text == "*" || text.starts_with("arn:") || is_account(text);
                if !texts.iter().all(is_known) {
                    return Err(invalid());
                }
                aws = texts;
            }
            "Service" => services = texts,
            // Kinds of principal that no caller of ours is: they fit nobody.
            "Federated" | "CanonicalUser" => {}
            _ => return Err(invalid()),
        }
    }
    Ok(Principals::Listed { aws, services })
}

fn read_conditions(tree: Tree) -> Result<Vec<Condition>, MalformedPolicy> {
    let mut conditions = Vec::new();
    for (name, keys) in members(tree, "Condition")? {
        let (operator, set, if_exists) = Operator::read(&name)
            .ok_or_else(|| malformed(format!("Invalid Condition type : {name}")))?;
        for (key, values) in members(keys, "Condition")? {
            let values = texts(values, "condition value")?;
            if let Some(value) = values.iter().find(|value| !operator.takes(value)) {
                return Err(malformed(format!("Invalid value for {name} on {key} : {value}")));
            }
            conditions.push(Condition {
                operator,
                set,
                if_exists,
                key: key.to_ascii_lowercase(),
                values,
            });
        }
    }
    Ok(conditions)
}

fn members(tree: Tree, what: &str) -> Result<Vec<(String, Tree)>, MalformedPolicy> {
    match tree {
        Tree::Members(members) => Ok(members),
        Tree::Text(_) | Tree::Truth(_) | Tree::List(_) => {
            Err(malformed(format!("{what} must be an object")))
        }
    }
}

/// One text or a list of at least one. Truth values may stand for their texts.
fn texts(tree: Tree, what: &str) -> Result<Vec<String>, MalformedPolicy> {
    let list = match tree {
        Tree::List(list) => list,
        one => vec![one],
    };
    let mut texts = Vec::with_capacity(list.len());
    for item in list {
        match item {
            Tree::Text(text) => texts.push(text),
            Tree::Truth(truth) if what == "condition value" => texts.push(truth.to_string()),
            Tree::Truth(_) | Tree::List(_) | Tree::Members(_) => {
                return Err(malformed(format!("Policy has invalid {what}")));
            }
        }
    }
    if texts.is_empty() {
        return Err(malformed(format!("Policy has invalid {what}")));
    }
    Ok(texts)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, true or false, a list or an object")
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
                Ok(Tree::Truth(truth))
            }

            /// Numbers may stand in conditions, as in NumericLessThan.
            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Text(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Tree::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut members: Vec<(String, Tree)> = Vec::new();
                let mut names = HashSet::new();
                while let Some((name, value)) = items.next_entry::<String, Tree>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("member {name:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Tree::Members(members))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
