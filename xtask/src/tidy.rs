//! The invariants that can be read off the tree.
//!
//! ```text
//! Tree::read(root)  ─▶  crates (manifest, dependencies) and Rust files (text, text without tests)
//!        │
//!        ▼
//! one function per rule  ─▶  [Violation { place, rule, remedy }]  minus EXCEPTIONS
//! ```
//!
//! Rules look at text, not at meaning: each is a few lines, and whoever goes to the trouble of
//! hiding from one knows what they are doing. Comments never count, nor does test code: files in
//! `tests/`, `benches/` and `examples/`, `tests.rs`, and everything from `#[cfg(test)] mod … {` to the file's end.

mod rules;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::Result;

use tree::Tree;

/// One broken rule in one place.
#[derive(Debug, PartialEq)]
pub struct Violation {
    /// `path` or `path:line`, from the workspace's root.
    pub place: String,
    pub rule: Rule,
    pub detail: String,
}

/// The rules; each says in [`Rule::remedy`] what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    LakeAlone,
    ServerWithoutLake,
    FeaturesApart,
    PureRooms,
    OnlyDurableWrites,
    OnlyClockReadsTime,
    DependencyReason,
    FileLength,
    Unfinished,
    UnusedDependency,
    CrateDocs,
}

/// What is allowed all the same: the rule, the path's beginning, and why.
const EXCEPTIONS: &[(Rule, &str, &str)] = &[
    (Rule::FileLength, "crates/api/src/generated/", "written by codegen, read by nobody"),
    (Rule::OnlyDurableWrites, "bench/", "measures from outside; nothing depends on its files"),
    (Rule::OnlyDurableWrites, "xtask/", "writes source code, not a user's data"),
    (Rule::OnlyClockReadsTime, "xtask/src/tidy/rules.rs", "names the words it looks for"),
    (Rule::OnlyClockReadsTime, "bench/", "measuring is its task"),
    (Rule::OnlyClockReadsTime, "crates/cairn/src/main.rs", "wires the real clock"),
];

/// Everything that is wrong in the workspace at `root`, in the order of the rules.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    let tree = Tree::read(root)?;
    let mut found = Vec::new();
    for rule in rules::ALL {
        rule(&tree, &mut found);
    }
    found.retain(|violation| !is_exception(violation));
    Ok(found)
}

fn is_exception(violation: &Violation) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(rule, path, _)| *rule == violation.rule && violation.place.starts_with(path))
}

impl Rule {
    fn remedy(self) -> &'static str {
        match self {
            Self::LakeAlone => "move what needs it into crates/lake, behind the Lake seam",
            Self::ServerWithoutLake => "speak to the Lake seam; crates/cairn plugs the lake in",
            Self::FeaturesApart => {
                "let crates/server hand the value over, or move the type to event"
            }
            Self::PureRooms => "take bytes and `now` as arguments and let the caller do the IO",
            Self::OnlyDurableWrites => "write through durable::Disk, so that a test can fail it",
            Self::OnlyClockReadsTime => {
                "take `now` from the clock seam (crates/server/src/clock.rs)"
            }
            Self::DependencyReason => "end the line with `# room: why`",
            Self::FileLength => "split the file by the questions it answers",
            Self::Unfinished => "finish it, or answer with an error that says what is missing",
            Self::UnusedDependency => "remove the line from the crate's Cargo.toml",
            Self::CrateDocs => "begin the crate's root file with `//!` lines that tell its story",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { place, rule, detail } = self;
        write!(f, "{place}: {detail} [{rule:?}]. Remedy: {}", rule.remedy())
    }
}
