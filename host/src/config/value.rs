//! The reader of one TOML value: its type, its form, its bounds, and the words for its faults.
//!
//! Owns the walk from table to values: every key that is asked for is a known key, every other key is an error.
//! Leaves the keys themselves to `read`. A reader that returns `None` has already reported the error.

use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::Spanned as TomlSpanned;
use toml::de::{DeString, DeTable, DeValue};

use super::findings::Findings;
use super::similar::did_you_mean;
use super::source::Span;
use super::units::{ByteRate, ByteSize, CpuRate, TimeSpan, UnitError};
use super::visible::quoted;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<T> Spanned<T> {
    /// Another value at the same place.
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: map(self.value), span: self.span }
    }
}

/// A value of the document before it is read.
pub(super) struct Value<'a> {
    node: &'a TomlSpanned<DeValue<'a>>,
    /// The keys that lead to the value: `tenants.shop.quota`.
    path: String,
    /// The words for the value in a message: `` `cpu` ``, or ``an item of `hosts` ``.
    what: String,
    /// The span of the key before the value; the node itself does not know it.
    name: Option<Span>,
}

/// A table while it is read.
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    path: String,
    /// The place of a finding about a missing key.
    place: Span,
    asked: Vec<&'static str>,
    /// The keys that are refused with a reason of their own.
    refused: Vec<&'static str>,
}

impl<'a> Value<'a> {
    /// The bytes of the value.
    pub(super) fn span(&self) -> Span {
        self.node.span()
    }

    /// The words for the value in a message.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// True if the value is a table, at a key that also accepts another type.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.node.get_ref(), DeValue::Table(_))
    }

    /// The span of the key before the value, or that of the value if there is no key.
    pub(super) fn name_or_span(&self) -> Span {
        self.name.clone().unwrap_or_else(|| self.span())
    }

    fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned { value, span: self.span() }
    }

    fn wrong_type<T>(&self, expected: &str, help: String, findings: &mut Findings) -> Option<T> {
        let found = kind(self.node.get_ref());
        findings.error(&self.span(), format!("{} must be {expected}, not {found}", self.what), found, help);
        None
    }

    /// The value as it is written, if the text is short enough to repeat.
    fn written<'s>(&self, findings: &'s Findings) -> Option<&'s str> {
        let text = findings.source().text().get(self.span())?;
        (text.len() <= 40 && !text.contains('\n')).then_some(text)
    }

    fn text(&self, expected: &str, example: &str, findings: &mut Findings) -> Option<&'a str> {
        match self.node.get_ref() {
            DeValue::String(text) => Some(text),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                let quotes = match self.written(findings) {
                    Some(written) if example.is_empty() => format!("put it in quotes: \"{written}\""),
                    _ if example.is_empty() => "put it in quotes".into(),
                    _ => format!("write it in quotes, as in \"{example}\""),
                };
                self.wrong_type(expected, quotes, findings)
            }
            DeValue::Array(_) | DeValue::Table(_) => {
                let example = if example.is_empty() { "…" } else { example };
                self.wrong_type(expected, format!("write one text in quotes: \"{example}\""), findings)
            }
        }
    }

    /// The span of a part of the text, if the file contains the text letter by letter.
    pub(super) fn part(&self, text: &str, part: Option<Span>, findings: &Findings) -> Span {
        let span = self.span();
        let inner = span.start.saturating_add(1)..span.end.saturating_sub(1);
        match (part, findings.source().text().get(inner.clone())) {
            (Some(part), Some(written)) if written == text => {
                inner.start.saturating_add(part.start)..inner.start.saturating_add(part.end)
            }
            _ => span,
        }
    }
}

