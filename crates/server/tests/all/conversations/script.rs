//! The text of a conversation → what to say and what to hear.

use super::client::Call;
use crate::fresh_node::REGION;

#[derive(Debug)]
pub struct Script {
    pub exchanges: Vec<Exchange>,
}

#[derive(Debug)]
pub struct Exchange {
    pub line: usize,
    pub region: String,
    pub call: Call,
    /// Ask again until the answer fits.
    pub eventually: bool,
    /// None: it must succeed, whatever it says.
    pub answer: Option<Wanted>,
    /// The request as written.
    pub shown: String,
}

#[derive(Debug)]
pub struct Wanted {
    pub status: u16,
    /// The error's code; None for a success.
    pub code: Option<String>,
    /// JSON with placeholders: the body, or the error's message.
    pub body: String,
}

impl Script {
    /// The error begins with the line's number.
    pub fn parse(text: &str) -> Result<Script, String> {
        let mut region = REGION.to_owned();
        let mut exchanges: Vec<Exchange> = Vec::new();
        for (line, item) in items(text)? {
            let fault = |what: &str| format!("{line}\n    {what}: {item}");
            if let Some(said) = item.strip_prefix("> ") {
                if let Some(other) = said.strip_prefix("in ") {
                    region = other.trim().to_owned();
                    continue;
                }
                let (eventually, said) = match said.strip_prefix("eventually ") {
                    Some(rest) => (true, rest),
                    None => (false, said),
                };
                let call = call(&expanded(said)).ok_or_else(|| fault("no such call"))?;
                let (region, shown) = (region.clone(), said.to_owned());
                exchanges.push(Exchange { line, region, call, eventually, answer: None, shown });
            } else if let Some(heard) = item.strip_prefix("< ") {
                let last = exchanges.last_mut().filter(|exchange| exchange.answer.is_none());
                let last = last.ok_or_else(|| fault("an answer to nothing"))?;
                let wanted = wanted(&expanded(heard)).ok_or_else(|| fault("not an answer"))?;
                last.answer = Some(wanted);
            } else {
                return Err(fault("a line begins with >, <, # or space"));
            }
        }
        for exchange in &exchanges {
            if exchange.answer.is_none() && !matches!(exchange.call, Call::S3 { .. }) {
                return Err(format!("{}\n    a call without an answer", exchange.line));
            }
        }
        if exchanges.is_empty() {
            return Err("1\n    nothing is said".to_owned());
        }
        Ok(Script { exchanges })
    }
}

/// Lines with their continuations joined, without comments and blank lines.
fn items(text: &str) -> Result<Vec<(usize, String)>, String> {
    let mut items: Vec<(usize, String)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            items.push((i + 1, line.to_owned()));
            continue;
        }
        let (_, last) = items.last_mut().ok_or(format!("{}\n    continues nothing", i + 1))?;
        last.push(' ');
        last.push_str(line.trim_start());
    }
    Ok(items)
}

fn call(said: &str) -> Option<Call> {
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    let two = |text: &str| {
        let (a, b) = text.split_once(' ').unwrap_or((text, ""));
        (a.to_owned(), b.to_owned())
    };
    Some(match word {
        "sts" => Call::Sts { form: rest.to_owned() },
        "post" => Call::Post { body: rest.to_owned() },
        "lookup" => Call::Lookup { body: rest.to_owned() },
        "target" => {
            let (target, body) = two(rest);
            Call::Target { target, body }
        }
        "put" => {
            let (channel, entries) = two(rest);
            Call::Put { channel, entries }
        }
        "s3" => {
            let (operation, rest) = two(rest);
            let (bucket, rest) = two(&rest);
            Call::S3 { operation, bucket, rest }
        }
        "http" => {
            let (method, rest) = two(rest);
            let (path, body) = two(&rest);
            Call::Http { method, path, body }
        }
        name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Call::Operation {
            name: name.to_owned(),
            body: if rest.is_empty() { "{}".to_owned() } else { rest.to_owned() },
        },
        _ => return None,
    })
}

fn wanted(heard: &str) -> Option<Wanted> {
    let (status, rest) = heard.split_once(' ').unwrap_or((heard, ""));
    let status: u16 = status.parse().ok()?;
    if status < 300 {
        return Some(Wanted { status, code: None, body: rest.to_owned() });
    }
    let (code, message) = rest.split_once(' ')?;
    Some(Wanted { status, code: Some(code.to_owned()), body: message.to_owned() })
}

/// `<x*3>` → `xxx`; `<1..3: "k#">` → `"k1", "k2", "k3"`, the inner one first. Other angle brackets
/// stay.
fn expanded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '>'
            && let Some(open) = out.rfind('<')
            && let Some(repeated) = repeated(&out[open + 1..])
        {
            out.truncate(open);
            out.push_str(&repeated);
        } else {
            out.push(letter);
        }
    }
    out
}

fn repeated(inside: &str) -> Option<String> {
    if let Some((range, template)) = inside.split_once(": ") {
        let (first, last) = range.split_once("..")?;
        let numbers = first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?;
        let items: Vec<String> = numbers.map(|n| template.replace('#', &n.to_string())).collect();
        return Some(items.join(", "));
    }
    let (text, count) = inside.rsplit_once('*')?;
    Some(text.repeat(count.parse().ok()?))
}

#[test]
fn repetitions_are_written_out_and_placeholders_stay() {
    let cases = [
        ("<ab*3>", "ababab"),
        (r#"[<1..3: "k#">]"#, r#"["k1", "k2", "k3"]"#),
        (r#"<1..2: #<x*2>>"#, "1xx, 2xx"),
        ("a <time> <b*2>", "a <time> bb"),
        ("1 < 2", "1 < 2"),
    ];
    for (text, written_out) in cases {
        assert_eq!(expanded(text), written_out);
    }
}

#[test]
fn a_text_that_is_no_conversation_names_its_line() {
    let cases = [
        ("", "1\n"),
        ("> GetTrail {}\n", "1\n"),
        ("# x\n< 200 {}\n", "2\n"),
        ("> GetTrail {}\n< 200 {}\n< 200 {}\n", "3\n"),
        ("> getTrail {}\n< 200 {}\n", "1\n"),
        ("> GetTrail {}\n< fine\n", "2\n"),
        ("hello\n", "1\n"),
    ];
    for (text, line) in cases {
        let fault = Script::parse(text).unwrap_err();
        assert!(fault.starts_with(line), "{text:?}: {fault}");
    }
}
