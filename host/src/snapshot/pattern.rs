//! Route patterns and host patterns: what a site file may write, turned once into types that cannot be
//! wrong.
//!
//! Owns their grammar and every message about it. Finding the pattern that a request fits is left to
//! `hosts` and `routes`; decoding a segment is `path`'s, so that a pattern and a request's path are
//! decoded by the same code.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use super::path::decode_segment;

/// The longest route pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// The most segments of a route pattern. The walk over the routes goes one call deeper with each.
const MAX_PATTERN_SEGMENTS: usize = 64;

/// The longest host name, in bytes (RFC 1035 §2.3.4, without the root's dot).
const MAX_HOST_BYTES: usize = 253;

/// The longest label of a host name, in bytes (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is no route or host pattern, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    message: String,
    /// The bytes of the text that are wrong, on character boundaries, empty where something is missing;
    /// `None` when it is the text as a whole.
    pub at: Option<Range<usize>>,
}

impl PatternError {
    fn whole(message: String) -> Self {
        Self { message, at: None }
    }

    fn at(range: Range<usize>, message: String) -> Self {
        Self { message, at: Some(range) }
    }
}

/// A route's path: `/api/books/{id}`, `/files/{*path}`.
///
/// Equal when written alike; [`conflicts_with`](Self::conflicts_with) tells whether two of them fit the
/// same paths. Of the patterns that fit one path, the most specific is the smallest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RoutePattern {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

/// What one segment of a route pattern fits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// Exactly this, decoded.
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

    /// Whether both fit exactly the same paths: the same shape, whatever the captures are called.
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

