//! The records of the control plane: tenants, secrets, artifacts, revisions, rollouts, tokens, the audit log.
//!
//! Owns a database of its own, `control.redb` in the state folder, so that no guest's write delays a change of what is
//! live. A record is bytes under a key in one of a few tables; its meaning is known to the room that wrote it. A change
//! is a function that reads what it depends on and stages what it writes: all of it is kept, or nothing. It has the
//! promises of the whole store: an acknowledged change survives a crash.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, StorageBackend, TableDefinition, TableError, WriteTransaction};

use super::database::Database;
use super::error::{Effect, StoreError};
use super::folder;
use super::recent::Recent;
use super::writer::Writer;
use crate::tenant::TenantName;

/// The file of the records in the state folder.
const FILE_NAME: &str = "control.redb";

/// The version of the form of all records. A host refuses a file of a later version.
const SCHEMA_VERSION: u64 = 1;

const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Tenants, by name.
    Tenants,
    /// Secrets, by tenant and name.
    Secrets,
    /// Artifacts, by tenant and digest.
    Artifacts,
    /// The tenants of each artifact, by digest and tenant.
    ArtifactOwners,
    /// Revisions, by tenant and id.
    Revisions,
    /// The order of revisions, by tenant and number.
    RevisionOrder,
    /// Rollouts, by tenant and number.
    Rollouts,
    /// Tokens, by id.
    Tokens,
    /// The audit log, by number.
    Audit,
    /// The entries of the audit log that are of one tenant, by tenant and number.
    AuditOfTenants,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Tenants => "tenants",
            Self::Secrets => "secrets",
            Self::Artifacts => "artifacts",
            Self::ArtifactOwners => "artifact-owners",
            Self::Revisions => "revisions",
            Self::RevisionOrder => "revision-order",
            Self::Rollouts => "rollouts",
            Self::Tokens => "tokens",
            Self::Audit => "audit",
            Self::AuditOfTenants => "audit-of-tenants",
        })
    }
}

/// The order of a list of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least key first.
    Ascending,
    /// The greatest key first.
    Descending,
}

/// A list to read: the records whose keys begin with a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// The beginning of the keys.
    pub prefix: &'a str,
    /// The rest of the key, behind the prefix, of the record before the first one, in the order of the list.
    pub after: Option<&'a str>,
    /// The order.
    pub order: Order,
    /// The most records.
    pub limit: usize,
}

/// A record of a list: its key without the list's prefix, and its bytes.
pub type Record = (String, Vec<u8>);

/// The error of reading a record.
#[derive(Debug)]
pub enum RecordError {
    /// The database failed.
    Failed(redb::Error),
    /// The record has another form than its reader knows. The database is sound.
    Unreadable(String),
}

impl<T: Into<redb::Error>> From<T> for RecordError {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// The reason why a change was not made: the change's own, or the store's.
#[derive(Debug)]
pub enum Stop<E> {
    /// The change refused itself.
    Refused(E),
    /// A record could not be read.
    Failed(RecordError),
}

impl<E> From<RecordError> for Stop<E> {
    fn from(error: RecordError) -> Self {
        Self::Failed(error)
    }
}

/// The records of one host: cheap to clone, closed when the last clone is dropped.
#[derive(Clone)]
pub struct Records {
    inner: Arc<Inner>,
}

struct Inner {
    database: Arc<Database>,
    writer: Writer,
}

impl Records {
    /// Opens the records in `folder`, or makes them there. Blocks on the disk.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let folder::Prepared { path, missing: _ } = folder::prepare(folder, FILE_NAME)?;
        let file = path.clone();
        let opened = Self::with_backend(move || folder::backend(&file));
        opened.map_err(|error| folder::explain(path, error))
    }

    /// Opens records on any backend, as [`super::Store::with_backend`] does.
    pub fn with_backend<B: StorageBackend>(
        factory: impl Fn() -> io::Result<B> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        // Records are read by people and their programs, not by requests: nothing of them is kept in memory here.
        let database = Arc::new(Database::open(factory, Arc::new(Recent::new()))?);
        check_schema(&database)?;
        let writer = Writer::start(Arc::clone(&database));
        let writer = writer.map_err(|error| StoreError::Thread { source: Arc::new(error) })?;
        Ok(Self { inner: Arc::new(Inner { database, writer }) })
    }

    /// Runs `work` on the present state, on a thread that may block. `work` may run a second time, on a newer state.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl Fn(&View<'_>) -> Result<R, RecordError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(&self.inner.database);
        let read = move || {
            database.read(|transaction| match work(&View { transaction }) {
                Ok(result) => Ok(Ok(result)),
                Err(RecordError::Unreadable(why)) => Ok(Err(StoreError::Record { why })),
                Err(RecordError::Failed(error)) => Err(error),
            })
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result.flatten(),
            // The runtime is shutting down.
            Err(_) => Err(StoreError::unavailable(redb::Error::DatabaseClosed)),
        }
    }

    /// Runs `work` in `tenant`'s turn, and returns when everything that it staged is on disk. If `work` is refused,
    /// nothing is changed. Changes that wait at the same time share one sync of the disk.
    pub async fn change<R: Send + 'static, E: Send + 'static>(
        &self,
        tenant: &TenantName,
        work: impl FnOnce(&mut Edit<'_>) -> Result<R, Stop<E>> + Send + 'static,
    ) -> Result<Result<R, E>, StoreError> {
        let run = move |transaction: &WriteTransaction| {
            let mut edit = Edit { transaction, staged: Vec::new() };
            match work(&mut edit) {
                Ok(result) => Ok((edit.apply()?, Ok(Ok(result)))),
                Err(Stop::Refused(refusal)) => Ok((Effect::Unchanged, Ok(Err(refusal)))),
                Err(Stop::Failed(RecordError::Unreadable(why))) => {
                    Ok((Effect::Unchanged, Err(StoreError::Record { why })))
                }
                Err(Stop::Failed(RecordError::Failed(error))) => Err(error),
            }
        };
        self.inner.writer.write(tenant, COST_BYTES, run).await?
    }
}

