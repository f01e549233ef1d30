//! Access: who may come in.
//!
//! ```text
//!   request parts ──▶ presented  what the request claims: key, scope, time, signed headers, signature
//!                         │
//!   KeyRing ──────────▶ verify   limits → form → scope → clock → key → session token → signature → body
//!                         │
//!                         ▼
//!                     Verified { Caller, Scope, BodyDuty }        or  AuthError { code, status, message }
//! ```
//!
//! [`Verifier::authenticate`] (SigV4, header or presigned) and [`token::authenticate`] (ingest
//! tokens) are the only makers of a [`Caller`]. The tenant of everything that follows is
//! `caller.account()`: the account of the verified key, never something the payload says.
//!
//! What the signature covers is taken from the request exactly as it came: the raw request target,
//! never a decoded path. There is one spelling of each request that verifies; see
//! `docs/decisions/0002-own-sigv4-verifier.md` for the rules and for what AWS does differently.
//!
//! Never here: reading a clock (the caller passes `now`), reading a body, logging a secret or a
//! signature, operations, HTTP responses. The bucket door verifies chunk signatures itself, with the
//! [`ChunkChain`] that `authenticate` hands out.

mod canonical;
mod chunks;
mod keys;
pub mod policy;
mod presented;
mod refusal;
mod replay;
mod sign;
pub mod token;
mod verify;

#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;

pub use chunks::ChunkChain;
pub use keys::{Key, KeyRing, Secret, SessionToken, key_of};
pub use presented::{Presented, Scope};
pub use refusal::{AuthError, Dialect, Refusal};
pub use replay::{Judgement, ReplayGuard};
pub use sign::{Signing, sign};
pub use verify::{BodyDuty, Expect, Payload, RegionRule, Verified, Verifier};

use std::sync::Arc;

use event::AccountId;
use jiff::Timestamp;

use policy::Policy;

/// An authenticated principal. There is no way to make one but to authenticate a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    account: AccountId,
    access_key_id: Option<String>,
    identity: Identity,
    session_expires: Option<Timestamp>,
    session_policy: Option<Arc<Policy>>,
}

/// Who a key or token belongs to, within its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The account itself. Its principal id is the account id.
    Root,
    /// An IAM user; `principal_id` is its `AIDA…` id and `path` begins and ends with a slash.
    User { name: String, path: String, principal_id: String },
    /// A session of a role. `principal_id` is `AROA…:session`, `path` is the role's.
    AssumedRole {
        role: String,
        path: String,
        principal_id: String,
        session: String,
        issued: Timestamp,
        source_identity: Option<String>,
    },
    /// A service of Cairn acting for itself, by its DNS name, as in `cloudtrail.amazonaws.com`.
    Service { principal: String },
    /// The holder of an ingest token, by the token's name.
    IngestToken { name: String },
}

impl Caller {
    /// The account that the verified key belongs to: the tenant.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The access key that signed; `None` for an ingest token.
    pub fn access_key_id(&self) -> Option<&str> {
        self.access_key_id.as_deref()
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the temporary credentials end; `None` for a long-term key.
    pub fn session_expires(&self) -> Option<Timestamp> {
        self.session_expires
    }

    /// What a session may do at most, besides what its role may.
    pub fn session_policy(&self) -> Option<&Policy> {
        self.session_policy.as_deref()
    }

    /// The ARN of the role whose session this is: what `aws:PrincipalArn` says, and principals name.
    pub fn role_arn(&self) -> Option<String> {
        match &self.identity {
            Identity::AssumedRole { role, path, .. } => {
                Some(format!("arn:aws:iam::{}:role{path}{role}", self.account))
            }
            _ => None,
        }
    }

    /// `arn:aws:iam::<account>:root`, `arn:aws:iam::<account>:user/<path><name>`,
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`. A service and an ingest token have none.
    pub fn arn(&self) -> Option<String> {
        match &self.identity {
            Identity::Root => Some(format!("arn:aws:iam::{}:root", self.account)),
            Identity::User { name, path, .. } => {
                Some(format!("arn:aws:iam::{}:user{path}{name}", self.account))
            }
            Identity::AssumedRole { role, session, .. } => {
                Some(format!("arn:aws:sts::{}:assumed-role/{role}/{session}", self.account))
            }
            Identity::Service { .. } | Identity::IngestToken { .. } => None,
        }
    }

    /// What `userIdentity.principalId` says.
    pub fn principal_id(&self) -> &str {
        match &self.identity {
            Identity::Root => self.account.as_str(),
            Identity::User { principal_id, .. } | Identity::AssumedRole { principal_id, .. } => {
                principal_id
            }
            Identity::Service { principal } => principal,
            Identity::IngestToken { name } => name,
        }
    }
}
