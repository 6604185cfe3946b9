//! What each call does. Who may make it was decided before; how books are kept is the store's.

use serde::Serialize;
use serde_json::json;

use crate::answer::{self, Answer};
use crate::bindings::jackfield::plugin::types::{Request, RequestHead};
use crate::book::{Book, FieldError, Id, merge};
use crate::conditional::{self, Access, Outcome, Validators};
use crate::content::{Content, PATCHES};
use crate::date;
use crate::host::config;
use crate::problem::{Failure, Problem};
use crate::query::{self, Listing};
use crate::resource::Resource;
use crate::store::{Change, Store, Stored};

const DEFAULT_PAGE_SIZE: usize = 20;
/// The most books in one import: it is done within the call, so it must end within the call's limits.
const IMPORT_BOOKS: usize = 100;

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
    let body = encode(&document)?;
    let validators = Validators::of(&body, None);
    let answer = unless_known(head, body, validators)?.with("cache-control", REVALIDATE);
    Ok(match page.next {
        Some(next) => answer.with("link", format!("<{}>; rel=\"next\"", listing.next_page(&next))),
        None => answer,
    })
}

/// `OPTIONS` of any of them.
pub(crate) fn options(resource: &Resource) -> Answer {
    let answer = answer::empty(204).with("allow", resource.allow());
    match resource {
        Resource::Book(_) => answer.with("accept-patch", PATCHES),
        Resource::Books | Resource::Imports | Resource::Import(_) => answer,
    }
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
    Ok(unless_known(head, body, validators)?.with("cache-control", REVALIDATE))
}

/// What was asked for, or 304 if the caller has it already; with its validators.
fn unless_known(head: &RequestHead, body: Vec<u8>, validators: Validators) -> Result<Answer, Problem> {
    let answer = match conditional::evaluate(head, Access::Read, &validators) {
        Outcome::Proceed => answer::json(200, body),
        Outcome::NotModified => answer::empty(304),
        Outcome::Failed => return Err(Problem::precondition_failed()),
    };
    Ok(with_validators(answer, validators))
}

/// `POST /api/books`
pub(crate) fn create(request: &Request) -> Result<Answer, Failure> {
    let document = Content::of_post(request)?.document()?;
    let book = Book::parse(&document, None).map_err(Problem::unprocessable)?;
    let added = Store::open()?.add(&[book])?.pop().flatten();
    let stored = added.ok_or_else(Problem::isbn_taken)?;
    Ok(whole(201, &stored)?.with("location", Resource::Book(stored.id).path()))
}

/// `PUT /api/books/{id}`
pub(crate) fn replace(request: &Request, id: &Id) -> Result<Answer, Failure> {
    let content = Content::of_put(request)?;
    let stored = Store::open()?.change(id, |present| {
        may_change(&request.head, present)?;
        Book::parse(&content.document()?, Some(id)).map(Change::Replace).map_err(Problem::unprocessable)
    })?;
    let (body, validators) = render(&stored)?;
    // Of content that was not kept byte by byte, the caller would take the validators for its own bytes' (RFC 9110
    // §9.3.4).
    let is_kept = content.is(&body);
    let answer = answer::json(200, body);
    let answer = if is_kept { with_validators(answer, validators) } else { answer };
    Ok(of_book(answer, &stored))
}

/// `PATCH /api/books/{id}`
pub(crate) fn patch(request: &Request, id: &Id) -> Result<Answer, Failure> {
    let content = Content::of_patch(request)?;
    let stored = Store::open()?.change(id, |present| {
        may_change(&request.head, present)?;
        let mut document = present.representation();
        merge(&mut document, &content.document()?);
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
    let document = Content::of_post(request)?.document()?;
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
pub(crate) fn import_status(head: &RequestHead, id: &Id) -> Result<Answer, Failure> {
    let status = Store::open()?.get_import(id)?.ok_or_else(Problem::no_such_import)?;
    let validators = Validators::of(&status, None);
    // Only whoever is logged in gets here, so a cache must tell callers apart.
    Ok(unless_known(head, status, validators)?
        .with("cache-control", REVALIDATE_PRIVATELY)
        .with("vary", "authorization"))
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
    Ok(of_book(with_validators(answer::json(status, body), validators), stored))
}

/// An answer to a change, whose content is what a GET of the book would give.
fn of_book(answer: Answer, stored: &Stored) -> Answer {
    let location = Resource::Book(stored.id.clone()).path();
    answer.with("cache-control", REVALIDATE).with("content-location", location)
}

fn render(stored: &Stored) -> Result<(Vec<u8>, Validators), Failure> {
    let body = encode(&stored.representation())?;
    let validators = Validators::of(&body, Some(stored.modified));
    Ok((body, validators))
}

fn with_validators(answer: Answer, validators: Validators) -> Answer {
    let answer = answer.with("etag", validators.etag);
    match validators.modified {
        // Never later than the answer itself, whatever the clock has done since (RFC 9110 §8.8.2.1).
        Some(modified) => answer.with("last-modified", date::format(modified.min(date::now()))),
        None => answer,
    }
}

fn encode(document: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(document).map_err(|error| Failure::Store(format!("encoding an answer: {error}")))
}
