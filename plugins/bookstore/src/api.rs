//! What each call does. Who may make it was decided before; how books are kept is the store's.

use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::bindings::jackfield::plugin::types::{Request, RequestHead};
use crate::book::{Book, FieldError, Id, merge};
use crate::conditional::{self, Access, Outcome, Validators};
use crate::date;
use crate::host::config;
use crate::problem::{Failure, Problem};
use crate::query::{self, Listing};
use crate::resource::Resource;
use crate::store::{Change, Store, Stored};

const DEFAULT_PAGE_SIZE: usize = 20;
/// The most books in one import: it is done within the call, so it must end within the call's limits.
const IMPORT_BOOKS: usize = 100;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const EITHER_PATCH: &str = "application/merge-patch+json, application/json";

/// Anybody may keep what they read, if they ask whether it still holds before they use it again.
const REVALIDATE: &str = "no-cache";
/// The same, for what not everybody may read.
const REVALIDATE_PRIVATELY: &str = "private, no-cache";

/// `GET /api/books`
pub(crate) fn list(head: &RequestHead) -> Result<Answer, Failure> {
    let query = head.query.as_deref().unwrap_or_default();
    let listing = Listing::parse(query, page_size()?).map_err(Problem::bad_request)?;
    let page = Store::open()?.page(&listing)?;

    let mut document = json!({ "books": page.books.iter().map(Stored::representation).collect::<Vec<_>>() });
    if let Some(next) = &page.next {
        document["next"] = next.to_string().into();
    }
    let answer = answer::json(200, encode(&document)?).with("cache-control", REVALIDATE);
    Ok(match page.next {
        Some(next) => answer.with("link", format!("<{}>; rel=\"next\"", listing.next_page(&next))),
        None => answer,
    })
}

fn page_size() -> Result<usize, Failure> {
    let setting = config::get("page-size")
        .map_err(|error| Failure::Config(format!("reading `page-size`: {error:?}")))?;
    let Some(text) = setting else { return Ok(DEFAULT_PAGE_SIZE) };
    let wrong =
        || Failure::Config(format!("config `page-size` is {text:?}; it must be from 1 to {}", query::MOST));
    query::page_size(&text).ok_or_else(wrong)
}

/// `GET /api/books/{id}`
pub(crate) fn read(head: &RequestHead, id: &Id) -> Result<Answer, Failure> {
    let stored = Store::open()?.get(id)?.ok_or_else(Problem::no_such_book)?;
    let (body, validators) = render(&stored)?;
    let answer = match conditional::evaluate(head, Access::Read, &validators) {
        Outcome::Proceed => answer::json(200, body),
        Outcome::NotModified => answer::empty(304),
        Outcome::Failed => return Err(Problem::precondition_failed().into()),
    };
    Ok(with_validators(answer, validators))
}

/// `POST /api/books`
pub(crate) fn create(request: &Request) -> Result<Answer, Failure> {
    let book = Book::parse(&json_body(request)?, None).map_err(Problem::unprocessable)?;
    let added = Store::open()?.add(&[book])?.pop().flatten();
    let stored = added.ok_or_else(Problem::isbn_taken)?;
    Ok(whole(201, &stored)?.with("location", Resource::Book(stored.id).path()))
}

/// `PUT /api/books/{id}`
pub(crate) fn replace(request: &Request, id: &Id) -> Result<Answer, Failure> {
    let book = Book::parse(&json_body(request)?, Some(id)).map_err(Problem::unprocessable)?;
    let stored = Store::open()?.change(id, |present| {
        may_change(&request.head, present)?;
        Ok(Change::Replace(book.clone()))
    })?;
    whole(200, &stored)
}

/// `PATCH /api/books/{id}`
pub(crate) fn patch(request: &Request, id: &Id) -> Result<Answer, Failure> {
    let patch = patch_body(request)?;
    let stored = Store::open()?.change(id, |present| {
        may_change(&request.head, present)?;
        let mut document = present.representation();
        merge(&mut document, &patch);
        Book::parse(&document, Some(id)).map(Change::Replace).map_err(Problem::unprocessable)
    })?;
    whole(200, &stored)
}

/// `DELETE /api/books/{id}`
pub(crate) fn delete(head: &RequestHead, id: &Id) -> Result<Answer, Failure> {
    Store::open()?.change(id, |present| {
        may_change(head, present)?;
        Ok(Change::Remove)
    })?;
    Ok(answer::empty(204))
}

