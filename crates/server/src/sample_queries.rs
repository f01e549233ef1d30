//! Sample queries, and how a phrase finds them.
//!
//! ```text
//!   samples.sql ─▶ words of each sample, weighted by how rare they are ─┬─ search ─▶ SearchSampleQueries
//!   prompt ─▶ [`slots`]: time, user, event, service, IP, error, …       └─ generate ─▶ GenerateQuery
//! ```
//! A word that few samples have says more than one that many have (inverse document frequency).
//! Everything here is pure: the same phrase finds the same samples.

mod slots;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use slots::Slots;

const SAMPLES: &str = include_str!("sample_queries/samples.sql");
/// Below this share of the phrase's weight, a sample is no answer to a prompt.
const RELEVANCE_MIN: f64 = 0.3;
/// A word of the name says more than one of the description.
const NAME_WEIGHT: f64 = 1.0;
const OTHER_WEIGHT: f64 = 0.6;
const LIGHT_WEIGHT: f64 = 0.25;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleQuery {
    pub name: String,
    pub description: String,
    /// With `$EDS_ID` for the event data store.
    pub sql: String,
    /// Conditions may be added to its WHERE.
    has_slots: bool,
    name_words: BTreeSet<String>,
    other_words: BTreeSet<String>,
}

/// All of them.
#[derive(Debug)]
pub struct SampleQueries {
    samples: Vec<SampleQuery>,
    /// In how many samples a word is.
    counts: BTreeMap<String, usize>,
}

impl Default for SampleQueries {
    fn default() -> SampleQueries {
        SampleQueries::read(SAMPLES)
    }
}

impl SampleQueries {
    fn read(text: &str) -> SampleQueries {
        let samples: Vec<SampleQuery> =
            text.split("\n-- name:").skip(1).map(SampleQuery::read).collect();
        let mut counts = BTreeMap::new();
        for sample in &samples {
            for word in sample.name_words.union(&sample.other_words) {
                *counts.entry(word.clone()).or_insert(0) += 1;
            }
        }
        SampleQueries { samples, counts }
    }

    pub fn all(&self) -> &[SampleQuery] {
        &self.samples
    }

    /// Samples that have words of the phrase, the most relevant first, each with its relevance
    /// above 0 and up to 1.
    pub fn search(&self, phrase: &str) -> Vec<(&SampleQuery, f64)> {
        self.search_words(&words_of(phrase), &BTreeSet::new())
    }

    /// `light` words, which a condition will stand for, say little about which sample fits.
    fn search_words(
        &self,
        words: &BTreeSet<String>,
        light: &BTreeSet<String>,
    ) -> Vec<(&SampleQuery, f64)> {
        let mut found = Vec::new();
        for sample in &self.samples {
            let relevance = self.relevance(words, light, sample);
            if relevance > 0.0 {
                found.push((sample, relevance));
            }
        }
        // Stable: equals stay in the order of the file.
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found
    }

    /// A statement with `$EDS_ID` that answers the prompt, if a sample or what the prompt names is
    /// near enough. `now` is what "yesterday" counts from.
    pub fn generate(&self, prompt: &str, now: Timestamp) -> Option<String> {
        let slots = Slots::of(prompt, now);
        let light = words_of(slots.service_word.as_deref().unwrap_or_default());
        let found = self.search_words(&words_of(&slots.rest), &light);
        // A sample that takes no conditions would leave out what was asked for.
        let fits = |sample: &SampleQuery| {
            (sample.has_slots || slots.is_empty()) && slots.agree_with(&sample.sql)
        };
        let best = found.into_iter().find(|(sample, _)| fits(sample));
        let best = best.filter(|(_, relevance)| *relevance >= RELEVANCE_MIN);
        let base = match best {
            Some((sample, _)) => sample,
            // "What did alice do yesterday": the events themselves.
            None if slots.names_something() => self.samples.first()?,
            None => return None,
        };
        Some(slots.put_into(&base.sql))
    }

