//! What is kept under which key, and how it changes when many callers change it at once.
//!
//! | key | value |
//! |---|---|
//! | `last-id` | the number of the newest id |
//! | `book/<id>` | a [`Record`]: the truth about one book |
//! | `isbn/<13 digits>` | a [`Claim`]: who asked for this ISBN last |
//! | `author/<digest>/<id>` | nothing: a hint that this book may be by that author |
//! | `import/<id>` | what became of an import, as the caller gets it |
//!
//! # How an ISBN stays with one book
//!
//! Each instance serves one call, many run at once, and any of them may die between two steps. There
//! are no locks, only compare-and-swap of one key. So one swap of one record is where a change becomes
//! true ("commits"), and everything before it can be left behind without harm:
//!
//! 1. read the record, with the handle that will be swapped (a book to be added has none yet);
//! 2. claim the ISBN: swap its entry to "this id, and the revision that I am about to write";
//! 3. swap the record. If it is no longer what step 1 read, nothing was changed; begin again.
//!
//! An entry is only a claim: the ISBN belongs to a book if its *record* says so. Who wants a claimed ISBN
//! (step 2) therefore looks at the record of the book that the entry names:
//!
//! - the record has the ISBN: it is taken;
//! - the record has reached the claimed revision without the ISBN: the commit of that claim, which needs
//!   the revision before, has happened and is past, or can never happen. The entry may be taken over;
//! - the record has not reached it (or there is none: revision 0): its writer has died, or is between
//!   steps 2 and 3. It is *fenced*: its record is swapped for one that is the same but for having the
//!   claimed revision. If it was alive, its step 3 now fails. Then the entry may be taken over.
//!
//! Two books never commit with one ISBN: the later of the two claims replaced an entry whose commit it had
//! made impossible, or had seen to be past. Revisions of a record only grow, so no entry and no record is
//! ever written twice with the same value, and a swap cannot be fooled by a value that went away and came
//! back. Ids are never given twice, so a deleted book does not return.
//!
//! A crash leaves at worst an entry or a hint that means nothing, or a fenced record without a book; all
//! of them are skipped by whoever reads them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::{Book, Id, Isbn, normalise_author};
use crate::host::atomics::{self, Cas, CasError};
use crate::host::store::{self, Bucket};
use crate::host::{batch, logging};
use crate::problem::{Failure, Problem};
use crate::query::Listing;
use crate::{date, digest};

/// How often a swap is tried again before a caller is sent away. Each failure means that somebody
/// else's swap succeeded.
const TRIES: usize = 32;

/// The plugin's key-value store.
pub(crate) struct Store {
    bucket: Bucket,
}

/// A book that is in the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: Id,
    pub(crate) book: Book,
    /// The second of its last change.
    pub(crate) modified: u64,
}

/// Some books, in the order of their ids.
pub(crate) struct Page {
    /// At most as many as asked for; fewer where a hint meant nothing.
    pub(crate) books: Vec<Stored>,
    /// Behind which id the next page begins; none on the last one.
    pub(crate) next: Option<Id>,
}

/// What is to become of a book.
pub(crate) enum Change {
    Replace(Book),
    Remove,
}

/// The value of `book/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    /// Grows by one with every change of the record. 0 is no record at all.
    revision: u64,
    /// The second of the last change.
    modified: u64,
    /// None once it is deleted, or if it was fenced before it was there.
    book: Option<Book>,
}

/// The value of `isbn/<13 digits>`.
#[derive(Debug, PartialEq)]
struct Claim {
    id: Id,
    /// The revision of the record that is to have the ISBN.
    revision: u64,
}

/// What a record says about a claim.
#[derive(Debug, PartialEq)]
enum Standing {
    /// The book has the ISBN.
    Owner,
    /// It does not, and the claim can no longer give it to it.
    Void,
    /// The claim may still be committed.
    Open,
}

impl Store {
    /// Opens the plugin's own store.
    pub(crate) fn open() -> Result<Self, Failure> {
        Ok(Self { bucket: store::open("default")? })
    }

    /// The book `id`, if there is one.
    pub(crate) fn get(&self, id: &Id) -> Result<Option<Stored>, Failure> {
        let key = book_key(id);
        let record = Record::decode(&key, self.bucket.get(&key)?)?;
        Ok(record.into_stored(id))
    }

