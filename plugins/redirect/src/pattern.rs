//! Source patterns, as the site file's routes have them: `/old/{*rest}`, `/a/{id}`.
//!
//! Owns what a pattern is, whether a path fits it, and which of two is more specific. A capture is
//! bytes, decoded: only `target` may turn it into a part of a URL again.

/// What a pattern's names stand for: each name with the segments that it took, percent-decoded.
pub(crate) type Captures = Vec<(String, Vec<Vec<u8>>)>;

/// A path with places held open by `{name}`, one whole segment, or `{*name}`, the rest.
pub(crate) struct Pattern(Vec<Segment>);

enum Segment {
    Static(Vec<u8>),
    One(String),
    Rest(String),
}

/// How specific one segment is; the more specific the smaller.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Static,
    One,
    Rest,
}

impl Pattern {
    /// Read a pattern. The error says what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("a pattern begins with `/`")?;
        let mut segments = Vec::new();
        let mut names = Vec::new();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let inside = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            let name = inside.map(|name| name.strip_prefix('*').unwrap_or(name));
            let segment = match (inside, name) {
                (Some(inside), Some(name)) if is_name(name) => {
                    if names.contains(&name) {
                        return Err(format!("`{name}` stands in it twice"));
                    }
                    names.push(name);
                    if inside == name {
                        Segment::One(name.to_owned())
                    } else {
                        Segment::Rest(name.to_owned())
                    }
                }
                _ if part.contains(['{', '}', '?', '#', '*']) => {
                    return Err(format!(
                        "`{part}` is neither plain text nor a whole `{{name}}` or `{{*name}}`"
                    ));
                }
                _ => Segment::Static(percent_decode(part)),
            };
            if matches!(segment, Segment::Rest(_)) && parts.peek().is_some() {
                return Err(format!("nothing can follow `{part}`"));
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// What the names stand for if `path`, as sent, fits; none if it does not.
    pub(crate) fn captures(&self, path: &str) -> Option<Captures> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut captures = Captures::new();
        for segment in &self.0 {
            let part = percent_decode(parts.next()?);
            match segment {
                Segment::Static(text) if *text == part => {}
                Segment::One(name) if !part.is_empty() => captures.push((name.clone(), vec![part])),
                Segment::Rest(name) => {
                    let taken: Vec<_> =
                        std::iter::once(part).chain(parts.by_ref().map(percent_decode)).collect();
                    // The rest is one character at least, be it a slash.
                    if taken.len() == 1 && taken.iter().all(Vec::is_empty) {
                        return None;
                    }
                    captures.push((name.clone(), taken));
                }
                _ => return None,
            }
        }
        parts.next().is_none().then_some(captures)
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.0.iter().map(|segment| match segment {
            Segment::Static(_) => None,
            Segment::One(name) | Segment::Rest(name) => Some(name.as_str()),
        });
        names.flatten().collect()
    }

    /// The segments' ranks from the left. Of the patterns that fit one path, the smallest is the most
    /// specific.
    pub(crate) fn ranks(&self) -> Vec<Rank> {
        let rank = |segment: &Segment| match segment {
            Segment::Static(_) => Rank::Static,
            Segment::One(_) => Rank::One,
            Segment::Rest(_) => Rank::Rest,
        };
        self.0.iter().map(rank).collect()
    }

    /// Whether both fit exactly the same paths.
    pub(crate) fn same_paths(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Static(a), Segment::Static(b)) => a == b,
            (Segment::One(_), Segment::One(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

/// A name within braces: letters, digits, `-` and `_`.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Turn `%41` into `A`. A `%` that is not followed by two hexadecimal digits stays, to be encoded later.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let digit =
        |byte: Option<&u8>| byte.and_then(|&b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, left) = match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => (high << 4 | low, after.get(2..).unwrap_or_default()),
            _ => (first, after),
        };
        decoded.push(byte);
        rest = left;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, path: &str) -> Option<String> {
        let show = |segments: Vec<Vec<u8>>| String::from_utf8_lossy(&segments.join(&b'/')).into_owned();
        let captures = Pattern::parse(pattern).ok().unwrap().captures(path)?;
        Some(
            captures
                .into_iter()
                .map(|(name, value)| format!("{name}={}", show(value)))
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn a_path_fits_a_pattern_segment_by_segment() {
        for (pattern, path, expected) in [
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/a", "/a", Some("")),
            ("/a", "/a/", None),
            ("/a", "/%61", Some("")),
            ("/caf%C3%A9", "/café", Some("")),
            ("/a/{id}", "/a/7", Some("id=7")),
            ("/a/{id}", "/a/7%2F8", Some("id=7/8")),
            ("/a/{id}", "/a/", None),
            ("/a/{id}", "/a/7/", None),
            ("/a/{id}/c", "/a/b/c", Some("id=b")),
            ("/old/{*rest}", "/old/a/b", Some("rest=a/b")),
            ("/old/{*rest}", "/old/a/", Some("rest=a/")),
            ("/old/{*rest}", "/old//", Some("rest=/")),
            ("/old/{*rest}", "/old/", None),
            ("/old/{*rest}", "/old", None),
            ("/{a}/{*b}", "/x/y%20z/w", Some("a=x b=y z/w")),
            ("/{a}", "/100%", Some("a=100%")),
            ("/{a}", "/%zz", Some("a=%zz")),
            ("/{a}", "relative", None),
        ] {
            assert_eq!(captures(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("a", "begins with `/`"),
            ("/{*rest}/a", "nothing can follow"),
            ("/{a}/{a}", "twice"),
            ("/x{a}", "neither plain text"),
            ("/{}", "neither plain text"),
            ("/{a b}", "neither plain text"),
            ("/*", "neither plain text"),
            ("/a?b", "neither plain text"),
        ] {
            let message = Pattern::parse(pattern).err().unwrap();
            assert!(message.contains(reason), "{pattern}: {message}");
        }
    }
}
