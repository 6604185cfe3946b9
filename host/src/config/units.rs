//! Quantities as the site file writes them: a whole number and its unit, `"64MiB"`, `"50ms"` or `"240B/s"`.
//!
//! Owns their parsing and their printing; the reader decides which quantity a key takes, and its bounds.

use std::fmt;
use std::time::Duration;

use super::visible::quoted;
use crate::limits::{Quantity, Unit};

/// Bytes, written `"64MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteSize(pub(super) u64);

/// A length of time, written `"50ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimeSpan(pub(super) Duration);

/// Bytes a second, written `"240B/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteRate(pub(super) u64);

/// CPU time a second, written `"500ms/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CpuRate(pub(super) Duration);

pub(super) const NO_BYTES: ByteSize = ByteSize(0);
pub(super) const MAX_BYTES: ByteSize = ByteSize(u64::MAX);
pub(super) const NO_TIME: TimeSpan = TimeSpan(Duration::ZERO);
pub(super) const SOME_TIME: TimeSpan = TimeSpan(Duration::from_micros(1));
pub(super) const MAX_TIME: TimeSpan = TimeSpan(Duration::MAX);

/// The reason why a text is no quantity, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(super) struct UnitError {
    problem: String,
    /// The remedy.
    pub(super) help: String,
}

/// The largest size: the largest integer of TOML.
const MOST_BYTES: u64 = i64::MAX.unsigned_abs();

/// The longest duration, a year: every instant can be increased by it.
const MOST_MICROSECONDS: u64 = 8760 * 3_600_000_000;

/// The most CPU time a second: that of a hundred thousand processors.
const MOST_CPU_MICROSECONDS: u64 = 100_000 * 1_000_000;

struct Scale {
    /// Each unit with its value in the smallest one, smallest first.
    units: &'static [(&'static str, u64)],
    /// Other spellings, in lower case: the factor to the number, and the unit that is meant.
    aliases: &'static [(&'static str, u64, &'static str)],
    most: u64,
    /// The most, in words.
    most_written: &'static str,
    example: &'static str,
}

const BYTES: Scale = Scale {
    units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
    aliases: &[
        ("b", 1, "B"),
        ("byte", 1, "B"),
        ("bytes", 1, "B"),
        ("k", 1, "KiB"),
        ("kb", 1, "KiB"),
        ("ki", 1, "KiB"),
        ("kib", 1, "KiB"),
        ("m", 1, "MiB"),
        ("mb", 1, "MiB"),
        ("mi", 1, "MiB"),
        ("mib", 1, "MiB"),
        ("g", 1, "GiB"),
        ("gb", 1, "GiB"),
        ("gi", 1, "GiB"),
        ("gib", 1, "GiB"),
        ("t", 1024, "GiB"),
        ("tb", 1024, "GiB"),
        ("ti", 1024, "GiB"),
        ("tib", 1024, "GiB"),
    ],
    most: MOST_BYTES,
    most_written: "8589934591GiB",
    example: "64MiB",
};

const RATE: Scale = Scale {
    units: &[("B/s", 1), ("KiB/s", 1 << 10), ("MiB/s", 1 << 20), ("GiB/s", 1 << 30)],
    aliases: &[
        ("b", 1, "B/s"),
        ("b/s", 1, "B/s"),
        ("bytes/s", 1, "B/s"),
        ("kb", 1, "KiB/s"),
        ("kib", 1, "KiB/s"),
        ("k/s", 1, "KiB/s"),
        ("kb/s", 1, "KiB/s"),
        ("kib/s", 1, "KiB/s"),
        ("mb", 1, "MiB/s"),
        ("mib", 1, "MiB/s"),
        ("m/s", 1, "MiB/s"),
        ("mb/s", 1, "MiB/s"),
        ("mib/s", 1, "MiB/s"),
        ("gb/s", 1, "GiB/s"),
        ("gib/s", 1, "GiB/s"),
    ],
    most: MOST_BYTES,
    most_written: "8589934591GiB/s",
    example: "240B/s",
};

const CPU_RATE: Scale = Scale {
    units: &[("us/s", 1), ("ms/s", 1000), ("s/s", 1_000_000)],
    aliases: &[
        ("us", 1, "us/s"),
        ("µs/s", 1, "us/s"),
        ("ms", 1, "ms/s"),
        ("s", 1, "s/s"),
        ("sec/s", 1, "s/s"),
        ("%", 10, "ms/s"),
        ("core", 1, "s/s"),
        ("cores", 1, "s/s"),
        ("cpu", 1, "s/s"),
        ("cpus", 1, "s/s"),
        ("m", 1, "ms/s"),
    ],
    most: MOST_CPU_MICROSECONDS,
    most_written: "100000s/s",
    example: "500ms/s",
};

