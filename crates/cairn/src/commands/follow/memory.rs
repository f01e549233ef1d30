//! What has been taken of a source into an event data store, in a folder of its own.
//!
//! ```text
//!   LOCK          held by the process that follows
//!   taken.jsonl   {"follows":"/var/log/trail","into":"arn:…","format":1}
//!                 {"file":"<name, hashed>","version":"<of the file>"}           taken as a whole
//!                 {"name":"/var/log/trail/a.log","version":"…","end":…,"check":"…"}   by lines, so far
//!                 {"import":"<ID>"}                                             open at the server, or ""
//! ```
//! Lines are appended and synced after the server's commit, so a file that stands here is in. One that
//! is in may be missing here, after a crash: it is taken again, and the server drops what it has.
//! For one name the last line holds. A torn last line was never relied upon, and is cut off.
//!
//! Invariant: nothing is remembered that was not committed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use durable::{Disk, DiskFile, FolderLock, LockError, write_atomic};
use serde::{Deserialize, Serialize};

use super::lines::Mark;

const FORMAT: u32 = 1;
/// So many lines may be outdated before the file is written anew.
const OUTDATED_MAX: usize = 10_000;

/// A file's name, as it is remembered.
pub type NameHash = u128;

#[derive(Debug)]
pub struct Memory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Bytes of the file.
    end: u64,
    /// Lines of the file.
    entries: usize,
    header: Header,
    /// Version of each file that was taken as a whole.
    whole: HashMap<NameHash, u64>,
    /// And of each that is taken by lines.
    lines: HashMap<NameHash, Lines>,
    import: Option<String>,
    _lock: FolderLock,
}

#[derive(Debug)]
struct Lines {
    name: String,
    version: u64,
    mark: Mark,
}

/// What has been taken of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Whole { version: u64 },
    Lines { version: u64, mark: Mark },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    follows: String,
    into: String,
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Whole {
        file: String,
        version: String,
    },
    Lines {
        name: String,
        version: String,
        #[serde(flatten)]
        mark: Mark,
    },
    /// Empty: none.
    Import {
        import: String,
    },
    Header(Header),
}

