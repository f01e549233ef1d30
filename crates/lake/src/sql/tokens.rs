//! From text to tokens, with what CloudTrail Lake adds to SQL's words.
//!
//! A store is named by its UUID without quotes, `$EDS_ID` stands for one in published samples, and
//! a dashboard's statement has `'?'` where a parameter goes. None of them is SQL. The first two are
//! replaced in the text by a word of the same length, outside strings and comments, so that every
//! position stays the user's; the third is replaced in the tokens.
//!
//! Here also, all words become lower-case: Trino's identifiers ignore case, quoted or not. What the
//! user wrote is kept by position, because result columns are named as written.

use std::collections::HashMap;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::dialect::Trino;
use super::error::{Position, QueryError};

/// The tokens of a query and the words that were written otherwise than they now read.
pub struct Tokens {
    pub tokens: Vec<TokenWithSpan>,
    pub written: HashMap<Position, String>,
}

/// Cuts `text` into tokens. `parameters` take the place of the `'?'` in order; with none given, a
/// `'?'` is an ordinary string.
pub fn tokenize(text: &str, parameters: &[String]) -> Result<Tokens, QueryError> {
    let (sql, stand_ins) = replace_names(text);
    let mut tokens = Tokenizer::new(&Trino, &sql).tokenize_with_location().map_err(|error| {
        QueryError::Syntax { at: error.location.into(), message: error.message }
    })?;
    let mut written = HashMap::new();
    for token in &mut tokens {
        let Token::Word(word) = &mut token.token else { continue };
        let at = Position::from(token.span.start);
        let original = match stand_ins.get(&at) {
            Some(name) => {
                *word = quoted(name);
                name.clone()
            }
            None => word.value.clone(),
        };
        word.value = as_spelled(original.to_lowercase());
        if word.value != original {
            written.insert(at, original);
        }
    }
    fill_placeholders(&mut tokens, parameters)?;
    Ok(Tokens { tokens, written })
}

/// AWS's schema page misspells two names, and queries copied from it do so too.
fn as_spelled(name: String) -> String {
    match name.as_str() {
        "credentiaisissuedto" => "credentialsissuedto".to_owned(),
        "errormssage" => "errormessage".to_owned(),
        _ => name,
    }
}

/// Puts each parameter where a placeholder is. A bare `?` may also stand for a store.
fn fill_placeholders(
    tokens: &mut [TokenWithSpan],
    parameters: &[String],
) -> Result<(), QueryError> {
    if parameters.is_empty() {
        return Ok(());
    }
    let mut expected = 0;
    for token in tokens {
        let bare = matches!(&token.token, Token::Placeholder(text) if text == "?");
        let in_quotes = matches!(&token.token, Token::SingleQuotedString(text) if text == "?");
        if !bare && !in_quotes {
            continue;
        }
        let value = parameters.get(expected);
        expected += 1;
        let Some(value) = value else { continue };
        token.token = if bare && uuid_length(value.as_bytes()) == Some(value.len()) {
            Token::Word(quoted(&value.to_lowercase()))
        } else {
            Token::SingleQuotedString(value.clone())
        };
    }
    if expected == parameters.len() {
        return Ok(());
    }
    Err(QueryError::Parameters { expected, given: parameters.len() })
}

fn quoted(name: &str) -> Word {
    Word { value: name.to_owned(), quote_style: Some('"'), keyword: Keyword::NoKeyword }
}

/// The text with a plain word in place of each UUID and each `$NAME`, and what stood there.
fn replace_names(text: &str) -> (String, HashMap<Position, String>) {
    let mut sql = String::with_capacity(text.len());
    let mut stand_ins = HashMap::new();
    let mut at = Location { line: 1, column: 1 };
    let mut rest = text;
    let mut inside_word = false;
    while let Some(first) = rest.chars().next() {
        let length = if inside_word { None } else { name_length(rest) };
        let taken = match length {
            Some(length) => {
                let name = &rest[..length];
                stand_ins.insert(Position::from(at), name.to_owned());
                sql.push('u');
                sql.extend(name.chars().skip(1).map(|c| if c == '-' { '_' } else { c }));
                name
            }
            None => {
                let opaque = opaque_length(rest).unwrap_or(first.len_utf8());
                sql.push_str(&rest[..opaque]);
                &rest[..opaque]
            }
        };
        inside_word = taken.chars().next_back().is_some_and(is_word_letter);
        for letter in taken.chars() {
            at = match letter {
                '\n' => Location { line: at.line + 1, column: 1 },
                _ => Location { line: at.line, column: at.column + 1 },
            };
        }
        rest = &rest[taken.len()..];
    }
    (sql, stand_ins)
}

fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

/// How long a string, quoted identifier or comment at the start of `text` is.
fn opaque_length(text: &str) -> Option<usize> {
    let (skip, end) = match text.as_bytes() {
        [b'\'', ..] => (1, "'"),
        [b'"', ..] => (1, "\""),
        [b'-', b'-', ..] => (2, "\n"),
        [b'/', b'*', ..] => (2, "*/"),
        _ => return None,
    };
    // A doubled quote ends one string and begins the next, which comes to the same.
    Some(text[skip..].find(end).map_or(text.len(), |found| skip + found + end.len()))
}

/// How long a UUID or `$NAME` at the start of `text` is.
fn name_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let length = uuid_length(bytes).or_else(|| dollar_name_length(bytes))?;
    let next = text[length..].chars().next();
    (!next.is_some_and(|letter| is_word_letter(letter) || letter == '-')).then_some(length)
}

fn uuid_length(bytes: &[u8]) -> Option<usize> {
    let uuid = bytes.get(..36)?;
    let fits = uuid.iter().enumerate().all(|(i, byte)| match i {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    fits.then_some(36)
}

fn dollar_name_length(bytes: &[u8]) -> Option<usize> {
    let [b'$', first, ..] = bytes else { return None };
    if !first.is_ascii_alphabetic() {
        return None;
    }
    let name = bytes[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    Some(1 + name)
}

#[cfg(test)]
mod tests;