const TIME: Scale = Scale {
    units: &[("us", 1), ("ms", 1000), ("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000)],
    aliases: &[
        ("µs", 1, "us"),
        ("μs", 1, "us"),
        ("us", 1, "us"),
        ("usec", 1, "us"),
        ("ms", 1, "ms"),
        ("msec", 1, "ms"),
        ("millis", 1, "ms"),
        ("s", 1, "s"),
        ("sec", 1, "s"),
        ("secs", 1, "s"),
        ("second", 1, "s"),
        ("seconds", 1, "s"),
        ("m", 1, "min"),
        ("min", 1, "min"),
        ("mins", 1, "min"),
        ("minute", 1, "min"),
        ("minutes", 1, "min"),
        ("h", 1, "h"),
        ("hr", 1, "h"),
        ("hour", 1, "h"),
        ("hours", 1, "h"),
        ("d", 24, "h"),
        ("day", 24, "h"),
        ("days", 24, "h"),
        ("w", 168, "h"),
        ("week", 168, "h"),
        ("weeks", 168, "h"),
    ],
    most: MOST_MICROSECONDS,
    most_written: "8760h, a year",
    example: "50ms",
};

impl ByteSize {
    /// Reads a size: a whole number and `B`, `KiB`, `MiB` or `GiB`.
    pub(super) fn parse(text: &str) -> Result<Self, UnitError> {
        BYTES.parse(text).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BYTES.print(self.0, f)
    }
}

/// Bytes as the site file writes them: `64MiB`.
pub fn written_size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A time as the site file writes it: `50ms`.
pub fn written_time(time: Duration) -> String {
    TimeSpan(time).to_string()
}

/// An amount of the smallest parts of a limit's unit, as the site file writes it.
pub fn written(unit: Unit, parts: u64) -> String {
    match unit {
        Unit::Time => written_time(Quantity::from_parts(parts)),
        Unit::Bytes => written_size(parts),
        Unit::Count => parts.to_string(),
    }
}

impl TimeSpan {
    /// Reads a duration: a whole number and `us`, `ms`, `s`, `min` or `h`.
    pub(super) fn parse(text: &str) -> Result<Self, UnitError> {
        TIME.parse(text).map(|microseconds| Self(Duration::from_micros(microseconds)))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TIME.print(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), f)
    }
}

impl ByteRate {
    /// Reads a rate: a whole number and `B/s`, `KiB/s`, `MiB/s` or `GiB/s`.
    pub(super) fn parse(text: &str) -> Result<Self, UnitError> {
        RATE.parse(text).map(Self)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RATE.print(self.0, f)
    }
}

impl CpuRate {
    /// Reads a rate: a whole number and `us/s`, `ms/s` or `s/s`.
    pub(super) fn parse(text: &str) -> Result<Self, UnitError> {
        CPU_RATE.parse(text).map(|microseconds| Self(Duration::from_micros(microseconds)))
    }
}

impl fmt::Display for CpuRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CPU_RATE.print(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), f)
    }
}