    /// One page of the catalogue: one call for the keys and one for the books, however many there are.
    pub(crate) fn page(&self, listing: &Listing) -> Result<Page, Failure> {
        let author = listing.author.as_deref().map(normalise_author);
        let prefix = author.as_deref().map_or("book/".to_owned(), author_prefix);
        let after = listing.after.as_ref().map(Id::to_string).unwrap_or_default();
        let keys = self.bucket.list_keys(Some(&format!("{prefix}{after}")))?;

        let mut ids: Vec<Id> =
            keys.keys.iter().map_while(|key| Id::parse(key.strip_prefix(&prefix)?)).collect();
        let is_cut_short = ids.len() == keys.keys.len() && keys.cursor.is_some();
        let has_more = ids.len() > listing.limit || is_cut_short;
        ids.truncate(listing.limit);
        let next = ids.last().filter(|_| has_more).cloned();

        let mut books = Vec::with_capacity(ids.len());
        let values = batch::get_many(&self.bucket, &ids.iter().map(book_key).collect::<Vec<_>>())?;
        for (id, (key, value)) in ids.iter().zip(values) {
            books.extend(Record::decode(&key, value)?.into_stored(id));
        }
        if let Some(author) = author {
            books.retain(|stored| normalise_author(&stored.book.author) == author);
        }
        Ok(Page { books, next })
    }

    /// Adds `books`; in the place of one whose ISBN is taken, the answer has none.
    pub(crate) fn add(&self, books: &[Book]) -> Result<Vec<Option<Stored>>, Failure> {
        if books.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.new_ids(books.len())?;
        // The hints come before the books: a book without its hint would be missing from its author's list.
        let hints = ids.iter().zip(books).map(|(id, book)| (author_key(&book.author, id), Vec::new()));
        batch::set_many(&self.bucket, &hints.collect::<Vec<_>>())?;

        let mut added = Vec::with_capacity(books.len());
        let mut leftovers = Vec::new();
        for (id, book) in ids.iter().zip(books) {
            let stored = self.add_one(id, book)?;
            if stored.is_none() {
                leftovers.push(author_key(&book.author, id));
            }
            added.push(stored);
        }
        self.tidy(&leftovers);
        Ok(added)
    }

    fn add_one(&self, id: &Id, book: &Book) -> Result<Option<Stored>, Failure> {
        // Read before the claim is made, so that a fence in between makes the swap fail.
        let key = book_key(id);
        let handle = Cas::new(&self.bucket, &key)?;
        let record = Record::decode(&key, handle.current()?)?.next(Some(book.clone()));
        if !self.claim(&book.isbn, &Claim { id: id.clone(), revision: record.revision })? {
            return Ok(None);
        }
        match swap(handle, &record.encode()?)? {
            Ok(()) => Ok(record.into_stored(id)),
            // Fenced: somebody else is adding a book with this ISBN.
            Err(_) => Ok(None),
        }
    }

    /// Changes the book `id` to what `decide` says. `decide` is asked again, with the book as it then is,
    /// whenever somebody else was quicker: what it checked is true of the very state that is replaced.
    pub(crate) fn change(
        &self,
        id: &Id,
        decide: impl Fn(&Stored) -> Result<Change, Problem>,
    ) -> Result<Stored, Failure> {
        let key = book_key(id);
        let mut handle = Cas::new(&self.bucket, &key)?;
        for _ in 0..TRIES {
            let present = Record::decode(&key, handle.current()?)?;
            let Some(before) = present.clone().into_stored(id) else {
                return Err(Problem::no_such_book().into());
            };
            let record = match decide(&before)? {
                Change::Replace(book) => present.next(Some(book)),
                Change::Remove => present.next(None),
            };
            self.prepare(&before, &record)?;
            match swap(handle, &record.encode()?)? {
                Ok(()) => return Ok(self.committed(before, record)),
                Err(newer) => handle = newer,
            }
        }
        Err(Problem::too_busy().into())
    }

    /// What must be there before `record` may take the place of `before`.
    fn prepare(&self, before: &Stored, record: &Record) -> Result<(), Failure> {
        let Some(book) = &record.book else { return Ok(()) };
        if book.isbn != before.book.isbn {
            let claim = Claim { id: before.id.clone(), revision: record.revision };
            if !self.claim(&book.isbn, &claim)? {
                return Err(Problem::isbn_taken().into());
            }
        }
        if normalise_author(&book.author) != normalise_author(&before.book.author) {
            // The old hint stays: were it removed now, that could undo the work of somebody who is just
            // about to give the book its old author back.
            self.bucket.set(&author_key(&book.author, &before.id), &[])?;
        }
        Ok(())
    }

