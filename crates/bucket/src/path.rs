//! Where an object's file lies.
//!
//! The folder tree follows the slashes of the key, so that a listing with prefix and delimiter reads
//! only the folders it shows, and nothing has to be loaded at start. No byte of a key is used as it
//! comes: every name on disk starts with a letter of ours, and only `A-Za-z0-9-_.=+` stand for
//! themselves; other bytes are written `%XX`. So `.`, `..`, empty segments, NUL and the like cannot
//! mean anything to the filesystem, and two keys never share a file.
//!
//! ```text
//! key                 a//../b.txt              <300 bytes>/x
//! file                da/d/d../fb.txt          c<240 bytes>/d<60 bytes>/fx
//! ```
//! - `d…` a segment that a slash ends            - `f…` the last segment: the object's file
//! - `c…` the beginning of a segment too long for one file name (255 bytes); its rest lies inside

use std::path::{Path, PathBuf};

/// How much of a segment one name holds; with the letter in front it stays below 255.
const NAME_BYTES_MAX: usize = 240;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File,
    Segment,
    Continuation,
}

/// The file of `key` below `root`.
pub(crate) fn file_of(root: &Path, key: &str) -> PathBuf {
    let (folders, last) = match key.rfind('/') {
        Some(slash) => (&key[..=slash], &key[slash + 1..]),
        None => ("", key),
    };
    let mut path = folder_of(root, folders);
    push_segment(&mut path, last.as_bytes(), 'f');
    path
}

/// The folder that holds everything whose key starts with `folders`, which is empty or ends with a slash.
pub(crate) fn folder_of(root: &Path, folders: &str) -> PathBuf {
    let mut path = root.to_owned();
    let Some(inner) = folders.strip_suffix('/') else { return path };
    for segment in inner.split('/') {
        push_segment(&mut path, segment.as_bytes(), 'd');
    }
    path
}

fn push_segment(path: &mut PathBuf, segment: &[u8], kind: char) {
    let mut name = String::new();
    for &byte in segment {
        let room = if stands_for_itself(byte) { 1 } else { 3 };
        if name.len() + room > NAME_BYTES_MAX {
            path.push(format!("c{name}"));
            name.clear();
        }
        match stands_for_itself(byte) {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    path.push(format!("{kind}{name}"));
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.=+".contains(&byte)
}

/// The kind of a name on disk and the piece of the key it stands for; `None` if we never wrote it.
pub(crate) fn read_name(name: &str) -> Option<(Kind, Vec<u8>)> {
    let (kind, escaped) = match name.split_at_checked(1)? {
        ("f", rest) => (Kind::File, rest),
        ("d", rest) => (Kind::Segment, rest),
        ("c", rest) => (Kind::Continuation, rest),
        _ => return None,
    };
    let mut piece = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        piece.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    Some((kind, piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn decode(path: &Path) -> Vec<u8> {
        let mut key = Vec::new();
        for component in path.components() {
            let Component::Normal(name) = component else { panic!("{path:?} leaves its folder") };
            assert!(name.len() <= 255, "{name:?} is too long for a file name");
            let (kind, piece) = read_name(name.to_str().unwrap()).unwrap();
            key.extend(piece);
            if kind == Kind::Segment {
                key.push(b'/');
            }
        }
        key
    }

    #[test]
    fn keys_with_meaning_to_a_filesystem_get_harmless_names() {
        for (key, path) in [
            ("a//../b.txt", "da/d/d../fb.txt"),
            ("/etc/passwd", "d/detc/fpasswd"),
            ("..", "f.."),
            ("a/", "da/f"),
            ("\0\u{e9}%", "f%00%C3%A9%25"),
        ] {
            assert_eq!(file_of(Path::new(""), key), Path::new(path));
        }
    }

    proptest! {
        #[test]
        fn a_path_gives_its_key_back(key in "(\\.|/|%|[a-c]|\\PC|\u{0}){1,200}") {
            prop_assert_eq!(decode(&file_of(Path::new(""), &key)), key.as_bytes());
        }
        #[test]
        fn a_long_segment_is_cut_and_joined(n in 200usize..1024, c in prop::sample::select(vec!["x", "\u{1}", "é"])) {
            let key = c.repeat(n / c.len());
            prop_assert_eq!(decode(&file_of(Path::new(""), &key)), key.as_bytes());
        }
    }
}
