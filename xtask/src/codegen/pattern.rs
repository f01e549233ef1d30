//! A model's `pattern` → the data that `api`'s matcher walks.
//!
//! The inputs' patterns are a sequence of runs of a character class, so a regular-expression engine
//! would be weight without use. What is understood: `^ $`, `(?s)`, literals, escapes (`\w \d \s \. …`),
//! `.`, classes `[a-z…]`, quantifiers `* + ? {m,n} {n}`, and one optional group at the very end,
//! which becomes a second alternative. Anything else stops the generator.

use anyhow::{Context, Result, bail, ensure};

/// `min..=max` characters, each within one of the inclusive ranges.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub ranges: Vec<(char, char)>,
    pub min: usize,
    pub max: usize,
}

/// The alternatives of a pattern; the whole text must fit one of them.
pub fn parse(pattern: &str) -> Result<Vec<Vec<Run>>> {
    alternatives(pattern).with_context(|| format!("pattern {pattern}"))
}

fn alternatives(pattern: &str) -> Result<Vec<Vec<Run>>> {
    let (text, dot_is_all) = match pattern.strip_prefix("(?s)") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    };
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let Some((before, group)) = text.split_once('(') else {
        return Ok(vec![runs(text, dot_is_all)?]);
    };
    let group = group.strip_suffix(")?").context("a group may only stand at the end, as (…)?")?;
    let without = runs(before, dot_is_all)?;
    let mut with = without.clone();
    with.extend(runs(group, dot_is_all)?);
    Ok(vec![without, with])
}

fn runs(text: &str, dot_is_all: bool) -> Result<Vec<Run>> {
    let mut letters: Vec<char> = text.chars().rev().collect();
    let mut runs = Vec::new();
    while let Some(letter) = letters.pop() {
        let ranges = match letter {
            '[' => class(&mut letters)?,
            '\\' => escape(letters.pop().context("a lone backslash")?)?,
            '.' if dot_is_all => vec![('\0', char::MAX)],
            // A dot does not match a line's end.
            '.' => vec![('\0', '\u{9}'), ('\u{b}', '\u{c}'), ('\u{e}', char::MAX)],
            '(' | ')' | '|' | '*' | '+' | '?' | '{' | '^' | '$' => {
                bail!("{letter} is not understood")
            }
            literal => vec![(literal, literal)],
        };
        let (min, max) = quantifier(&mut letters)?;
        runs.push(Run { ranges, min, max });
    }
    Ok(runs)
}

fn class(letters: &mut Vec<char>) -> Result<Vec<(char, char)>> {
    let mut ranges = Vec::new();
    ensure!(letters.last() != Some(&'^'), "a negated class is not understood");
    loop {
        let letter = letters.pop().context("an open class")?;
        match letter {
            ']' => return Ok(ranges),
            '\\' => ranges.extend(escape(letters.pop().context("a lone backslash")?)?),
            first => {
                let is_range = letters.last() == Some(&'-')
                    && letters.len() >= 2
                    && letters[letters.len() - 2] != ']';
                if !is_range {
                    ranges.push((first, first));
                    continue;
                }
                letters.pop();
                let last = letters.pop().context("an open range")?;
                ensure!(last != '\\' && first <= last, "the range {first}-{last}");
                ranges.push((first, last));
            }
        }
    }
}

fn escape(letter: char) -> Result<Vec<(char, char)>> {
    Ok(match letter {
        'w' => vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
        'd' => vec![('0', '9')],
        // Space, \t, \n, vertical tab, form feed, \r: what Java means, in which the patterns are written.
        's' => vec![(' ', ' '), ('\t', '\r')],
        'n' => vec![('\n', '\n')],
        't' => vec![('\t', '\t')],
        other if other.is_ascii_alphanumeric() => bail!("\\{other} is not understood"),
        literal => vec![(literal, literal)],
    })
}

fn quantifier(letters: &mut Vec<char>) -> Result<(usize, usize)> {
    let bounds = match letters.last() {
        Some('*') => (0, usize::MAX),
        Some('+') => (1, usize::MAX),
        Some('?') => (0, 1),
        Some('{') => {
            let mut text = String::new();
            letters.pop();
            while let Some(letter) = letters.pop().filter(|letter| *letter != '}') {
                text.push(letter);
            }
            let (min, max) = text.split_once(',').unwrap_or((&text, &text));
            let max = if max.is_empty() { usize::MAX } else { max.parse()? };
            return Ok((min.parse()?, max));
        }
        _ => return Ok((1, 1)),
    };
    letters.pop();
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_with_a_quantifier_is_one_run() {
        let parsed = parse("^[a-z0-9_-]{2,}$").unwrap();
        let ranges = vec![('a', 'z'), ('0', '9'), ('_', '_'), ('-', '-')];
        assert_eq!(parsed, [[Run { ranges, min: 2, max: usize::MAX }]]);
    }

    #[test]
    fn an_optional_tail_is_a_second_alternative() {
        let parsed = parse("s3://x(/.*)?").unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!((parsed[0].len(), parsed[1].len()), (6, 8));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in ["a|b", "(a)b", "[^a]", "\\p{L}", "a**"] {
            assert!(parse(pattern).is_err(), "{pattern}");
        }
    }
}
