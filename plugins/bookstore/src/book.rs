//! What a book is: its fields, what each may hold, and how JSON becomes one.
//!
//! A [`Book`] exists only if every field is right; nothing behind this module checks again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FIELDS: &[&str] = &["id", "isbn", "title", "author", "year", "price_cents"];
const TITLE_CHARS: usize = 300;
const AUTHOR_CHARS: usize = 200;
const LAST_YEAR: u64 = 9_999;
const PRICE_CENTS: u64 = 100_000_000;

/// Field errors of one document, and characters of an unknown name, that are given back to the caller.
const ERRORS: usize = 20;
const NAME_CHARS: usize = 60;

/// A book as it is sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) isbn: Isbn,
    pub(crate) title: String,
    pub(crate) author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) year: Option<u64>,
    /// In the smallest unit of the shop's one currency.
    pub(crate) price_cents: u64,
}

/// An id that the plugin gave: ten digits, so that the order of the keys is the order of their making.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(String);

/// An ISBN whose check digit is right, as thirteen digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Isbn(String);

/// What is wrong with one field.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Id {
    /// The id that `text` is, if it is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id with the number `number`; none if that has more than ten digits, or a sign.
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        Self::parse(&format!("{number:010}"))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Isbn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Isbn {
    /// Reads an ISBN-10 or ISBN-13, with or without hyphens and spaces.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // The longest way to write one has a separator between all thirteen digits.
        if text.len() > 25 {
            return None;
        }
        let compact: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        match compact.len() {
            10 => {
                let (digits, check) = compact.split_at_checked(9)?;
                let check = if check.eq_ignore_ascii_case("x") { 10 } else { check.parse().ok()? };
                // Weights 10 to 2 for the digits and 1 for the check digit.
                let sum = weigh(digits, |index| 10 - index)? + check;
                (sum % 11 == 0).then_some(())?;
                let body = format!("978{digits}");
                let check = (10 - weigh(&body, isbn_13_weight)? % 10) % 10;
                Some(Self(format!("{body}{check}")))
            }
            13 => {
                let has_prefix = compact.starts_with("978") || compact.starts_with("979");
                let is_right = has_prefix && weigh(&compact, isbn_13_weight)? % 10 == 0;
                is_right.then_some(Self(compact))
            }
            _ => None,
        }
    }
}

/// The sum of all digits, each times its weight; none if something is no digit.
fn weigh(digits: &str, weight: impl Fn(u32) -> u32) -> Option<u32> {
    digits.chars().zip(0..).map(|(digit, index)| Some(digit.to_digit(10)? * weight(index))).sum()
}

fn isbn_13_weight(index: u32) -> u32 {
    if index.is_multiple_of(2) { 1 } else { 3 }
}

impl Book {
    /// The book that `document` describes, or every field that is wrong. A document may repeat the `id`
    /// of the book it is meant for, so that what was read can be sent back as it came.
    pub(crate) fn parse(document: &Value, id: Option<&Id>) -> Result<Self, Vec<FieldError>> {
        let Value::Object(fields) = document else {
            return Err(vec![FieldError::new("", "a book is a JSON object")]);
        };
        let mut errors = Errors::default();
        errors.check_names(fields);
        errors.check_id(fields.get("id"), id);
        let isbn = errors.note("isbn", isbn(fields.get("isbn")));
        let title = errors.note("title", text(fields.get("title"), TITLE_CHARS));
        let author = errors.note("author", text(fields.get("author"), AUTHOR_CHARS));
        let year = errors.note("year", year(fields.get("year")));
        let price_cents = errors.note("price_cents", price_cents(fields.get("price_cents")));
        match (isbn, title, author, year, price_cents) {
            (Some(isbn), Some(title), Some(author), Some(year), Some(price_cents)) if errors.0.is_empty() => {
                Ok(Self { isbn, title, author, year, price_cents })
            }
            _ => Err(errors.0),
        }
    }

