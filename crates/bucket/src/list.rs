//! Listing keys in the order of their bytes, straight from the folders.
//!
//! Each folder is read whole and sorted, then walked; folders outside the prefix or before the marker
//! are skipped unread. Memory is one folder per level of slashes.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::At;
use crate::path::{Kind, folder_of, read_name};
use crate::{Bucket, ObjectFacts, ObjectReader, Result, Store, StoreError};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListingQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys with this text behind the prefix are rolled up into one common prefix; empty: none are.
    pub delimiter: String,
    /// Only keys after this one, and only common prefixes after it.
    pub after: String,
    /// Keys and common prefixes in one answer.
    pub limit: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingItem {
    Object(Box<ObjectFacts>),
    CommonPrefix(String),
}

impl ListingItem {
    /// What the next listing must come after.
    pub fn position(&self) -> &str {
        match self {
            Self::Object(facts) => &facts.key,
            Self::CommonPrefix(prefix) => prefix,
        }
    }
}

/// A page of a listing, in the order of the keys' bytes.
#[derive(Debug, Default)]
pub struct Listing {
    pub items: Vec<ListingItem>,
    /// More follow after the last item.
    pub truncated: bool,
    /// Objects whose files cannot be read; they are not among the items. Someone must be told.
    pub damaged: Vec<StoreError>,
}

impl Store {
    /// Lists a bucket. Objects put or deleted meanwhile may or may not be shown; all others are.
    pub fn list(&self, bucket: &str, query: &ListingQuery) -> Result<Listing> {
        self.find(bucket)?.list(query)
    }
}

impl Bucket {
    fn list(&self, query: &ListingQuery) -> Result<Listing> {
        let mut walk = Walk { query, listing: Listing::default() };
        if query.limit == 0 {
            return Ok(walk.listing);
        }
        // Whatever matches lies in the folder that the prefix names up to its last slash.
        let folders = query.prefix.rfind('/').map_or("", |slash| &query.prefix[..=slash]);
        let start = folder_of(&self.objects(), folders);
        let _ = walk.folder(&start, folders.as_bytes())?;
        Ok(walk.listing)
    }
}

struct Walk<'a> {
    query: &'a ListingQuery,
    listing: Listing,
}

