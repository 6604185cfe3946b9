//! Route patterns: the paths of a site file, turned once into a type that cannot be wrong.
//!
//! Owns their grammar and every message about it. Finding the pattern that a request fits is left to `routes`.
//! Decoding a segment is `path`'s, so that a pattern and a request's path are decoded by the same code.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use super::path::decode_segment;

/// The longest route pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// The most segments of a route pattern. The walk over the routes goes one call deeper with each.
const MAX_PATTERN_SEGMENTS: usize = 64;

/// The reason why a text is not a route or host pattern, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    message: String,
    /// The bytes of the text that are wrong, on character boundaries. They are empty where something is missing;
    /// `None` when the text as a whole is wrong.
    pub at: Option<Range<usize>>,
}

impl PatternError {
    pub(super) fn whole(message: String) -> Self {
        Self { message, at: None }
    }

    pub(super) fn at(range: Range<usize>, message: String) -> Self {
        Self { message, at: Some(range) }
    }
}

/// A route's path: `/api/books/{id}`, `/files/{*path}`.
///
/// Two patterns are equal when written alike; [`conflicts_with`](Self::conflicts_with) tells if two of them fit the
/// same paths. Of the patterns that fit one path, the most specific is the smallest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RoutePattern {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

/// The texts that one segment of a route pattern fits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// Exactly this text, decoded.
    Static(Box<str>),
    /// One whole segment that is not empty, kept under this name.
    Capture(Arc<str>),
    /// This segment and all that follow, one character at least, kept under this name.
    Rest(Arc<str>),
}