    /// What a caller gets to see of the book `id`.
    pub(crate) fn representation(&self, id: &Id) -> Value {
        let mut fields = Map::new();
        fields.insert("id".into(), id.0.as_str().into());
        fields.insert("isbn".into(), self.isbn.0.as_str().into());
        fields.insert("title".into(), self.title.as_str().into());
        fields.insert("author".into(), self.author.as_str().into());
        if let Some(year) = self.year {
            fields.insert("year".into(), year.into());
        }
        fields.insert("price_cents".into(), self.price_cents.into());
        Value::Object(fields)
    }
}

/// A name as it is compared: without regard to case, nor to how many spaces stand between its parts.
pub(crate) fn normalise_author(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Applies a JSON merge patch (RFC 7396 §2): members replace, `null` removes, anything but an object
/// replaces the whole.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(members) = target {
        for (name, change) in changes {
            if change.is_null() {
                members.remove(name);
            } else {
                merge(members.entry(name).or_insert(Value::Null), change);
            }
        }
    }
}

impl FieldError {
    pub(crate) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn check_names(&mut self, fields: &Map<String, Value>) {
        let unknown = fields.keys().filter(|name| !FIELDS.contains(&name.as_str()));
        self.0.extend(unknown.take(ERRORS).map(|name| {
            let name: String = name.chars().take(NAME_CHARS).collect();
            FieldError::new(&name, "unknown field; a book has isbn, title, author, year and price_cents")
        }));
    }

    fn check_id(&mut self, given: Option<&Value>, id: Option<&Id>) {
        let is_right = match (given, id) {
            (None, _) => true,
            (Some(given), Some(id)) => given.as_str() == Some(&id.0),
            (Some(_), None) => false,
        };
        if !is_right {
            self.0.push(FieldError::new("id", "is given by the shop and cannot be changed"));
        }
    }

    fn note<T>(&mut self, field: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.0.push(FieldError::new(field, message))).ok()
    }
}

fn required(value: Option<&Value>) -> Result<&Value, String> {
    value.filter(|value| !value.is_null()).ok_or_else(|| "is required".to_owned())
}

fn isbn(value: Option<&Value>) -> Result<Isbn, String> {
    let text = required(value)?.as_str().ok_or("must be a string")?;
    Isbn::parse(text).ok_or_else(|| "must be an ISBN-10 or ISBN-13 with the right check digit".to_owned())
}

fn text(value: Option<&Value>, most_chars: usize) -> Result<String, String> {
    let text = required(value)?.as_str().ok_or("must be a string")?.trim();
    let length = text.chars().count();
    if length == 0 || length > most_chars {
        return Err(format!("must have 1 to {most_chars} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn year(value: Option<&Value>) -> Result<Option<u64>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let year = whole_number(value).filter(|year| (1..=LAST_YEAR).contains(year));
            year.map(Some).ok_or_else(|| format!("must be a whole number from 1 to {LAST_YEAR}"))
        }
    }
}

/// A number without a fraction, however it is written: `1999`, `1999.0` and `1.999e3` are one (JSON Schema, `integer`).
fn whole_number(value: &Value) -> Option<u64> {
    let exactly = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // As text, it has no exponent, and no digits that the number has not.
        format!("{}", number.abs()).parse().ok().filter(|_| number >= 0.0)
    };
    value.as_u64().or_else(exactly)
}