impl Memory {
    /// Opens what is remembered of `source` into `store`, below the folder `state`. Fails when
    /// another process has it open.
    pub fn open(disk: Arc<dyn Disk>, state: &Path, source: &str, store: &str) -> Result<Memory> {
        let name =
            hex::encode(&digest(&SHA256, format!("{source}\n{store}").as_bytes()).as_ref()[..8]);
        let folder = state.join(name);
        disk.create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let lock = match FolderLock::take(&folder) {
            Err(LockError::InUse { .. }) => {
                bail!("another `cairn follow` follows {source} into this event data store already")
            }
            taken => taken?,
        };
        let path = folder.join("taken.jsonl");
        let header = Header { follows: source.to_owned(), into: store.to_owned(), format: FORMAT };
        let failed = || format!("open {}", path.display());
        if !path.exists() {
            write_atomic(disk.as_ref(), &path, &line_of(&Line::Header(header.clone())), 0o600)
                .with_context(failed)?;
        }
        let bytes = std::fs::read(&path).with_context(failed)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut file = disk.open_existing(&path).with_context(failed)?;
        if end < bytes.len() {
            file.set_len(end as u64).with_context(failed)?;
        }
        let mut memory = Memory {
            disk,
            path,
            file,
            end: end as u64,
            entries: 0,
            header,
            whole: HashMap::new(),
            lines: HashMap::new(),
            import: None,
            _lock: lock,
        };
        for line in bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            memory.read(line)?;
        }
        Ok(memory)
    }

    fn read(&mut self, line: &[u8]) -> Result<()> {
        self.entries += 1;
        match serde_json::from_slice(line) {
            Ok(Line::Header(header)) if header.format != FORMAT => bail!(
                "{} is of format {}, and this program knows format {FORMAT}",
                self.path.display(),
                header.format
            ),
            Ok(Line::Header(_)) => {}
            Ok(Line::Whole { file, version }) => {
                let numbers = (u128::from_str_radix(&file, 16), u64::from_str_radix(&version, 16));
                if let (Ok(name), Ok(version)) = numbers {
                    self.lines.remove(&name);
                    self.whole.insert(name, version);
                }
            }
            Ok(Line::Lines { name, version, mark }) => {
                if let Ok(version) = u64::from_str_radix(&version, 16) {
                    let hash = name_hash(&name);
                    self.whole.remove(&hash);
                    self.lines.insert(hash, Lines { name, version, mark });
                }
            }
            Ok(Line::Import { import }) => self.import = Some(import).filter(|id| !id.is_empty()),
            // A damaged line forgets one file, which is then taken again.
            Err(_) => {}
        }
        Ok(())
    }

    /// Whether the file was taken as it is now.
    pub fn has(&self, name: NameHash, version: u64) -> bool {
        let by_lines = self.lines.get(&name).map(|lines| lines.version);
        by_lines.or_else(|| self.whole.get(&name).copied()) == Some(version)
    }

    /// How far it was taken, by lines.
    pub fn mark(&self, name: NameHash) -> Option<&Mark> {
        self.lines.get(&name).map(|lines| &lines.mark)
    }

    /// The import that was open last, and not closed.
    pub fn import(&self) -> Option<&str> {
        self.import.as_deref()
    }

    /// Remembers files that are in. Durable when it returns.
    pub fn add(&mut self, taken: &[(String, Taken)]) -> io::Result<()> {
        let mut text = Vec::new();
        for (name, taken) in taken {
            text.extend(line_of(&self.enter(name, taken)));
        }
        self.append(&text, taken.len())
    }

    /// Which import is open now.
    pub fn set_import(&mut self, import: Option<&str>) -> io::Result<()> {
        if self.import.as_deref() == import {
            return Ok(());
        }
        self.import = import.map(str::to_owned);
        self.append(&line_of(&self.import_line()), 1)
    }

    /// Whether most of it is about files that are not there any more, if `files` are.
    pub fn is_outdated(&self, files: usize) -> bool {
        self.entries > files + OUTDATED_MAX.max(files)
    }

    /// Forgets all files but those that were seen.
    pub fn keep_only(&mut self, seen: &HashSet<NameHash>) -> io::Result<()> {
        self.whole.retain(|name, _| seen.contains(name));
        self.lines.retain(|name, _| seen.contains(name));
        let mut text = line_of(&Line::Header(self.header.clone()));
        for (name, version) in &self.whole {
            text.extend(line_of(&whole_line(*name, *version)));
        }
        for lines in self.lines.values() {
            text.extend(line_of(&lines_line(&lines.name, lines.version, &lines.mark)));
        }
        text.extend(line_of(&self.import_line()));
        write_atomic(self.disk.as_ref(), &self.path, &text, 0o600)?;
        self.file = self.disk.open_existing(&self.path)?;
        self.end = text.len() as u64;
        self.entries = self.whole.len() + self.lines.len();
        Ok(())
    }

    fn enter(&mut self, name: &str, taken: &Taken) -> Line {
        let hash = name_hash(name);
        match taken {
            Taken::Whole { version } => {
                self.lines.remove(&hash);
                self.whole.insert(hash, *version);
                whole_line(hash, *version)
            }
            Taken::Lines { version, mark } => {
                let lines = Lines { name: name.to_owned(), version: *version, mark: mark.clone() };
                self.whole.remove(&hash);
                self.lines.insert(hash, lines);
                lines_line(name, *version, mark)
            }
        }
    }

    fn import_line(&self) -> Line {
        Line::Import { import: self.import.clone().unwrap_or_default() }
    }

    fn append(&mut self, text: &[u8], entries: usize) -> io::Result<()> {
        self.file.write_all_at(text, self.end)?;
        self.file.sync_data()?;
        self.end += text.len() as u64;
        self.entries += entries;
        Ok(())
    }
}

pub fn name_hash(name: &str) -> NameHash {
    let hash = digest(&SHA256, name.as_bytes());
    u128::from_be_bytes(*hash.as_ref().first_chunk().expect("a SHA-256 has more than 16 bytes"))
}

fn whole_line(name: NameHash, version: u64) -> Line {
    Line::Whole { file: format!("{name:032x}"), version: format!("{version:016x}") }
}

fn lines_line(name: &str, version: u64, mark: &Mark) -> Line {
    let version = format!("{version:016x}");
    Line::Lines { name: name.to_owned(), version, mark: mark.clone() }
}

