//! One log line as text: its time, its level, its message and its fields.
//!
//! Does not know where lines go, and leaves it to `escape` to make text harmless. A line is written straight into one
//! buffer, in the order of the calls; no field is kept apart.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

use super::Blame;
use super::escape::{cut, is_bare, push_message, push_quoted};
use crate::tenant::{PluginName, TenantName};

/// The initial capacity: enough for an access line of ordinary length.
const USUAL_LINE_BYTES: usize = 448;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: `2026-11-21T10:00:00.123Z INFO  message key=value`.
    Text,
    /// [`Format::Text`] with ANSI colours, for a terminal.
    ColouredText,
    /// For programs: one JSON object a line, with `time`, `level` and `message` first.
    Json,
}

/// The importance of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the search for a fault.
    Debug,
    /// An ordinary event.
    Info,
    /// Something was refused or dropped; the host goes on as before.
    Warn,
    /// The host could not do what it should.
    Error,
}

impl Level {
    /// The level in lower case, as in JSON lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    fn padded(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO ",
            Self::Warn => "WARN ",
            Self::Error => "ERROR",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Debug => "\x1b[34m",
            Self::Info => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Error => "\x1b[31m",
        }
    }
}

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// A line being written. Field names are the code's own and are written as they are.
#[derive(Debug)]
pub struct Line {
    format: Format,
    text: String,
    /// The text after the line itself: only [`Line::block`] in the text format.
    blocks: String,
}

impl Line {
    pub(super) fn begin(format: Format, time: SystemTime, level: Level, message: &str) -> Self {
        let mut text = String::with_capacity(USUAL_LINE_BYTES);
        match format {
            Format::Json => {
                text.push_str("{\"time\":\"");
                push_time(&mut text, time);
                text.push_str("\",\"level\":\"");
                text.push_str(level.as_str());
                text.push_str("\",\"message\":");
                push_quoted(&mut text, message);
            }
            Format::Text => {
                push_time(&mut text, time);
                text.push(' ');
                text.push_str(level.padded());
                text.push(' ');
                push_message(&mut text, message);
            }
            Format::ColouredText => {
                text.push_str(DIM);
                push_time(&mut text, time);
                text.push_str(PLAIN);
                text.push(' ');
                text.push_str(level.colour());
                text.push_str(level.padded());
                text.push_str(PLAIN);
                text.push(' ');
                push_message(&mut text, message);
            }
        }
        Self { format, text, blocks: String::new() }
    }

    /// Adds a text from anywhere: escaped, and cut at 64 KiB.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        let kept = cut(value);
        if self.format == Format::Json || kept.len() < value.len() || !is_bare(kept) {
            push_quoted(&mut self.text, value);
        } else {
            self.text.push_str(kept);
        }
    }

    /// Adds a value whose text is only digits, `.`, `-` and letters that JSON knows, such as a number.
    fn literal(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.text.push_str(value);
    }

    /// Adds a text of the host's own that needs no escaping, such as a name or an address.
    fn word(&mut self, name: &'static str, value: &str) {
        self.name(name);
        let quote = if self.format == Format::Json { "\"" } else { "" };
        self.text.push_str(quote);
        self.text.push_str(value);
        self.text.push_str(quote);
    }

    /// Adds a text of several lines. In JSON it is a string like any other; for people it follows on lines of its
    /// own, each indented, so that no line of the text looks like a line of the log.
    pub fn block(&mut self, name: &'static str, value: &str) {
        if self.format == Format::Json {
            return self.text(name, value);
        }
        for line in cut(value).lines() {
            self.blocks.push_str("\n    ");
            push_message(&mut self.blocks, line);
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.text.push('}');
        }
        self.text.push_str(&self.blocks);
        self.text.push('\n');
        self.text
    }

    fn name(&mut self, name: &'static str) {
        match self.format {
            Format::Json => {
                self.text.push_str(",\"");
                self.text.push_str(name);
                self.text.push_str("\":");
            }
            Format::Text => {
                self.text.push(' ');
                self.text.push_str(name);
                self.text.push('=');
            }
            Format::ColouredText => {
                self.text.push(' ');
                self.text.push_str(DIM);
                self.text.push_str(name);
                self.text.push('=');
                self.text.push_str(PLAIN);
            }
        }
    }
}

/// A field's value. An absent `Option` adds no field; a `Duration` is written in milliseconds, so the name of its
/// field ends in `-ms`.
pub trait Value {
    /// Adds the value to `line` under `name`.
    fn add_to(&self, line: &mut Line, name: &'static str);
}

impl<T: Value + ?Sized> Value for &T {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        (**self).add_to(line, name);
    }
}

impl<T: Value> Value for Option<T> {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        if let Some(value) = self {
            value.add_to(line, name);
        }
    }
}

impl Value for str {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        line.text(name, self);
    }
}

impl Value for String {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        line.text(name, self);
    }
}

impl Value for Cow<'_, str> {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        line.text(name, self);
    }
}

/// Any value that can be formatted: `.field("error", format_args!("{error}"))`.
impl Value for fmt::Arguments<'_> {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        match self.as_str() {
            Some(text) => line.text(name, text),
            None => line.text(name, &self.to_string()),
        }
    }
}

impl Value for Duration {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        let micros = self.as_micros();
        line.literal(name, itoa::Buffer::new().format(micros / 1000));
        let [_, hundreds] = digits(u16::try_from(micros % 1000 / 100).unwrap_or(0));
        let [tens, ones] = digits(u16::try_from(micros % 100).unwrap_or(0));
        let fraction = [b'.', hundreds, tens, ones];
        line.text.push_str(str::from_utf8(&fraction).unwrap_or_default());
    }
}