/// `POST /api/books/import`
///
/// 202 and a status to ask for, as if the work were done later: a plugin has no life between calls, so it
/// is done before the answer, and callers need not change on the day when it no longer is.
pub(crate) fn import(request: &Request) -> Result<Answer, Failure> {
    let document = json_body(request)?;
    let entries = document.as_array().filter(|entries| (1..=IMPORT_BOOKS).contains(&entries.len()));
    let entries = entries.ok_or_else(|| {
        Problem::unprocessable(vec![FieldError::new(
            "",
            format!("an import is an array of 1 to {IMPORT_BOOKS} books"),
        )])
    })?;

    let parsed: Vec<_> = entries.iter().map(|entry| Book::parse(entry, None)).collect();
    let books: Vec<_> = parsed.iter().flatten().cloned().collect();
    let store = Store::open()?;
    let mut added = store.add(&books)?.into_iter();

    let mut failed = Vec::new();
    for (index, entry) in parsed.iter().enumerate() {
        match entry {
            Err(errors) => failed.push(FailedEntry { index, reason: in_one_line(errors) }),
            Ok(_) if added.next().flatten().is_none() => {
                failed.push(FailedEntry { index, reason: "isbn: another book has it".to_owned() });
            }
            Ok(_) => {}
        }
    }
    let status = ImportStatus { accepted: entries.len(), created: entries.len() - failed.len(), failed };
    let body = encode(&status)?;
    let id = store.put_import(&body)?;
    Ok(answer::json(202, body)
        .with("location", Resource::Import(id).path())
        .with("cache-control", REVALIDATE_PRIVATELY))
}

/// `GET /api/books/import/{id}`
pub(crate) fn import_status(id: &Id) -> Result<Answer, Failure> {
    let status = Store::open()?.get_import(id)?.ok_or_else(Problem::no_such_import)?;
    // Only whoever is logged in gets here, so a cache must tell callers apart.
    Ok(answer::json(200, status).with("cache-control", REVALIDATE_PRIVATELY).with("vary", "authorization"))
}

#[derive(Serialize)]
struct ImportStatus {
    accepted: usize,
    created: usize,
    failed: Vec<FailedEntry>,
}

#[derive(Serialize)]
struct FailedEntry {
    index: usize,
    reason: String,
}

fn in_one_line(errors: &[FieldError]) -> String {
    let texts = errors.iter().map(|error| match error.field.as_str() {
        "" => error.message.clone(),
        field => format!("{field}: {}", error.message),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// The JSON that a POST or PUT brings.
fn json_body(request: &Request) -> Result<Value, Problem> {
    body(request, &[JSON], || Problem::unsupported_media_type("accept", JSON))
}

/// The merge patch that a PATCH brings (RFC 5789 §2.2 names the field that says what would be taken).
fn patch_body(request: &Request) -> Result<Value, Problem> {
    body(request, &[JSON, MERGE_PATCH], || Problem::unsupported_media_type("accept-patch", EITHER_PATCH))
}

fn body(request: &Request, accepted: &[&str], unsupported: impl Fn() -> Problem) -> Result<Value, Problem> {
    if request.body.is_empty() {
        return Err(Problem::bad_request("The request has no body."));
    }
    let content_type = request.head.headers.iter().find(|(name, _)| name == "content-type");
    let Some((_, content_type)) = content_type else {
        return Err(Problem::bad_request("The request has no content-type."));
    };
    // Parameters change nothing: JSON is UTF-8 (RFC 8259 §8.1) and has none of its own.
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !accepted.iter().any(|accepted| media_type.eq_ignore_ascii_case(accepted.as_bytes())) {
        return Err(unsupported());
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| Problem::bad_request(format!("The body is not JSON: {error}.")))
}

fn may_change(head: &RequestHead, present: &Stored) -> Result<(), Problem> {
    let (_, validators) = render(present).map_err(|_| Problem::precondition_failed())?;
    match conditional::evaluate(head, Access::Write, &validators) {
        Outcome::Proceed => Ok(()),
        Outcome::NotModified | Outcome::Failed => Err(Problem::precondition_failed()),
    }
}

/// The answer that shows all of one book.
fn whole(status: u16, stored: &Stored) -> Result<Answer, Failure> {
    let (body, validators) = render(stored)?;
    let location = Resource::Book(stored.id.clone()).path();
    Ok(with_validators(answer::json(status, body), validators).with("content-location", location))
}

fn render(stored: &Stored) -> Result<(Vec<u8>, Validators), Failure> {
    let body = encode(&stored.representation())?;
    let validators = Validators::of(&body, stored.modified);
    Ok((body, validators))
}

fn with_validators(answer: Answer, validators: Validators) -> Answer {
    answer
        .with("etag", validators.etag)
        .with("last-modified", date::format(validators.modified))
        .with("cache-control", REVALIDATE)
}

fn encode(document: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(document).map_err(|error| Failure::Store(format!("encoding an answer: {error}")))
}
