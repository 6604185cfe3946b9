//! What a path under `/api/books` names, and which methods it takes.
//!
//! The host has matched a route before the plugin is called. The plugin decides again, from the path
//! alone, so that a route drawn too wide in the site file cannot send a call to the wrong place.

use crate::book::Id;

/// Where the API begins.
pub(crate) const BOOKS: &str = "/api/books";

/// Something that a path can name.
#[derive(Debug, PartialEq)]
pub(crate) enum Resource {
    /// `/api/books`: the catalogue.
    Books,
    /// `/api/books/{id}`: one book.
    Book(Id),
    /// `/api/books/import`: where imports are sent.
    Imports,
    /// `/api/books/import/{id}`: what became of one import.
    Import(Id),
}

impl Resource {
    /// What `path` names, if anything.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix(BOOKS)?.split('/');
        // What stands before the first slash: nothing, or the path was `/api/bookshelf`.
        if !segments.next()?.is_empty() {
            return None;
        }
        match (segments.next(), segments.next(), segments.next()) {
            (None, None, None) => Some(Self::Books),
            (Some("import"), None, None) => Some(Self::Imports),
            (Some("import"), Some(id), None) => Id::parse(id).map(Self::Import),
            (Some(id), None, None) => Id::parse(id).map(Self::Book),
            _ => None,
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Books => BOOKS.to_owned(),
            Self::Book(id) => format!("{BOOKS}/{id}"),
            Self::Imports => format!("{BOOKS}/import"),
            Self::Import(id) => format!("{BOOKS}/import/{id}"),
        }
    }

    /// The value of `Allow` (RFC 9110 §10.2.1).
    pub(crate) fn allow(&self) -> &'static str {
        match self {
            Self::Books => "GET, HEAD, POST, OPTIONS",
            Self::Book(_) => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
            Self::Imports => "POST, OPTIONS",
            Self::Import(_) => "GET, HEAD, OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_resource_or_none() {
        let id = || Id::parse("0000000042").unwrap();
        for (path, expected) in [
            ("/api/books", Some(Resource::Books)),
            ("/api/books/0000000042", Some(Resource::Book(id()))),
            ("/api/books/import", Some(Resource::Imports)),
            ("/api/books/import/0000000042", Some(Resource::Import(id()))),
            ("/api/books/", None),
            ("/api/books/42", None),
            ("/api/books/0000000042/", None),
            ("/api/books/0000000042/cover", None),
            ("/api/books/import/", None),
            ("/api/books/import/0000000042/x", None),
            ("/api/bookshelf", None),
            ("/api/books0000000042", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Resource::at(path), expected, "{path}");
            if let Some(resource) = expected {
                assert_eq!(resource.path(), path);
            }
        }
    }
}
