//! What an accepted event looks like inside the journal, which itself only sees bytes.
//!
//! ```text
//!   version(1)=1  origin(1)  accepted_ms(8, LE)  tenant(12 digits)  record bytes, exactly as accepted
//! ```
//! The tenant is the account of the verified caller, never what the record says.

use event::AccountId;

const VERSION: u8 = 1;
pub const HEAD_BYTES: usize = 22;

/// By which way an event came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Posted by a client.
    Intake,
    /// A call to one of our own doors.
    Own,
    /// A call that Cairn's delivery made to our own bucket door.
    Delivery,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryHead {
    pub origin: Origin,
    pub accepted_ms: i64,
    pub tenant: AccountId,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("journal entry has an unknown layout (version {version:?}, {bytes} bytes)")]
pub struct UnknownLayout {
    pub version: Option<u8>,
    pub bytes: usize,
}

impl EntryHead {
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = VERSION;
        bytes[1] = match self.origin {
            Origin::Intake => 0,
            Origin::Own => 1,
            Origin::Delivery => 2,
        };
        bytes[2..10].copy_from_slice(&self.accepted_ms.to_le_bytes());
        bytes[10..].copy_from_slice(self.tenant.as_str().as_bytes());
        bytes
    }

    /// Splits a journal entry into its head and the record.
    pub fn decode(payload: &[u8]) -> Result<(EntryHead, &[u8]), UnknownLayout> {
        let unknown = || UnknownLayout { version: payload.first().copied(), bytes: payload.len() };
        if payload.len() < HEAD_BYTES || payload[0] != VERSION {
            return Err(unknown());
        }
        let origin = match payload[1] {
            0 => Origin::Intake,
            1 => Origin::Own,
            2 => Origin::Delivery,
            _ => return Err(unknown()),
        };
        let accepted_ms = i64::from_le_bytes(payload[2..10].try_into().map_err(|_| unknown())?);
        let tenant = std::str::from_utf8(&payload[10..HEAD_BYTES]).map_err(|_| unknown())?;
        let tenant = AccountId::parse(tenant).map_err(|_| unknown())?;
        Ok((EntryHead { origin, accepted_ms, tenant }, &payload[HEAD_BYTES..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_went_in() {
        let tenant = AccountId::parse("111122223333").unwrap();
        for origin in [Origin::Intake, Origin::Own, Origin::Delivery] {
            let head = EntryHead { origin, accepted_ms: 1_789_319_538_551, tenant };
            let mut payload = head.encode().to_vec();
            payload.extend_from_slice(b"{\"a\":1}");
            assert_eq!(EntryHead::decode(&payload), Ok((head, b"{\"a\":1}".as_slice())));
        }
    }

    #[test]
    fn an_entry_of_a_later_version_is_not_misread() {
        let mut payload = vec![b'0'; 30];
        payload[0] = 2;
        assert!(EntryHead::decode(&payload).is_err());
        assert!(EntryHead::decode(&[1, 0]).is_err());
    }
}