    fn relevance(
        &self,
        words: &BTreeSet<String>,
        light: &BTreeSet<String>,
        sample: &SampleQuery,
    ) -> f64 {
        let (mut all, mut met) = (0.0, 0.0);
        for word in words {
            let weight = if light.contains(word) { LIGHT_WEIGHT } else { 1.0 };
            let rarity = weight * self.rarity(word);
            all += rarity;
            if sample.name_words.contains(word) {
                met += NAME_WEIGHT * rarity;
            } else if sample.other_words.contains(word) {
                met += OTHER_WEIGHT * rarity;
            }
        }
        if met == 0.0 {
            return 0.0;
        }
        // Of two samples that have the same words, the one that says little else fits better.
        let of_name = sample.name_words.iter().filter(|word| words.contains(*word)).count();
        let focus = of_name as f64 / sample.name_words.len().max(1) as f64;
        (met / all) * (0.85 + 0.15 * focus)
    }

    fn rarity(&self, word: &str) -> f64 {
        let samples = self.samples.len() as f64;
        match self.counts.get(word) {
            Some(count) => (1.0 + samples / *count as f64).ln(),
            // A word that no sample has, such as somebody's name, says little about which one fits.
            None => 1.0,
        }
    }
}

impl SampleQuery {
    /// One sample, from behind its `-- name:`.
    fn read(text: &str) -> SampleQuery {
        let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (mut description, mut words, mut has_slots) = (String::new(), String::new(), true);
        let mut sql = Vec::new();
        for line in rest.lines() {
            if let Some(text) = line.strip_prefix("-- description:") {
                description = text.trim().to_owned();
            } else if let Some(text) = line.strip_prefix("-- words:") {
                words = text.to_owned();
            } else if line.starts_with("-- slots: none") {
                has_slots = false;
            } else if !line.is_empty() && !line.starts_with("--") {
                sql.push(line);
            }
        }
        SampleQuery {
            name: name.trim().to_owned(),
            name_words: words_of(name),
            other_words: words_of(&format!("{description} {words}")),
            description,
            sql: sql.join("\n").trim_end_matches(';').to_owned(),
            has_slots,
        }
    }
}

/// The words that tell something, in one form each.
fn words_of(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| word.len() > 1 && !EMPTY_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

/// A rough stem: plural and past forms, and a few words that mean the same here.
fn stem(word: &str) -> String {
    let stem = match word {
        "signin" | "signins" | "logon" | "logons" | "login" | "logins" | "logged" => "login",
        "failed" | "failure" | "failures" | "failing" | "fail" => "fail",
        "errors" | "error" => "error",
        "ips" | "address" | "addresses" => "ip",
        "people" | "principal" | "principals" | "identity" | "identities" | "caller"
        | "callers" | "users" => "user",
        "apis" | "call" | "calls" => "api",
        "deletion" | "deletions" | "deletes" | "deleted" | "deleting" => "delete",
        "denials" | "denied" | "denial" | "deny" => "denied",
        "policies" => "policy",
        "queries" => "query",
        "top" | "frequent" | "popular" | "busiest" => "most",
        "latest" | "recent" | "last" => "newest",
        _ if word.len() > 4 && word.ends_with("ies") => {
            return format!("{}y", &word[..word.len() - 3]);
        }
        _ if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") => {
            &word[..word.len() - 1]
        }
        _ => word,
    };
    stem.to_owned()
}

/// Words that any phrase may have.
const EMPTY_WORDS: [&str; 62] = [
    "the", "an", "and", "or", "of", "in", "on", "at", "to", "for", "from", "by", "with", "is",
    "are", "was", "were", "be", "been", "has", "have", "had", "do", "does", "did", "what", "which",
    "who", "whom", "when", "where", "how", "why", "that", "this", "these", "those", "all", "any",
    "me", "my", "our", "us", "we", "you", "your", "it", "its", "their", "them", "there", "show",
    "list", "find", "give", "get", "tell", "please", "query", "events", "event", "made",
];

#[cfg(test)]
mod tests;
