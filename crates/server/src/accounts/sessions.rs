//! Session tokens: everything about temporary credentials, sealed, in the hands of their holder.
//!
//! Nothing of a session is kept: its token says who it is, and its secret follows from its key id. So
//! sessions survive restarts, and a role that is removed takes its sessions with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seal::{NodeSecret, Purpose};
use crate::chance::{self, Chance};

/// What a session token holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub account: String,
    pub role: String,
    /// `AROA…`: a role made anew under the same name is another one.
    pub role_id: String,
    pub name: String,
    /// Seconds since 1970.
    pub issued: i64,
    pub expires: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_identity: Option<String>,
    /// AWS: a session may do what its role may, and this policy allows too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
}

/// Temporary credentials as AssumeRole hands them out.
#[derive(Debug, Clone)]
pub struct Issued {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires: Timestamp,
}

pub fn issue(secret: &NodeSecret, session: &Session, chance: &dyn Chance) -> Issued {
    let access_key_id = format!("ASIA{}", chance::base32(chance, 16));
    let text = serde_json::to_vec(session).expect("texts and numbers are always JSON");
    let sealed = secret.seal(Purpose::Session, &access_key_id, &text, chance);
    Issued {
        secret_access_key: secret.secret_of_session(&access_key_id),
        session_token: STANDARD.encode(sealed),
        expires: Timestamp::from_second(session.expires).unwrap_or(Timestamp::MAX),
        access_key_id,
    }
}

/// The session of a token that this node has issued for this key id.
pub fn read(secret: &NodeSecret, access_key_id: &str, token: &str) -> Option<Session> {
    let sealed = STANDARD.decode(token).ok()?;
    let text = secret.unseal(Purpose::Session, access_key_id, &sealed)?;
    serde_json::from_slice(&text).ok()
}
