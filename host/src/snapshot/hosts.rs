//! The table of hosts: from a request's host to the entry of the best host pattern, and no other.
//!
//! Owns the order of host patterns: exact, then the longest wildcard, then `*`. The grammar of a pattern is
//! `host_pattern`'s; the reader of the request takes the port off its host.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use super::host_pattern::{HostKind, HostName, HostPattern};

/// A table with a value for each host pattern, searched by a request's host.
#[derive(Debug, Clone)]
pub struct HostTable<T> {
    entries: Vec<(HostPattern, T)>,
    // Positions in `entries`, by the kind of pattern.
    names: HashMap<Arc<str>, usize>,
    ipv6: HashMap<Ipv6Addr, usize>,
    below: HashMap<Arc<str>, usize>,
    any: Option<usize>,
}

impl<T> HostTable<T> {
    /// Builds the table. Of equal patterns the last one is found: the caller sees to it that no two owners claim one.
    pub fn new(entries: impl IntoIterator<Item = (HostPattern, T)>) -> Self {
        let mut table = Self {
            entries: entries.into_iter().collect(),
            names: HashMap::new(),
            ipv6: HashMap::new(),
            below: HashMap::new(),
            any: None,
        };
        for (index, (pattern, _)) in table.entries.iter().enumerate() {
            match pattern.kind() {
                HostKind::Name(name) => drop(table.names.insert(Arc::clone(name), index)),
                HostKind::Ipv6(address) => drop(table.ipv6.insert(*address, index)),
                HostKind::Below(parent) => drop(table.below.insert(Arc::clone(parent), index)),
                HostKind::Any => table.any = Some(index),
            }
        }
        table
    }

    /// The value of the best pattern for `host`: exact, then the longest wildcard, then `*`.
    ///
    /// `host` comes without its port, in any case; one trailing dot is ignored. Nothing is allocated for a
    /// host in lower case.
    pub fn find(&self, host: &str) -> Option<(&HostPattern, &T)> {
        let better_than_any = match HostName::of(host) {
            Some(HostName::Name(name)) => self.names.get(&*name).or_else(|| self.longest_wildcard(&name)),
            Some(HostName::Ipv6(address)) => self.ipv6.get(&address),
            None => None,
        };
        let index = better_than_any.copied().or(self.any)?;
        self.entries.get(index).map(|(pattern, value)| (pattern, value))
    }

