//! What a bucket's policy says about a request, for the bucket door.
//!
//! The owner's callers may do everything that no statement denies. CloudTrail's own puts need an
//! Allow as in AWS, with the trail in `aws:SourceArn`: the policy that AWS documents works as it is.

use delivery::destination::SOURCE_ARN_HEADER;

use crate::access::Identity;
use crate::access::policy::{Asker, Decision, Policy, PolicyKind, Question};
use crate::doors::bucket::PolicyQuestion;

/// Whether the request may go on. A policy that cannot be read denies everyone but nobody asks
/// then: it could not have been put.
pub fn permits(asked: &PolicyQuestion<'_>) -> bool {
    let Ok(policy) = Policy::parse(asked.policy, PolicyKind::Resource) else { return false };
    let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok());
    let arn = asked.caller.arn().unwrap_or_default();
    let mut context: Vec<(&str, &str)> = Vec::new();
    if let Some(acl) = header("x-amz-acl") {
        context.push(("s3:x-amz-acl", acl));
    }
    let asker = match asked.caller.identity() {
        Identity::Service { principal } => {
            if let Some(source) = header(SOURCE_ARN_HEADER) {
                context.push(("aws:SourceArn", source));
                if let Some(account) = source.split(':').nth(4) {
                    context.push(("aws:SourceAccount", account));
                }
            }
            Asker::Service(principal)
        }
        _ => {
            context.push(("aws:PrincipalArn", &arn));
            context.push(("aws:PrincipalAccount", asked.caller.account().as_str()));
            Asker::Account { account: asked.caller.account().as_str(), arn: &arn }
        }
    };
    let decision = policy.decide(&Question { asker, action: asked.action, resource: asked.resource, context: &context });
    let own = matches!(asker, Asker::Account { account, .. } if account == asked.owner);
    match decision {
        Decision::Allowed => true,
        Decision::ExplicitlyDenied => false,
        Decision::NotAllowed => own,
    }
}
