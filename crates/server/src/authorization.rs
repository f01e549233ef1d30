//! May this caller do this? Policies of the caller, of its session and of the resource, together.
//!
//! ```text
//!   any of them denies explicitly                                   no
//!   resource of the caller's account    its policies allow, or the resource's policy names it
//!   resource of another account         its policies allow, and the resource's policy does too
//!   a session policy, if there is one, has to allow as well
//! ```
//! Source: IAM user guide, "Policy evaluation logic".

mod delegated;
mod targets;

use std::net::IpAddr;

use event::Region;
use jiff::Timestamp;

use crate::access::policy::{Asker, Decision, Policy, PolicyKind, Question};
use crate::access::{Caller, Identity};
use crate::accounts::{Accounts, Powers};

pub use delegated::delegated_policy;
pub use targets::{Grants, authorize};

/// The facts of a request that conditions may ask about.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub caller: &'a Caller,
    pub source_ip: IpAddr,
    pub user_agent: Option<&'a str>,
    pub region: &'a Region,
    pub now: Timestamp,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// As in `cloudtrail:StartQuery`.
    pub action: &'a str,
    pub resource: &'a str,
    /// The account that the resource belongs to.
    pub owner: &'a str,
    /// The resource's own policy.
    pub policy: Option<Attached<'a>>,
    /// More condition keys and their values, as in `s3:x-amz-acl`.
    pub context: &'a [(String, String)],
}

/// A policy of a resource.
#[derive(Debug, Clone, Copy)]
pub enum Attached<'a> {
    /// JSON.
    Text(&'a str),
    /// Of a role: AWS lets nobody in whom it does not name, not even by the account's own policies.
    Trust(&'a Policy),
}

/// No: in the words of AWS, which name the action and the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

/// Judges an action of the caller in its own account, at one of the doors that are ours.
pub fn permit(
    accounts: &Accounts,
    asking: &Asking<'_>,
    action: &str,
    resource: &str,
) -> Result<(), Denied> {
    let owner = asking.caller.account().as_str();
    judge(accounts, asking, &Wish { action, resource, owner, policy: None, context: &[] })
}

/// Judges a wish. `Ok` is a yes.
pub fn judge(accounts: &Accounts, asking: &Asking<'_>, wish: &Wish<'_>) -> Result<(), Denied> {
    let mut facts = asking.facts();
    if let Some(organization) = accounts.organization_of(asking.caller.account()) {
        facts.push(("aws:PrincipalOrgID", organization.id.clone()));
    }
    let context: Vec<(&str, &str)> = facts
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .chain(wish.context.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        .collect();
    let caller = asking.caller;
    let (arn, role) = (caller.arn().unwrap_or_default(), caller.role_arn());
    let account = caller.account().as_str();
    let question = Question {
        asker: Asker::Account { account, arn: &arn, role: role.as_deref() },
        action: wish.action,
        resource: wish.resource,
        context: &context,
    };
    let denied = |why: String| {
        let who = if arn.is_empty() { caller.principal_id() } else { arn.as_str() };
        Denied(format!(
            "User: {who} is not authorized to perform: {} on resource: {} {why}",
            wish.action, wish.resource
        ))
    };
    let explicitly = |kind: &str| denied(format!("with an explicit deny in {kind} policy"));
    let no =
        |kind: &str| denied(format!("because no {kind} policy allows the {} action", wish.action));

    let is_own = wish.owner == account;
    let decided = |policy: &Policy| match is_own {
        true => policy.decide_for_own(&question),
        false => policy.decide(&question),
    };
    let by_resource = match wish.policy {
        None => Decision::NotAllowed,
        Some(Attached::Trust(policy)) if policy.decide(&question) != Decision::Allowed => {
            return Err(no("resource-based"));
        }
        Some(Attached::Trust(policy)) => decided(policy),
        Some(Attached::Text(text)) => match Policy::parse(text, PolicyKind::Resource) {
            Ok(policy) => decided(&policy),
            // It could not have been put: somebody has damaged it.
            Err(_) => Decision::ExplicitlyDenied,
        },
    };
    let by_itself = match accounts.powers(caller) {
        Powers::All => Decision::Allowed,
        Powers::None => Decision::NotAllowed,
        Powers::Policies(policies) => decide_all(policies.iter().map(AsRef::as_ref), &question),
    };
    let by_session = match caller.session_policy() {
        None => Decision::Allowed,
        Some(policy) => policy.decide(&question),
    };
    match (by_itself, by_session, by_resource) {
        (Decision::ExplicitlyDenied, ..) => Err(explicitly("an identity-based")),
        (_, Decision::ExplicitlyDenied, _) => Err(explicitly("a session")),
        (.., Decision::ExplicitlyDenied) => Err(explicitly("a resource-based")),
        (_, Decision::NotAllowed, _) => Err(no("session")),
        (Decision::Allowed, _, _) if is_own => Ok(()),
        (_, _, Decision::Allowed) if is_own => Ok(()),
        (Decision::Allowed, _, Decision::Allowed) => Ok(()),
        (Decision::Allowed, _, Decision::NotAllowed) => Err(no("resource-based")),
        (Decision::NotAllowed, ..) => Err(no("identity-based")),
    }
}

fn decide_all<'a>(policies: impl Iterator<Item = &'a Policy>, question: &Question<'_>) -> Decision {
    let mut decision = Decision::NotAllowed;
    for policy in policies {
        match policy.decide(question) {
            Decision::ExplicitlyDenied => return Decision::ExplicitlyDenied,
            Decision::Allowed => decision = Decision::Allowed,
            Decision::NotAllowed => {}
        }
    }
    decision
}

impl Asking<'_> {
    /// AWS's global condition keys, as far as they are known of a request (IAM user guide, "AWS global
    /// condition context keys"). There is no TLS at these doors.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let caller = self.caller;
        let mut facts = vec![
            ("aws:SourceIp", self.source_ip.to_canonical().to_string()),
            ("aws:CurrentTime", self.now.to_string()),
            ("aws:EpochTime", self.now.as_second().to_string()),
            ("aws:SecureTransport", "false".to_owned()),
            ("aws:RequestedRegion", self.region.to_string()),
            ("aws:PrincipalAccount", caller.account().to_string()),
            ("aws:userid", caller.principal_id().to_owned()),
            ("aws:PrincipalIsAWSService", "false".to_owned()),
            ("aws:ViaAWSService", "false".to_owned()),
        ];
        if let Some(agent) = self.user_agent {
            facts.push(("aws:UserAgent", agent.to_owned()));
        }
        if let Some(arn) = caller.role_arn().or_else(|| caller.arn()) {
            facts.push(("aws:PrincipalArn", arn));
        }
        match caller.identity() {
            Identity::Root => facts.push(("aws:PrincipalType", "Account".to_owned())),
            Identity::User { name, .. } => {
                facts.push(("aws:PrincipalType", "User".to_owned()));
                facts.push(("aws:username", name.clone()));
            }
            Identity::AssumedRole { issued, source_identity, .. } => {
                facts.push(("aws:PrincipalType", "AssumedRole".to_owned()));
                facts.push(("aws:TokenIssueTime", issued.to_string()));
                facts.push(("aws:MultiFactorAuthPresent", "false".to_owned()));
                if let Some(identity) = source_identity {
                    facts.push(("aws:SourceIdentity", identity.clone()));
                }
            }
            Identity::Service { .. } | Identity::IngestToken { .. } => {}
        }
        facts
    }
}
