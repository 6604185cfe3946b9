//! The configuration: what the site file says of these files, or why that cannot be.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::cache_rule::CacheRule;
use crate::negotiation::Coding;
use crate::path;

/// The keys, as an unknown one is answered with.
const KEYS: &str = "prefix, index, types, precompressed, cache-control, not-found, fallback";

/// The configuration of a server of files.
#[derive(Debug, PartialEq)]
pub(crate) struct Config<'a> {
    /// The segments that are taken off every path.
    pub(crate) prefix: Vec<String>,
    /// The names under which a folder's own page is looked for, in order.
    pub(crate) index: Vec<&'a str>,
    /// Extensions and their types, before the usual ones.
    pub(crate) types: Vec<(&'a str, &'a str)>,
    /// The codings in which files may lie beside themselves, the preferred one first.
    pub(crate) precompressed: Vec<Coding>,
    pub(crate) cache_rules: Vec<CacheRule<'a>>,
    /// The page that says that there is nothing.
    pub(crate) not_found: Option<Vec<String>>,
    /// The page of an application that has paths of its own.
    pub(crate) fallback: Option<Vec<String>>,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            index: vec!["index.html"],
            types: Vec::new(),
            precompressed: vec![Coding::Brotli, Coding::Zstandard, Coding::Gzip],
            cache_rules: Vec::new(),
            not_found: Some(vec!["404.html".to_owned()]),
            fallback: None,
        }
    }
}

impl<'a> Config<'a> {
    /// The configuration in these pairs, or what is wrong with it, for the operator.
    pub(crate) fn read(pairs: &'a [(String, String)]) -> Result<Self, String> {
        let mut config = Self::default();
        for (key, value) in pairs {
            let read = match key.as_str() {
                "prefix" => prefix(value).map(|prefix| config.prefix = prefix),
                "index" => index(value).map(|index| config.index = index),
                "types" => lines(value, own_type).map(|types| config.types = types),
                "precompressed" => precompressed(value).map(|codings| config.precompressed = codings),
                "cache-control" => lines(value, cache_rule).map(|rules| config.cache_rules = rules),
                "not-found" => page(value).map(|page| config.not_found = page),
                "fallback" => page(value).map(|page| config.fallback = page),
                _ => Err(format!("there is no such key; there are {KEYS}")),
            };
            read.map_err(|reason| format!("config `{}`: {reason}", key.escape_debug()))?;
        }
        Ok(config)
    }
}

fn prefix(value: &str) -> Result<Vec<String>, String> {
    if value == "/" {
        return Ok(Vec::new());
    }
    let segments = value.strip_prefix('/').and_then(path::configured);
    segments.ok_or_else(|| {
        wrong(value, "is no path: write one that begins with `/` and does not end with it, as `/docs`")
    })
}

fn index(value: &str) -> Result<Vec<&str>, String> {
    let names: Vec<_> = value.split_ascii_whitespace().collect();
    let wrong_one = names.iter().find(|name| name.contains('/') || path::configured(name).is_none());
    match wrong_one {
        Some(name) => Err(wrong(
            name,
            "names no file of a folder: write names with spaces between, as `index.html index.htm`",
        )),
        None => Ok(names),
    }
}

/// The page at this path; none if it is empty.
fn page(value: &str) -> Result<Option<Vec<String>>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let segments = path::configured(value.strip_prefix('/').unwrap_or(value));
    segments
        .map(Some)
        .ok_or_else(|| wrong(value, "names no file that may be served: write its path, as `/index.html`"))
}

fn precompressed(value: &str) -> Result<Vec<Coding>, String> {
    let coding = |name| {
        let coding = Coding::of_extension(name);
        coding.ok_or_else(|| {
            wrong(name, "is no extension of compressed files: write some of `br zst gz`, or nothing")
        })
    };
    value.split_ascii_whitespace().map(coding).collect()
}

fn own_type(line: &str) -> Result<(&str, &str), String> {
    let (extension, media_type) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let media_type = media_type.trim();
    let is_extension = !extension.is_empty() && !extension.contains(['.', '/']);
    let is_type = media_type.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        && media_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_extension && is_type {
        Ok((extension, media_type))
    } else {
        Err(wrong(
            line,
            "is no type: write an extension without its dot and a media type in each line, as `gpx application/gpx+xml`",
        ))
    }
}