    fn committed(&self, before: Stored, record: Record) -> Stored {
        if record.book.is_none() {
            self.tidy(&[book_key(&before.id), author_key(&before.book.author, &before.id)]);
        }
        let id = before.id.clone();
        record.into_stored(&id).unwrap_or(before)
    }

    /// Makes `claim` the entry of `isbn`, unless a book has it.
    fn claim(&self, isbn: &Isbn, claim: &Claim) -> Result<bool, Failure> {
        let key = format!("isbn/{isbn}");
        let mut handle = Cas::new(&self.bucket, &key)?;
        for _ in 0..TRIES {
            if let Some(other) = Claim::decode(&key, handle.current()?)?
                && !self.is_void(&other, isbn)?
            {
                return Ok(false);
            }
            match swap(handle, &claim.encode())? {
                Ok(()) => return Ok(true),
                Err(newer) => handle = newer,
            }
        }
        Ok(false)
    }

    /// Whether `claim` no longer stands in the way; one that is open is fenced.
    fn is_void(&self, claim: &Claim, isbn: &Isbn) -> Result<bool, Failure> {
        let key = book_key(&claim.id);
        let mut handle = Cas::new(&self.bucket, &key)?;
        for _ in 0..TRIES {
            let record = Record::decode(&key, handle.current()?)?;
            match record.standing_of(claim, isbn) {
                Standing::Owner => return Ok(false),
                Standing::Void => return Ok(true),
                Standing::Open => {
                    let fenced = Record { revision: claim.revision, ..record };
                    match swap(handle, &fenced.encode()?)? {
                        Ok(()) => return Ok(true),
                        Err(newer) => handle = newer,
                    }
                }
            }
        }
        Ok(false)
    }

    /// Keeps what became of an import, and gives the id to ask for it.
    pub(crate) fn put_import(&self, status: &[u8]) -> Result<Id, Failure> {
        let mut ids = self.new_ids(1)?;
        let id = ids.pop().ok_or_else(|| Failure::Store("no id for an import".to_owned()))?;
        self.bucket.set(&import_key(&id), status)?;
        Ok(id)
    }

    /// What became of an import, as it was put.
    pub(crate) fn get_import(&self, id: &Id) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.bucket.get(&import_key(id))?)
    }

    /// As many ids as asked for, which nobody had before. A counter and not random numbers, so that the
    /// order of the keys is the order in which books came, and a new book appears on the last page.
    fn new_ids(&self, count: usize) -> Result<Vec<Id>, Failure> {
        let used_up = || Failure::Store("the ten digits of an id are used up".to_owned());
        let delta = i64::try_from(count).map_err(|_| used_up())?;
        let last = atomics::increment(&self.bucket, "last-id", delta)?;
        let first = last.saturating_sub(delta).saturating_add(1);
        (first..=last).map(Id::numbered).collect::<Option<_>>().ok_or_else(used_up)
    }

    /// Takes away keys that mean nothing any more. The call has been done; that they stay is no reason to
    /// say otherwise.
    fn tidy(&self, keys: &[String]) {
        if !keys.is_empty()
            && let Err(error) = batch::delete_many(&self.bucket, keys)
        {
            logging::log(logging::Level::Warn, "store", &format!("leaving {keys:?} behind: {error:?}"));
        }
    }
}

/// Swaps; on a lost race gives the handle for another try.
fn swap(handle: Cas, value: &[u8]) -> Result<Result<(), Cas>, Failure> {
    match atomics::swap(handle, value) {
        Ok(()) => Ok(Ok(())),
        Err(CasError::CasFailed(newer)) => Ok(Err(newer)),
        Err(CasError::StoreError(error)) => Err(error.into()),
    }
}

fn book_key(id: &Id) -> String {
    format!("book/{id}")
}

fn import_key(id: &Id) -> String {
    format!("import/{id}")
}

fn author_key(author: &str, id: &Id) -> String {
    format!("{}{id}", author_prefix(&normalise_author(author)))
}

