//! The table of rules, as the site file's `config` has it, and what it makes of a request.
//!
//! Owns every rule about valid configuration and the order in which rules are tried. Pure: the facts of
//! a request come in as arguments.

use crate::pattern::Pattern;
use crate::target::{Target, to_https};

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// No rule fits.
    Pass,
    /// Go there instead.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// An absolute URL, or a path on the same host.
        location: String,
    },
    /// A rule fits, and no safe location can be made of what the caller sent.
    Refuse,
}

/// All rules of one site file.
pub(crate) struct Rules {
    https: bool,
    rules: Vec<Rule>,
}

struct Rule {
    from: Pattern,
    status: u16,
    to: Target,
}

impl Rules {
    /// Read the pairs of `config`. The error names the key and says what would be right.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut read = Self { https: false, rules: Vec::new() };
        for (key, value) in pairs {
            match (key.as_str(), value.as_str()) {
                ("https", "true") => read.https = true,
                ("https", "false") => read.https = false,
                ("https", _) => return Err(format!("config `https` is `{value}`: give `true` or `false`")),
                (source, _) if source.starts_with('/') => {
                    let rule = Rule::parse(source, value).map_err(|why| format!("config `{key}`: {why}"))?;
                    if read.rules.iter().any(|other| other.from.same_paths(&rule.from)) {
                        return Err(format!(
                            "config `{key}` fits the same paths as another pattern: keep one"
                        ));
                    }
                    read.rules.push(rule);
                }
                _ => {
                    return Err(format!(
                        "config `{key}` is unknown: use `https`, or a pattern that begins with `/`"
                    ));
                }
            }
        }
        Ok(read)
    }

    /// Decide on a request for `path` and `query`, both as sent.
    pub(crate) fn decide(&self, scheme: &str, authority: &str, path: &str, query: Option<&str>) -> Outcome {
        let redirect = |status, location: Option<String>| match location {
            Some(location) => Outcome::Redirect { status, location },
            None => Outcome::Refuse,
        };
        if self.https && scheme == "http" {
            return redirect(308, to_https(authority, path, query));
        }
        let fits = self.rules.iter().filter_map(|rule| Some((rule, rule.from.captures(path)?)));
        match fits.min_by_key(|(rule, _)| rule.from.ranks()) {
            Some((rule, captures)) => redirect(rule.status, rule.to.location(&captures, query)),
            None => Outcome::Pass,
        }
    }
}

