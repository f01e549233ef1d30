//! How a time is written: MySQL's `%Y-%m-%d %H:%i:%s` and Joda's `yyyy-MM-dd HH:mm:ss`.
//!
//! Both become the same pieces, which write a time and read one.

use jiff::civil::{Date, DateTime};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// At least so many digits.
    Number(Part, usize),
    MonthName {
        short: bool,
    },
    DayName {
        short: bool,
    },
    Halfday,
    /// `Z` or `+0000`: always UTC.
    Zone(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalfday,
    Minute,
    Second,
    /// Its digits are those after the point.
    Fraction,
    Week,
    WeekYear,
    DayOfWeek,
}

#[derive(Debug)]
pub struct Pattern(Vec<Piece>);

impl Pattern {
    /// MySQL's specifiers, as Trino documents `date_format`.
    pub fn mysql(format: &str) -> Result<Self, String> {
        use Part::{
            Day, DayOfYear, Fraction, Hour, HourOfHalfday, Minute, Month, Second, Week, WeekYear,
            Year, YearOfCentury,
        };
        let mut pieces = Vec::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                push_text(&mut pieces, letter);
                continue;
            }
            let specifier = letters.next().ok_or("the format ends with %")?;
            let piece = match specifier {
                'a' => Piece::DayName { short: true },
                'b' => Piece::MonthName { short: true },
                'c' => Piece::Number(Month, 1),
                'd' => Piece::Number(Day, 2),
                'e' => Piece::Number(Day, 1),
                'f' => Piece::Number(Fraction, 6),
                'H' => Piece::Number(Hour, 2),
                'h' | 'I' => Piece::Number(HourOfHalfday, 2),
                'i' => Piece::Number(Minute, 2),
                'j' => Piece::Number(DayOfYear, 3),
                'k' => Piece::Number(Hour, 1),
                'l' => Piece::Number(HourOfHalfday, 1),
                'M' => Piece::MonthName { short: false },
                'm' => Piece::Number(Month, 2),
                'p' => Piece::Halfday,
                'S' | 's' => Piece::Number(Second, 2),
                'v' => Piece::Number(Week, 2),
                'W' => Piece::DayName { short: false },
                'x' => Piece::Number(WeekYear, 4),
                'Y' => Piece::Number(Year, 4),
                'y' => Piece::Number(YearOfCentury, 2),
                'T' => {
                    pieces.extend(Self::mysql("%H:%i:%s")?.0);
                    continue;
                }
                'r' => {
                    pieces.extend(Self::mysql("%h:%i:%s %p")?.0);
                    continue;
                }
                'D' | 'U' | 'u' | 'V' | 'w' | 'X' => {
                    return Err(format!("%{specifier} not supported in date format string"));
                }
                other => {
                    push_text(&mut pieces, other);
                    continue;
                }
            };
            pieces.push(piece);
        }
        Ok(Self(pieces))
    }

    /// Joda's letters, as Trino documents `format_datetime`.
    pub fn joda(format: &str) -> Result<Self, String> {
        use Part::{
            Day, DayOfWeek, DayOfYear, Fraction, Hour, HourOfHalfday, Minute, Month, Second, Week,
            WeekYear, Year, YearOfCentury,
        };
        let mut pieces = Vec::new();
        let mut letters = format.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                if letters.next_if_eq(&'\'').is_some() {
                    push_text(&mut pieces, '\'');
                    continue;
                }
                for quoted in letters.by_ref().take_while(|letter| *letter != '\'') {
                    push_text(&mut pieces, quoted);
                }
                continue;
            }
            let mut count = 1;
            while letters.next_if_eq(&letter).is_some() {
                count += 1;
            }
            let piece = match letter {
                'y' | 'Y' if count == 2 => Piece::Number(YearOfCentury, 2),
                'y' | 'Y' => Piece::Number(Year, count),
                'x' => Piece::Number(WeekYear, count),
                'w' => Piece::Number(Week, count),
                'e' => Piece::Number(DayOfWeek, count),
                'E' => Piece::DayName { short: count < 4 },
                'D' => Piece::Number(DayOfYear, count),
                'M' if count > 2 => Piece::MonthName { short: count == 3 },
                'M' => Piece::Number(Month, count),
                'd' => Piece::Number(Day, count),
                'a' => Piece::Halfday,
                'h' => Piece::Number(HourOfHalfday, count),
                'H' => Piece::Number(Hour, count),
                'm' => Piece::Number(Minute, count),
                's' => Piece::Number(Second, count),
                'S' => Piece::Number(Fraction, count),
                'Z' if count == 1 => Piece::Zone("+0000"),
                'Z' if count == 2 => Piece::Zone("+00:00"),
                'z' | 'Z' => Piece::Zone("UTC"),
                other if other.is_ascii_alphabetic() => {
                    return Err(format!("Illegal pattern component: {other}"));
                }
                other => {
                    (0..count).for_each(|_| push_text(&mut pieces, other));
                    continue;
                }
            };
            pieces.push(piece);
        }
        Ok(Self(pieces))
    }

    pub fn write(&self, at: DateTime) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Number(Part::Fraction, digits) => {
                    let nanoseconds = format!("{:09}", at.subsec_nanosecond());
                    text.push_str(&nanoseconds[..(*digits).min(9)]);
                }
                Piece::Number(part, digits) => {
                    let number = number_of(*part, at);
                    text.push_str(&format!("{number:0digits$}"));
                }
                Piece::MonthName { short } => {
                    let month = usize::try_from(at.month() - 1).unwrap_or(0);
                    text.push_str(shortened(MONTHS[month], *short));
                }
                Piece::DayName { short } => {
                    let day = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
                    text.push_str(shortened(DAYS[day], *short));
                }
                Piece::Halfday => text.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
                Piece::Zone(utc) => text.push_str(utc),
            }
        }
        text
    }

    /// `None` if the text is not so written. What it does not say is that of 1970-01-01 00:00.
    pub fn read(&self, text: &str) -> Option<DateTime> {
        let mut rest = text;
        let mut fields = Fields::default();
        for piece in &self.0 {
            rest = match piece {
                Piece::Text(literal) => rest.strip_prefix(literal.as_str())?,
                Piece::Number(part, digits) => {
                    let most = match part {
                        Part::Year | Part::WeekYear => (*digits).max(4),
                        Part::Fraction => 9,
                        Part::DayOfYear => 3,
                        _ => (*digits).max(2),
                    };
                    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                    let (number, after) = rest.split_at(length);
                    fields.set(*part, number)?;
                    after
                }
                Piece::MonthName { short } => {
                    let (index, after) = strip_name(rest, &MONTHS, *short)?;
                    fields.month = i8::try_from(index + 1).ok()?;
                    after
                }
                Piece::DayName { short } => strip_name(rest, &DAYS, *short)?.1,
                Piece::Halfday => {
                    let half = rest.get(..2)?.to_ascii_uppercase();
                    fields.afternoon = Some(match half.as_str() {
                        "AM" => false,
                        "PM" => true,
                        _ => return None,
                    });
                    &rest[2..]
                }
                Piece::Zone(_) => {
                    let zones = ["UTC", "Z", "+00:00", "+0000"];
                    zones.iter().find_map(|zone| rest.strip_prefix(zone))?
                }
            };
        }
        if rest.is_empty() { fields.time() } else { None }
    }
}