fn line_of(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("texts and numbers can be written as JSON");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use durable::{Fault, FaultyDisk, RealDisk};

    use super::*;

    fn open(state: &Path) -> Memory {
        Memory::open(Arc::new(RealDisk), state, "/logs", "arn:store").unwrap()
    }

    fn has(memory: &Memory, name: &str, version: u64) -> bool {
        memory.has(name_hash(name), version)
    }

    fn whole(name: &str, version: u64) -> (String, Taken) {
        (name.to_owned(), Taken::Whole { version })
    }

    fn lines(name: &str, version: u64, end: u64) -> (String, Taken) {
        let mark: Mark =
            serde_json::from_value(serde_json::json!({ "end": end, "check": "c" })).unwrap();
        (name.to_owned(), Taken::Lines { version, mark })
    }

    #[test]
    fn what_was_added_is_there_after_opening_again() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = open(state.path());
        memory.add(&[whole("a", 1), whole("b", 2), lines("c", 3, 30)]).unwrap();
        memory.add(&[whole("a", 4), lines("c", 5, 50)]).unwrap();
        memory.set_import(Some("i-1")).unwrap();
        drop(memory);
        let memory = open(state.path());
        assert!(has(&memory, "a", 4) && has(&memory, "b", 2) && has(&memory, "c", 5));
        assert!(!has(&memory, "a", 1) && !has(&memory, "c", 3) && !has(&memory, "d", 1));
        assert_eq!(memory.mark(name_hash("c")).unwrap().end, 50);
        assert_eq!(memory.import(), Some("i-1"));
    }

    #[test]
    fn cut_anywhere_it_holds_a_beginning_and_goes_on() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = open(state.path());
        memory.add(&[whole("a", 1), lines("b", 2, 20), whole("c", 3)]).unwrap();
        let path = memory.path.clone();
        drop(memory);
        let bytes = std::fs::read(&path).unwrap();
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in header..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut memory = open(state.path());
            let known = [has(&memory, "a", 1), has(&memory, "b", 2), has(&memory, "c", 3)];
            assert!(known.is_sorted_by(|first, second| first >= second), "{known:?} at {cut}");
            memory.add(&[whole("d", 4)]).unwrap();
            drop(memory);
            let memory = open(state.path());
            assert!(has(&memory, "d", 4), "cut at {cut}");
            assert_eq!([has(&memory, "a", 1), has(&memory, "b", 2), has(&memory, "c", 3)], known);
        }
    }

    #[test]
    fn whatever_call_fails_what_was_added_survives_loss_of_power() {
        for nth in 1.. {
            let (root, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let disk = FaultyDisk::new(root.path()).unwrap();
            disk.fail_nth(nth, Fault::Crash);
            let opened = Memory::open(Arc::new(disk.clone()), root.path(), "/logs", "arn:store");
            let mut added = Vec::new();
            if let Ok(mut memory) = opened {
                for version in 0..5 {
                    match memory.add(&[whole("a", version), lines("b", version, 10)]) {
                        Ok(()) => added.push(version),
                        Err(_) => break,
                    }
                }
                if memory.keep_only(&HashSet::from([name_hash("a")])).is_ok() {
                    added.push(4);
                }
            }
            disk.power_loss(after.path(), nth).unwrap();
            let memory = open(after.path());
            if let Some(last) = added.last() {
                // The next one may have become durable without having been answered.
                assert!(has(&memory, "a", *last) || has(&memory, "a", last + 1), "call {nth}");
            }
            if disk.failures() == 0 {
                break;
            }
        }
    }

    #[test]
    fn a_source_is_followed_into_a_store_by_one_process() {
        let state = tempfile::tempdir().unwrap();
        let first = open(state.path());
        let second = Memory::open(Arc::new(RealDisk), state.path(), "/logs", "arn:store");
        assert!(second.unwrap_err().to_string().contains("another"));
        Memory::open(Arc::new(RealDisk), state.path(), "/logs", "arn:other").unwrap();
        drop(first);
        open(state.path());
    }

    #[test]
    fn files_that_are_gone_are_forgotten_once_they_are_many() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = open(state.path());
        let many: Vec<_> = (0..OUTDATED_MAX + 1).map(|n| whole(&n.to_string(), 1)).collect();
        memory.add(&many).unwrap();
        memory.add(&[whole("kept", 7), lines("grows", 8, 80)]).unwrap();
        assert!(!memory.is_outdated(many.len()), "one file more or less is not worth it");
        assert!(memory.is_outdated(2));
        memory.keep_only(&HashSet::from(["kept", "grows"].map(name_hash))).unwrap();
        assert!(memory.end < 1000 && !has(&memory, "0", 1));
        memory.add(&[whole("new", 9)]).unwrap();
        drop(memory);
        let memory = open(state.path());
        assert!(has(&memory, "kept", 7) && has(&memory, "grows", 8) && has(&memory, "new", 9));
        assert!(!has(&memory, "0", 1));
    }

    #[test]
    fn a_file_is_taken_by_lines_or_as_a_whole() {
        let state = tempfile::tempdir().unwrap();
        let mut memory = open(state.path());
        memory.add(&[lines("a", 1, 10), whole("b", 1)]).unwrap();
        memory.add(&[whole("a", 2), lines("b", 2, 20)]).unwrap();
        drop(memory);
        let memory = open(state.path());
        assert!(has(&memory, "a", 2) && has(&memory, "b", 2));
        assert_eq!(memory.mark(name_hash("a")), None);
    }

    #[test]
    fn a_newer_format_is_not_guessed_at() {
        let state = tempfile::tempdir().unwrap();
        let memory = open(state.path());
        let path = memory.path.clone();
        drop(memory);
        std::fs::write(&path, "{\"follows\":\"/logs\",\"into\":\"x\",\"format\":2}\n").unwrap();
        let opened = Memory::open(Arc::new(RealDisk), state.path(), "/logs", "arn:store");
        assert!(opened.unwrap_err().to_string().contains("format 2"));
    }
}