fn cache_rule(line: &str) -> Result<CacheRule<'_>, String> {
    let rule = CacheRule::parse(line);
    rule.ok_or_else(|| wrong(line, "is no rule: write a pattern and a value in each line, as `/assets/* max-age=31536000` or `*.html no-cache`"))
}

/// What `parse` makes of each line that is not empty.
fn lines<'a, T>(value: &'a str, parse: impl Fn(&'a str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.lines().map(str::trim).filter(|line| !line.is_empty()).map(parse).collect()
}

fn wrong(value: &str, reason: &str) -> String {
    format!("`{}` {reason}", value.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn without_a_word_all_is_as_a_server_of_files_is() {
        assert_eq!(Config::read(&[]), Ok(Config::default()));
    }

    #[test]
    fn every_key_is_heeded() {
        let pairs = pairs(&[
            ("prefix", "/docs/v1"),
            ("index", "index.htm  start.html"),
            ("types", "\n gpx application/gpx+xml\n\n js  text/javascript; charset=utf-8\n"),
            ("precompressed", "gz br"),
            ("cache-control", "/assets/* immutable\n* no-cache"),
            ("not-found", "errors/404.html"),
            ("fallback", "/index.html"),
        ]);
        let config = Config::read(&pairs).unwrap();
        assert_eq!(config.prefix, ["docs", "v1"]);
        assert_eq!(config.index, ["index.htm", "start.html"]);
        assert_eq!(config.types, [("gpx", "application/gpx+xml"), ("js", "text/javascript; charset=utf-8")]);
        assert_eq!(config.precompressed, [Coding::Gzip, Coding::Brotli]);
        assert_eq!(config.cache_rules.len(), 2);
        assert_eq!(config.not_found, Some(vec!["errors".into(), "404.html".into()]));
        assert_eq!(config.fallback, Some(vec!["index.html".into()]));
    }

    #[test]
    fn nothing_is_a_value_too() {
        let pairs = pairs(&[
            ("prefix", "/"),
            ("index", ""),
            ("types", ""),
            ("precompressed", ""),
            ("cache-control", ""),
            ("not-found", ""),
            ("fallback", ""),
        ]);
        let config = Config::read(&pairs).unwrap();
        let nothing =
            Config { index: Vec::new(), precompressed: Vec::new(), not_found: None, ..Config::default() };
        assert_eq!(config, nothing);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_would_be_right() {
        for (key, value, named, right) in [
            ("prefix", "docs", "`docs`", "`/docs`"),
            ("prefix", "/docs/", "`/docs/`", "`/docs`"),
            ("prefix", "", "``", "`/docs`"),
            ("prefix", "/../etc", "`/../etc`", "`/docs`"),
            ("index", "index.html a/b.html", "`a/b.html`", "`index.html index.htm`"),
            ("index", "..", "`..`", "`index.html index.htm`"),
            ("types", "gpx", "`gpx`", "`gpx application/gpx+xml`"),
            ("types", ".gpx application/gpx+xml", "`.gpx application/gpx+xml`", "without its dot"),
            ("types", "gpx gpx", "`gpx gpx`", "a media type"),
            ("types", "gpx a/b\u{7f}", "\\u{7f}", "a media type"),
            ("precompressed", "br gzip", "`gzip`", "`br zst gz`"),
            ("cache-control", "* no-cache\nno-store", "`no-store`", "`*.html no-cache`"),
            ("not-found", "/", "`/`", "`/index.html`"),
            ("fallback", "../index.html", "`../index.html`", "`/index.html`"),
            ("fallback", "/.git/config", "`/.git/config`", "`/index.html`"),
            ("fall-back", "/index.html", "no such key", "fallback"),
        ] {
            let pairs = pairs(&[(key, value)]);
            let reason = Config::read(&pairs).unwrap_err();
            assert!(reason.starts_with(&format!("config `{key}`: ")), "{reason}");
            assert!(reason.contains(named) && reason.contains(right), "{key} = {value}: {reason}");
            assert!(!reason.contains('\n'), "one line: {reason}");
        }
    }
}
