//! Files that grow by whole lines, each of them JSON.
//!
//! ```text
//!   {"eventVersion":…}⏎{"eventVersion":…}⏎{"eventVersion":…}⏎{"eventVer
//!   └──────── taken, up to the mark ─────┘└─── next part ───┘└ not yet ┘
//! ```
//! The mark knows the text around its two ends. Where that is not there any more, the file was
//! truncated or another has taken its name, and its lines are taken from the first; what was written
//! to the old one in the last moment is looked for among its neighbours, where rotation has put it.
//!
//! Invariant: half a line is never taken. An object that is whole needs no line end: nothing but
//! white space can follow it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Endings of files that are taken by lines whatever the first one says.
const ENDINGS: [&str; 3] = ["ndjson", "jsonl", "log"];
/// A first line is looked for in so much.
const FIRST_BYTES_MAX: usize = 4 << 20;
/// Taken at once, unless one line is longer.
const PART_BYTES: usize = 8 << 20;
const LINE_BYTES_MAX: usize = 64 << 20;
/// Around each end of what was taken.
const CHECKED_BYTES: u64 = 4096;
/// Neighbours that are compared after a rotation.
const NEIGHBOURS_MAX: usize = 100;

/// How far a file has been taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Bytes.
    pub end: u64,
    /// SHA-256 of the first and last of them.
    check: String,
}

impl Mark {
    /// Before the first line, of any file.
    pub fn start() -> Mark {
        Mark { end: 0, check: hashed(Context::new(&SHA256)) }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Its lines are not for themselves; the file is to be read as a whole.
    Whole,
    /// There is no whole line beyond the mark.
    Nothing,
    Part(Part),
    /// The mark is not in this file.
    Replaced,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Whole lines; maybe blank.
    pub bytes: Bytes,
    /// Where they begin.
    pub begin: u64,
    pub mark: Mark,
    /// Whether there may be more behind them.
    pub has_more: bool,
}

/// What to take of the file next.
pub fn next(path: &Path, mark: Option<&Mark>) -> io::Result<Next> {
    let file = File::open(path)?;
    let Some(mark) = mark.filter(|mark| mark.end > 0) else {
        return if is_of_lines(path, &file)? { part(&file, 0) } else { Ok(Next::Whole) };
    };
    if !holds(&file, mark)? {
        return Ok(Next::Replaced);
    }
    part(&file, mark.end)
}

/// The neighbour that holds what was taken of `path`, and so its rest: the file under its new name,
/// or the copy that was made before it was truncated.
pub fn rotated(path: &Path, mark: &Mark) -> Option<PathBuf> {
    // audit.log.1, audit.log-20260305, audit-20260305.log
    let stem = path.file_stem()?.as_encoded_bytes();
    let mut neighbours: Vec<_> = std::fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(stem))
        .filter_map(|entry| Some((entry.metadata().ok()?, entry.path())))
        .filter(|(metadata, other)| metadata.is_file() && other != path)
        .filter_map(|(metadata, other)| Some((metadata.modified().ok()?, other)))
        .collect();
    neighbours.sort();
    let newest = neighbours.into_iter().rev().take(NEIGHBOURS_MAX);
    newest.map(|(_, other)| other).find(|other| {
        mark.end > 0 && File::open(other).and_then(|file| holds(&file, mark)).unwrap_or(false)
    })
}

fn is_of_lines(path: &Path, file: &File) -> io::Result<bool> {
    let first = read(file, 0, FIRST_BYTES_MAX)?;
    let text = first.trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_terminated = line.len() < text.len();
    if is_terminated && is_object(line) {
        return Ok(true);
    }
    let begins_document = line.starts_with(b"[") || is_terminated && line.trim_ascii() == b"{";
    let is_packed = text.starts_with(&[0x1f, 0x8b]) || text.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    Ok(ENDINGS.contains(&ending) && !begins_document && !is_packed)
}

