//! What delegated administrators may do with an organization's event data stores: a policy that is made
//! from who they are, and is never stored.

use catalog::EventDataStore;
use serde_json::{Value, json};

use crate::accounts::Accounts;

/// User guide, "Understanding organization event data stores": what both the management account and
/// delegated administrators can do. Insights and copies of trail events are the former's alone.
pub const ACTIONS: [&str; 21] = [
    "cloudtrail:AddTags",
    "cloudtrail:CancelQuery",
    "cloudtrail:DeleteEventDataStore",
    "cloudtrail:DescribeQuery",
    "cloudtrail:DisableFederation",
    "cloudtrail:EnableFederation",
    "cloudtrail:GenerateQuery",
    "cloudtrail:GenerateQueryResultsSummary",
    "cloudtrail:GetEventConfiguration",
    "cloudtrail:GetEventDataStore",
    "cloudtrail:GetInsightSelectors",
    "cloudtrail:GetQueryResults",
    "cloudtrail:ListQueries",
    "cloudtrail:ListTags",
    "cloudtrail:PutEventConfiguration",
    "cloudtrail:RemoveTags",
    "cloudtrail:RestoreEventDataStore",
    "cloudtrail:StartEventDataStoreIngestion",
    "cloudtrail:StartQuery",
    "cloudtrail:StopEventDataStoreIngestion",
    "cloudtrail:UpdateEventDataStore",
];

/// The policy as JSON. None for a store of one account, and where nobody is a delegated administrator.
pub fn delegated_policy(accounts: &Accounts, store: &EventDataStore) -> Option<String> {
    let id = store.state.organization.as_deref()?;
    let organization = accounts.organizations().into_iter().find(|one| one.id == id)?;
    let principals: Vec<String> = organization
        .delegated()
        .map(|(account, _)| format!("arn:aws:iam::{account}:root"))
        .collect();
    if principals.is_empty() {
        return None;
    }
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "DelegatedAdministrators",
            "Effect": "Allow",
            "Principal": { "AWS": principals },
            "Action": ACTIONS,
            "Resource": store.arn,
        }],
    });
    Some(policy.to_string())
}

/// One policy with the statements of both: what is denied in one is denied.
pub fn together(own: Option<String>, generated: Option<String>) -> Option<String> {
    let (own, generated) = match (own, generated) {
        (Some(own), Some(generated)) => (own, generated),
        (own, generated) => return own.or(generated),
    };
    let parsed = (serde_json::from_str::<Value>(&own), serde_json::from_str::<Value>(&generated));
    let (Ok(mut policy), Ok(mut more)) = parsed else { return Some(own) };
    let mut statements = match policy["Statement"].take() {
        Value::Array(statements) => statements,
        one => vec![one],
    };
    if let Some(more) = more["Statement"].as_array_mut() {
        statements.append(more);
    }
    policy["Statement"] = Value::Array(statements);
    Some(policy.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_one_s_own_goes_with_the_generated_one() {
        let own = r#"{"Version": "2012-10-17", "Statement": {"Sid": "own"}}"#.to_owned();
        let generated = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "made"}]}"#.to_owned();
        let both = together(Some(own.clone()), Some(generated.clone())).unwrap();
        let both: Value = serde_json::from_str(&both).unwrap();
        assert_eq!(both["Statement"], json!([{"Sid": "own"}, {"Sid": "made"}]));
        assert_eq!(together(Some(own.clone()), None), Some(own));
        assert_eq!(together(None, Some(generated.clone())), Some(generated));
        assert_eq!(together(None, None), None);
    }
}
