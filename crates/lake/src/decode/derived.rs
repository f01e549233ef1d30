//! What a row says beside its record: where to find it, who it was, and which resources.

use std::borrow::Cow;
use std::ops::Range;

use event::{Header, Named, NamedResources, user_name};

use super::Decoder;
use super::columns::{Column, Entry, ListColumn, ObjectColumn};
use crate::record::members::{ACTIVITY_EVENT_TIME, place};
use crate::schema::Content;

impl Decoder {
    /// What is not where its column looks for it.
    pub(super) fn push_found_elsewhere(&mut self, header: &Header<'_>) {
        let row = self.rows;
        let event = &mut self.event.children;
        let time = match self.content {
            Content::Events => place::EVENT_TIME,
            Content::Activity => ACTIVITY_EVENT_TIME,
        };
        if let Column::Time(times) = &mut event[time]
            && !times.has(row)
        {
            times.push(row, header.event_time.as_microsecond());
        }
        if self.content != Content::Events {
            return;
        }
        for (place, text) in
            [(place::EVENT_SOURCE, header.event_source), (place::EVENT_NAME, header.event_name)]
        {
            if let Column::Text(texts) = &mut event[place]
                && texts.len() <= row
                && !text.is_empty()
            {
                texts.push(row, text.to_str().as_bytes());
            }
        }
    }

    /// Username and Resources. Without a header the columns must have all that one would say.
    pub(super) fn push_derived(&mut self, record: &str, header: Option<&Header<'_>>) {
        let row = self.rows;
        let event = &self.event.children;
        // A text may be something else than a string: then the columns do not tell.
        let told = header.filter(|_| self.notes.is_loose);
        match (told, &event[place::USER_IDENTITY]) {
            (None, Column::Object(identity)) => {
                if let Some(name) = user_name_of(identity, row) {
                    self.user_name.push(row, name);
                }
            }
            _ => {
                if let Some(name) = told.and_then(user_name) {
                    self.user_name.push(row, name.as_bytes());
                }
            }
        }
        let (source, name) = match header {
            Some(header) => (header.event_source.to_str(), header.event_name.to_str()),
            None => {
                let text = |place: usize| str_at(&event[place], row).unwrap_or_default().into();
                (text(place::EVENT_SOURCE), text(place::EVENT_NAME))
            }
        };
        let mut named = NamedResources::new(source, name);
        match (told, &event[place::RESOURCES]) {
            (None, Column::List(list)) => add_listed(list, row, &mut named),
            _ => {
                for resource in told.into_iter().flat_map(Header::resources) {
                    if let Some(name) = resource.arn.or(resource.arn_prefix) {
                        named.add_listed(resource.kind.map(|kind| kind.to_str()), name.to_str());
                    }
                }
            }
        }
        for place in [place::REQUEST_PARAMETERS, place::RESPONSE_ELEMENTS] {
            let Column::Map(map) = &event[place] else { continue };
            for Entry { key, value } in map.last.iter().filter(|_| map.has(row)) {
                let text = |range: &Range<usize>| record.get(range.clone()).unwrap_or_default();
                named.add_member(text(key), text(value));
            }
        }
        if !named.list.is_empty() {
            self.resources.begin(row);
            for Named { kind, name } in named.list {
                self.resources.push_texts([kind.as_deref(), Some(&name)]);
            }
            self.resources.end();
        }
    }
}

/// The text of a column at `row`, when it has one.
fn text_at(column: &Column, row: usize) -> Option<&[u8]> {
    match column {
        Column::Text(texts) => texts.get(row),
        _ => None,
    }
}

/// The text of a column at `row`, when it has one that is not empty.
pub(super) fn str_at(column: &Column, row: usize) -> Option<&str> {
    text_at(column, row)
        .and_then(|text| std::str::from_utf8(text).ok())
        .filter(|text| !text.is_empty())
}

/// What [`user_name`] says, from the columns, where they have it already. A test compares the two.
fn user_name_of(identity: &ObjectColumn, row: usize) -> Option<&[u8]> {
    let text =
        |place: usize| text_at(&identity.children[place], row).filter(|text| !text.is_empty());
    let after = |separator: u8, text: &'_ [u8]| -> Option<usize> {
        Some(text.iter().rposition(|byte| *byte == separator)? + 1)
    };
    let named = match text(place::TYPE) {
        Some(b"Root") => Some(b"root".as_slice()),
        Some(b"AWSService") => None,
        Some(b"AssumedRole" | b"FederatedUser") => text(place::PRINCIPAL_ID)
            .and_then(|id| Some(&id[after(b':', id)?..]))
            .or_else(|| text(place::ARN).and_then(|arn| Some(&arn[after(b'/', arn)?..])))
            .or_else(|| text(place::USER_NAME)),
        _ => text(place::USER_NAME),
    };
    named.filter(|name| !name.is_empty())
}

/// Adds the elements of `resources`, as [`Header::resources`] reads them. A test compares the two.
fn add_listed<'a>(list: &'a ListColumn, row: usize, named: &mut NamedResources<'a>) {
    for element in list.elements(row) {
        let text = |place: usize| str_at(&list.element.children[place], element);
        let name = text(place::RESOURCE_ARN).or_else(|| text(place::RESOURCE_ARN_PREFIX));
        if let Some(name) = name {
            named.add_listed(text(place::RESOURCE_TYPE).map(Cow::Borrowed), name.into());
        }
    }
}