fn part(file: &File, begin: u64) -> io::Result<Next> {
    let mut bytes_max = PART_BYTES;
    loop {
        let mut bytes = read(file, begin, bytes_max)?;
        let is_all = bytes.len() < bytes_max;
        let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole = if is_all && is_object(&bytes[lines..]) { bytes.len() } else { lines };
        if whole > 0 {
            bytes.truncate(whole);
            let end = begin + whole as u64;
            let mark = Mark { end, check: check(file, end)? };
            return Ok(Next::Part(Part { bytes: bytes.into(), begin, mark, has_more: !is_all }));
        }
        if is_all {
            return Ok(Next::Nothing);
        }
        if bytes_max >= LINE_BYTES_MAX {
            let reason = format!("the line at byte {begin} is longer than {LINE_BYTES_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        bytes_max *= 2;
    }
}

/// Is it the file that the mark was made in?
fn holds(file: &File, mark: &Mark) -> io::Result<bool> {
    Ok(file.metadata()?.len() >= mark.end && check(file, mark.end)? == mark.check)
}

fn check(file: &File, end: u64) -> io::Result<String> {
    let length = end.min(CHECKED_BYTES);
    let mut bytes = vec![0; usize::try_from(length).expect("it is at most 4096")];
    let mut hash = Context::new(&SHA256);
    for at in [0, end - length] {
        file.read_exact_at(&mut bytes, at)?;
        hash.update(&bytes);
    }
    Ok(hashed(hash))
}

fn hashed(hash: Context) -> String {
    hex::encode(&hash.finish().as_ref()[..16])
}

fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// At most `bytes_max` bytes from there; fewer only at the end of the file.
fn read(file: &File, from: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(from);
    let mut bytes = vec![0; bytes_max.min(usize::try_from(there).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    struct Growing {
        folder: tempfile::TempDir,
        path: PathBuf,
        mark: Option<Mark>,
    }

    impl Growing {
        fn new(name: &str, text: &str) -> Growing {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Growing { folder, path, mark: None }
        }

        fn append(&self, text: &str) {
            let mut file = fs::OpenOptions::new().append(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// The text that is taken next; none when there is no whole line.
        fn take(&mut self) -> Option<String> {
            match next(&self.path, self.mark.as_ref()).unwrap() {
                Next::Part(part) => {
                    self.mark = Some(part.mark);
                    Some(String::from_utf8(part.bytes.to_vec()).unwrap())
                }
                Next::Nothing => None,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_whole_lines_are_taken_and_each_once() {
        let mut file = Growing::new("a.ndjson", "{\"n\":1}\n{\"n\":2}\n{\"n\"");
        assert_eq!(file.take().unwrap(), "{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(file.take(), None);
        file.append(":3}");
        assert_eq!(file.take().unwrap(), "{\"n\":3}", "an object that is whole needs no line end");
        assert_eq!(file.take(), None);
        file.append("\n{\"n\":4}\n");
        assert_eq!(file.take().unwrap().trim(), "{\"n\":4}");
    }

    #[test]
    fn every_way_to_append_gives_the_same_lines() {
        let all = "{\"n\":1}\n\n{\"n\":\"é\\n\"}\r\nnot json\n{\"n\":3}\n";
        for first in 0..all.len() {
            if !all.is_char_boundary(first) {
                continue;
            }
            let mut file = Growing::new("a.jsonl", &all[..first]);
            let mut taken = file.take().unwrap_or_default();
            file.append(&all[first..]);
            taken += &file.take().unwrap_or_default();
            assert_eq!(taken, all, "cut at {first}");
        }
    }

    #[test]
    fn what_is_longer_than_a_part_comes_in_several() {
        let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(PART_BYTES + 10));
        let mut file = Growing::new("a.log", &format!("{{}}\n{long}{{}}\n"));
        assert_eq!(file.take().unwrap(), "{}\n");
        assert_eq!(file.take().unwrap(), format!("{long}{{}}\n"));
        assert_eq!(file.take(), None);
    }

    #[test]
    fn documents_and_packed_files_are_not_cut_into_lines() {
        let whole = |name: &str, text: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            next(&path, None).unwrap() == Next::Whole
        };
        assert!(whole("a.json", b"{\n  \"Records\": []\n}\n"));
        assert!(whole("a.log", b"{\n  \"Records\": []\n}\n"));
        assert!(whole("a.ndjson", b"[{},\n{}]\n"));
        assert!(whole("a.json", b"{\"Records\":[]}"));
        assert!(whole("a.log", &[0x1f, 0x8b, 8, 0]));
        assert!(!whole("a.json", b"{\"n\":1}\n"));
        assert!(!whole("a.ndjson", b"half a li"));
    }

    #[test]
    fn a_file_that_was_truncated_or_replaced_is_another_one() {
        let long = "{\"n\":1}\n".repeat(2000);
        for (name, new) in [
            ("truncated", "{\"n\":1}\n".to_owned()),
            ("emptied", String::new()),
            ("replaced", long.replacen('1', "2", 1)),
            ("altered before the mark", format!("{}{{\"n\":9}}\n", &long[..long.len() - 8])),
        ] {
            let mut file = Growing::new("a.log", &long);
            file.take().unwrap();
            fs::write(&file.path, new).unwrap();
            assert_eq!(next(&file.path, file.mark.as_ref()).unwrap(), Next::Replaced, "{name}");
        }
    }

    #[test]
    fn the_rest_of_a_rotated_file_is_found_under_its_new_name() {
        for new_name in ["a.log.1", "a.log-20260305", "a-20260305.log"] {
            let mut file = Growing::new("a.log", "{\"n\":1}\n");
            file.take().unwrap();
            file.append("{\"n\":2}\n");
            fs::write(file.folder.path().join("a.log.0"), "{\"n\":0}\n{\"n\":0}\n").unwrap();
            fs::rename(&file.path, file.folder.path().join(new_name)).unwrap();
            fs::write(&file.path, "{\"n\":3}\n").unwrap();
            assert_eq!(next(&file.path, file.mark.as_ref()).unwrap(), Next::Replaced);
            let rest = rotated(&file.path, file.mark.as_ref().unwrap()).unwrap();
            assert_eq!(rest.file_name().unwrap(), new_name);
            let Next::Part(part) = next(&rest, file.mark.as_ref()).unwrap() else { panic!() };
            assert_eq!(&part.bytes[..], b"{\"n\":2}\n");
        }
    }
}