impl Rule {
    fn parse(source: &str, value: &str) -> Result<Self, String> {
        let from = Pattern::parse(source)?;
        let (status, target) = match value.split_once(' ') {
            None => (308, value),
            Some((status, target)) => {
                let status =
                    status.parse().ok().filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
                let wrong =
                    || format!("`{value}` is not a status of 301, 302, 303, 307, 308, a space and a target");
                (status.ok_or_else(wrong)?, target)
            }
        };
        let to = Target::parse(target, &from.names())?;
        Ok(Self { from, status, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(pairs: &[(&str, &str)]) -> Result<Rules, String> {
        let owned: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Rules::read(&owned)
    }

    /// `STATUS LOCATION`, `pass` or `refuse`, for a path with or without a query.
    fn go(pairs: &[(&str, &str)], url: &str) -> String {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        match rules(pairs).map(|rules| rules.decide("https", "shop.example.com", path, query)) {
            Ok(Outcome::Redirect { status, location }) => format!("{status} {location}"),
            Ok(Outcome::Pass) => "pass".to_owned(),
            Ok(Outcome::Refuse) => "refuse".to_owned(),
            Err(reason) => reason,
        }
    }

    #[test]
    fn a_path_is_sent_where_its_rule_says() {
        for (from, to, url, expected) in [
            ("/old/{*rest}", "308 https://example.com/{rest}", "/old/a/b", "308 https://example.com/a/b"),
            (
                "/old/{*rest}",
                "301 https://example.com:8443/n/{rest}",
                "/old/a/",
                "301 https://example.com:8443/n/a/",
            ),
            ("/old/{*rest}", "https://example.com/{rest}", "/old/a", "308 https://example.com/a"),
            ("/old/{*rest}", "302 /new/{rest}", "/old/a//b", "302 /new/a//b"),
            ("/a/{id}", "303 /b?id={id}", "/a/7", "303 /b?id=7"),
            ("/a/{x}/{y}", "307 /{y}-{x}#{x}", "/a/1/2", "307 /2-1#1"),
            ("/home", "301 https://example.com", "/home", "301 https://example.com/"),
            ("/home", "301 https://[2001:db8::1]:8443/x", "/home", "301 https://[2001:db8::1]:8443/x"),
            ("/a/{id}", "308 /b/{id}", "/a/x%20y%C3%A9", "308 /b/x%20y%C3%A9"),
            ("/a/{id}", "308 /b/{id}", "/a/x%2Fy", "308 /b/x%2Fy"),
            ("/a/{id}", "308 /b/{id}", "/a/x:y@z", "308 /b/x%3Ay%40z"),
            ("/a/{id}", "308 /b/{id}", "/a", "pass"),
            ("/a/{id}", "308 /b/{id}", "/", "pass"),
        ] {
            assert_eq!(go(&[(from, to)], url), expected, "{from} = {to}");
        }
    }

    #[test]
    fn the_query_is_kept_and_the_fragment_stays_last() {
        for (to, url, expected) in [
            ("/b", "/a?x=1&y=%20", "308 /b?x=1&y=%20"),
            ("/b?z=0", "/a?x=1", "308 /b?z=0&x=1"),
            ("/b?z=0#part", "/a?x=1", "308 /b?z=0&x=1#part"),
            ("/b#part", "/a?x=1", "308 /b?x=1#part"),
            ("/b#part?", "/a", "308 /b#part?"),
            ("/b", "/a?", "308 /b"),
            ("https://example.com", "/a?x=1", "308 https://example.com/?x=1"),
            ("/b", "/a?next=https://evil.example/", "308 /b?next=https://evil.example/"),
        ] {
            assert_eq!(go(&[("/a", to)], url), expected, "{to}");
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
        let mut table = vec![
            ("/{*rest}", "/rest"),
            ("/a/{x}", "/one"),
            ("/a/b", "/static"),
            ("/{x}/b", "/late"),
            ("/a/{*r}", "/r"),
        ];
        for _ in 0..table.len() {
            table.rotate_left(1);
            for (url, expected) in [
                ("/a/b", "308 /static"),
                ("/a/c", "308 /one"),
                ("/z/b", "308 /late"),
                ("/a/c/d", "308 /r"),
                ("/a/", "308 /rest"),
                ("/z", "308 /rest"),
            ] {
                assert_eq!(go(&table, url), expected, "{url}");
            }
        }
    }

    /// Whatever a caller sends, the redirect stays on the host that the rule names.
    #[test]
    fn no_capture_can_send_a_caller_elsewhere() {
        let hostile = [
            "/evil.example",
            "//evil.example",
            "///evil.example",
            "/%2Fevil.example",
            "%2F%2Fevil.example",
            "%5C%5Cevil.example",
            "\\\\evil.example",
            "/\\evil.example",
            "/%5Cevil.example",
            "\\/evil.example",
            "https://evil.example",
            "https:evil.example",
            "https%3A%2F%2Fevil.example",
            "javascript:alert(1)",
            "@evil.example",
            "%40evil.example",
            ":80@evil.example",
            ".evil.example",
            "evil.example:443",
            "a%0D%0ALocation:%20https://evil.example",
            "a\r\nSet-Cookie: x",
            "%0a/evil.example",
            "%09//evil.example",
            "\t//evil.example",
            "\u{a0}//evil.example",
            "%E3%80%82evil.example",
            "\u{ff0f}\u{ff0f}evil.example",
            "..",
            "../..",
            "./evil.example",
            "..//evil.example",
            "%2e%2e/evil.example",
            ".%2E/x",
            "%2E",
            "..%2F..%2Fx",
            "..%5C..%5Cx",
            "%252e%252e/x",
            "a/../..//evil.example",
            "%00",
            "%",
            "%zz",
            "%%32%66",
            "?x",
            "%3Fx",
            "%23x",
            "#//evil.example",
            "{rest}",
            "%7Brest%7D",
            "xn--evil",
            "%FF%FE",
            "<script>",
            "\"'><x",
            ";/evil.example",
        ];
        let targets = [
            "302 /{rest}",
            "302 /{rest}/x",
            "302 /x{rest}",
            "302 /.{rest}",
            "302 /x/{rest}",
            "302 /{rest}.{rest}",
            "302 https://example.com/{rest}",
            "302 https://example.com/x/{rest}?q={rest}#{rest}",
            "302 /x?to={rest}",
        ];
        for (target, capture, pattern) in targets.iter().flat_map(|target| {
            hostile
                .iter()
                .flat_map(move |capture| [(target, capture, "/o/{*rest}"), (target, capture, "/o/{rest}")])
        }) {
            let answer = go(&[(pattern, target)], &format!("/o/{capture}"));
            let context = format!("{pattern} = {target}, given {capture:?}: {answer:?}");
            if answer == "refuse" || answer == "pass" {
                continue;
            }
            let location = answer.strip_prefix("302 ").expect(&context);
            assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'), "{context}");
            let path = match target.contains("https://") {
                true => location.strip_prefix("https://example.com/").expect(&context),
                false => location.strip_prefix('/').filter(|path| !path.starts_with('/')).expect(&context),
            };
            let path = path.split(['?', '#']).next().unwrap();
            let decoded = path.to_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."), "{context}");
            assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%/".contains(&b)), "{context}");
        }
        assert_eq!(go(&[("/o/{*rest}", "302 /{rest}")], "/o//evil.example"), "refuse");
        assert_eq!(go(&[("/o/{*rest}", "302 /{rest}")], "/o/%2Fevil.example"), "refuse");
        assert_eq!(go(&[("/o/{*rest}", "302 /{rest}")], "/o/%5Cevil.example"), "refuse");
        assert_eq!(go(&[("/o/{*rest}", "302 /{rest}")], "/o/a%0D%0Ab"), "302 /a%0D%0Ab");
        assert_eq!(go(&[("/o/{x}", "302 /.{x}")], "/o/."), "refuse");
    }

    #[test]
    fn http_is_sent_to_https_before_any_rule() {
        let table = rules(&[("https", "true"), ("/a", "301 /b")]).ok().unwrap();
        for (scheme, authority, path, query, expected) in [
            ("http", "shop.example.com", "/x%20y", Some("q=1"), "308 https://shop.example.com/x%20y?q=1"),
            ("http", "shop.example.com:8080", "/a", None, "308 https://shop.example.com/a"),
            ("http", "127.0.0.1:8080", "//evil.example", Some(""), "308 https://127.0.0.1//evil.example?"),
            ("http", "[::1]:8080", "/", None, "308 https://[::1]/"),
            ("http", "user@evil.example", "/", None, "refuse"),
            ("http", "evil.example/", "/", None, "refuse"),
            ("http", "[::1]", "/", None, "308 https://[::1]/"),
            ("http", "[::1]evil", "/", None, "refuse"),
            ("http", "shop.example.com:x", "/", None, "refuse"),
            ("http", "[x]:1", "/", None, "refuse"),
            ("http", "", "/", None, "refuse"),
            ("https", "shop.example.com", "/a", None, "301 /b"),
            ("https", "shop.example.com", "/x", None, "pass"),
        ] {
            let outcome = match table.decide(scheme, authority, path, query) {
                Outcome::Redirect { status, location } => format!("{status} {location}"),
                Outcome::Pass => "pass".to_owned(),
                Outcome::Refuse => "refuse".to_owned(),
            };
            assert_eq!(outcome, expected, "{scheme}://{authority}{path}");
        }
        assert_eq!(go(&[("https", "false"), ("/a", "/b")], "/a"), "308 /b");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (key, value, right) in [
            ("https", "yes", "`true` or `false`"),
            ("http", "true", "`https`"),
            ("old", "/new", "begins with `/`"),
            ("/a", "", "begins with neither"),
            ("/a", "300 /b", "301, 302"),
            ("/a", "304 /b", "301, 302"),
            ("/a", "moved /b", "301, 302"),
            ("/a", "301  /b", "percent-encode"),
            ("/a", "301 /b c", "percent-encode"),
            ("/a", "301 /é", "percent-encode"),
            ("/a", "301 /b\r\nx:y", "percent-encode"),
            ("/a", "/\\evil.example", "percent-encode"),
            ("/a", "//evil.example/x", "begins with `//`"),
            ("/a", "/b/../c", "`..` segment"),
            ("/a", "/b/%2E%2e", "`..` segment"),
            ("/a", "b", "begins with neither"),
            ("/a", "ftp://example.com/", "begins with neither"),
            ("/a", "javascript:alert(1)", "begins with neither"),
            ("/a", "https://", "no plain host name"),
            ("/a", "https:///x", "no plain host name"),
            ("/a", "https://user@example.com/", "no plain host name"),
            ("/a", "https://example.com:x/", "no plain host name"),
            ("/{a}", "https://{a}/", "no plain host name"),
            ("/{a}", "https://example.com{a}", "no plain host name"),
            ("/{a}", "{a}", "begins with neither"),
            ("/{a}", "/{b}", "not a name in the pattern"),
            ("/{a}", "/{a", "not closed"),
            ("/{a}", "/a}", "without its"),
            ("/{*a}/b", "/x", "nothing can follow"),
        ] {
            let message = rules(&[(key, value)]).err().unwrap_or_else(|| panic!("{key} = {value} was taken"));
            assert!(message.contains(&format!("config `{key}`")), "{message}");
            assert!(message.contains(right), "{key} = {value}: {message}");
        }
        assert!(rules(&[("/{a}", "/x"), ("/{b}", "/y")]).err().unwrap().contains("same paths"));
    }
}