fn push_text(pieces: &mut Vec<Piece>, letter: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(letter),
        _ => pieces.push(Piece::Text(letter.to_string())),
    }
}

fn shortened(name: &str, short: bool) -> &str {
    if short { &name[..3] } else { name }
}

fn strip_name<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = shortened(name, short);
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (index, &text[name.len()..]))
    })
}

fn number_of(part: Part, at: DateTime) -> i64 {
    let hour = i64::from(at.hour());
    match part {
        Part::Year => at.year().into(),
        Part::YearOfCentury => i64::from(at.year()).rem_euclid(100),
        Part::Month => at.month().into(),
        Part::Day => at.day().into(),
        Part::DayOfYear => at.date().day_of_year().into(),
        Part::Hour => hour,
        Part::HourOfHalfday => (hour + 11) % 12 + 1,
        Part::Minute => at.minute().into(),
        Part::Second => at.second().into(),
        Part::Fraction => at.subsec_nanosecond().into(),
        Part::Week => at.date().iso_week_date().week().into(),
        Part::WeekYear => at.date().iso_week_date().year().into(),
        Part::DayOfWeek => at.weekday().to_monday_one_offset().into(),
    }
}

struct Fields {
    year: i16,
    month: i8,
    day: i8,
    day_of_year: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            minute: 0,
            second: 0,
            nanosecond: 0,
            afternoon: None,
        }
    }
}

impl Fields {
    fn set(&mut self, part: Part, digits: &str) -> Option<()> {
        match part {
            Part::Year => self.year = digits.parse().ok()?,
            // Joda: the century that is nearest to 1970.
            Part::YearOfCentury => {
                let year: i16 = digits.parse().ok()?;
                self.year = if year < 70 { 2000 + year } else { 1900 + year };
            }
            Part::Month => self.month = digits.parse().ok()?,
            Part::Day => self.day = digits.parse().ok()?,
            Part::DayOfYear => self.day_of_year = Some(digits.parse().ok()?),
            Part::Hour | Part::HourOfHalfday => self.hour = digits.parse().ok()?,
            Part::Minute => self.minute = digits.parse().ok()?,
            Part::Second => self.second = digits.parse().ok()?,
            Part::Fraction if digits.is_empty() => return None,
            Part::Fraction => self.nanosecond = format!("{digits:0<9}").parse().ok()?,
            Part::Week | Part::WeekYear | Part::DayOfWeek => return None,
        }
        Some(())
    }

    fn time(&self) -> Option<DateTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.day_of_year {
            Some(day) => Date::new(self.year, 1, 1).ok()?.with().day_of_year(day).build().ok()?,
            None => Date::new(self.year, self.month, self.day).ok()?,
        };
        let time = jiff::civil::Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        Some(date.to_datetime(time))
    }
}
