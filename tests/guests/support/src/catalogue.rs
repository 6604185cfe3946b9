//! A document of 1 KiB of JSON, which every server of the benchmark makes anew for each request.

use serde::Serialize;

/// Some books. Serialized without spaces it has 1024 bytes.
#[derive(Debug, Serialize)]
pub struct Catalogue {
    books: Vec<Book>,
    next: String,
}

#[derive(Debug, Serialize)]
struct Book {
    id: u32,
    title: String,
    author: String,
    year: u32,
    price_cents: u32,
    tags: [&'static str; 2],
    available: bool,
}

impl Catalogue {
    /// The same eight books each time, allocated anew.
    pub fn new() -> Self {
        let book = |id| Book {
            id,
            title: format!("Book number {id}"),
            author: "A. Poet".to_owned(),
            year: 1990 + id,
            price_cents: 1250,
            tags: ["novel", "paper"],
            available: true,
        };
        Self { books: (0..8).map(book).collect(), next: "008".to_owned() }
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Catalogue;

    #[test]
    fn the_document_has_one_kibibyte() {
        let json = serde_json::to_string(&Catalogue::new()).unwrap();
        assert!(
            json.starts_with(r#"{"books":[{"id":0,"title":"Book number 0","author":"A. Poet","#),
            "{json}"
        );
        assert_eq!(json.len(), 1024, "{json}");
    }
}