impl Value for f64 {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        if self.is_finite() {
            line.literal(name, &self.to_string());
        } else {
            line.word(name, &self.to_string());
        }
    }
}

impl Value for IpAddr {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        match self {
            Self::V4(address) => {
                let mut text = String::with_capacity("255.255.255.255".len());
                for (place, octet) in address.octets().into_iter().enumerate() {
                    text.push_str(if place > 0 { "." } else { "" });
                    text.push_str(itoa::Buffer::new().format(octet));
                }
                line.word(name, &text);
            }
            Self::V6(address) => line.word(name, &address.to_string()),
        }
    }
}

impl Value for bool {
    fn add_to(&self, line: &mut Line, name: &'static str) {
        line.literal(name, if *self { "true" } else { "false" });
    }
}

macro_rules! literals {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn add_to(&self, line: &mut Line, name: &'static str) {
                line.literal(name, itoa::Buffer::new().format(*self));
            }
        }
    )*};
}

literals!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

macro_rules! words {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn add_to(&self, line: &mut Line, name: &'static str) {
                line.word(name, self.as_str());
            }
        }
    )*};
}

words!(TenantName, PluginName, Blame);

/// RFC 3339 in UTC with milliseconds: `2026-11-21T10:00:00.123Z`. Laid out here because the `time` crate's
/// `Rfc3339` writes as many digits of a second as the time happens to have, and columns would not line up.
fn push_time(out: &mut String, time: SystemTime) {
    let time = OffsetDateTime::from(time);
    let year = u16::try_from(time.year()).unwrap_or(0);
    let [c1, c2] = digits(year / 100);
    let [y1, y2] = digits(year % 100);
    let [o1, o2] = digits(u8::from(time.month()).into());
    let [d1, d2] = digits(time.day().into());
    let [h1, h2] = digits(time.hour().into());
    let [m1, m2] = digits(time.minute().into());
    let [s1, s2] = digits(time.second().into());
    let [f1, f2] = digits(time.millisecond() / 10);
    let [_, f3] = digits(time.millisecond() % 10);
    let stamp = [
        c1, c2, y1, y2, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', f1, f2,
        f3, b'Z',
    ];
    out.push_str(str::from_utf8(&stamp).unwrap_or_default());
}

/// A number below 100 in two digits.
fn digits(number: u16) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
    }

    fn line(format: Format, fields: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::begin(format, at(1_795_255_200_123), Level::Info, "what happened");
        fields(&mut line);
        line.finish()
    }

    #[test]
    fn times_are_rfc_3339_in_utc_with_milliseconds() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_255_200_123, "2026-11-21T10:00:00.123Z"),
            (4_102_444_799_007, "2099-12-31T23:59:59.007Z"),
        ] {
            let mut text = String::new();
            push_time(&mut text, at(unix_ms));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_line_for_people_quotes_only_what_needs_it() {
        let text = line(Format::Text, |line| {
            "books".add_to(line, "plugin");
            3_u32.add_to(line, "n");
            "two words".add_to(line, "text");
            "".add_to(line, "empty");
            "a=b".add_to(line, "pair");
            None::<&str>.add_to(line, "absent");
            Duration::from_micros(1_042).add_to(line, "duration-ms");
            true.add_to(line, "ok");
        });
        assert_eq!(
            text,
            "2026-11-21T10:00:00.123Z INFO  what happened plugin=books n=3 text=\"two words\" empty=\"\" \
             pair=\"a=b\" duration-ms=1.042 ok=true\n"
        );
    }

    #[test]
    fn a_line_for_programs_keeps_numbers_numbers() {
        let text = line(Format::Json, |line| {
            TenantName::parse("shop").unwrap().add_to(line, "tenant");
            Blame::Quota.add_to(line, "blame");
            IpAddr::from([127, 0, 0, 1]).add_to(line, "client");
            (-3_i64).add_to(line, "n");
            0.25.add_to(line, "share");
            f64::NAN.add_to(line, "nothing");
            format_args!("{} of {}", 1, 2).add_to(line, "part");
        });
        assert_eq!(
            text,
            "{\"time\":\"2026-11-21T10:00:00.123Z\",\"level\":\"info\",\"message\":\"what happened\",\
             \"tenant\":\"shop\",\"blame\":\"quota\",\"client\":\"127.0.0.1\",\"n\":-3,\"share\":0.25,\
             \"nothing\":\"NaN\",\"part\":\"1 of 2\"}\n"
        );
    }

    #[test]
    fn a_block_is_indented_for_people_and_one_string_for_programs() {
        let diagnostic = "error: no such plugin\n  |\n3 | plugin = \"\x07\"\n";
        let text = line(Format::Text, |line| line.block("diagnostics", diagnostic));
        assert!(
            text.ends_with(
                "what happened\n    error: no such plugin\n      |\n    3 | plugin = \"\\u0007\"\n"
            ),
            "{text}"
        );
        let json = line(Format::Json, |line| line.block("diagnostics", diagnostic));
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["diagnostics"], diagnostic);
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        assert!(line(Format::ColouredText, |line| 1.add_to(line, "n")).contains("\x1b[32mINFO \x1b[0m"));
        assert!(!line(Format::Text, |line| 1.add_to(line, "n")).contains('\x1b'));
    }
}