/// The host names that a tenant or a route answers for: `shop.example.com`, `*.shop.example.com` (one or
/// more labels), `*`. Always in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(HostKind);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum HostKind {
    /// This name or IPv4 address alone.
    Name(Arc<str>),
    /// This address alone, however it is written.
    Ipv6(Ipv6Addr),
    /// Every name with one or more labels and a dot before this one.
    Below(Arc<str>),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads a host name, an IPv4 address, an IPv6 address in brackets, `*.` and a host name, or `*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self(HostKind::Any));
        }
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return match address.parse() {
                Ok(address) => Ok(Self(HostKind::Ipv6(address))),
                Err(_) => Err(PatternError::at(
                    1..address.len().saturating_add(1),
                    format!("`{address}` is no IPv6 address: write one without a zone, such as `[::1]`"),
                )),
            };
        }
        refuse_what_no_host_holds(text)?;
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(parent) => {
                check_name(parent, "*.".len())?;
                if ends_in_a_number(parent) {
                    return Err(PatternError::whole(format!(
                        "`{text}`: addresses have no names below them, so list each address"
                    )));
                }
                Ok(Self(HostKind::Below(parent.into())))
            }
            None => {
                check_name(&lower, 0)?;
                // A name whose last label is a number would be read as an IPv4 address by clients.
                if ends_in_a_number(&lower) && lower.parse::<Ipv4Addr>().is_err() {
                    return Err(PatternError::whole(format!(
                        "`{text}` ends in a number but is no IPv4 address: write four numbers up to 255, \
                         such as `127.0.0.1`"
                    )));
                }
                Ok(Self(HostKind::Name(lower.into())))
            }
        }
    }

    /// Whether every host that `other` matches is matched by this pattern too.
    ///
    /// Two patterns that share any host at all cover one another in one direction or both.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (HostKind::Any, _) => true,
            (HostKind::Below(parent), HostKind::Below(below)) => parent == below || is_below(parent, below),
            (HostKind::Below(parent), HostKind::Name(name)) => is_below(parent, name),
            (mine, theirs) => mine == theirs,
        }
    }

    /// Whether the pattern fits a request's host, given without its port: in any case, one trailing dot
    /// ignored.
    pub fn matches(&self, host: &str) -> bool {
        self.matches_name(HostName::of(host).as_ref())
    }

    pub(super) fn matches_name(&self, host: Option<&HostName<'_>>) -> bool {
        match (&self.0, host) {
            (HostKind::Any, _) => true,
            (HostKind::Name(name), Some(HostName::Name(host))) => **name == **host,
            (HostKind::Below(parent), Some(HostName::Name(host))) => is_below(parent, host),
            (HostKind::Ipv6(address), Some(HostName::Ipv6(host))) => address == host,
            _ => false,
        }
    }

    pub(super) fn kind(&self) -> &HostKind {
        &self.0
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            HostKind::Name(name) => f.write_str(name),
            HostKind::Ipv6(address) => write!(f, "[{address}]"),
            HostKind::Below(parent) => write!(f, "*.{parent}"),
            HostKind::Any => f.write_str("*"),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A request's host, ready to be compared: in lower case, without the root's dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostName<'a> {
    Name(Cow<'a, str>),
    Ipv6(Ipv6Addr),
}

impl<'a> HostName<'a> {
    /// `None` for what only `*` can fit. The bound on the length bounds what comparing may cost.
    pub(super) fn of(host: &'a str) -> Option<Self> {
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return address.parse().ok().map(Self::Ipv6);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > MAX_HOST_BYTES {
            None
        } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Some(Self::Name(Cow::Owned(host.to_ascii_lowercase())))
        } else {
            Some(Self::Name(Cow::Borrowed(host)))
        }
    }
}

/// Whether `name` is `parent` with something and a dot before it.
fn is_below(parent: &str, name: &str) -> bool {
    name.strip_suffix(parent)
        .and_then(|labels| labels.strip_suffix('.'))
        .is_some_and(|labels| !labels.is_empty())
}

fn refuse_what_no_host_holds(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::whole(
            "a host pattern is a host name, `*.` and a host name, or `*` for any host, not empty".into(),
        ));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(PatternError::whole(format!("an IPv6 address is written in brackets: `[{text}]`")));
    }
    if text.contains("://") || text.contains('/') {
        return Err(PatternError::whole(format!(
            "`{text}` is more than a host: write the host name alone, without scheme and path"
        )));
    }
    if let Some(colon) = text.find(':') {
        return Err(PatternError::at(
            colon..text.len(),
            "a host pattern has no port and fits every port: leave out `:` and what follows".into(),
        ));
    }
    if text.ends_with('.') && !matches!(text, "." | "*.") {
        return Err(PatternError::at(
            text.len().saturating_sub(1)..text.len(),
            "leave out the trailing dot: a host fits with and without it".into(),
        ));
    }
    Ok(())
}

fn check_name(name: &str, start: usize) -> Result<(), PatternError> {
    if name.len() > MAX_HOST_BYTES {
        let length = name.len();
        return Err(PatternError::whole(format!(
            "this host name has {length} bytes; DNS allows at most {MAX_HOST_BYTES}"
        )));
    }
    let mut start = start;
    for label in name.split('.') {
        let end = start.saturating_add(label.len());
        if let Some(message) = wrong_with_label(label) {
            return Err(PatternError::at(start..end, message));
        }
        start = end.saturating_add(1);
    }
    Ok(())
}

fn wrong_with_label(label: &str) -> Option<String> {
    // Underscores are no part of a host name by RFC 1123, yet common in container networks.
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if label.is_empty() {
        Some("a label is missing here: between two dots stands at least one character".into())
    } else if label.contains('*') {
        Some(
            "`*` stands alone, or as the whole first label: `*.example.com` fits one or more labels \
             before `.example.com`"
                .into(),
        )
    } else if label.len() > MAX_LABEL_BYTES {
        let length = label.len();
        Some(format!("this label has {length} bytes; DNS allows at most {MAX_LABEL_BYTES}"))
    } else if !label.is_ascii() {
        Some(format!("`{label}` is not ASCII: write the form that clients send, which begins with `xn--`"))
    } else if !label.bytes().all(|byte| inner(byte) || byte == b'-')
        || label.starts_with('-')
        || label.ends_with('-')
    {
        Some(format!(
            "`{label}` is no label of a host name: use a-z, 0-9, `_` and `-`, with no `-` at the ends"
        ))
    } else {
        None
    }
}

fn ends_in_a_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
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
        // The part of the pattern that is marked; empty for the whole.
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
