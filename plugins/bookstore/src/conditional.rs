//! Conditional requests (RFC 9110 §13): does the caller's idea of a book still hold?

use crate::bindings::jackfield::plugin::types::RequestHead;
use crate::content::fields;
use crate::{date, digest};

/// What tells one state of a book, or of whatever else can be read, from another.
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// A strong entity tag, quotes included.
    pub(crate) etag: String,
    /// The second of the last change, where that is known.
    pub(crate) modified: Option<u64>,
}

impl Validators {
    /// Those of `representation`, the bytes that a caller gets. The tag is their digest: it changes with
    /// the bytes and never otherwise.
    pub(crate) fn of(representation: &[u8], modified: Option<u64>) -> Self {
        Self { etag: format!("\"{}\"", digest::short_hex(representation)), modified }
    }
}

/// What a call is about to do with the book.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Access {
    /// GET, HEAD.
    Read,
    /// PUT, PATCH, DELETE.
    Write,
}

/// What the conditions of a request come to.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Do what was asked.
    Proceed,
    /// 304: the caller has it already.
    NotModified,
    /// 412: the caller meant another state.
    Failed,
}

/// Weighs the conditions of `head` in the order of RFC 9110 §13.2.2: a tag, where given, over a date.
pub(crate) fn evaluate(head: &RequestHead, access: Access, current: &Validators) -> Outcome {
    if let Some(tags) = Tags::of(head, "if-match") {
        if !tags.match_strongly(&current.etag) {
            return Outcome::Failed;
        }
    } else if let Some(unmodified_since) = date_of(head, "if-unmodified-since")
        && current.modified.is_some_and(|modified| modified > unmodified_since)
    {
        return Outcome::Failed;
    }

    let caller_has_it = if let Some(tags) = Tags::of(head, "if-none-match") {
        tags.match_weakly(&current.etag)
    } else if access == Access::Read {
        date_of(head, "if-modified-since")
            .is_some_and(|since| current.modified.is_some_and(|modified| modified <= since))
    } else {
        false
    };
    match (caller_has_it, access) {
        (false, _) => Outcome::Proceed,
        (true, Access::Read) => Outcome::NotModified,
        (true, Access::Write) => Outcome::Failed,
    }
}

/// The date in a header field that must stand alone; none if there are two of it, or it is no date.
fn date_of(head: &RequestHead, name: &str) -> Option<u64> {
    let mut values = fields(head, name);
    let value = values.next()?;
    if values.next().is_some() { None } else { date::parse(value) }
}

/// The entity tags of one header field, which may be spread over several lines.
enum Tags<'a> {
    Any,
    Listed(Vec<Tag<'a>>),
}

/// One entity tag, quotes included.
struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> Tags<'a> {
    /// None if the request has no such field.
    fn of(head: &'a RequestHead, name: &str) -> Option<Self> {
        let lines: Vec<_> = fields(head, name).collect();
        match lines.as_slice() {
            [] => None,
            [line] if line.trim_ascii() == b"*" => Some(Self::Any),
            lines => Some(Self::Listed(lines.iter().copied().flat_map(tags_in).collect())),
        }
    }

    /// RFC 9110 §8.8.3.2: for writes, where two states that are only alike will not do.
    fn match_strongly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| !tag.weak && tag.opaque == etag.as_bytes()),
        }
    }

    /// A cache on the way may have weakened our tag; for reading it is still ours.
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
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let closing_quote = quoted.strip_prefix(b"\"")?.iter().position(|byte| *byte == b'"')?;
        let (opaque, tail) = quoted.split_at_checked(closing_quote + 2)?;
        rest = tail;
        Some(Tag { weak, opaque })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn outcome(access: Access, conditions: &[(&str, &str)]) -> Outcome {
        let field = |(name, value): &(&str, &str)| (name.to_string(), value.as_bytes().to_vec());
        let headers = conditions.iter().map(field).collect();
        let head = RequestHead { method: "GET".into(), path: "/".into(), query: None, headers };
        evaluate(&head, access, &Validators { etag: "\"now\"".into(), modified: Some(784_111_777) })
    }

    #[test]
    fn a_reader_who_has_the_book_already_gets_304() {
        use Outcome::{Failed, NotModified, Proceed};
        for (conditions, expected) in [
            (&[][..], Proceed),
            (&[("if-none-match", "\"now\"")], NotModified),
            (&[("if-none-match", "W/\"now\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", " * ")], NotModified),
            (&[("if-none-match", "\"old\", \"a,b\" ,, W/\"now\"")], NotModified),
            (&[("if-none-match", "\"old\""), ("if-none-match", "\"now\"")], NotModified),
            (&[("if-none-match", "\"old\"")], Proceed),
            (&[("if-none-match", "now")], Proceed),
            (&[("if-none-match", "\"now")], Proceed),
            (&[("if-none-match", "")], Proceed),
            (&[("if-none-match", "w/\"now\"")], Proceed),
            (&[("if-modified-since", THEN)], NotModified),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", BEFORE)], Proceed),
            (&[("if-modified-since", "a while ago")], Proceed),
            (&[("if-modified-since", THEN), ("if-modified-since", THEN)], Proceed),
            (&[("if-none-match", "\"old\""), ("if-modified-since", THEN)], Proceed),
            (&[("if-none-match", "\"now\""), ("if-modified-since", BEFORE)], NotModified),
            (&[("if-match", "\"old\"")], Failed),
            (&[("if-match", "\"old\""), ("if-none-match", "\"now\"")], Failed),
            (&[("if-match", "\"now\""), ("if-none-match", "\"now\"")], NotModified),
        ] {
            assert_eq!(outcome(Access::Read, conditions), expected, "{conditions:?}");
        }
    }

    #[test]
    fn a_writer_who_meant_another_state_gets_412() {
        use Outcome::{Failed, Proceed};
        for (conditions, expected) in [
            (&[][..], Proceed),
            (&[("if-match", "\"now\"")], Proceed),
            (&[("if-match", "\"old\", \"now\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "W/\"now\"")], Failed),
            (&[("if-match", "\"old\"")], Failed),
            (&[("if-match", "")], Failed),
            (&[("if-unmodified-since", THEN)], Proceed),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", "never")], Proceed),
            (&[("if-match", "\"now\""), ("if-unmodified-since", BEFORE)], Proceed),
            (&[("if-none-match", "*")], Failed),
            (&[("if-none-match", "\"now\"")], Failed),
            (&[("if-none-match", "\"old\"")], Proceed),
            (&[("if-modified-since", THEN)], Proceed),
        ] {
            assert_eq!(outcome(Access::Write, conditions), expected, "{conditions:?}");
        }
    }

    #[test]
    fn the_tag_follows_the_bytes() {
        let [one, again, other] =
            [(b"a", 1), (b"a", 2), (b"b", 1)].map(|(body, at)| Validators::of(body, Some(at)).etag);
        assert!(one.starts_with('"') && one.ends_with('"'));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }
}
