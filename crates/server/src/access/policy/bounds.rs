//! What a resource's policy may say at all, which differs from kind to kind.

use super::{Listed, MalformedPolicy, Policy, Principals, Statement};

/// The bounds of a kind of resource.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// What principals of accounts may be allowed or denied.
    pub actions: &'a [&'a str],
    /// What services may.
    pub service_actions: &'a [&'a str],
    /// The resource that the policy is attached to: the only one it may name.
    pub resource: &'a str,
    pub statements_max: usize,
    pub principals_max: usize,
}

impl Policy {
    /// Whether every statement stays within the bounds; the error says which does not, and how.
    pub fn check_within(&self, bounds: &Bounds<'_>) -> Result<(), MalformedPolicy> {
        if self.statements.len() > bounds.statements_max {
            return Err(MalformedPolicy(format!(
                "The policy has {} statements; at most {} are allowed.",
                self.statements.len(),
                bounds.statements_max
            )));
        }
        for (place, statement) in self.statements.iter().enumerate() {
            statement
                .check_within(bounds)
                .map_err(|why| MalformedPolicy(format!("Statement {}: {why}", place + 1)))?;
        }
        Ok(())
    }
}

impl Statement {
    fn check_within(&self, bounds: &Bounds<'_>) -> Result<(), String> {
        let (Listed::In(actions), Listed::In(resources)) = (&self.actions, &self.resources) else {
            return Err("NotAction and NotResource cannot stand here.".to_owned());
        };
        if !resources.iter().all(|resource| resource == bounds.resource) {
            return Err(format!("The only Resource can be {}.", bounds.resource));
        }
        let (has_accounts, has_services) = match &self.principals {
            Principals::Anyone => (true, false),
            Principals::Listed { aws, services } => {
                let count = aws.len() + services.len();
                if count == 0 || count > bounds.principals_max {
                    let max = bounds.principals_max;
                    return Err(format!("It has {count} principals; 1 to {max} are allowed."));
                }
                (!aws.is_empty(), !services.is_empty())
            }
        };
        if has_accounts && bounds.actions.is_empty() {
            return Err("Only services can be principals here.".to_owned());
        }
        if has_services && bounds.service_actions.is_empty() {
            return Err("Services cannot be principals here.".to_owned());
        }
        for action in actions {
            let is_in =
                |allowed: &[&str]| allowed.iter().any(|one| one.eq_ignore_ascii_case(action));
            let fits = (!has_accounts || is_in(bounds.actions))
                && (!has_services || is_in(bounds.service_actions));
            if !fits {
                let allowed = if has_services { bounds.service_actions } else { bounds.actions };
                return Err(format!(
                    "The action {action} cannot stand here; these can: {}.",
                    allowed.join(", ")
                ));
            }
        }
        Ok(())
    }
}