    /// Every pattern and its value, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&HostPattern, &T)> {
        self.entries.iter().map(|(pattern, value)| (pattern, value))
    }

    /// The position of the longest wildcard for a name. It takes one look-up a label: `HostName` bounds their number.
    fn longest_wildcard(&self, name: &str) -> Option<&usize> {
        if self.below.is_empty() {
            return None;
        }
        // A dot at the very beginning has no label before it for `*` to stand for.
        name.match_indices('.')
            .filter(|&(dot, _)| dot > 0)
            .filter_map(|(dot, _)| name.get(dot.saturating_add(1)..))
            .find_map(|parent| self.below.get(parent))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::PatternError;
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_host_pattern_reads_back_in_lower_case() {
        for (text, shown) in [
            ("shop.example.com", "shop.example.com"),
            ("Shop.EXAMPLE.com", "shop.example.com"),
            ("*.Example.com", "*.example.com"),
            ("*", "*"),
            ("localhost", "localhost"),
            ("*.localhost", "*.localhost"),
            ("my_service", "my_service"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("4.example", "4.example"),
            ("[0:0::1]", "[::1]"),
            ("[2001:DB8::a]", "[2001:db8::a]"),
        ] {
            assert_eq!(pattern(text).to_string(), shown);
            assert_eq!(pattern(shown), pattern(text));
        }
    }

    #[test]
    fn a_wrong_host_pattern_is_told_what_is_wrong_where_and_what_would_be_right() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(127);
        // The marked part of the pattern; empty for the whole.
        let table = [
            ("", "", "not empty"),
            ("shop.example.com:8080", ":8080", "fits every port"),
            ("https://shop.example.com", "", "the host name alone"),
            ("shop.example.com/api", "", "the host name alone"),
            ("shop.example.com.", ".", "leave out the trailing dot"),
            ("shop..com", "", "a label is missing here"),
            (".", "", "a label is missing here"),
            ("*.", "", "a label is missing here"),
            ("**", "**", "`*.example.com`"),
            ("a.*.com", "*", "`*.example.com`"),
            ("*shop.com", "*shop", "`*.example.com`"),
            ("*.*.com", "*", "`*.example.com`"),
            ("-a.com", "-a", "no `-` at the ends"),
            ("*.a-.com", "a-", "no `-` at the ends"),
            ("a b.com", "a b", "`a b` is no label"),
            ("bücher.example", "bücher", "`xn--`"),
            (&long_label, &long_label, "64 bytes; DNS allows at most 63"),
            (&format!("{long_name}a"), "", "255 bytes; DNS allows at most 253"),
            ("::1", "", "written in brackets: `[::1]`"),
            ("[::1", "::1", "no port"),
            ("[1::2::3]", "1::2::3", "no IPv6 address"),
            ("[fe80::1%eth0]", "fe80::1%eth0", "without a zone"),
            ("127.0.0.256", "", "no IPv4 address"),
            ("127.1", "", "no IPv4 address"),
            ("*.0.0.1", "", "list each address"),
        ];
        for (text, marked, message) in table {
            let error = HostPattern::parse(text).expect_err(text);
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert_eq!(error.at.map_or("", |at| &text[at]), marked, "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_one_or_more_labels() {
        for (text, host, fits) in [
            ("*.shop.example", "a.shop.example", true),
            ("*.shop.example", "b.a.shop.example", true),
            ("*.shop.example", "shop.example", false),
            ("*.shop.example", "xshop.example", false),
            ("*.shop.example", ".shop.example", false),
            ("*.shop.example", "A.Shop.Example.", true),
            ("shop.example", "SHOP.example", true),
            ("shop.example", "shop.example.", true),
            ("shop.example", "shop.example..", false),
            ("shop.example", "a.shop.example", false),
            ("*", "", true),
            ("*", "anything at all", true),
            ("[::1]", "[0:0:0:0:0:0:0:1]", true),
            ("[::1]", "[::2]", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(pattern(text).matches(host), fits, "{text} {host}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_fits_and_more() {
        for (one, other, covers) in [
            ("*", "*", true),
            ("*", "*.a.b", true),
            ("*", "[::1]", true),
            ("*.b", "*.a.b", true),
            ("*.b", "a.b", true),
            ("*.b", "*.b", true),
            ("a.b", "a.b", true),
            ("*.b", "b", false),
            ("*.a.b", "*.b", false),
            ("*.b", "*", false),
            ("*.b", "*.ab", false),
            ("a.b", "*.b", false),
            ("*.b", "[::1]", false),
        ] {
            assert_eq!(pattern(one).covers(&pattern(other)), covers, "{one} {other}");
        }
    }

    #[test]
    fn the_best_pattern_answers_exact_then_the_longest_wildcard_then_any() {
        let patterns = ["*", "*.com", "*.shop.com", "shop.com", "a.shop.com", "[::1]", "10.0.0.1"];
        let table = HostTable::new(patterns.map(|text| (pattern(text), text)));
        for (host, best) in [
            ("shop.com", "shop.com"),
            ("SHOP.com.", "shop.com"),
            ("a.shop.com", "a.shop.com"),
            ("b.shop.com", "*.shop.com"),
            ("b.a.shop.com", "*.shop.com"),
            ("other.com", "*.com"),
            ("com", "*"),
            (".com", "*"),
            ("", "*"),
            ("[::1]", "[::1]"),
            ("[0::1]", "[::1]"),
            ("[::2]", "*"),
            ("10.0.0.1", "10.0.0.1"),
            (&"a.".repeat(30_000), "*"),
        ] {
            assert_eq!(table.find(host).map(|(_, best)| *best), Some(best), "{host}");
        }
        let closed = HostTable::new([(pattern("*.shop.com"), ())]);
        assert!(closed.find("shop.com").is_none());
        assert_eq!(closed.iter().count(), 1);
    }

    fn host_text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5)
            .prop_map(|labels| labels.join("."))
    }

    fn pattern_text() -> impl Strategy<Value = String> {
        let wildcard = host_text().prop_map(|host| format!("*.{host}"));
        prop_oneof![8 => host_text(), 8 => wildcard, 1 => Just("*".into())]
    }

    proptest! {
        #[test]
        fn the_table_finds_what_trying_every_pattern_finds(
            texts in prop::collection::hash_set(pattern_text(), 0..20), host in host_text(),
        ) {
            // All wildcards that fit one host end alike, so the longest text is the longest wildcard.
            let best = texts
                .iter()
                .filter(|text| pattern(text).matches(&host))
                .max_by_key(|text| (!text.starts_with('*'), text.len()));
            let table = HostTable::new(texts.iter().map(|text| (pattern(text), text)));
            prop_assert_eq!(table.find(&host).map(|(_, found)| *found), best);
        }

        #[test]
        fn patterns_that_share_a_host_cover_one_another(
            one in pattern_text(), other in pattern_text(), host in host_text(),
        ) {
            let (one, other) = (pattern(&one), pattern(&other));
            if one.matches(&host) && other.matches(&host) {
                prop_assert!(one.covers(&other) || other.covers(&one));
            }
            if one.covers(&other) && other.matches(&host) {
                prop_assert!(one.matches(&host));
            }
        }

        #[test]
        fn no_text_makes_it_panic_and_marks_lie_inside_it(text in "[a1.*:\\[\\]\\-/\\PC]{0,20}") {
            if let Err(PatternError { at: Some(at), .. }) = HostPattern::parse(&text) {
                prop_assert!(text.get(at).is_some());
            }
            let _ = HostTable::new([(pattern("*.a"), ())]).find(&text);
        }
    }
}
