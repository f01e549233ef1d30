//! Whether a request to the bucket door may go on, by the policies of the caller and of the bucket.
//!
//! CloudTrail's own puts come with the trail in `aws:SourceArn`: the bucket policy that AWS documents
//! works as it is.

use delivery::destination::SOURCE_ARN_HEADER;
use event::Region;

use crate::access::Identity;
use crate::access::policy::{Asker, Policy, PolicyKind, Question};
use crate::accounts::Accounts;
use crate::authorization::{Asking, Attached, Wish, judge};
use crate::doors::bucket::PolicyQuestion;

/// A policy that cannot be read denies everyone, but nobody asks then: it could not have been put.
pub fn permits(accounts: &Accounts, asked: &PolicyQuestion<'_>) -> bool {
    let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok());
    let mut context: Vec<(String, String)> = Vec::new();
    if let Some(acl) = header("x-amz-acl") {
        context.push(("s3:x-amz-acl".to_owned(), acl.to_owned()));
    }
    if let Identity::Service { principal } = asked.caller.identity() {
        if let Some(source) = header(SOURCE_ARN_HEADER) {
            context.push(("aws:SourceArn".to_owned(), source.to_owned()));
            if let Some(account) = source.split(':').nth(4) {
                context.push(("aws:SourceAccount".to_owned(), account.to_owned()));
            }
        }
        let context: Vec<(&str, &str)> =
            context.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let question = Question {
            asker: Asker::Service(principal),
            action: asked.action,
            resource: asked.resource,
            context: &context,
        };
        let policy = asked.policy.and_then(|text| Policy::parse(text, PolicyKind::Resource).ok());
        return policy.is_some_and(|policy| {
            policy.decide(&question) == crate::access::policy::Decision::Allowed
        });
    }
    let Ok(region) = Region::parse(asked.region) else { return false };
    let asking = Asking {
        caller: asked.caller,
        source_ip: asked.source_ip,
        user_agent: asked.user_agent,
        region: &region,
        now: asked.now,
    };
    let wish = Wish {
        action: asked.action,
        resource: asked.resource,
        owner: asked.owner,
        policy: asked.policy.map(Attached::Text),
        context: &context,
    };
    judge(accounts, &asking, &wish).is_ok()
}
