//! Times as CloudTrail writes them: `2026-01-02T03:04:05Z`.

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_TO_EPOCH: i64 = 719_468; // from 0000-03-01 to 1970-01-01

/// A time in microseconds as CloudTrail writes it; `None` outside the years 0 to 9999. What is
/// shorter than a second is left out.
pub(crate) fn text(time_us: i64) -> Option<[u8; 20]> {
    let seconds = time_us.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = date(days);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let mut text = *b"0000-00-00T00:00:00Z";
    let mut two = |at: usize, number: i64| {
        text[at] += (number / 10) as u8;
        text[at + 1] += (number % 10) as u8;
    };
    two(0, year / 100);
    two(2, year % 100);
    two(5, month);
    two(8, day);
    two(11, second / 3_600);
    two(14, second / 60 % 60);
    two(17, second % 60);
    Some(text)
}

/// The day of the Gregorian calendar so many days after 1970-01-01. Years are counted from March, so
/// that the leap day comes last, and in eras of 400 years, which have 146,097 days each.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_written_as_jiff_writes_it() {
        let mut day = jiff::civil::date(0, 1, 1);
        loop {
            let written = format!("{day}T12:34:56Z");
            let time: jiff::Timestamp = written.parse().unwrap();
            let ours = text(time.as_microsecond()).unwrap();
            assert_eq!(std::str::from_utf8(&ours).unwrap(), written);
            let Ok(next) = day.tomorrow() else { break };
            // jiff's timestamps end a day before its dates do.
            if next == jiff::civil::date(9999, 12, 30) {
                break;
            }
            day = next;
        }
        assert_eq!(text(i64::MAX), None);
        assert_eq!(text(i64::MIN), None);
    }
}
