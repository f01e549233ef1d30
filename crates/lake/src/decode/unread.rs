//! Records that nobody has checked: read once, when that is enough.
//!
//! ```text
//!   text ──walk──▶ sure?  yes ──▶ the columns have what the header would say ──▶ a row
//!                         no  ──▶ the columns as they were before, and the check has to decide
//! ```
//!
//! What is taken here is what [`event::check`] takes, with the same row as the result; what it would
//! refuse is never taken. A test compares the two ways.

use event::{AccountId, Category, Limits, Unread, event_id, may_be_region};
use jiff::Timestamp;

use super::columns::Column;
use super::derived::str_at;
use super::strict::{KEYS_MAX, RECORD_DEPTH_MAX};
use super::{Decoder, Pushed, Walk};
use crate::record::members::{EVENT, place};
use crate::schema::Content;

/// Whose row a record becomes.
#[derive(Debug, Clone, Copy)]
pub enum Account<'a> {
    /// 12 digits, whatever the record says.
    Given(&'a str),
    /// The account that the record names as its recipient, or this one when it names none.
    RecipientOr(AccountId),
}

/// What is to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub limits: &'a Limits,
    pub account: Account<'a>,
    /// Older events are read, but do not become rows.
    pub from: Option<Timestamp>,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// The length of the record.
    pub bytes: usize,
    /// `None` when the event is too old to be wanted.
    pub pushed: Option<Pushed>,
}

impl Decoder {
    /// Adds a row for a record that was not checked. `None` when this is not certain to be right: then the batch is as it was before, and the record
    /// is for [`event::check`] and [`Decoder::push_checked`].
    pub fn push_unread(&mut self, unread: Unread<'_>, wanted: &Wanted<'_>) -> Option<Read> {
        let limits = wanted.limits;
        // No record can be larger; and what lies behind it is not for the walk.
        let text = &unread.text[..unread.text.floor_char_boundary(limits.record_bytes_max)];
        let may_be_taken = text.starts_with('{')
            && !self.doubts
            && self.content == Content::Events
            && self.bytes + text.len() <= self.bytes_max
            && limits.depth_max >= RECORD_DEPTH_MAX
            && limits.keys_per_object_max >= KEYS_MAX + EVENT.members.len();
        if !may_be_taken {
            return None;
        }
        let row = self.rows;
        let bytes = Walk::record(text.as_bytes(), false, &mut self.event, row, &mut self.notes);
        let is_sure = !self.notes.is_unsure && (!unread.is_whole || bytes == unread.text.len());
        let read = if is_sure { self.push_read(&text[..bytes], wanted) } else { None };
        if read.is_none_or(|read| read.pushed.is_none()) {
            self.event.truncate(row);
        }
        read
    }

    /// Completes the row of a record that the walk is sure of, when it has what [`event::Header`] asks
    /// for, in the places and forms that nearly all records have it in.
    fn push_read(&mut self, record: &str, wanted: &Wanted<'_>) -> Option<Read> {
        let row = self.rows;
        let event = &self.event.children;
        let text = |place: usize| str_at(&event[place], row);
        let event_time_us = match &event[place::EVENT_TIME] {
            Column::Time(times) => times.get(row)?,
            _ => return None,
        };
        text(place::EVENT_SOURCE)?;
        text(place::EVENT_NAME)?;
        let is_usual = may_be_region(text(place::AWS_REGION)?)
            && text(place::EVENT_CATEGORY).is_none_or(|name| Category::from_name(name).is_some())
            && matches!(
                text(place::SESSION_CREDENTIAL_FROM_CONSOLE),
                None | Some("true" | "True" | "false" | "False")
            );
        let time = Timestamp::from_microsecond(event_time_us).ok()?;
        let is_early = |earliest: Option<Timestamp>| earliest.is_some_and(|bound| time < bound);
        let is_late = wanted.limits.latest.is_some_and(|bound| time > bound);
        if !is_usual || is_early(wanted.limits.earliest) || is_late {
            return None;
        }
        // Without these two the header asks others.
        let id = text(place::EVENT_ID)?;
        let recipient = text(place::RECIPIENT_ACCOUNT_ID)?;
        if is_early(wanted.from) {
            return Some(Read { bytes: record.len(), pushed: None });
        }
        let pushed = Pushed { event_time_us, event_id: event_id(id).as_u128() };
        match wanted.account {
            Account::Given(account) => self.push_beside(record, account, None),
            Account::RecipientOr(account) => {
                let account = AccountId::parse(recipient).unwrap_or(account);
                self.push_beside(record, account.as_str(), None);
            }
        }
        Some(Read { bytes: record.len(), pushed: Some(pushed) })
    }
}
