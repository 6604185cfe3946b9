//! The path of a request, split and decoded once, as the routes are compared with it.
//!
//! Owns decoding and every refusal of a path (400). A plugin sees the path as it was sent, which stays with the
//! request; finding the route that fits is left to `routes`.

use std::borrow::Cow;
use std::ops::Range;

/// The most segments of a request's path: far more than any pattern has, and a bound on what one
/// request's path may allocate.
const MAX_PATH_SEGMENTS: usize = 256;

/// The reason why a request's path is refused with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is not a path at all, such as `*` of a request for the whole server.
    #[error("the path does not begin with `/`")]
    NoSlash,
    /// The path has more segments than any route can need.
    #[error("the path has {0} segments; at most {MAX_PATH_SEGMENTS} are allowed")]
    TooManySegments(usize),
    /// A segment cannot be decoded, or is refused once it is.
    #[error("segment {number} of the path: {error}")]
    Segment {
        /// The segment's number, counted from 1.
        number: usize,
        /// The segment's fault.
        error: SegmentError,
    },
}

/// The reason why one segment is refused, in a request's path or in a route pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The segment has a `%` without two hexadecimal digits.
    #[error(
        "`{escape}` is no percent escape: two hexadecimal digits follow `%`, and a literal percent sign is \
         written `%25`"
    )]
    Escape {
        /// The `%` and up to two characters after it.
        escape: String,
        /// The bytes of `escape` in the segment.
        at: Range<usize>,
    },
    /// The segment's escapes spell no UTF-8 text.
    #[error("its percent escapes are not UTF-8")]
    NotUtf8,
    /// The segment has a `%00`.
    #[error("it holds the character NUL (`%00`)")]
    Nul,
    /// The segment is or holds `.` or `..`, encoded or not: programs differ in their meaning, so none gets to guess.
    #[error(
        "it is or holds a `.` or `..` segment, encoded or not: send the path that is meant, without them"
    )]
    Dots,
}

impl SegmentError {
    /// The bytes of the segment that are wrong. `None` when the whole segment is.
    pub fn at(&self) -> Option<Range<usize>> {
        match self {
            Self::Escape { at, .. } => Some(at.clone()),
            Self::NotUtf8 | Self::Nul | Self::Dots => None,
        }
    }
}

/// The path of a request, split at `/` and then decoded: `/a%2Fb/` is the segments `a/b` and an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    raw: &'a str,
    segments: Vec<Cow<'a, str>>,
}

impl<'a> RequestPath<'a> {
    /// Reads a path as it was sent, without its query. Allocates one vector, and one text for each segment that is
    /// encoded.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        let inner = raw.strip_prefix('/').ok_or(PathError::NoSlash)?;
        let count = inner.bytes().filter(|&byte| byte == b'/').count().saturating_add(1);
        if count > MAX_PATH_SEGMENTS {
            return Err(PathError::TooManySegments(count));
        }
        let mut segments = Vec::with_capacity(count);
        for (number, segment) in (1..).zip(inner.split('/')) {
            segments.push(decode_segment(segment).map_err(|error| PathError::Segment { number, error })?);
        }
        Ok(Self { raw, segments })
    }

    /// The path as it was sent.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The decoded segments, one at least: `/` has an empty one, and so has a trailing `/`.
    pub fn segments(&self) -> &[Cow<'a, str>] {
        &self.segments
    }
}

/// Decodes one segment. The rules are the same for a request's path and for a pattern's static segments,
/// or a pattern could be written that no request fits.
pub(super) fn decode_segment(segment: &str) -> Result<Cow<'_, str>, SegmentError> {
    let decoded = if segment.contains('%') { Cow::Owned(unescape(segment)?) } else { Cow::Borrowed(segment) };
    if decoded.contains('\0') {
        return Err(SegmentError::Nul);
    }
    // An encoded `/` stays inside its segment. Yet `..%2Fsecret` is `../secret` to a program that joins the capture
    // to something: dots between such slashes are dots all the same.
    let may_hold_dots = decoded.starts_with('.') || matches!(decoded, Cow::Owned(_));
    if may_hold_dots && decoded.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(SegmentError::Dots);
    }
    Ok(decoded)
}

