//! What an accepted event looks like inside the journal, which itself only sees bytes.
//!
//! ```text
//!   version(1)=1  origin(1)  accepted_ms(8, LE)  tenant(12 digits)  record bytes, exactly as accepted
//!                  └─ of a channel: before the record, count(1) and count × the UUID(16) of a store
//! ```
//! The tenant is the account of the verified caller, or of the channel that was put into; never what
//! the record says. An event that came by a channel goes into the event data stores that were the
//! channel's destinations when it was accepted, and they stand beside it: whenever it is read again, it
//! goes into the same ones.

use event::AccountId;
use uuid::Uuid;

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
    /// Put into a channel.
    Channel,
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
            Origin::Channel => 3,
        };
        bytes[2..10].copy_from_slice(&self.accepted_ms.to_le_bytes());
        bytes[10..].copy_from_slice(self.tenant.as_str().as_bytes());
        bytes
    }

    /// Splits a journal entry into its head and the record. See [`destinations`] for what may stand
    /// between them.
    pub fn decode(payload: &[u8]) -> Result<(EntryHead, &[u8]), UnknownLayout> {
        let unknown = || UnknownLayout { version: payload.first().copied(), bytes: payload.len() };
        if payload.len() < HEAD_BYTES || payload[0] != VERSION {
            return Err(unknown());
        }
        let origin = match payload[1] {
            0 => Origin::Intake,
            1 => Origin::Own,
            2 => Origin::Delivery,
            3 => Origin::Channel,
            _ => return Err(unknown()),
        };
        let accepted_ms = i64::from_le_bytes(payload[2..10].try_into().map_err(|_| unknown())?);
        let tenant = std::str::from_utf8(&payload[10..HEAD_BYTES]).map_err(|_| unknown())?;
        let tenant = AccountId::parse(tenant).map_err(|_| unknown())?;
        let record = HEAD_BYTES + destination_bytes(origin, payload);
        let record = payload.get(record..).ok_or_else(unknown)?;
        Ok((EntryHead { origin, accepted_ms, tenant }, record))
    }
}

const UUID_BYTES: usize = 16;
/// AWS: a channel has 200 destinations at most, and their number is one byte here.
pub const DESTINATIONS_MAX: usize = u8::MAX as usize;

/// How many bytes stand between the head and the record.
fn destination_bytes(origin: Origin, payload: &[u8]) -> usize {
    match (origin, payload.get(HEAD_BYTES)) {
        (Origin::Channel, Some(count)) => 1 + usize::from(*count) * UUID_BYTES,
        (Origin::Channel, None) => 1,
        (Origin::Intake | Origin::Own | Origin::Delivery, _) => 0,
    }
}

/// What stands between the head and the record of an event that came by a channel: the IDs of the
/// event data stores that it goes into, [`DESTINATIONS_MAX`] at most.
pub fn encode_destinations(stores: &[Uuid]) -> Vec<u8> {
    let count = u8::try_from(stores.len()).expect("a channel has 200 destinations at most");
    let mut bytes = vec![count];
    for store in stores {
        bytes.extend_from_slice(store.as_bytes());
    }
    bytes
}

/// The event data stores that an entry goes into, when it came by a channel. Of an entry that
/// [`EntryHead::decode`] has read.
pub fn destinations(payload: &[u8]) -> impl Iterator<Item = Uuid> {
    let count = payload.get(HEAD_BYTES).map_or(0, |count| usize::from(*count));
    let ids = payload.get(HEAD_BYTES + 1..).unwrap_or_default();
    ids.chunks_exact(UUID_BYTES).take(count).filter_map(|id| Uuid::from_slice(id).ok())
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
    fn an_event_of_a_channel_knows_its_destinations() {
        let tenant = AccountId::parse("111122223333").unwrap();
        let head = EntryHead { origin: Origin::Channel, accepted_ms: 1, tenant };
        for count in [0, 1, 200] {
            let stores: Vec<Uuid> = (0..count).map(Uuid::from_u128).collect();
            let mut payload = head.encode().to_vec();
            payload.extend(encode_destinations(&stores));
            payload.extend_from_slice(b"{\"a\":1}");
            assert_eq!(EntryHead::decode(&payload), Ok((head.clone(), b"{\"a\":1}".as_slice())));
            assert_eq!(destinations(&payload).collect::<Vec<_>>(), stores);
            // One that is cut off is not misread.
            let cut = &payload[..HEAD_BYTES + usize::try_from(count).unwrap() * UUID_BYTES];
            assert!(EntryHead::decode(cut).is_err());
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
