//! The little XML that S3 answers with: error codes and listings.
//!
//! Not a parser: it finds elements by their name in documents whose shape S3 fixes, and answers
//! `None` where they are not as expected. Input is hostile: nothing here panics or recurses.

use percent_encoding::percent_decode_str;

use super::{ListPage, ListedObject};

/// The text of the first element `name`, entities resolved.
pub(super) fn text_of(xml: &str, name: &str) -> Option<String> {
    raw_text_of(xml, name).map(unescape)
}

fn raw_text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

/// Reads an answer to ListObjectsV2.
pub(super) fn list_page(body: &[u8]) -> Option<ListPage> {
    let xml = std::str::from_utf8(body).ok()?;
    if !xml.contains("<ListBucketResult") {
        return None;
    }
    let url_encoded = text_of(xml, "EncodingType").as_deref() == Some("url");
    let mut objects = Vec::new();
    for contents in xml.split("<Contents>").skip(1) {
        let (contents, _) = contents.split_once("</Contents>")?;
        let key = text_of(contents, "Key")?;
        let key = if url_encoded {
            // Form encoding: a space may be a plus, a plus is always %2B.
            percent_decode_str(&key.replace('+', " ")).decode_utf8().ok()?.into_owned()
        } else {
            key
        };
        let size = text_of(contents, "Size")?.parse().ok()?;
        objects.push(ListedObject { key, size });
    }
    let truncated = text_of(xml, "IsTruncated").as_deref() == Some("true");
    let next = if truncated { Some(text_of(xml, "NextContinuationToken")?) } else { None };
    Some(ListPage { objects, next })
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let Some((entity, after_entity)) = after.split_once(';') else {
            plain.push('&');
            rest = after;
            continue;
        };
        let character = match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => numeric(entity),
        };
        match character {
            Some(character) => {
                plain.push(character);
                rest = after_entity;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn numeric(entity: &str) -> Option<char> {
    let digits = entity.strip_prefix('#')?;
    let number = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(number)
}
