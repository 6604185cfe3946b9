//! Conditional requests (RFC 9110 §13): what the caller's idea of a file comes to.

use alloc::vec::Vec;

use crate::date;
use crate::request::{Fields, Request};
use crate::validators::Validators;

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The file is to be sent.
    Proceed,
    /// 304: the caller has it already.
    NotModified,
    /// 412: the caller meant another state.
    Failed,
}

/// Weighs the conditions in the order of RFC 9110 §13.2.2, steps 1 to 4: a tag, where given, over a date.
pub(crate) fn evaluate(request: &Request, current: &Validators) -> Outcome {
    let fields = &request.fields;
    if let Some(tags) = Tags::of(fields, "if-match") {
        if !tags.match_strongly(&current.etag) {
            return Outcome::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date_of(fields, "if-unmodified-since"), current.modified)
        && modified > since
    {
        return Outcome::Failed;
    }
    let caller_has_it = if let Some(tags) = Tags::of(fields, "if-none-match") {
        tags.match_weakly(&current.etag)
    } else {
        let since = date_of(fields, "if-modified-since");
        since.zip(current.modified).is_some_and(|(since, modified)| modified <= since)
    };
    if caller_has_it { Outcome::NotModified } else { Outcome::Proceed }
}

/// True if a range may be cut out of the present state: there is no `If-Range`, or it means that state
/// (RFC 9110 §13.1.5). A tag is compared strongly, a date has to be the very one and a strong one.
pub(crate) fn allows_range(request: &Request, current: &Validators) -> bool {
    if request.fields.lines("if-range").next().is_none() {
        return true;
    }
    let Some(value) = request.fields.only("if-range") else { return false };
    if value.starts_with(b"\"") {
        return value == current.etag.as_bytes();
    }
    current.is_date_strong && current.modified.is_some() && date::parse(value) == current.modified
}

/// The date in a header field that must stand alone; none if there are two of it, or it is no date.
fn date_of(fields: &Fields, name: &str) -> Option<u64> {
    date::parse(fields.only(name)?)
}

/// The entity tags of one header field, which may be spread over several lines.
enum Tags<'a> {
    Any,
    Listed(Vec<Tag<'a>>),
}

/// One entity tag, quotes included.
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tags<'a> {
    /// None if the request has no such field.
    fn of(fields: &'a Fields, name: &str) -> Option<Self> {
        let lines: Vec<_> = fields.lines(name).collect();
        match lines.as_slice() {
            [] => None,
            [line] if line.trim_ascii() == b"*" => Some(Self::Any),
            lines => Some(Self::Listed(lines.iter().copied().flat_map(tags_in).collect())),
        }
    }

    /// RFC 9110 §8.8.3.2: for `If-Match`, where two states that are only alike will not do.
    fn match_strongly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| !tag.is_weak && tag.opaque == etag.as_bytes()),
        }
    }

    /// What compresses on the way weakens our tag; for reading it is still ours.
    fn match_weakly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.opaque == etag.as_bytes()),
        }
    }
}