/// The cost of a change when the writer shares out its time: most are some records of a few kilobytes.
const COST_BYTES: usize = 4 << 10;

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.finish();
        self.database.close();
    }
}

/// Writes the version of an empty file, and refuses a file of a later version.
fn check_schema(database: &Database) -> Result<(), StoreError> {
    let mut found = SCHEMA_VERSION;
    database.write(|transaction| {
        let mut meta = transaction.open_table(META)?;
        let version = meta.get(SCHEMA)?.map(|version| version.value());
        match version {
            Some(version) => {
                found = version;
                Ok(Effect::Unchanged)
            }
            None => {
                meta.insert(SCHEMA, SCHEMA_VERSION)?;
                Ok(Effect::Changed)
            }
        }
    })?;
    if found == SCHEMA_VERSION { Ok(()) } else { Err(StoreError::Schema { found, known: SCHEMA_VERSION }) }
}

/// The state that a reader sees: that of the last acknowledged change.
pub struct View<'a> {
    transaction: &'a ReadTransaction,
}

impl View<'_> {
    /// The record under `key`.
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordError> {
        match self.transaction.open_table(table.definition()) {
            Ok(table) => get(&table, key),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The records of a range.
    pub fn list(&self, table: Table, range: Range<'_>) -> Result<Vec<Record>, RecordError> {
        match self.transaction.open_table(table.definition()) {
            Ok(table) => list(&table, range),
            Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A change that is being made: what it reads is the state before it, and what it stages is kept together.
pub struct Edit<'a> {
    transaction: &'a WriteTransaction,
    staged: Vec<(Table, Step)>,
}

/// A staged step of a change.
enum Step {
    Put(String, Vec<u8>),
    Remove(String),
    /// Removes every record whose key begins so.
    RemoveAll(String),
}

impl Edit<'_> {
    /// The record under `key`, as it was before this change.
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, RecordError> {
        get(&self.transaction.open_table(table.definition())?, key)
    }

    /// The records of a range, as they were before this change.
    pub fn list(&self, table: Table, range: Range<'_>) -> Result<Vec<Record>, RecordError> {
        list(&self.transaction.open_table(table.definition())?, range)
    }

    /// Stages a record.
    pub fn put(&mut self, table: Table, key: impl Into<String>, record: impl Into<Vec<u8>>) {
        self.staged.push((table, Step::Put(key.into(), record.into())));
    }

    /// Stages the removal of a record.
    pub fn remove(&mut self, table: Table, key: impl Into<String>) {
        self.staged.push((table, Step::Remove(key.into())));
    }

    /// Stages the removal of all records whose keys begin with `prefix`.
    pub fn remove_all(&mut self, table: Table, prefix: impl Into<String>) {
        self.staged.push((table, Step::RemoveAll(prefix.into())));
    }

    fn apply(self) -> Result<Effect, redb::Error> {
        let effect = if self.staged.is_empty() { Effect::Unchanged } else { Effect::Changed };
        for (table, step) in self.staged {
            let mut table = self.transaction.open_table(table.definition())?;
            match step {
                Step::Put(key, record) => drop(table.insert(key.as_str(), record.as_slice())?),
                Step::Remove(key) => drop(table.remove(key.as_str())?),
                Step::RemoveAll(prefix) => {
                    let end = behind(&prefix);
                    table.retain_in::<&str, _>(prefix.as_str()..end.as_str(), |_, _| false)?;
                }
            }
        }
        Ok(effect)
    }
}

/// A key behind all that begin with `prefix`: U+10FFFF is the last character, and no key has it.
fn behind(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

fn get(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<Vec<u8>>, RecordError> {
    Ok(table.get(key)?.map(|record| record.value().to_vec()))
}

fn list(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    range: Range<'_>,
) -> Result<Vec<Record>, RecordError> {
    let Range { prefix, after, order, limit } = range;
    let after = after.map(|after| format!("{prefix}{after}"));
    let end = behind(prefix);
    let (low, high) = match (order, &after) {
        (Order::Ascending, Some(after)) => (Bound::Excluded(after.as_str()), Bound::Excluded(end.as_str())),
        (Order::Descending, Some(after)) => (Bound::Included(prefix), Bound::Excluded(after.as_str())),
        (_, None) => (Bound::Included(prefix), Bound::Excluded(end.as_str())),
    };
    let records = table.range::<&str>((low, high))?.map(|record| {
        let (key, record) = record.map_err(RecordError::from)?;
        let rest = key.value().strip_prefix(prefix).unwrap_or_default().to_owned();
        Ok((rest, record.value().to_vec()))
    });
    match order {
        Order::Ascending => records.take(limit).collect(),
        Order::Descending => records.rev().take(limit).collect(),
    }
}
