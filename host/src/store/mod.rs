//! The store: the data that survives a crash. Owns the databases of the host: `store.redb` in the state folder has the
//! tenants' data, `control.redb` the records of the control plane (`records`). It promises of every change that it is
//! on disk when it is acknowledged, whole, and seen by every read that begins afterwards. A change that was not acknowledged is there whole or not at all.
//!
//! A commit has two phases: data is synced, then the header that points to it. If the power fails
//!
//! | when | the file has |
//! |---|---|
//! | before the first sync has returned | the old state; pages written in part are free space |
//! | between the syncs | the old state, or the new one if the header reached the disk by itself; either is whole |
//! | after the second sync, before the answers | the new state, unacknowledged |
//! | after an answer | the new state |
//! | while the file is first made | no file: it gets its name when it is whole (`folder.rs`) |
//!
//! Assumed of the disk: a sync that has returned stays; one aligned write of a header is old or new, or its checksum
//! says neither; a linked name stays after its folder was synced. Not assumed: an order of writes between syncs, or
//! that unsynced writes are lost. `crash_tests` cuts the power at every sync, and keeps none, all, or random blocks
//! of the rest.
//!
//! One thread writes (`writer`), in transactions that many callers share; reads run beside it, each on the last
//! acknowledged state. What was read of that recently is answered from memory (`recent`), as the database would. Leaves
//! the meaning of the bytes to the modules beside this one: each has its own tables, reached through `Store::read` and
//! `Store::write`. Leaves to `capability` which plugin may use them, and a guest's errors.

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod crash_tests;
mod database;
mod error;
mod folder;
mod keyvalue;
#[cfg(test)]
mod memory_disk;
mod quota;
mod recent;
#[cfg(test)]
mod recent_tests;
mod records;
#[cfg(test)]
mod records_tests;
mod removal;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, WriteTransaction};

use crate::tenant::TenantName;
use database::Database;
use recent::Recent;
use writer::Writer;

pub use error::{Effect, StoreError};
pub use folder::Missing;
pub use keyvalue::{
    Entries, EntryError, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_VALUE_BYTES,
    Page, Space, Swap,
};
pub use quota::{StorageQuota, Usage};
pub use recent::MAX_RECENT_BYTES;
pub use records::{Edit, Order, Range, Record, RecordError, Records, Stop, Table, View};
pub use redb::StorageBackend;

/// The file of the tenants' data in the state folder.
const FILE_NAME: &str = "store.redb";

/// The store: cheap to clone, closed when the last clone is dropped.
///
/// The drop of the last clone waits until the waiting writes are done; then another process can open the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    missing: Arc<[Missing]>,
}

struct Inner {
    database: Arc<Database>,
    recent: Arc<Recent>,
    writer: Writer,
}

impl Store {
    /// Makes the folder of [`Store::open`], and no store in it.
    pub fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
        folder::prepare_folder(folder)
    }

    /// Opens the store in `folder`. If the folder does not exist, it is made, for its owner alone (0700). Blocks on
    /// the disk.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let folder::Prepared { path, missing } = folder::prepare(folder, FILE_NAME)?;
        let file = path.clone();
        let opened = Self::with_backend(move || folder::backend(&file));
        let opened = opened.map_err(|error| folder::explain(path, error))?;
        Ok(Self { missing: missing.into(), ..opened })
    }

    /// The store's promises that its file system does not let it keep.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Opens a store on any backend. `factory` is called for a backend each time that the store is opened, which
    /// happens again after each failure. Blocks on the backend.
    ///
    /// A test uses this to put a failing disk under the real store.
    pub fn with_backend<B: StorageBackend>(
        factory: impl Fn() -> io::Result<B> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let recent = Arc::new(Recent::new());
        let database = Arc::new(Database::open(factory, Arc::clone(&recent))?);
        let writer = Writer::start(Arc::clone(&database));
        let writer = writer.map_err(|error| StoreError::Thread { source: Arc::new(error) })?;
        Ok(Self { inner: Arc::new(Inner { database, recent, writer }), missing: Arc::default() })
    }

    /// The entries of one space of a tenant, under the tenant's storage quota, which may change at any time.
    pub fn entries(&self, tenant: &TenantName, space: &Space, quota: Arc<StorageQuota>) -> Entries {
        Entries::new(self.clone(), tenant, space, quota)
    }

    /// The usage of a tenant, in all its spaces together.
    pub async fn usage(&self, tenant: &TenantName) -> Result<Usage, StoreError> {
        let tenant = tenant.clone();
        self.read(move |transaction| quota::usage(transaction, &tenant)).await
    }

    /// The entries that were read recently.
    fn recent(&self) -> &Arc<Recent> {
        &self.inner.recent
    }

    /// Runs `work` on the present state, on a thread that may block. `work` may run a second time, on a newer state,
    /// if the database is closed under it.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<R, redb::Error> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(&self.inner.database);
        match tokio::task::spawn_blocking(move || database.read(work)).await {
            Ok(result) => result,
            // The runtime is shutting down.
            Err(_) => Err(StoreError::unavailable(redb::Error::DatabaseClosed)),
        }
    }

    /// Runs `work`, which costs about `cost_bytes`, in `tenant`'s turn, and returns when its changes are on disk.
    ///
    /// The transaction is shared with other writes, so `work` checks everything before it changes anything: a refusal
    /// belongs into its `R`. Dropping the returned future withdraws the write if it has not begun.
    pub(crate) async fn write<R: Send + 'static>(
        &self,
        tenant: &TenantName,
        cost_bytes: usize,
        work: impl FnOnce(&WriteTransaction) -> Result<(Effect, R), redb::Error> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.write(tenant, cost_bytes, work).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.finish();
        self.database.close();
    }
}