fn price_cents(value: Option<&Value>) -> Result<u64, String> {
    let price = whole_number(required(value)?).filter(|price| *price <= PRICE_CENTS);
    price.ok_or_else(|| format!("must be a whole number from 0 to {PRICE_CENTS}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn right() -> Value {
        let (isbn, title) = ("0-306-40615-2", " Tides ");
        json!({"isbn": isbn, "title": title, "author": "Ada Moor", "year": 1999, "price_cents": 1250})
    }

    #[test]
    fn an_isbn_counts_only_with_its_check_digit_and_is_kept_as_thirteen_digits() {
        for (text, expected) in [
            ("0306406152", Some("9780306406157")),
            ("0-306-40615-2", Some("9780306406157")),
            ("978-0-306-40615-7", Some("9780306406157")),
            ("978 0 306 40615 7", Some("9780306406157")),
            ("080442957X", Some("9780804429573")),
            ("080442957x", Some("9780804429573")),
            ("9791090636071", Some("9791090636071")),
            ("0306406153", None),
            ("9780306406158", None),
            ("9770306406150", None),
            ("X804429570", None),
            ("030640615", None),
            ("97803064061577", None),
            ("030640615\u{664}", None),
            ("é306406152", None),
            ("+306406152", None),
            ("03064061+2", None),
            ("", None),
            ("----------------------------0306406152", None),
        ] {
            assert_eq!(Isbn::parse(text), expected.map(|isbn| Isbn(isbn.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_right_book_is_taken_and_given_back() {
        let book = Book::parse(&right(), None).unwrap();
        let id = Id::numbered(7).unwrap();
        let seen = book.representation(&id);
        let expected = json!({
            "id": "0000000007", "isbn": "9780306406157", "title": "Tides", "author": "Ada Moor", "year": 1999,
            "price_cents": 1250,
        });
        assert_eq!(seen, expected);
        assert_eq!(Book::parse(&seen, Some(&id)), Ok(book), "what was read can be sent back");
    }

    #[test]
    fn every_wrong_field_is_named() {
        for (change, expected) in [
            (json!({"isbn": "0306406153"}), &["isbn"][..]),
            (json!({"isbn": 306406152}), &["isbn"]),
            (json!({"title": ""}), &["title"]),
            (json!({"title": "   "}), &["title"]),
            (json!({"title": "x".repeat(301)}), &["title"]),
            (json!({"title": "ä".repeat(300)}), &[]),
            (json!({"title": "a\u{0}b"}), &["title"]),
            (json!({"author": null}), &["author"]),
            (json!({"year": null}), &[]),
            (json!({"year": 0}), &["year"]),
            (json!({"year": 10_000}), &["year"]),
            (json!({"year": 1999.5}), &["year"]),
            (json!({"year": "1999"}), &["year"]),
            (json!({"year": 1999.0}), &[]),
            (json!({"year": 1e3}), &[]),
            (json!({"year": 1e4}), &["year"]),
            (json!({"year": 1e300}), &["year"]),
            (json!({"year": -1e3}), &["year"]),
            (json!({"price_cents": -0.0}), &[]),
            (json!({"price_cents": 0}), &[]),
            (json!({"price_cents": -1}), &["price_cents"]),
            (json!({"price_cents": 12.5}), &["price_cents"]),
            (json!({"price_cents": 100_000_001}), &["price_cents"]),
            (json!({"price_cents": null}), &["price_cents"]),
            (json!({"id": "0000000001"}), &["id"]),
            (json!({"prize": 3}), &["prize"]),
            (json!({"prize": 3, "title": 4, "year": 0}), &["prize", "title", "year"]),
        ] {
            let mut document = right();
            document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let errors = Book::parse(&document, None).err().unwrap_or_default();
            let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(fields, expected, "{change}");
        }
        let missing = Book::parse(&json!({}), None).unwrap_err();
        let fields: Vec<_> = missing.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["isbn", "title", "author", "price_cents"]);
        assert_eq!(Book::parse(&json!([]), None).unwrap_err()[0].message, "a book is a JSON object");
    }

    #[test]
    fn a_thousand_unknown_fields_are_not_all_given_back() {
        let fields = (0..1000).map(|n| (format!("{n}{}", "x".repeat(100)), Value::Null)).collect();
        let errors = Book::parse(&Value::Object(fields), None).unwrap_err();
        assert_eq!(errors.len(), ERRORS + 4);
        assert!(errors[0].field.len() == NAME_CHARS);
    }

    #[test]
    fn a_merge_patch_does_what_rfc_7396_lists() {
        for (original, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = original.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{original} with {patch}");
        }
    }

    #[test]
    fn an_authors_name_is_compared_without_case_and_extra_spaces() {
        assert_eq!(normalise_author("  Ada\u{a0} MOOR "), "ada moor");
        assert_eq!(normalise_author("ÉMILE"), normalise_author("émile"));
    }

    #[test]
    fn an_id_has_ten_digits() {
        assert_eq!(Id::numbered(42), Id::parse("0000000042"));
        assert_eq!(Id::numbered(10_000_000_000), None);
        assert_eq!(Id::numbered(-1), None);
        assert_eq!(Id::parse("000000004a"), None);
    }
}
