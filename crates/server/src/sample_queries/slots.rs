//! What a prompt says besides its subject: times, names, addresses, numbers. Each is taken out of
//! the prompt and becomes a condition.
//!
//! ```text
//!   "top 5 API calls of alice in eu-west-1 since 2026-01-01"
//!        ▼                ▼         ▼            ▼               rest: "API calls of in since"
//!     LIMIT 5     user's name    awsRegion   eventTime >=
//! ```

use jiff::{SignedDuration, Timestamp};

use super::words::{
    NO_NAMES, is_error_code, is_event_name, moment, number, service, start_of_day, unit,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slots {
    from: Option<Timestamp>,
    /// The first moment after it.
    to: Option<Timestamp>,
    user: Option<String>,
    role: Option<String>,
    event: Option<String>,
    source: Option<&'static str>,
    ip: Option<String>,
    error: Option<String>,
    region: Option<String>,
    limit: Option<u32>,
    /// As the prompt names the service of `source`.
    pub service_word: Option<String>,
    /// The prompt without what the slots took. Service names stay: samples have them as words.
    pub rest: String,
}

/// Clauses that end a WHERE.
const CLAUSES: [&str; 4] = ["GROUP BY ", "HAVING ", "ORDER BY ", "LIMIT "];
/// API reference: no result has more rows on a page; a prompt does not ask for more.
const LIMIT_MAX: u32 = 1000;

impl Slots {
    pub fn of(prompt: &str, now: Timestamp) -> Slots {
        let words: Vec<Word> = prompt.split_whitespace().filter_map(Word::of).collect();
        let mut slots = Slots::default();
        let mut rest = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let taken = slots.take(&words[at..], now);
            if taken == 0 {
                slots.note_service(&words[at..]);
                rest.push(words[at].text);
            } else if words[at].lower == "top" {
                // It takes a number, and tells something about the subject, too.
                rest.push(words[at].text);
            }
            at += taken.max(1);
        }
        slots.rest = rest.join(" ");
        slots
    }

    /// Nothing has been found.
    pub fn is_empty(&self) -> bool {
        Slots { rest: String::new(), limit: None, ..self.clone() } == Slots::default()
    }

    /// Enough to ask for events without a subject.
    pub fn names_something(&self) -> bool {
        let Slots { user, role, event, source, ip, error, region, .. } = self;
        [user, role, event, ip, error, region].into_iter().any(Option::is_some) || source.is_some()
    }

    /// Could these conditions and those of the statement hold together?
    pub fn agree_with(&self, sql: &str) -> bool {
        let source = self.source.is_none_or(|source| {
            !sql.contains("eventSource = '") || sql.contains(&format!("'{source}.amazonaws.com'"))
        });
        let event = self.event.as_ref().is_none_or(|event| {
            let fixed = ["eventName = ", "eventName IN ", "eventName LIKE "];
            !fixed.iter().any(|text| sql.contains(text)) || sql.contains(&format!("'{event}'"))
        });
        let error = self.error.is_none() || !sql.contains("errorCode IS NULL");
        source && event && error
    }

    /// The statement with these conditions and this number of rows.
    pub fn put_into(&self, sql: &str) -> String {
        let conditions: Vec<String> =
            self.conditions().into_iter().filter(|condition| !sql.contains(condition)).collect();
        let lines: Vec<&str> = sql.lines().collect();
        let is_clause = |line: &&str| CLAUSES.iter().any(|clause| line.starts_with(clause));
        let end = lines.iter().position(is_clause).unwrap_or(lines.len());
        let has_where = lines[..end].iter().any(|line| line.starts_with("WHERE "));
        let mut out: Vec<String> = lines[..end].iter().map(|line| (*line).to_owned()).collect();
        for (place, condition) in conditions.into_iter().enumerate() {
            let word = if place == 0 && !has_where { "WHERE" } else { "    AND" };
            out.push(format!("{word} {condition}"));
        }
        for line in &lines[end..] {
            out.push(match (line.strip_prefix("LIMIT "), self.limit) {
                (Some(_), Some(limit)) => format!("LIMIT {limit}"),
                _ => (*line).to_owned(),
            });
        }
        out.join("\n")
    }

    fn conditions(&self) -> Vec<String> {
        let time = |time: &Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let quoted = |text: &str| text.replace('\'', "''");
        let mut all = Vec::new();
        if let Some(from) = &self.from {
            all.push(format!("eventTime >= '{}'", time(from)));
        }
        if let Some(to) = &self.to {
            all.push(format!("eventTime < '{}'", time(to)));
        }
        match self.user.as_deref().map(quoted) {
            Some(arn) if arn.starts_with("arn:") => all.push(format!("userIdentity.arn = '{arn}'")),
            Some(user) => all.push(format!(
                "(userIdentity.userName = '{user}' OR userIdentity.arn LIKE '%/{user}')"
            )),
            None => {}
        }
        if let Some(role) = self.role.as_deref().map(quoted) {
            all.push(format!("(userIdentity.arn LIKE '%:role/{role}' OR userIdentity.arn LIKE '%:assumed-role/{role}/%')"));
        }
        if let Some(event) = self.event.as_deref().map(quoted) {
            all.push(format!("eventName = '{event}'"));
        }
        if let Some(source) = self.source {
            all.push(format!("eventSource = '{source}.amazonaws.com'"));
        }
        if let Some(ip) = &self.ip {
            all.push(format!("sourceIPAddress = '{ip}'"));
        }
        if let Some(error) = self.error.as_deref().map(quoted) {
            all.push(format!("errorCode LIKE '%{error}%'"));
        }
        if let Some(region) = &self.region {
            all.push(format!("awsRegion = '{region}'"));
        }
        all
    }

    /// How many of the next words a slot takes.
    fn take(&mut self, words: &[Word<'_>], now: Timestamp) -> usize {
        let taken = self.take_time(words, now);
        if taken > 0 {
            return taken;
        }
        let taken = self.take_limit(words);
        if taken > 0 {
            return taken;
        }
        let word = &words[0];
        if word.text.parse::<std::net::IpAddr>().is_ok() {
            self.ip = Some(word.text.to_owned());
            return 1;
        }
        if event::Region::parse(&word.lower).is_ok() && word.lower.contains('-') {
            self.region = Some(word.lower.clone());
            return 1;
        }
        if word.text.starts_with("arn:") || word.text.contains('@') {
            self.user = Some(word.text.to_owned());
            return 1;
        }
        if is_error_code(word.text) {
            self.error = Some(word.text.to_owned());
            return 1;
        }
        if is_event_name(word.text) {
            self.event = Some(word.text.to_owned());
            return 1;
        }
        self.take_name(words)
    }

    fn take_time(&mut self, words: &[Word<'_>], now: Timestamp) -> usize {
        let day = SignedDuration::from_hours(24);
        let today = start_of_day(now);
        let word = |at: usize| words.get(at).map_or("", |word| word.lower.as_str());
        let date = |at: usize| words.get(at).and_then(|word| moment(word.text));
        let back = |span: SignedDuration| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
        match word(0) {
            "yesterday" => {
                self.from = today.saturating_sub(day).ok();
                self.to = Some(today);
                1
            }
            "today" => {
                self.from = Some(today);
                1
            }
            "last" | "past" | "previous" => {
                if let Some(span) = unit(word(1)) {
                    self.from = Some(back(span));
                    return 2;
                }
                match (number(word(1)), unit(word(2))) {
                    (Some(count), Some(span)) => {
                        self.from = Some(back(span.saturating_mul(count)));
                        3
                    }
                    _ => 0,
                }
            }
            "this" => {
                let start = match word(1) {
                    "hour" | "minute" | "day" => Some(today),
                    "week" => {
                        // 1970-01-01 was a Thursday; weeks begin on Monday.
                        let days = today.as_second().div_euclid(86_400);
                        let since_monday = (days + 3).rem_euclid(7);
                        today.saturating_sub(SignedDuration::from_hours(24 * since_monday)).ok()
                    }
                    "month" => now.strftime("%Y-%m-01T00:00:00Z").to_string().parse().ok(),
                    "year" => now.strftime("%Y-01-01T00:00:00Z").to_string().parse().ok(),
                    _ => None,
                };
                if start.is_none() {
                    return 0;
                }
                self.from = start;
                2
            }
            "since" | "after" | "from" => match (word(1), date(1)) {
                ("yesterday", _) => {
                    self.from = today.saturating_sub(day).ok();
                    2
                }
                (_, Some((start, span))) => {
                    let after = start.saturating_add(span).unwrap_or(start);
                    self.from = Some(if word(0) == "after" { after } else { start });
                    2
                }
                _ => 0,
            },
            "before" | "until" | "till" | "to" => match date(1) {
                Some((start, span)) => {
                    let after = start.saturating_add(span).unwrap_or(start);
                    self.to = Some(if word(0) == "before" { start } else { after });
                    2
                }
                None => 0,
            },
            "between" => match (date(1), word(2), date(3)) {
                (Some((from, _)), "and", Some((to, span))) => {
                    self.from = Some(from);
                    self.to = to.saturating_add(span).ok();
                    4
                }
                _ => 0,
            },
            "on" => match date(1) {
                Some((start, span)) => {
                    self.from = Some(start);
                    self.to = start.saturating_add(span).ok();
                    2
                }
                None => 0,
            },
            _ => match (number(word(0)), unit(word(1)), word(2)) {
                (Some(count), Some(span), "ago") => {
                    self.from = Some(back(span.saturating_mul(count)));
                    3
                }
                _ => match date(0) {
                    Some((start, span)) => {
                        self.from = Some(start);
                        self.to = start.saturating_add(span).ok();
                        1
                    }
                    None => 0,
                },
            },
        }
    }

    fn take_limit(&mut self, words: &[Word<'_>]) -> usize {
        let word = |at: usize| words.get(at).map_or("", |word| word.lower.as_str());
        let count = |at| number(word(at)).and_then(|n| u32::try_from(n).ok());
        let limit = |n: u32| Some(n.clamp(1, LIMIT_MAX));
        match word(0) {
            "top" | "first" | "limit" | "newest" | "latest" | "last" => match count(1) {
                Some(n) => {
                    self.limit = limit(n);
                    2
                }
                None => 0,
            },
            _ => match (count(0), word(1)) {
                (Some(n), "most" | "newest" | "latest" | "top") => {
                    self.limit = limit(n);
                    1
                }
                _ => 0,
            },
        }
    }

    /// "user alice", "by alice", "did alice", "role deploy".
    fn take_name(&mut self, words: &[Word<'_>]) -> usize {
        let Some(next) = words.get(1) else { return 0 };
        let is_name = !NO_NAMES.contains(&next.lower.as_str())
            && service(&next.lower).is_none()
            && next.text.chars().all(|c| c.is_alphanumeric() || "+=,.@_-/:".contains(c));
        match words[0].lower.as_str() {
            "user" | "username" | "by" | "did" if is_name && !is_event_name(next.text) => {
                self.user = Some(next.text.to_owned());
                2
            }
            "role" if is_name && !next.lower.contains("session") => {
                self.role = Some(next.text.to_owned());
                2
            }
            _ => 0,
        }
    }

    fn note_service(&mut self, words: &[Word<'_>]) {
        if self.source.is_none() {
            self.source = service(&words[0].lower);
            self.service_word = self.source.map(|_| words[0].lower.clone());
        }
    }
}

/// A word of the prompt without the marks around it.
struct Word<'a> {
    text: &'a str,
    lower: String,
}

impl<'a> Word<'a> {
    fn of(text: &'a str) -> Option<Word<'a>> {
        let marks = |c: char| "?!,;:()[]\"'`".contains(c);
        let text = text.trim_matches(marks).trim_end_matches('.').trim_matches(marks);
        let text = text.strip_suffix("'s").unwrap_or(text);
        (!text.is_empty()).then(|| Word { text, lower: text.to_lowercase() })
    }
}
