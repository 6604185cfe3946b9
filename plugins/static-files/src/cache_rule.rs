//! Rules of caching (RFC 9111 §5.2): which files are sent with which `Cache-Control`.

/// One rule: the files of a pattern are sent with a value.
#[derive(Debug, PartialEq)]
pub(crate) struct CacheRule<'a> {
    pattern: &'a str,
    value: &'a str,
}

impl<'a> CacheRule<'a> {
    /// The rule in a line `PATTERN VALUE`; none if it is none.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (pattern, value) = line.split_once([' ', '\t'])?;
        let value = value.trim();
        let is_value = !value.is_empty() && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        // A `/` in the middle alone is a path that lacks the first one.
        let is_pattern = pattern.starts_with('/') || !pattern.contains('/');
        (is_value && is_pattern).then_some(Self { pattern, value })
    }

    /// True if the pattern fits: with a `/` in front it is about the whole path of the file, as `/assets/app.js`, else
    /// about the file's name.
    fn fits(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        let text = if self.pattern.starts_with('/') { path } else { name };
        fits(self.pattern.as_bytes(), text.as_bytes())
    }
}

/// The `Cache-Control` of the file at `path`: of the first rule that fits.
pub(crate) fn value_for<'a>(rules: &[CacheRule<'a>], path: &str) -> Option<&'a str> {
    rules.iter().find(|rule| rule.fits(path)).map(|rule| rule.value)
}

/// True if `text` is `pattern`, in which `*` is any text. Goes back to the last `*` alone, so that it takes at most
/// as many steps as both lengths multiplied.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut last_star = None;
    loop {
        match (pattern, text) {
            ([b'*', after @ ..], _) => {
                last_star = Some((after, text));
                pattern = after;
            }
            ([], []) => return true,
            ([wanted, rest @ ..], [byte, tail @ ..]) if wanted == byte => (pattern, text) = (rest, tail),
            _ => {
                let Some((after, [_, tail @ ..])) = last_star else { return false };
                last_star = Some((after, tail));
                (pattern, text) = (after, tail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_pattern_and_a_value() {
        for (line, expected) in [
            ("*.html no-cache", Some(("*.html", "no-cache"))),
            (
                "/assets/*\t public, max-age=31536000, immutable ",
                Some(("/assets/*", "public, max-age=31536000, immutable")),
            ),
            ("* no-store", Some(("*", "no-store"))),
            ("*.html", None),
            ("*.html ", None),
            ("assets/* no-cache", None),
            ("* max-age=\u{e9}", None),
        ] {
            let expected = expected.map(|(pattern, value)| CacheRule { pattern, value });
            assert_eq!(CacheRule::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn a_pattern_is_about_a_path_or_a_name() {
        for (pattern, path, expected) in [
            ("*", "/", true),
            ("*", "/a/b.js", true),
            ("*.js", "/a/b.js", true),
            ("*.js", "/a/b.json", false),
            ("b.*", "/a/b.js", true),
            ("b.js", "/a/b.js", true),
            ("a*", "/a/b.js", false),
            ("/a/*", "/a/b/c.js", true),
            ("/a/*", "/a", false),
            ("/a/*.js", "/a/b/c.js", true),
            ("/*/c.js", "/a/b/c.js", true),
            ("/a", "/ab", false),
            ("/a/b.js", "/a/b.js", true),
            ("*.min.*", "/jquery.min.js", true),
            ("*ab*ab", "/abab", true),
            ("*ab*abc", "/abab", false),
            ("**", "/x", true),
        ] {
            let rule = CacheRule { pattern, value: "" };
            assert_eq!(rule.fits(path), expected, "{pattern} {path}");
        }
        let hostile = CacheRule { pattern: &"*a".repeat(500), value: "" };
        assert!(!hostile.fits(&"a".repeat(8000).replace("aaaaaaaa", "aaaaaaab")), "ends in time");
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rules: Vec<_> =
            ["/assets/* immutable", "*.html no-cache"].into_iter().filter_map(CacheRule::parse).collect();
        assert_eq!(value_for(&rules, "/assets/a.html"), Some("immutable"));
        assert_eq!(value_for(&rules, "/a.html"), Some("no-cache"));
        assert_eq!(value_for(&rules, "/a.txt"), None);
    }
}