impl RoutePattern {
    /// Reads a pattern of at most 1 KiB and 64 segments, which begins with `/`.
    ///
    /// `{name}` stands for one whole segment of at least one character, `{*name}` at the end for the rest
    /// of the path, at least one character too. Everything else is static, percent-decoded and compared
    /// decoded.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            let length = text.len();
            return Err(PatternError::whole(format!(
                "this path pattern has {length} bytes; at most {MAX_PATTERN_BYTES} are allowed"
            )));
        }
        refuse_what_no_path_holds(text)?;
        let Some(inner) = text.strip_prefix('/') else {
            return Err(PatternError::whole(format!("a path pattern begins with `/`: write `/{text}`")));
        };
        let count = inner.split('/').count();
        if count > MAX_PATTERN_SEGMENTS {
            return Err(PatternError::whole(format!(
                "this path pattern has {count} segments; at most {MAX_PATTERN_SEGMENTS} are allowed, \
                 and `{{*rest}}` at the end stands for all that follow"
            )));
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        let mut start: usize = 1;
        for piece in inner.split('/') {
            let end = start.saturating_add(piece.len());
            let segment = parse_segment(piece, start)?;
            if let Some(Segment::Rest(name)) = segments.last() {
                let rest = start.saturating_sub(name.len()).saturating_sub("{*}/".len());
                return Err(PatternError::at(
                    rest..start.saturating_sub(1),
                    format!(
                        "`{{*{name}}}` takes the whole rest of the path, so nothing can follow it: \
                         move it to the end, or write `{{{name}}}` for one segment"
                    ),
                ));
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|earlier| earlier.name() == Some(name))
            {
                return Err(PatternError::at(
                    start..end,
                    format!("the capture name `{name}` is used twice in this pattern: give each its own"),
                ));
            }
            segments.push(segment);
            start = end.saturating_add(1);
        }
        Ok(Self { text: text.into(), segments: segments.into() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if both fit exactly the same paths: the same shape, with any names of captures.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.shape().eq(other.shape())
    }

    /// The names of the captures, from left to right.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| segment.name().map(|name| &**name))
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn shape(&self) -> impl Iterator<Item = (u8, &str)> {
        self.segments.iter().map(|segment| match segment {
            Segment::Static(text) => (0, &**text),
            Segment::Capture(_) => (1, ""),
            Segment::Rest(_) => (2, ""),
        })
    }
}

impl Ord for RoutePattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.shape().cmp(other.shape()).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for RoutePattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for RoutePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Static(_) => None,
            Self::Capture(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn refuse_what_no_path_holds(text: &str) -> Result<(), PatternError> {
    let Some((start, character)) =
        text.char_indices().find(|(_, character)| matches!(character, '?' | '#') || character.is_control())
    else {
        return Ok(());
    };
    let range = start..start.saturating_add(character.len_utf8());
    Err(PatternError::at(
        range,
        match character {
            '?' => "a path pattern ends before the query: leave out `?` and what follows; \
                    a literal question mark is written `%3F`"
                .into(),
            '#' => "a path pattern has no fragment, which clients never send: leave out `#` and what \
                    follows; a literal `#` is written `%23`"
                .into(),
            _ => format!("a path holds no control character such as {character:?}: write it percent-encoded"),
        },
    ))
}

fn parse_segment(piece: &str, start: usize) -> Result<Segment, PatternError> {
    let range = start..start.saturating_add(piece.len());
    if !piece.contains(['{', '}']) {
        return match decode_segment(piece) {
            Ok(text) => Ok(Segment::Static(text.into())),
            Err(error) => {
                let at = error.at().map_or(range, |within| {
                    start.saturating_add(within.start)..start.saturating_add(within.end)
                });
                Err(PatternError::at(at, error.to_string()))
            }
        };
    }
    let capture = piece.strip_prefix('{').and_then(|piece| piece.strip_suffix('}'));
    let Some(capture) = capture.filter(|inner| !inner.contains(['{', '}'])) else {
        return Err(PatternError::at(
            range,
            format!(
                "`{piece}` mixes a capture with other text: a capture is one whole segment, `{{name}}` alone \
                 between two `/`; literal braces are written `%7B` and `%7D`"
            ),
        ));
    };
    match capture.strip_prefix('*') {
        Some(name) if is_capture_name(name) => Ok(Segment::Rest(name.into())),
        None if is_capture_name(capture) => Ok(Segment::Capture(capture.into())),
        _ => Err(PatternError::at(range, bad_capture_name(capture))),
    }
}

fn is_capture_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn bad_capture_name(capture: &str) -> String {
    // Other routers write the rest as `{name*}` or `{name...}`, and a condition as `{name:…}`.
    let suffixed = capture.strip_suffix('*').or_else(|| capture.strip_suffix("..."));
    let conditioned = capture.split_once(':').map(|(name, _)| name);
    if let Some(name) = suffixed.filter(|name| is_capture_name(name)) {
        format!("the rest of the path is written `{{*{name}}}`, not `{{{capture}}}`")
    } else if let Some(name) = conditioned.filter(|name| is_capture_name(name)) {
        format!("a capture takes any segment and has a name alone: write `{{{name}}}`, not `{{{capture}}}`")
    } else if matches!(capture, "" | "*") {
        format!(
            "`{{{capture}}}` has no name: write `{{id}}` for one segment, `{{*rest}}` for all that follow"
        )
    } else {
        let name = capture.strip_prefix('*').unwrap_or(capture);
        format!(
            "`{name}` is no capture name: use letters, digits, `_` and `-`, beginning with a letter or `_`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RoutePattern {
        RoutePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_pattern_reads_back_as_it_was_written() {
        for text in [
            "/",
            "/api/books",
            "/api/books/",
            "/a//b",
            "/api/books/{id}",
            "/{tenant-id}/{_x}/{*rest}",
            "/{*all}",
            "/100%25/%7Bid%7D",
            "/bücher",
            "/.well-known/acme",
            "/:id/*",
        ] {
            assert_eq!(pattern(text).to_string(), text);
            assert_eq!(pattern(text).as_str(), text);
        }
        assert_eq!(pattern("/{a}/b/{*c}").capture_names().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_wrong_pattern_is_told_what_is_wrong_where_and_what_would_be_right() {
        // The marked part of the pattern; empty for the whole.
        let table = [
            ("api", "", "begins with `/`: write `/api`"),
            ("", "", "begins with `/`: write `/`"),
            ("/a?b=c", "?", "leave out `?`"),
            ("/a/ü#top", "#", "leave out `#`"),
            ("/a\tb", "\t", "control character such as '\\t'"),
            ("/{id}.json", "{id}.json", "`{name}` alone between two `/`"),
            ("/v{major}", "v{major}", "`{name}` alone between two `/`"),
            ("/a/{a}{b}/c", "{a}{b}", "mixes a capture with other text"),
            ("/{a", "{a", "literal braces are written `%7B` and `%7D`"),
            ("/a}", "a}", "literal braces are written `%7B` and `%7D`"),
            ("/{}", "{}", "has no name: write `{id}`"),
            ("/a/{*}", "{*}", "has no name: write `{id}`"),
            ("/{1st}", "{1st}", "`1st` is no capture name"),
            ("/{a b}", "{a b}", "`a b` is no capture name"),
            ("/{*ä}", "{*ä}", "`ä` is no capture name"),
            ("/{rest*}", "{rest*}", "written `{*rest}`"),
            ("/{rest...}", "{rest...}", "written `{*rest}`"),
            ("/{id:[0-9]+}", "{id:[0-9]+}", "write `{id}`"),
            ("/ü/{*rest}/b", "{*rest}", "write `{rest}` for one segment"),
            ("/{*rest}/", "{*rest}", "nothing can follow it"),
            ("/{id}/b/{id}", "{id}", "`id` is used twice"),
            ("/{id}/b/{*id}", "{*id}", "`id` is used twice"),
            ("/a/../b", "..", "`.` or `..` segment"),
            ("/a/%2e", "%2e", "`.` or `..` segment"),
            ("/a%00", "a%00", "NUL"),
            ("/ü/%ff", "%ff", "not UTF-8"),
            ("/a/50%", "%", "written `%25`"),
            ("/a/x%zzy", "%zz", "written `%25`"),
        ];
        for (text, marked, message) in table {
            let error = RoutePattern::parse(text).expect_err(text);
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert_eq!(error.at.map_or("", |at| &text[at]), marked, "{text}");
        }
        let second = RoutePattern::parse("/{id}/b/{id}").expect_err("a name used twice");
        assert_eq!(second.at, Some(8..12));
    }

    #[test]
    fn a_pattern_has_at_most_1_kib_and_64_segments() {
        let long = format!("/{}", "a".repeat(1023));
        assert!(RoutePattern::parse(&long).is_ok());
        assert!(RoutePattern::parse(&format!("{long}a")).is_err());
        assert!(RoutePattern::parse(&"/a".repeat(64)).is_ok());
        assert!(RoutePattern::parse(&"/a".repeat(65)).is_err());
    }

    #[test]
    fn patterns_conflict_when_they_fit_the_same_paths() {
        for (one, other, conflict) in [
            ("/a", "/a", true),
            ("/{id}", "/{name}", true),
            ("/a/{*rest}", "/a/{*all}", true),
            ("/%61", "/a", true),
            ("/%7Bid%7D", "/{id}", false),
            ("/{id}", "/{*id}", false),
            ("/a", "/a/", false),
            ("/a", "/A", false),
            ("/a%2Fb", "/a/b", false),
        ] {
            assert_eq!(pattern(one).conflicts_with(&pattern(other)), conflict, "{one} {other}");
            assert_eq!(pattern(other).conflicts_with(&pattern(one)), conflict, "{other} {one}");
        }
        assert_ne!(pattern("/%61"), pattern("/a"), "equal means written alike");
    }

    #[test]
    fn of_patterns_that_fit_one_path_the_most_specific_is_the_smallest() {
        let in_order = ["/a/b/c", "/a/b/{x}", "/a/{z}/c", "/a/{a}/{b}", "/a/{*r}", "/{a}/b/c", "/{*r}"];
        assert!(in_order.map(pattern).is_sorted());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_marks_lie_inside_it(text in "/?[/{}*%.a0ü?\\PC]{0,30}") {
            if let Err(PatternError { at: Some(at), .. }) = RoutePattern::parse(&text) {
                proptest::prop_assert!(text.get(at).is_some_and(|marked| !marked.is_empty()));
            }
        }
    }
}
