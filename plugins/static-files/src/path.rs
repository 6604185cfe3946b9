//! The path of a request as names of files: split, then decoded, and refused where a name could mean another place.
//!
//! Nothing is normalised: a path either is the name of one thing or of nothing.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// RFC 8615: the one hidden folder that is meant to be seen.
const WELL_KNOWN: &str = ".well-known";

/// A path as segments, each decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) segments: Vec<String>,
    /// It ends with `/`.
    pub(crate) has_final_slash: bool,
}

impl Target {
    /// The target of this path as it was sent; none if nothing that may be served can have that name.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        // RFC 9110 §4.2.3: an empty path is `/`.
        let rest = if path.is_empty() { "" } else { path.strip_prefix('/')? };
        let (inner, has_final_slash) = match rest.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (rest, rest.is_empty()),
        };
        let mut segments = Vec::new();
        if !rest.is_empty() {
            for segment in inner.split('/') {
                segments.push(decode(segment)?);
            }
        }
        is_served(&segments).then_some(Self { segments, has_final_slash })
    }

    /// The target below `prefix`; none if it is not below it.
    pub(crate) fn below(&self, prefix: &[String]) -> Option<Self> {
        let segments = self.segments.strip_prefix(prefix)?.to_vec();
        Some(Self { segments, has_final_slash: self.has_final_slash })
    }

    /// The same path with a final slash, for a `Location`. It begins with one `/` and a name, so it names no other
    /// host; all but what RFC 3986 §3.3 lets stand in a segment is encoded.
    pub(crate) fn with_final_slash(&self) -> String {
        let mut path = String::from("/");
        for segment in &self.segments {
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                    path.push(char::from(byte));
                } else {
                    path += &format!("%{byte:02X}");
                }
            }
            path.push('/');
        }
        path
    }

    /// True if its last name has an extension: it asks for a file of a type, not for a page of an application.
    pub(crate) fn has_extension(&self) -> bool {
        self.segments.last().is_some_and(|name| name.contains('.'))
    }
}

/// A path that a person wrote into the configuration, as segments: plain text, nothing is decoded. None if
/// it can name no file that may be served.
pub(crate) fn configured(path: &str) -> Option<Vec<String>> {
    let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
    (is_served(&segments) && !path.contains('\0')).then_some(segments)
}

/// RFC 3986 §2.1: `%` and two hex digits are a byte. None if that is no text, or would be several segments.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.contains(['/', '\0'])).then_some(name)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// True if none is empty, `.` or `..`, and none is hidden but what RFC 8615 puts there.
fn is_served(segments: &[String]) -> bool {
    segments.iter().enumerate().all(|(index, name)| {
        !name.is_empty() && (!name.starts_with('.') || (index == 0 && name == WELL_KNOWN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Option<Vec<String>> {
        Target::parse(path).map(|target| target.segments)
    }

    #[test]
    fn a_path_names_one_file() {
        for (path, expected, has_final_slash) in [
            ("/", &[][..], true),
            ("", &[], true),
            ("/a", &["a"], false),
            ("/a/", &["a"], true),
            ("/a/b.html", &["a", "b.html"], false),
            ("/a%20b/%C3%A9", &["a b", "é"], false),
            ("/a+b", &["a+b"], false),
            ("/100%25", &["100%"], false),
            ("/%2541", &["%41"], false),
            ("/a\\..\\b", &["a\\..\\b"], false),
            ("/.well-known/security.txt", &[".well-known", "security.txt"], false),
            ("/%2Ewell-known/x", &[".well-known", "x"], false),
            ("/a..b/", &["a..b"], true),
        ] {
            let expected =
                Target { segments: expected.iter().map(|s| s.to_string()).collect(), has_final_slash };
            assert_eq!(Target::parse(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_mean_another_place_names_nothing() {
        for path in [
            "*",
            "a",
            "//",
            "//evil.example",
            "///",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/../a",
            "/a/../b",
            "/a/.",
            "/%2e%2e/a",
            "/%2E%2e/a",
            "/.%2e/a",
            "/%2e",
            "/a%2fb",
            "/a%2Fb",
            "/..%2f..%2fetc",
            "/%00",
            "/a%00.html",
            "/%ff",
            "/%c0%ae%c0%ae/a",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/.git/config",
            "/.env",
            "/a/.htpasswd",
            "/%2egit",
            "/a/.well-known/b",
            "/.well-known/.hidden",
            "/.well-knowns",
            "/...",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_by_whole_segments() {
        let prefix = ["docs".to_owned()];
        for (path, expected) in [
            ("/docs/a", Some(&["a"][..])),
            ("/docs/", Some(&[])),
            ("/docs", Some(&[])),
            ("/%64ocs/a", Some(&["a"])),
            ("/docsa", None),
            ("/a", None),
            ("/", None),
        ] {
            let below = Target::parse(path).and_then(|target| target.below(&prefix));
            let expected = expected.map(|names| names.iter().map(|name| name.to_string()).collect());
            assert_eq!(below.map(|target| target.segments), expected, "{path}");
        }
    }

    #[test]
    fn a_location_is_a_path_on_this_host() {
        for (path, expected) in [
            ("/a", "/a/"),
            ("/a b/é%25", "/a%20b/%C3%A9%25/"),
            ("/\\evil.example", "/%5Cevil.example/"),
            ("/a%3Fb%23", "/a%3Fb%23/"),
            ("/a:b@c", "/a:b@c/"),
            ("/%0d%0aset-cookie", "/%0D%0Aset-cookie/"),
        ] {
            let location = Target::parse(path).map(|target| target.with_final_slash());
            assert_eq!(location.as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_configured_path_is_plain_text() {
        for (path, expected) in [
            ("404.html", Some(&["404.html"][..])),
            ("errors/404.html", Some(&["errors", "404.html"])),
            ("100%.html", Some(&["100%.html"])),
            (".well-known/x", Some(&[".well-known", "x"])),
            ("", None),
            ("/a", None),
            ("a/", None),
            ("../a", None),
            ("a/.git", None),
        ] {
            let expected = expected.map(|names| names.iter().map(|name| name.to_string()).collect());
            assert_eq!(configured(path), expected, "{path}");
        }
    }
}
