//! The query of a listing: `?limit=`, `?after=`, `?author=`, read and written.

use crate::book::Id;
use crate::resource::BOOKS;

/// The most books in one page.
pub(crate) const MOST: usize = 100;

/// Which part of the catalogue a caller wants.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    /// How many books at most: 1 to [`MOST`].
    pub(crate) limit: usize,
    /// The page begins behind this id.
    pub(crate) after: Option<Id>,
    /// Only this author's books.
    pub(crate) author: Option<String>,
}

impl Listing {
    /// Reads a query as sent; the error says what is wrong with it. Parameters that mean nothing here
    /// are let be, as callers and caches add their own.
    pub(crate) fn parse(query: &str, page_size: usize) -> Result<Self, String> {
        let (mut limit, mut after, mut author) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "limit" => put(name, &mut limit, parse_limit(value)?)?,
                "after" => put(name, &mut after, parse_after(value)?)?,
                "author" => put(name, &mut author, parse_author(value)?)?,
                _ => {}
            }
        }
        Ok(Self { limit: limit.unwrap_or(page_size), after, author })
    }

    /// Where the page behind `last` is.
    pub(crate) fn next_page(&self, last: &Id) -> String {
        let author =
            self.author.as_deref().map(|name| format!("&author={}", encode(name))).unwrap_or_default();
        format!("{BOOKS}?limit={}&after={last}{author}", self.limit)
    }
}

/// The number of books in a page that `text` stands for, if it may be one.
pub(crate) fn page_size(text: &str) -> Option<usize> {
    text.parse().ok().filter(|size| (1..=MOST).contains(size))
}

fn put<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{name}` is given twice.")),
    }
}

fn parse_limit(value: &str) -> Result<usize, String> {
    page_size(value).ok_or_else(|| format!("`limit` must be a whole number from 1 to {MOST}."))
}

fn parse_after(value: &str) -> Result<Id, String> {
    Id::parse(value).ok_or_else(|| "`after` must be the `next` of the page before.".to_owned())
}

fn parse_author(value: &str) -> Result<String, String> {
    let name = decode(value).ok_or("`author` is not valid percent-encoded UTF-8.")?;
    if name.trim().is_empty() { Err("`author` is empty.".to_owned()) } else { Ok(name) }
}

/// Decodes what a form or `curl --data-urlencode` encoded; none if it is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes everything but RFC 3986's unreserved characters, so that the result is safe in any place.
fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_page() {
        let id = Id::parse("0000000009");
        for (query, limit, after, author) in [
            ("", 20, None, None),
            ("limit=5", 5, None, None),
            ("limit=100&after=0000000009", 100, id, None),
            ("author=Ada+Moor", 20, None, Some("Ada Moor")),
            ("author=%C3%89mile%20%26%20Co", 20, None, Some("Émile & Co")),
            ("utm_source=x&&limit=1", 1, None, None),
        ] {
            let expected = Listing { limit, after, author: author.map(str::to_owned) };
            assert_eq!(Listing::parse(query, 20), Ok(expected), "{query}");
        }
    }

    #[test]
    fn a_query_that_makes_no_sense_is_refused() {
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=x",
            "limit",
            "limit=1&limit=2",
            "limit=99999999999999999999",
            "after=9",
            "after=",
            "after=author/x",
            "author=",
            "author=+",
            "author=%zz",
            "author=%C3",
            "author=%4",
            "author=%+1",
        ] {
            assert!(Listing::parse(query, 20).is_err(), "{query}");
        }
    }

    #[test]
    fn the_next_page_keeps_the_filter_and_cannot_break_out_of_the_link() {
        let listing = Listing::parse("author=%3E%3B+rel%3D%22x%22&limit=2", 20).unwrap();
        let next = listing.next_page(&Id::parse("0000000009").unwrap());
        assert_eq!(next, "/api/books?limit=2&after=0000000009&author=%3E%3B%20rel%3D%22x%22");
        let (_, query) = next.split_once('?').unwrap();
        assert_eq!(Listing::parse(query, 20).unwrap().author, listing.author);
    }
}