/// The tags in one line, up to the first thing that is none. Commas are allowed inside quotes, so
/// splitting at them would not do.
fn tags_in(line: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = line;
    core::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let (is_weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let closing_quote = quoted.strip_prefix(b"\"")?.iter().position(|byte| *byte == b'"')?;
        let (opaque, tail) = quoted.split_at_checked(closing_quote.checked_add(2)?)?;
        rest = tail;
        Some(Tag { is_weak, opaque })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Method;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn current() -> Validators {
        Validators { etag: "\"now\"".into(), modified: Some(784_111_777), is_date_strong: true }
    }

    fn request(fields: &[(&str, &str)]) -> Request {
        let field = |(name, value): &(&str, &str)| (name.to_string(), value.as_bytes().to_vec());
        Request::new(Method::Get, "/", fields.iter().map(field).collect())
    }

    #[test]
    fn conditions_are_weighed_in_the_order_of_the_rfc() {
        use Outcome::{Failed, NotModified, Proceed};
        for (clause, fields, expected) in [
            ("13", &[][..], Proceed),
            ("13.1.2", &[("if-none-match", "\"now\"")], NotModified),
            ("13.1.2, weak comparison", &[("if-none-match", "W/\"now\"")], NotModified),
            ("13.1.2", &[("if-none-match", "*")], NotModified),
            ("13.1.2", &[("if-none-match", " * ")], NotModified),
            ("13.1.2", &[("if-none-match", "\"old\", \"a,b\" ,, W/\"now\"")], NotModified),
            ("5.3", &[("if-none-match", "\"old\""), ("if-none-match", "\"now\"")], NotModified),
            ("13.1.2", &[("if-none-match", "\"old\"")], Proceed),
            ("8.8.3: a tag has quotes", &[("if-none-match", "now")], Proceed),
            ("8.8.3", &[("if-none-match", "\"now")], Proceed),
            ("8.8.3", &[("if-none-match", "")], Proceed),
            ("8.8.3: W is a capital", &[("if-none-match", "w/\"now\"")], Proceed),
            ("13.1.3", &[("if-modified-since", THEN)], NotModified),
            ("13.1.3", &[("if-modified-since", AFTER)], NotModified),
            ("13.1.3", &[("if-modified-since", BEFORE)], Proceed),
            ("13.1.3: not a date", &[("if-modified-since", "a while ago")], Proceed),
            ("13.1.3: not one date", &[("if-modified-since", THEN), ("if-modified-since", THEN)], Proceed),
            ("13.1.3: beside a tag", &[("if-none-match", "\"old\""), ("if-modified-since", THEN)], Proceed),
            ("13.2.2 (3)", &[("if-none-match", "\"now\""), ("if-modified-since", BEFORE)], NotModified),
            ("13.1.1", &[("if-match", "\"now\"")], Proceed),
            ("13.1.1", &[("if-match", "\"old\", \"now\"")], Proceed),
            ("13.1.1", &[("if-match", "*")], Proceed),
            ("13.1.1", &[("if-match", "\"old\"")], Failed),
            ("13.1.1, strong comparison", &[("if-match", "W/\"now\"")], Failed),
            ("13.1.1", &[("if-match", "")], Failed),
            ("13.1.4", &[("if-unmodified-since", THEN)], Proceed),
            ("13.1.4", &[("if-unmodified-since", BEFORE)], Failed),
            ("13.1.4: not a date", &[("if-unmodified-since", "never")], Proceed),
            ("13.1.4: beside a tag", &[("if-match", "\"now\""), ("if-unmodified-since", BEFORE)], Proceed),
            ("13.2.2 (1)", &[("if-match", "\"old\""), ("if-none-match", "\"now\"")], Failed),
            ("13.2.2 (2)", &[("if-unmodified-since", BEFORE), ("if-none-match", "\"now\"")], Failed),
            ("13.2.2 (3)", &[("if-match", "\"now\""), ("if-none-match", "\"now\"")], NotModified),
        ] {
            assert_eq!(evaluate(&request(fields), &current()), expected, "§{clause}: {fields:?}");
        }
    }

    #[test]
    fn without_a_date_of_the_file_no_condition_is_about_dates() {
        let current = Validators { modified: None, ..current() };
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(evaluate(&request(&[(name, BEFORE)]), &current), Outcome::Proceed, "{name}");
            assert_eq!(evaluate(&request(&[(name, AFTER)]), &current), Outcome::Proceed, "{name}");
        }
    }

    #[test]
    fn a_range_is_cut_only_out_of_the_state_that_the_caller_has() {
        for (clause, fields, expected) in [
            ("13.1.5", &[][..], true),
            ("13.1.5", &[("if-range", "\"now\"")], true),
            ("13.1.5", &[("if-range", "\"old\"")], false),
            ("13.1.5: a weak tag never", &[("if-range", "W/\"now\"")], false),
            ("13.1.5: no list", &[("if-range", "\"now\", \"old\"")], false),
            ("13.1.5: no list", &[("if-range", "\"now\""), ("if-range", "\"now\"")], false),
            ("13.1.5", &[("if-range", THEN)], true),
            ("13.1.5: exactly", &[("if-range", AFTER)], false),
            ("13.1.5", &[("if-range", BEFORE)], false),
            ("13.1.5", &[("if-range", "")], false),
            ("13.1.5", &[("if-range", "*")], false),
        ] {
            assert_eq!(allows_range(&request(fields), &current()), expected, "§{clause}: {fields:?}");
        }
        let weak = Validators { is_date_strong: false, ..current() };
        assert!(!allows_range(&request(&[("if-range", THEN)]), &weak), "§8.8.2.2");
        let undated = Validators { modified: None, ..current() };
        assert!(!allows_range(&request(&[("if-range", "soon")]), &undated));
    }
}