impl Scale {
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        if digits.is_empty() {
            return Err(self.error(format!("{} does not begin with a whole number", quoted(text))));
        }
        let number: u64 = digits.parse().map_err(|_| self.too_much(text))?;
        if let Some((_, worth)) = self.units.iter().find(|(name, _)| *name == unit) {
            let total = number.checked_mul(*worth).filter(|total| *total <= self.most);
            return total.ok_or_else(|| self.too_much(text));
        }
        let spelled = unit.trim().to_lowercase();
        if spelled.is_empty() {
            return Err(self.error(format!("{} has no unit", quoted(text))));
        }
        let meant = self.aliases.iter().find(|(name, ..)| *name == spelled);
        let meant = meant.and_then(|(_, factor, unit)| Some((number.checked_mul(*factor)?, unit)));
        Err(match meant {
            Some((number, meant)) if unit != unit.trim() && unit.trim() == *meant => UnitError {
                problem: format!("{} has a space in it", quoted(text)),
                help: format!("write \"{number}{meant}\""),
            },
            Some((number, meant)) => UnitError {
                problem: format!("{} is not a unit here", quoted(unit.trim())),
                help: format!("did you mean \"{number}{meant}\"? {}", self.form()),
            },
            None if unit.starts_with(['.', ',']) => {
                self.error(format!("{} is not a whole number of a unit", quoted(text)))
            }
            None => self.error(format!("{} is not a unit here", quoted(unit.trim()))),
        })
    }

    fn print(&self, amount: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |worth: u64| amount != 0 && amount.checked_rem(worth) == Some(0);
        let (unit, worth) =
            self.units.iter().rev().find(|(_, worth)| fits(*worth)).copied().unwrap_or(match self.units {
                [smallest, ..] => *smallest,
                [] => ("", 1),
            });
        write!(f, "{}{unit}", amount.checked_div(worth).unwrap_or(amount))
    }

    fn error(&self, problem: String) -> UnitError {
        UnitError { problem, help: self.form() }
    }

    fn too_much(&self, text: &str) -> UnitError {
        UnitError {
            problem: format!("{} is too much", quoted(text)),
            help: format!("the most that can be written is {}", self.most_written),
        }
    }

    fn form(&self) -> String {
        let units: Vec<_> = self.units.iter().map(|(unit, _)| *unit).collect();
        format!("write a whole number and one of {}, as in \"{}\"", units.join(", "), self.example)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_whole_numbers_with_a_binary_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("1B", 1),
            ("1023B", 1023),
            ("64KiB", 65536),
            ("64MiB", 67_108_864),
            ("1GiB", 1_073_741_824),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        for (text, microseconds) in [
            ("0us", 0),
            ("7us", 7),
            ("50ms", 50_000),
            ("30s", 30_000_000),
            ("5min", 300_000_000),
            ("2h", 7_200_000_000),
        ] {
            assert_eq!(TimeSpan::parse(text), Ok(TimeSpan(Duration::from_micros(microseconds))), "{text}");
            assert_eq!(TimeSpan(Duration::from_micros(microseconds)).to_string(), text);
        }
    }

    #[test]
    fn rates_are_whole_numbers_with_a_unit_a_second() {
        for (text, bytes) in [("0B/s", 0), ("240B/s", 240), ("1KiB/s", 1024), ("64MiB/s", 67_108_864)] {
            assert_eq!(ByteRate::parse(text), Ok(ByteRate(bytes)), "{text}");
            assert_eq!(ByteRate(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_unit_is_answered_with_the_right_one() {
        for (text, right) in [
            ("64MB", "\"64MiB\""),
            ("64mb", "\"64MiB\""),
            ("64M", "\"64MiB\""),
            ("64 MiB", "\"64MiB\""),
            ("2TB", "\"2048GiB\""),
            ("64", "B, KiB, MiB, GiB"),
            ("1.5GiB", "B, KiB, MiB, GiB"),
            ("-1B", "B, KiB, MiB, GiB"),
            ("99999999999999999999B", "8589934591GiB"),
            ("8589934592GiB", "8589934591GiB"),
        ] {
            let help = ByteSize::parse(text).unwrap_err().help;
            assert!(help.contains(right), "{text}: {help}");
        }
        for (text, right) in [
            ("5m", "\"5min\""),
            ("5 s", "\"5s\""),
            ("5sec", "\"5s\""),
            ("5µs", "\"5us\""),
            ("2d", "\"48h\""),
            ("8761h", "8760h"),
            ("1h30min", "us, ms, s, min, h"),
            ("", "us, ms, s, min, h"),
        ] {
            let help = TimeSpan::parse(text).unwrap_err().help;
            assert!(help.contains(right), "{text}: {help}");
        }
        for (text, right) in [
            ("240B", "\"240B/s\""),
            ("1kB/s", "\"1KiB/s\""),
            ("1 MiB/s", "\"1MiB/s\""),
            ("240", "B/s, KiB/s, MiB/s, GiB/s"),
            ("8589934592GiB/s", "8589934591GiB/s"),
        ] {
            let help = ByteRate::parse(text).unwrap_err().help;
            assert!(help.contains(right), "{text}: {help}");
        }
        for (text, right) in [
            ("500ms", "\"500ms/s\""),
            ("50%", "\"500ms/s\""),
            ("2 cores", "\"2s/s\""),
            ("500", "us/s, ms/s, s/s"),
            ("100001s/s", "100000s/s"),
        ] {
            let help = CpuRate::parse(text).unwrap_err().help;
            assert!(help.contains(right), "{text}: {help}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(amount in 0..=MOST_MICROSECONDS) {
            let (size, time) = (ByteSize(amount), TimeSpan(Duration::from_micros(amount)));
            let rate = ByteRate(amount);
            prop_assert_eq!(ByteRate::parse(&rate.to_string()), Ok(rate));
            let cpu = CpuRate(Duration::from_micros(amount.min(MOST_CPU_MICROSECONDS)));
            prop_assert_eq!(CpuRate::parse(&cpu.to_string()), Ok(cpu));
            prop_assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
            prop_assert_eq!(TimeSpan::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,12}", number in any::<u64>()) {
            let _ = (ByteSize::parse(&text), TimeSpan::parse(&text));
            let text = format!("{number}{text}");
            let _ = (ByteSize::parse(&text), TimeSpan::parse(&text));
        }
    }
}
