//! The shape of each input, as a table: what kinds its JSON has, and what the model asks of values.
//!
//! The tables are generated; this file says what they mean. Two walks use them: the protocols make
//! JSON conform before it becomes a struct, and [`Input::violations`] judges the values.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::violation::{self, Violation};

/// What a value must be.
#[derive(Debug)]
pub enum Shape {
    /// `length` in characters. `values` is empty where the model enumerates none.
    String {
        length: Bounds,
        pattern: Option<&'static Pattern>,
        values: &'static [&'static str],
    },
    /// 32 bits.
    Integer(Bounds),
    Boolean,
    Timestamp,
    List {
        member: &'static Shape,
        length: Bounds,
    },
    Map {
        key: &'static Shape,
        value: &'static Shape,
        length: Bounds,
    },
    Structure {
        name: &'static str,
        members: &'static [Member],
    },
}

#[derive(Debug)]
pub struct Member {
    /// As it stands in JSON.
    pub name: &'static str,
    pub required: bool,
    /// Travels in the URI and not in the body (rest-json only).
    pub in_query: bool,
    pub shape: &'static Shape,
}

/// Both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

impl Bounds {
    pub const NONE: Self = Self { min: None, max: None };
}

/// A regular expression as its author wrote it, and as runs that the whole text must fit.
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    pub alternatives: &'static [&'static [Run]],
}

/// From `min` to `max` characters, each within one of the ranges (both ends included).
#[derive(Debug)]
pub struct Run {
    pub ranges: &'static [(char, char)],
    pub min: usize,
    pub max: usize,
}

impl Pattern {
    /// Whether all of `text` fits: services of this family match a pattern against the whole value.
    pub fn matches(&self, text: &str) -> bool {
        let letters: Vec<char> = text.chars().collect();
        self.alternatives.iter().any(|runs| fits(runs, &letters))
    }
}

/// Greedy with backtracking. The model's patterns have at most two unbounded runs, and lengths are
/// limited by the body's size, so this stays quadratic at worst.
fn fits(runs: &[Run], letters: &[char]) -> bool {
    let Some((run, rest)) = runs.split_first() else { return letters.is_empty() };
    let within = |letter: &char| run.ranges.iter().any(|(a, z)| (a..=z).contains(&letter));
    let longest = letters.iter().take(run.max).take_while(|letter| within(letter)).count();
    (run.min..=longest).rev().any(|taken| fits(rest, &letters[taken..]))
}

/// The input of one operation.
pub trait Input: Serialize + DeserializeOwned {
    type Operation;
    type Output: Serialize;
    const OPERATION: Self::Operation;
    const SHAPE: &'static Shape;

    /// Every constraint of the model that this input breaks, in the order of the members.
    ///
    /// An operation that has an error of its own for a member takes that member's violations out
    /// by [`Violation::member`] before it makes [`crate::ApiError::validation`] of the rest.
    fn violations(&self) -> Vec<Violation> {
        let value = serde_json::to_value(self).expect("inputs have string keys and finite numbers");
        violation::judge(Self::SHAPE, &value)
    }
}