/// Any string.
pub(super) fn string(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<String>> {
    value.text("a string", "", findings).map(|text| value.spanned(text.to_owned()))
}

/// No help for a text that is refused, because the headline is enough.
pub(super) fn no_help<E>(_: &str, _: &E) -> (Option<Span>, Option<String>) {
    (None, None)
}

/// A string that `parse` accepts. If it does not, its error is the headline, and `help` goes below the headline.
pub(super) fn parsed<T, E: Display>(
    expected: &'static str,
    example: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
    explain: impl Fn(&str, &E) -> (Option<Span>, Option<String>),
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<T>> {
    move |value, findings| {
        let text = value.text(expected, example, findings)?;
        match parse(text) {
            Ok(parsed) => Some(value.spanned(parsed)),
            Err(error) => {
                let (part, help) = explain(text, &error);
                findings.error(&value.part(text, part, findings), error.to_string(), "", help);
                None
            }
        }
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<bool>> {
    match value.node.get_ref() {
        DeValue::Boolean(flag) => Some(value.spanned(*flag)),
        _ => value.wrong_type("true or false", "write `true` or `false`, without quotes".into(), findings),
    }
}

/// A whole number within bounds.
pub(super) fn integer<T>(
    bounds: RangeInclusive<T>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<T>>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |value, findings| {
        let DeValue::Integer(integer) = value.node.get_ref() else {
            let help = format!("write a number without quotes, from {} to {}", bounds.start(), bounds.end());
            return value.wrong_type("a whole number", help, findings);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            findings.error(
                &value.span(),
                format!("{} is out of bounds", value.what),
                "",
                format!("write a number from {} to {}", bounds.start(), bounds.end()),
            );
        }
        number.map(|number| value.spanned(number))
    }
}

/// A size within bounds: `"64MiB"`.
pub(super) fn bytes(
    bounds: RangeInclusive<ByteSize>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<ByteSize>> {
    move |value, findings| {
        if let DeValue::Integer(integer) = value.node.get_ref()
            && let Ok(bytes) = u64::from_str_radix(integer.as_str(), integer.radix())
        {
            let help = format!("bytes are written with their unit: \"{}\"", ByteSize(bytes));
            return value.wrong_type("a size", help, findings);
        }
        quantity(value, "a size", "64MiB", ByteSize::parse, &bounds, findings)
    }
}

/// A duration within bounds: `"50ms"`.
pub(super) fn duration(
    bounds: RangeInclusive<TimeSpan>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<TimeSpan>> {
    move |value, findings| quantity(value, "a duration", "50ms", TimeSpan::parse, &bounds, findings)
}

/// A rate within bounds: `"240B/s"`.
pub(super) fn rate(
    bounds: RangeInclusive<ByteRate>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<ByteRate>> {
    move |value, findings| quantity(value, "a rate", "240B/s", ByteRate::parse, &bounds, findings)
}

/// CPU time a second within bounds: `"500ms/s"`.
pub(super) fn cpu_rate(
    bounds: RangeInclusive<CpuRate>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<CpuRate>> {
    move |value, findings| quantity(value, "CPU time a second", "500ms/s", CpuRate::parse, &bounds, findings)
}

fn quantity<T: PartialOrd + Display>(
    value: &Value<'_>,
    expected: &str,
    example: &str,
    parse: impl Fn(&str) -> Result<T, UnitError>,
    bounds: &RangeInclusive<T>,
    findings: &mut Findings,
) -> Option<Spanned<T>> {
    let text = value.text(expected, example, findings)?;
    match parse(text) {
        Ok(amount) if bounds.contains(&amount) => Some(value.spanned(amount)),
        Ok(amount) if amount < *bounds.start() => {
            let headline = format!("{} must be at least {}", value.what, bounds.start());
            findings.error(&value.span(), headline, "too little", None);
            None
        }
        Ok(_) => {
            let headline = format!("{} must be at most {}", value.what, bounds.end());
            findings.error(&value.span(), headline, "too much", None);
            None
        }
        Err(error) => {
            findings.error(&value.span(), error.to_string(), "", error.help);
            None
        }
    }
}

/// An array whose items `item` reads. All items are read; `None` if any of them is faulty.
pub(super) fn array<T>(
    expected: &'static str,
    item: impl Fn(&Value<'_>, &mut Findings) -> Option<T>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<Vec<T>>> {
    move |value, findings| {
        let DeValue::Array(items) = value.node.get_ref() else {
            let help = match value.written(findings) {
                Some(written) if !written.is_empty() => format!("put it in brackets: [{written}]"),
                _ => "put the items in brackets: [ … ]".into(),
            };
            return value.wrong_type(expected, help, findings);
        };
        let read: Vec<_> = items.iter().map(|node| item(&value.item(node), findings)).collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(|items| value.spanned(items))
    }
}

/// An array with at least one item; `why` ends the sentence "… is empty, …".
pub(super) fn filled_array<T>(
    expected: &'static str,
    why: &'static str,
    item: impl Fn(&Value<'_>, &mut Findings) -> Option<T>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Spanned<Vec<T>>> {
    let read = array(expected, item);
    move |value, findings| {
        let items = read(value, findings)?;
        if items.value.is_empty() {
            findings.error(&items.span, format!("{} is empty", value.what), "", why.to_owned());
            return None;
        }
        Some(items)
    }
}

/// A table whose keys `read` asks for; all other keys are errors.
pub(super) fn table<T>(
    read: impl Fn(&mut Table<'_>, &mut Findings) -> T,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<T> {
    move |value, findings| {
        let entries = value.entries(findings)?;
        let place = value.name_or_span();
        let (asked, refused) = (Vec::new(), Vec::new());
        let mut table = Table { entries, path: value.path.clone(), place, asked, refused };
        let result = read(&mut table, findings);
        table.finish(findings);
        Some(result)
    }
}

/// A table whose keys are names that the file gives. Entries for which `item` returns `None` are left out.
pub(super) fn named<T>(
    item: impl Fn(&Spanned<String>, &Value<'_>, &mut Findings) -> Option<T>,
) -> impl Fn(&Value<'_>, &mut Findings) -> Option<Vec<T>> {
    move |value, findings| {
        let entries = value.entries(findings)?;
        let read = entries.iter().filter_map(|(key, node)| {
            let name = Spanned { value: key.get_ref().to_string(), span: key.span() };
            item(&name, &value.entry(key, node), findings)
        });
        Some(read.collect())
    }
}

/// Reads the document itself as a table.
pub(super) fn root<T>(
    document: &TomlSpanned<DeTable<'_>>,
    findings: &mut Findings,
    read: impl Fn(&mut Table<'_>, &mut Findings) -> T,
) -> T {
    let (asked, refused) = (Vec::new(), Vec::new());
    let mut table = Table { entries: document.get_ref(), path: String::new(), place: 0..0, asked, refused };
    let result = read(&mut table, findings);
    table.finish(findings);
    result
}

impl<'a> Value<'a> {
    fn entries(&self, findings: &mut Findings) -> Option<&'a DeTable<'a>> {
        match self.node.get_ref() {
            DeValue::Table(entries) => Some(entries),
            _ => {
                let help = format!("write `{{ key = value }}`, or a section `[{}]`", self.path);
                self.wrong_type("a table", help, findings)
            }
        }
    }

    fn item(&self, node: &'a TomlSpanned<DeValue<'a>>) -> Value<'a> {
        Value { node, path: self.path.clone(), what: format!("an item of {}", self.what), name: None }
    }

    fn entry(&self, key: &TomlSpanned<DeString<'_>>, node: &'a TomlSpanned<DeValue<'a>>) -> Value<'a> {
        Value {
            node,
            path: join(&self.path, key.get_ref()),
            what: quoted(key.get_ref()),
            name: Some(key.span()),
        }
    }
}

impl<'a> Table<'a> {
    /// Reads a key that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
        read: impl Fn(&Value<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        read(&self.ask(key)?, findings)
    }

    /// Reads a key that must be there; `example` is a line that would be right.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        findings: &mut Findings,
        read: impl Fn(&Value<'_>, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        match self.ask(key) {
            Some(value) => read(&value, findings),
            None => {
                // Text that is not TOML may have been this key.
                if !findings.is_broken() {
                    findings.error(
                        &self.place,
                        format!("{} has no `{key}`", quoted(&self.path)),
                        &format!("`{key}` is missing here"),
                        format!("add {example}"),
                    );
                }
                None
            }
        }
    }

    /// Refuses a key that another table or file has, with the way to it.
    pub(super) fn refuse(
        &mut self,
        key: &'static str,
        headline: String,
        help: &str,
        findings: &mut Findings,
    ) {
        self.refused.push(key);
        if let Some((name, _)) = self.entries.get_key_value(key) {
            findings.error(&name.span(), headline, "", help.to_owned());
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let (name, node) = self.entries.get_key_value(key)?;
        Some(Value { node, path: join(&self.path, key), what: format!("`{key}`"), name: Some(name.span()) })
    }

    fn finish(self, findings: &mut Findings) {
        let is_unknown = |name: &str| !self.asked.contains(&name) && !self.refused.contains(&name);
        for key in self.entries.keys().filter(|key| is_unknown(key.get_ref())) {
            let name = key.get_ref();
            let label = match self.path.as_str() {
                "" => format!("not a key of a {}", findings.source().kind().name()),
                path => format!("not a key of {}", quoted(path)),
            };
            let help = did_you_mean(name, &self.asked, "the keys here are", findings);
            findings.error(&key.span(), format!("unknown key {}", quoted(name)), &label, help);
        }
        #[cfg(test)]
        findings.asked.entry(self.path).or_default().extend(self.asked);
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
