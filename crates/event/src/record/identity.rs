//! Who made a request: one variant for each kind of `userIdentity`.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::AccountId;

/// The caller, with exactly the facts that its kind has (user guide, "userIdentity element").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    Root {
        account: AccountId,
        access_key_id: Option<String>,
        /// The account's alias.
        user_name: Option<String>,
        session: Option<Session>,
    },
    IamUser {
        account: AccountId,
        principal_id: String,
        arn: String,
        user_name: String,
        access_key_id: Option<String>,
        session: Option<Session>,
    },
    /// `arn` of the role; the session's own ARN and principal are made from it.
    AssumedRole {
        account: AccountId,
        role_id: String,
        role_arn: String,
        role_name: String,
        session_name: String,
        access_key_id: Option<String>,
        session: Session,
    },
    Role {
        account: AccountId,
        principal_id: String,
        arn: String,
        user_name: Option<String>,
    },
    FederatedUser {
        account: AccountId,
        name: String,
        access_key_id: Option<String>,
        issuer: SessionIssuer,
        session: Session,
    },
    Directory {
        account: AccountId,
        user_name: Option<String>,
    },
    /// Somebody of another account.
    AwsAccount {
        account: AccountId,
        principal_id: Option<String>,
    },
    /// A service by its DNS name.
    AwsService {
        invoked_by: String,
    },
    IdentityCenterUser {
        account: AccountId,
        user_id: String,
        identity_store_arn: String,
        credential_id: Option<String>,
    },
    SamlUser {
        name_qualifier: String,
        subject: String,
    },
    WebIdentityUser {
        provider: String,
        application_id: String,
        user_id: String,
    },
    Unknown {
        account: Option<AccountId>,
        user_name: Option<String>,
    },
    /// No type at all: how some service events name the account they act for.
    Untyped {
        account: AccountId,
        invoked_by: String,
    },
}

/// Facts about temporary credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub created: Timestamp,
    pub mfa_authenticated: bool,
    pub source_identity: Option<String>,
}

/// Who issued temporary credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer {
    /// `Root`, `IAMUser` or `Role`.
    pub r#type: String,
    pub principal_id: String,
    pub arn: String,
    #[serde(rename = "accountId")]
    pub account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

/// All members in the order of AWS's own records.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_context: Option<SessionContext<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<OnBehalfOf<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_provider: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionContext<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_issuer: Option<SessionIssuer>,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    creation_date: String,
    mfa_authenticated: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OnBehalfOf<'a> {
    user_id: &'a str,
    identity_store_arn: &'a str,
}

fn context(session: &Session, session_issuer: Option<SessionIssuer>) -> SessionContext<'_> {
    SessionContext {
        session_issuer,
        attributes: Attributes {
            creation_date: session.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            mfa_authenticated: session.mfa_authenticated.to_string(),
        },
        source_identity: session.source_identity.as_deref(),
    }
}

impl Identity {
    fn fields(&self) -> Fields<'_> {
        match self {
            Identity::Root { account, access_key_id, user_name, session } => Fields {
                r#type: Some("Root"),
                principal_id: Some(account.to_string()),
                arn: Some(format!("arn:aws:iam::{account}:root")),
                account_id: Some(account),
                access_key_id: access_key_id.as_deref(),
                user_name: user_name.as_deref(),
                session_context: session.as_ref().map(|session| context(session, None)),
                ..Fields::default()
            },
            Identity::IamUser { account, principal_id, arn, user_name, access_key_id, session } => {
                Fields {
                    r#type: Some("IAMUser"),
                    principal_id: Some(principal_id.clone()),
                    arn: Some(arn.clone()),
                    account_id: Some(account),
                    access_key_id: access_key_id.as_deref(),
                    user_name: Some(user_name),
                    session_context: session.as_ref().map(|session| context(session, None)),
                    ..Fields::default()
                }
            }
            Identity::AssumedRole {
                account,
                role_id,
                role_arn,
                role_name,
                session_name,
                access_key_id,
                session,
            } => {
                let issuer = SessionIssuer {
                    r#type: "Role".to_owned(),
                    principal_id: role_id.clone(),
                    arn: role_arn.clone(),
                    account: *account,
                    user_name: Some(role_name.clone()),
                };
                Fields {
                    r#type: Some("AssumedRole"),
                    principal_id: Some(format!("{role_id}:{session_name}")),
                    arn: Some(format!(
                        "arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}"
                    )),
                    account_id: Some(account),
                    access_key_id: access_key_id.as_deref(),
                    session_context: Some(context(session, Some(issuer))),
                    ..Fields::default()
                }
            }
            Identity::Role { account, principal_id, arn, user_name } => Fields {
                r#type: Some("Role"),
                principal_id: Some(principal_id.clone()),
                arn: Some(arn.clone()),
                account_id: Some(account),
                user_name: user_name.as_deref(),
                ..Fields::default()
            },
            Identity::FederatedUser { account, name, access_key_id, issuer, session } => Fields {
                r#type: Some("FederatedUser"),
                principal_id: Some(format!("{account}:{name}")),
                arn: Some(format!("arn:aws:sts::{account}:federated-user/{name}")),
                account_id: Some(account),
                access_key_id: access_key_id.as_deref(),
                session_context: Some(context(session, Some(issuer.clone()))),
                ..Fields::default()
            },
            Identity::Directory { account, user_name } => Fields {
                r#type: Some("Directory"),
                account_id: Some(account),
                user_name: user_name.as_deref(),
                ..Fields::default()
            },
            Identity::AwsAccount { account, principal_id } => Fields {
                r#type: Some("AWSAccount"),
                principal_id: principal_id.clone(),
                account_id: Some(account),
                ..Fields::default()
            },
            Identity::AwsService { invoked_by } => Fields {
                r#type: Some("AWSService"),
                invoked_by: Some(invoked_by),
                ..Fields::default()
            },
            Identity::IdentityCenterUser {
                account,
                user_id,
                identity_store_arn,
                credential_id,
            } => Fields {
                r#type: Some("IdentityCenterUser"),
                account_id: Some(account),
                on_behalf_of: Some(OnBehalfOf { user_id, identity_store_arn }),
                credential_id: credential_id.as_deref(),
                ..Fields::default()
            },
            Identity::SamlUser { name_qualifier, subject } => Fields {
                r#type: Some("SAMLUser"),
                principal_id: Some(format!("{name_qualifier}:{subject}")),
                user_name: Some(subject),
                identity_provider: Some(name_qualifier),
                ..Fields::default()
            },
            Identity::WebIdentityUser { provider, application_id, user_id } => Fields {
                r#type: Some("WebIdentityUser"),
                principal_id: Some(format!("{provider}:{application_id}:{user_id}")),
                user_name: Some(user_id),
                identity_provider: Some(provider),
                ..Fields::default()
            },
            Identity::Unknown { account, user_name } => Fields {
                r#type: Some("Unknown"),
                account_id: account.as_ref(),
                user_name: user_name.as_deref(),
                ..Fields::default()
            },
            Identity::Untyped { account, invoked_by } => Fields {
                account_id: Some(account),
                invoked_by: Some(invoked_by),
                ..Fields::default()
            },
        }
    }
}
