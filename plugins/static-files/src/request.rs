//! A request, as far as a server of files looks at it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The method of a request. All that are not served are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Options,
    Other,
}

/// A request's head.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As it was sent, without the query.
    pub(crate) path: String,
    /// As it was sent, without the `?`.
    pub(crate) query: Option<String>,
    pub(crate) fields: Fields,
}

impl Request {
    pub(crate) fn new(method: Method, target: &str, fields: Vec<(String, Vec<u8>)>) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self { method, path: path.to_owned(), query, fields: Fields(fields) }
    }
}

/// A request's header fields.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, Vec<u8>)>);

impl Fields {
    /// The lines of the field of this name, in the order in which they came.
    pub(crate) fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// The value of a field that must stand alone; none if it is missing, or there several times.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut lines = self.lines(name);
        let value = lines.next()?;
        if lines.next().is_some() { None } else { Some(value.trim_ascii()) }
    }

    /// The members of a field that is a list, over all its lines (RFC 9110 §5.6.1); none if the request lacks it.
    /// For lists without quoted commas.
    pub(crate) fn list<'a>(&'a self, name: &str) -> Option<impl Iterator<Item = &'a str>> {
        let lines: Vec<_> = self.lines(name).filter_map(|line| core::str::from_utf8(line).ok()).collect();
        let is_there = self.lines(name).next().is_some();
        let members = lines.into_iter().flat_map(|line| line.split(',')).map(str::trim);
        is_there.then(|| members.filter(|member| !member.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_and_a_query() {
        for (target, path, query) in [
            ("/a", "/a", None),
            ("/a?", "/a", Some("")),
            ("/a?b?c=/d", "/a", Some("b?c=/d")),
            ("?q", "", Some("q")),
        ] {
            let request = Request::new(Method::Get, target, Vec::new());
            assert_eq!((request.path.as_str(), request.query.as_deref()), (path, query), "{target}");
        }
    }

    #[test]
    fn fields_are_found_by_name_whatever_their_letters() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let fields = Fields(vec![field("Accept", "a, ,b"), field("range", " x "), field("accept", "c")]);
        assert_eq!(fields.only("Range"), Some(&b"x"[..]));
        assert_eq!(fields.only("accept"), None, "it is there twice");
        assert_eq!(fields.list("ACCEPT").map(Iterator::collect), Some(vec!["a", "b", "c"]));
        assert!(fields.list("te").is_none());
    }
}