/// A digest, for a name may be long and may contain `/`. Should two names share one, [`Store::page`]
/// still compares the names.
fn author_prefix(normalised: &str) -> String {
    format!("author/{}/", digest::short_hex(normalised.as_bytes()))
}

impl Stored {
    /// What a caller gets to see.
    pub(crate) fn representation(&self) -> Value {
        self.book.representation(&self.id)
    }
}

impl Record {
    fn decode(key: &str, value: Option<Vec<u8>>) -> Result<Self, Failure> {
        let Some(value) = value else { return Ok(Self::default()) };
        serde_json::from_slice(&value).map_err(|error| Failure::Store(format!("`{key}` is damaged: {error}")))
    }

    fn encode(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(self).map_err(|error| Failure::Store(format!("encoding a record: {error}")))
    }

    /// The record that follows this one. Time does not run backwards in it, whatever the clock does.
    fn next(&self, book: Option<Book>) -> Self {
        Self { revision: self.revision.saturating_add(1), modified: self.modified.max(date::now()), book }
    }

    fn standing_of(&self, claim: &Claim, isbn: &Isbn) -> Standing {
        if self.book.as_ref().is_some_and(|book| book.isbn == *isbn) {
            Standing::Owner
        } else if self.revision >= claim.revision {
            Standing::Void
        } else {
            Standing::Open
        }
    }

    fn into_stored(self, id: &Id) -> Option<Stored> {
        let modified = self.modified;
        self.book.map(|book| Stored { id: id.clone(), book, modified })
    }
}

impl Claim {
    fn decode(key: &str, value: Option<Vec<u8>>) -> Result<Option<Self>, Failure> {
        let Some(value) = value else { return Ok(None) };
        let parse = || {
            let (id, revision) = std::str::from_utf8(&value).ok()?.split_once(' ')?;
            Some(Self { id: Id::parse(id)?, revision: revision.parse().ok()? })
        };
        parse().map(Some).ok_or_else(|| Failure::Store(format!("`{key}` is damaged")))
    }

    fn encode(&self) -> Vec<u8> {
        format!("{} {}", self.id, self.revision).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> Id {
        Id::numbered(42).unwrap()
    }

    fn record(revision: u64, isbn: Option<&str>) -> Record {
        let book = |isbn| json!({"isbn": isbn, "title": "T", "author": "A", "price_cents": 1});
        let book = isbn.map(|isbn| Book::parse(&book(isbn), None).unwrap());
        Record { revision, modified: 1, book }
    }

    #[test]
    fn a_claim_stands_until_its_book_has_moved_on() {
        let (wanted, other) = ("9780306406157", "9780804429573");
        let claim = Claim { id: id(), revision: 3 };
        for (record, expected) in [
            (Record::default(), Standing::Open),
            (record(2, Some(other)), Standing::Open),
            (record(2, Some(wanted)), Standing::Owner),
            (record(3, Some(wanted)), Standing::Owner),
            (record(9, Some(wanted)), Standing::Owner),
            (record(3, Some(other)), Standing::Void),
            (record(4, Some(other)), Standing::Void),
            (record(4, None), Standing::Void),
            (record(2, None), Standing::Open),
        ] {
            assert_eq!(record.standing_of(&claim, &Isbn::parse(wanted).unwrap()), expected, "{record:?}");
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let claim = Claim { id: id(), revision: 3 };
        assert_eq!(Claim::decode("k", Some(claim.encode())).unwrap(), Some(claim));
        assert_eq!(Claim::decode("k", None).unwrap(), None);
        let kept = record(3, Some("9780306406157"));
        assert_eq!(Record::decode("k", Some(kept.encode().unwrap())).unwrap(), kept);
        assert_eq!(Record::decode("k", None).unwrap(), Record::default());
    }

    #[test]
    fn a_damaged_value_is_an_error_and_no_panic() {
        for value in [&b""[..], b"\xff", b"{}", b"0000000042", b"42 1", b"0000000042 -1", b"[]"] {
            assert!(Record::decode("k", Some(value.to_vec())).is_err());
            assert!(Claim::decode("k", Some(value.to_vec())).is_err());
        }
    }

    #[test]
    fn a_name_with_slashes_stays_within_its_own_keys() {
        let key = author_key("a/b", &id());
        assert_eq!(key.matches('/').count(), 2);
        assert_eq!(key, author_key(" A/B", &id()));
        assert_ne!(key, author_key("a", &id()));
    }
}