fn unescape(segment: &str) -> Result<String, SegmentError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut pieces = segment.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    let mut start = bytes.len();
    for piece in pieces {
        let mut characters = piece.chars();
        let digits = (characters.next().and_then(hex), characters.next().and_then(hex));
        let (Some(high), Some(low)) = digits else {
            let escape: String = "%".chars().chain(piece.chars().take(2)).collect();
            let end = start.saturating_add(escape.len());
            return Err(SegmentError::Escape { escape, at: start..end });
        };
        bytes.push((high << 4) | low);
        bytes.extend_from_slice(characters.as_str().as_bytes());
        start = start.saturating_add(piece.len()).saturating_add(1);
    }
    String::from_utf8(bytes).map_err(|_| SegmentError::NotUtf8)
}

fn hex(character: char) -> Option<u8> {
    character.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_first_and_decoded_after() {
        let table: &[(&str, &[&str])] = &[
            ("/", &[""]),
            ("/a", &["a"]),
            ("/a/", &["a", ""]),
            ("//a", &["", "a"]),
            ("/a//b", &["a", "", "b"]),
            ("/a%2Fb/c", &["a/b", "c"]),
            ("/b%C3%BCcher/%E2%82%AC", &["bücher", "€"]),
            ("/bücher", &["bücher"]),
            ("/100%25/%2541", &["100%", "%41"]),
            ("/a+b", &["a+b"]),
            ("/.well-known/...", &[".well-known", "..."]),
            ("/a%2e", &["a."]),
        ];
        for (raw, segments) in table {
            let path = RequestPath::parse(raw).expect(raw);
            assert_eq!(path.segments(), *segments, "{raw}");
            assert_eq!(path.raw(), *raw);
        }
    }

    #[test]
    fn a_path_that_programs_read_differently_is_refused() {
        let table = [
            ("", "the path does not begin with `/`"),
            ("*", "the path does not begin with `/`"),
            ("a/b", "the path does not begin with `/`"),
            ("/a/./b", "segment 2 of the path: it is or holds a `.` or `..`"),
            ("/..", "segment 1 of the path: it is or holds"),
            ("/a/%2e%2E/b", "segment 2 of the path: it is or holds"),
            ("/a/.%2e", "segment 2 of the path: it is or holds"),
            ("/files/..%2Fsecret", "segment 2 of the path: it is or holds"),
            ("/files/a%2f.%2fb", "segment 2 of the path: it is or holds"),
            ("/a%00b", "segment 1 of the path: it holds the character NUL"),
            ("/%ff", "segment 1 of the path: its percent escapes are not UTF-8"),
            ("/%C3/%BC", "segment 1 of the path: its percent escapes are not UTF-8"),
            ("/%c0%ae", "segment 1 of the path: its percent escapes are not UTF-8"),
            ("/a%", "segment 1 of the path: `%` is no percent escape"),
            ("/a%4", "segment 1 of the path: `%4` is no percent escape"),
            ("/%zz", "segment 1 of the path: `%zz` is no percent escape"),
            ("/%%41", "segment 1 of the path: `%` is no percent escape"),
            ("/%+1", "segment 1 of the path: `%+1` is no percent escape"),
            ("/%4ü", "segment 1 of the path: `%4ü` is no percent escape"),
        ];
        for (raw, message) in table {
            let error = RequestPath::parse(raw).expect_err(raw).to_string();
            assert!(error.starts_with(message), "{raw}: {error}");
        }
    }

    #[test]
    fn what_is_not_encoded_is_borrowed() {
        let path = RequestPath::parse("/api/b%6Foks/7").expect("a good path");
        let borrowed: Vec<bool> =
            path.segments().iter().map(|segment| matches!(segment, Cow::Borrowed(_))).collect();
        assert_eq!(borrowed, [true, false, true]);
    }

    #[test]
    fn the_number_of_segments_is_bounded() {
        assert!(RequestPath::parse(&"/a".repeat(256)).is_ok());
        let error = RequestPath::parse(&"/".repeat(257)).expect_err("257 segments");
        assert_eq!(error, PathError::TooManySegments(257));
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(raw in "[/%.a0fF\\PC]{0,40}") {
            let _ = RequestPath::parse(&raw);
        }

        #[test]
        fn every_escaped_text_comes_back(text in "[./\\PC]{1,12}") {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            match decode_segment(&escaped) {
                Ok(decoded) => proptest::prop_assert_eq!(decoded, text),
                Err(error) => {
                    proptest::prop_assert_eq!(error, SegmentError::Dots);
                    proptest::prop_assert!(text.split('/').any(|part| part == "." || part == ".."));
                }
            }
        }
    }
}
