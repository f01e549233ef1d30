//! Patterns of policies: wildcards and policy variables.
//!
//! ```text
//!   arn:aws:s3:::home/${aws:username}/*        ${*} ${?} ${$}  the characters themselves
//! ```
//! What a variable stands for is taken as it is: a star in a user's name is a star, no wildcard.
//! Source: IAM user guide, "IAM policy elements: Variables and tags".

/// What one place of a text must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Is(char),
    /// A colon that the pattern itself has; it parts an ARN.
    Colon,
    /// `?`
    One,
    /// `*`
    Run,
}

/// A pattern with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Place>);

/// Does the text fit a pattern in which `*` is any letters and `?` is one?
pub fn wildcards_fit(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern, true, None).is_some_and(|pattern| pattern.fits(text))
}

impl Pattern {
    /// `variables` is what variables stand for, `None` where a document has none (before the version
    /// of 2012-10-17); `wildcards` says whether `*` and `?` are any. `None` for a variable of unknown value.
    pub(super) fn new(
        text: &str,
        wildcards: bool,
        variables: Option<&[(&str, &str)]>,
    ) -> Option<Pattern> {
        let mut places = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let (Some(context), Some(inside)) = (variables, rest.strip_prefix("${")) {
                let (name, after) = inside.split_once('}')?;
                places.extend(value(name, context)?.chars().map(Place::Is));
                rest = after;
                continue;
            }
            places.push(match letter {
                '*' if wildcards => Place::Run,
                '?' if wildcards => Place::One,
                ':' => Place::Colon,
                other => Place::Is(other),
            });
            rest = &rest[letter.len_utf8()..];
        }
        Some(Pattern(places))
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        fits(&self.0, &text.chars().collect::<Vec<char>>())
    }

    /// AWS: each of an ARN's six parts is matched by itself, with wildcards.
    pub(super) fn fits_arn(&self, arn: &str) -> bool {
        let pattern: Vec<&[Place]> =
            self.0.splitn(6, |place| matches!(place, Place::Colon)).collect();
        let arn: Vec<&str> = arn.splitn(6, ':').collect();
        pattern.len() == 6
            && arn.len() == 6
            && pattern
                .iter()
                .zip(&arn)
                .all(|(pattern, part)| fits(pattern, &part.chars().collect::<Vec<char>>()))
    }

    pub(super) fn fits_ignoring_case(&self, text: &str) -> bool {
        self.text().to_lowercase() == text.to_lowercase()
    }

    /// The text, for values that are no patterns.
    pub(super) fn text(&self) -> String {
        let letter = |place: &Place| match place {
            Place::Is(letter) => *letter,
            Place::Colon => ':',
            Place::One => '?',
            Place::Run => '*',
        };
        self.0.iter().map(letter).collect()
    }
}

/// What `name` in `${name}` or `${name, 'default'}` stands for.
fn value<'a>(name: &'a str, context: &[(&str, &'a str)]) -> Option<&'a str> {
    if matches!(name, "*" | "?" | "$") {
        return Some(name);
    }
    let (key, default) = match name.split_once(',') {
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (key.trim(), Some(default))
        }
        None => (name.trim(), None),
    };
    let known = context.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
    known.map(|(_, value)| *value).or(default)
}

/// Time: pattern × text at worst.
fn fits(pattern: &[Place], text: &[char]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    // Where the last run was, and how much of the text it has taken so far.
    let mut run: Option<(usize, usize)> = None;
    while in_text < text.len() {
        let is_this = match pattern.get(at) {
            Some(Place::Is(letter)) => *letter == text[in_text],
            Some(Place::Colon) => text[in_text] == ':',
            Some(Place::One) => true,
            Some(Place::Run) => {
                run = Some((at, in_text));
                at += 1;
                continue;
            }
            None => false,
        };
        if is_this {
            at += 1;
            in_text += 1;
        } else if let Some((run_at, taken_to)) = run {
            run = Some((run_at, taken_to + 1));
            at = run_at + 1;
            in_text = taken_to + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|rest| *rest == Place::Run)
}