impl Walk<'_> {
    /// `above` is what all keys in this folder begin with. Breaks when the page is full.
    fn folder(&mut self, folder: &Path, above: &[u8]) -> Result<ControlFlow<()>> {
        for entry in self.sorted(folder, above)? {
            let position = [above, &entry.piece].concat();
            let flow = match (self.common_prefix(&position), entry.kind) {
                (Some(prefix), _) => self.add_common_prefix(prefix, &entry)?,
                (None, Kind::File) => self.add_object(&position, &entry.path())?,
                (None, _) => self.folder(&entry.path(), &position)?,
            };
            if flow.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    /// What a folder holds for this query, in the order of the keys.
    fn sorted(&self, folder: &Path, above: &[u8]) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        self.gather(folder, &mut above.to_vec(), above.len(), &mut found)?;
        found.sort_unstable_by(|a, b| a.piece.cmp(&b.piece));
        Ok(found)
    }

    /// The insides of segments cut in two (`path`) are found here as well, because they sort among
    /// their neighbours. `position` is what all keys in `folder` begin with; the first `above` bytes of
    /// it are not part of the pieces.
    fn gather(
        &self,
        folder: &Path,
        position: &mut Vec<u8>,
        above: usize,
        found: &mut Vec<Entry>,
    ) -> Result<()> {
        let inside = match fs::read_dir(folder) {
            // An empty folder that a delete has taken away meanwhile, or a prefix without keys.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.at("list", folder)?,
        };
        let folder: Rc<Path> = folder.into();
        let begun = position.len();
        for entry in inside {
            let name = entry.at("list", &folder)?.file_name();
            let Some((kind, piece)) = name.to_str().and_then(read_name) else { continue };
            position.truncate(begun);
            position.extend_from_slice(&piece);
            if kind == Kind::Continuation {
                self.gather(&folder.join(&name), position, above, found)?;
                continue;
            }
            if kind == Kind::Segment {
                position.push(b'/');
            }
            // A folder may hold many thousands; what the page cannot show is not kept.
            if self.may_hold(position, kind) {
                let piece = position[above..].to_vec();
                found.push(Entry { piece, kind, folder: folder.clone(), name });
            }
        }
        position.truncate(begun);
        Ok(())
    }

    /// Whether keys that are (a file) or begin with (a folder) `position` belong to the answer.
    fn may_hold(&self, position: &[u8], kind: Kind) -> bool {
        let (prefix, after) = (self.query.prefix.as_bytes(), self.query.after.as_bytes());
        match kind {
            Kind::File => position.starts_with(prefix) && position > after,
            _ => {
                (position.starts_with(prefix) || prefix.starts_with(position))
                    && (position > after || after.starts_with(position))
            }
        }
    }

    /// The common prefix that swallows everything at `position`, if the delimiter says so.
    fn common_prefix(&self, position: &[u8]) -> Option<String> {
        let delimiter = self.query.delimiter.as_bytes();
        if delimiter.is_empty() {
            return None;
        }
        let start = self.query.prefix.len();
        let rest = position.get(start..)?;
        let at = rest.windows(delimiter.len()).position(|w| w == delimiter)?;
        String::from_utf8(position[..start + at + delimiter.len()].to_vec()).ok()
    }

    fn add_common_prefix(&mut self, prefix: String, entry: &Entry) -> Result<ControlFlow<()>> {
        let known =
            matches!(self.listing.items.last(), Some(ListingItem::CommonPrefix(p)) if *p == prefix);
        if known || prefix <= self.query.after {
            return Ok(Continue(()));
        }
        // Folders may be empty for a moment (a delete is under way) or for good (a crash).
        if entry.kind != Kind::File && !holds_a_file(&entry.path())? {
            return Ok(Continue(()));
        }
        Ok(self.add(ListingItem::CommonPrefix(prefix)))
    }

    fn add_object(&mut self, key: &[u8], path: &Path) -> Result<ControlFlow<()>> {
        match ObjectReader::open(path) {
            Ok(Some(reader)) if reader.facts.key.as_bytes() == key => {
                Ok(self.add(ListingItem::Object(Box::new(reader.facts))))
            }
            Ok(Some(reader)) => {
                let what = format!("it holds the key {:?}", reader.facts.key);
                self.listing.damaged.push(StoreError::Damaged { path: path.to_owned(), what });
                Ok(Continue(()))
            }
            Ok(None) => Ok(Continue(())),
            Err(damage @ StoreError::Damaged { .. }) => {
                self.listing.damaged.push(damage);
                Ok(Continue(()))
            }
            Err(other) => Err(other),
        }
    }

    fn add(&mut self, item: ListingItem) -> ControlFlow<()> {
        if self.listing.items.len() == self.query.limit {
            self.listing.truncated = true;
            return Break(());
        }
        self.listing.items.push(item);
        Continue(())
    }
}

struct Entry {
    /// The piece of the key this entry stands for; a folder's ends with its slash.
    piece: Vec<u8>,
    kind: Kind,
    folder: Rc<Path>,
    name: OsString,
}

impl Entry {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

/// Whether there is any object in or below the folder. Looks no further than the first.
pub(crate) fn holds_a_file(folder: &Path) -> Result<bool> {
    let inside = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.at("list", folder)?,
    };
    let mut folders = Vec::new();
    for entry in inside {
        let entry = entry.at("list", folder)?;
        match entry.file_name().to_str().and_then(read_name) {
            Some((Kind::File, _)) => return Ok(true),
            Some(_) => folders.push(entry.path()),
            None => {}
        }
    }
    for inner in folders {
        if holds_a_file(&inner)? {
            return Ok(true);
        }
    }
    Ok(false)
}
