//! The rules, one function each.

use super::tree::{Crate, Tree};
use super::{Rule, Violation};

type Check = fn(&Tree, &mut Vec<Violation>);

pub const ALL: &[Check] = &[
    lake_alone,
    server_without_lake,
    features_apart,
    pure_rooms,
    only_durable_writes,
    only_clock_reads_time,
    dependency_reason,
    file_length,
    unfinished,
    unused_dependency,
    crate_docs,
];

const FEATURES: [&str; 7] =
    ["journal", "catalog", "capture", "delivery", "detect", "lake", "bucket"];
const PURE: [&str; 3] = ["event", "api", "detect"];
const HEAVY: [&str; 4] = ["datafusion", "arrow", "parquet", "deltalake"];
const CLOCK: &str = "crates/server/src/clock.rs";
const LINES_MAX: usize = 900;
/// Less than this is a title, not a story.
const DOCS_CHARS_MIN: usize = 40;

fn lake_alone(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in tree.crates.iter().filter(|krate| krate.name != "lake") {
        for dependency in &krate.dependencies {
            let family = dependency.split(['-', '_']).next().unwrap_or_default();
            if HEAVY.contains(&family) {
                let detail = format!("{} depends on {dependency}", krate.name);
                found.push(at_manifest(krate, Rule::LakeAlone, detail));
            }
        }
    }
}

fn server_without_lake(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in tree.crates.iter().filter(|krate| krate.name == "server") {
        if krate.dependencies.iter().any(|dependency| dependency == "lake") {
            let detail = "server depends on lake".to_owned();
            found.push(at_manifest(krate, Rule::ServerWithoutLake, detail));
        }
    }
}

fn features_apart(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in tree.crates.iter().filter(|krate| FEATURES.contains(&krate.name.as_str())) {
        for dependency in &krate.dependencies {
            if FEATURES.contains(&dependency.as_str()) {
                let detail = format!("{} depends on {dependency}", krate.name);
                found.push(at_manifest(krate, Rule::FeaturesApart, detail));
            }
        }
    }
}

fn pure_rooms(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in tree.crates.iter().filter(|krate| PURE.contains(&krate.name.as_str())) {
        if krate.dependencies.iter().any(|dependency| dependency == "tokio") {
            let detail = format!("{} depends on tokio", krate.name);
            found.push(at_manifest(krate, Rule::PureRooms, detail));
        }
    }
    // `use std::{fs, …}` says `fs::` where it is used.
    // Addresses are values; sockets are IO.
    let words = [
        "tokio::",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "fs::read",
        "fs::File",
        "File::open",
    ];
    for_code(tree, &words, found, Rule::PureRooms, |krate, _| PURE.contains(&krate.name.as_str()));
}

fn only_durable_writes(tree: &Tree, found: &mut Vec<Violation>) {
    let words = ["OpenOptions", "File::create", "File::options", "fs::write", "fs::copy"];
    for_code(tree, &words, found, Rule::OnlyDurableWrites, |krate, _| krate.name != "durable");
}

fn only_clock_reads_time(tree: &Tree, found: &mut Vec<Violation>) {
    let words = ["Timestamp::now", "SystemTime::now", "Zoned::now", "Utc::now"];
    for_code(tree, &words, found, Rule::OnlyClockReadsTime, |_, path| path != CLOCK);
}

fn unfinished(tree: &Tree, found: &mut Vec<Violation>) {
    // In two pieces, so that this file does not accuse itself.
    let words = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!(")];
    for_code(tree, &words, found, Rule::Unfinished, |_, _| true);
}

/// One violation for each line of code (not tests) that holds one of `words`, in the files that
/// `concerns` picks by crate and path.
fn for_code(
    tree: &Tree,
    words: &[&str],
    found: &mut Vec<Violation>,
    rule: Rule,
    concerns: impl Fn(&Crate, &str) -> bool,
) {
    for (krate, file) in tree.files().filter(|(krate, file)| concerns(krate, &file.path)) {
        for (number, line) in &file.code {
            if let Some(word) = words.iter().find(|word| has_word_start(line, word)) {
                let place = format!("{}:{number}", file.path);
                let detail = format!("{} uses {word}", krate.name);
                found.push(Violation { place, rule, detail });
            }
        }
    }
}

/// Whether `word` occurs in `line` and is not the end of a longer name.
fn has_word_start(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(is_name_letter)
    })
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn dependency_reason(tree: &Tree, found: &mut Vec<Violation>) {
    let mut inside = false;
    for (i, line) in tree.manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[workspace.dependencies]";
            continue;
        }
        let Some((name, rest)) = line.split_once('=').filter(|_| inside) else { continue };
        let is_entry = !name.starts_with(['#', ' ', '\t']);
        // Our own crates say themselves why they are there.
        let is_ours = rest.contains("path =");
        let has_reason = rest.split_once('#').is_some_and(|(_, reason)| !reason.trim().is_empty());
        if is_entry && !is_ours && !has_reason {
            let place = format!("Cargo.toml:{}", i + 1);
            let detail = format!("{} has no reason", name.trim());
            found.push(Violation { place, rule: Rule::DependencyReason, detail });
        }
    }
}

fn file_length(tree: &Tree, found: &mut Vec<Violation>) {
    for (_, file) in tree.files() {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            let detail = format!("{lines} lines, more than {LINES_MAX}");
            let place = file.path.clone();
            found.push(Violation { place, rule: Rule::FileLength, detail });
        }
    }
}

fn unused_dependency(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in &tree.crates {
        for dependency in &krate.dependencies {
            let name = match dependency.as_str() {
                // The package's library has another name.
                "md-5" => "md5".to_owned(),
                other => other.replace('-', "_"),
            };
            if !krate.files.iter().any(|file| has_name(&file.text, &name)) {
                let detail = format!("{} does not use {dependency}", krate.name);
                found.push(at_manifest(krate, Rule::UnusedDependency, detail));
            }
        }
    }
}

fn has_name(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(is_name_letter) && !after.is_some_and(is_name_letter)
    })
}

fn crate_docs(tree: &Tree, found: &mut Vec<Violation>) {
    for krate in &tree.crates {
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| format!("{}/{root}", krate.folder));
        let docs: usize = krate
            .files
            .iter()
            .filter(|file| roots.contains(&file.path))
            .flat_map(|file| file.text.lines().take_while(|line| line.starts_with("//!")))
            .map(|line| line.trim_start_matches("//!").trim().chars().count())
            .sum();
        if docs < DOCS_CHARS_MIN {
            let detail = format!("{} has no crate docs", krate.name);
            let place = krate.folder.clone();
            found.push(Violation { place, rule: Rule::CrateDocs, detail });
        }
    }
}

fn at_manifest(krate: &Crate, rule: Rule, detail: String) -> Violation {
    Violation { place: krate.manifest_path(), rule, detail }
}
