//! Points in time, as files and HTTP know them (RFC 9110 §5.6.7). Without the standard library, so by hand; the tests
//! hold it against another project's.

use alloc::string::String;
use alloc::vec::Vec;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// 9999-12-31 23:59:59, the last second that an HTTP date can say.
const LAST_SECOND: u64 = 253_402_300_799;

/// A point in time since 1970, UTC; ordered as time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    pub(crate) seconds: u64,
    pub(crate) nanoseconds: u32,
}

/// `seconds` since 1970 as an HTTP date. What lies past the year 9999 is written as its end.
pub(crate) fn format(seconds: u64) -> String {
    let seconds = seconds.min(LAST_SECOND);
    let (days, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil(days);
    let name_in = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or_default()
    };
    let (weekday, month) = (name_in(&WEEKDAYS, days % 7), name_in(&MONTHS, month - 1));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// The second that an HTTP date names, in any of the three forms that a recipient must read; none if it is no date
/// since 1970, and such a header field is to be ignored.
pub(crate) fn parse(value: &[u8]) -> Option<u64> {
    let words: Vec<_> = core::str::from_utf8(value).ok()?.split_ascii_whitespace().collect();
    let (weekday, year, month, day, time) = match *words.as_slice() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [weekday, day, month, year, time, "GMT"] => {
            (weekday.strip_suffix(',')?, number(year, 4)?, month, day, time)
        }
        // Sunday, 06-Nov-94 08:49:37 GMT
        [weekday, date, time, "GMT"] => {
            let (day, (month, year)) =
                date.split_once('-').and_then(|(day, rest)| Some((day, rest.split_once('-')?)))?;
            let year = number(year, 2)?;
            let year = if year < 70 { year + 2000 } else { year + 1900 };
            (weekday.strip_suffix(',')?, year, month, day, time)
        }
        // Sun Nov  6 08:49:37 1994
        [weekday, month, day, time, year] => (weekday, number(year, 4)?, month, day, time),
        _ => return None,
    };
    WEEKDAYS.iter().find(|name| weekday.starts_with(**name))?;
    let month = MONTHS.iter().zip(1..).find_map(|(name, number)| (*name == month).then_some(number))?;
    let day = number(day, day.len().clamp(1, 2)).filter(|day| *day > 0)?;
    let days = days_before(year, month).checked_add(day - 1)?;
    // A day that its month lacks is one of the next.
    (year >= 1970 && civil(days) == (year, month, day)).then_some(())?;
    Some(days * DAY_SECONDS + second_of_day(time)?)
}

fn second_of_day(time: &str) -> Option<u64> {
    let (hour, rest) = time.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    // The 60 is a leap second's.
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// A number of so many digits.
fn number(digits: &str, count: usize) -> Option<u64> {
    let is_number = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The days from 1970 to the first of a month; 0 before 1970. A year begins in March here: the leap day is its last.
fn days_before(year: u64, month: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5;
    days.saturating_sub(DAYS_TO_1970)
}

/// From March of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;

/// Year, month and day of a day since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn dates_are_written_in_the_preferred_form_and_read_in_all_three() {
        assert_eq!(format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        for (value, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 16 08:49:37 1994", Some(784_975_777)),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Wed, 29 Feb 2023 00:00:00 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 31 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:60:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 94 08:49:37 GMT", None),
            ("Sun, 06 Nov 0000 08:49:37 GMT", None),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
            ("Abc, 06 Nov 1994 08:49:37 GMT", None),
            ("784111777", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(parse(&[0xff]), None);
    }

    #[test]
    fn another_project_writes_the_same_dates() {
        // A step that meets every day of the year at every hour.
        let mut second = 0;
        while second <= LAST_SECOND {
            let text = format(second);
            assert_eq!(text, httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second)));
            assert_eq!(parse(text.as_bytes()), Some(second), "{text}");
            second += 86_400 * 3 + 3_607;
        }
    }
}
