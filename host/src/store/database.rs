//! The database file, open or not: owns its opening, its closing after a failure, and its opening again.
//!
//! After one failed read, write or sync, redb answers every call with `PreviousIo`. So any failure closes the
//! database, and the next operation opens it again; but no opening follows another sooner than [`PAUSE`], and no
//! write a failed write. The two pauses are separate, so that a full disk, where every write fails, can still be
//! read. All of this blocks: it is called from the writer's thread and from threads that may block.
//!
//! Says to `recent` when a transaction has ended, and when the database has failed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use redb::{Durability, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::error::{Effect, StoreError};
use super::recent::Recent;

/// The least time between two openings, and between a failed write and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The page cache; redb's default is 1 GiB.
const CACHE_BYTES: usize = 64 << 20;

/// The database, and the factory to open it again.
///
/// Locks are taken in the order `writing`, `state`.
pub(super) struct Database {
    open: Box<dyn Fn() -> Result<redb::Database, redb::Error> + Send + Sync>,
    /// The guard of a write transaction: the file cannot be opened again before the transaction has ended.
    writing: Mutex<()>,
    state: RwLock<State>,
    recent: Arc<Recent>,
}

struct State {
    /// The number of openings, so that a failure closes only the database that failed.
    generation: u64,
    opened_at: Instant,
    write_failed: Option<(Instant, Arc<redb::Error>)>,
    phase: Phase,
}

enum Phase {
    Open(redb::Database),
    Failed(Arc<redb::Error>),
    Closed,
}

impl Database {
    pub(super) fn open<B: StorageBackend>(
        factory: impl Fn() -> io::Result<B> + Send + Sync + 'static,
        recent: Arc<Recent>,
    ) -> Result<Self, StoreError> {
        let open = move || -> Result<redb::Database, redb::Error> {
            let backend = factory()?;
            Ok(redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
        };
        let database = guarded(&open).map_err(StoreError::unavailable)?;
        let state = State {
            generation: 0,
            // After the first failure, an opening may follow at once.
            opened_at: before(Instant::now()),
            write_failed: None,
            phase: Phase::Open(database),
        };
        Ok(Self { open: Box::new(open), writing: Mutex::new(()), state: RwLock::new(state), recent })
    }

    /// Runs `work` on the committed state.
    pub(super) fn read<R>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<R, redb::Error>,
    ) -> Result<R, StoreError> {
        // A failed write closes the database under the concurrent reads, which succeed on the next one.
        match self.read_once(&work) {
            Err(StoreError::Unavailable { .. }) => self.read_once(&work),
            result => result,
        }
    }

    fn read_once<R>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<R, redb::Error>,
    ) -> Result<R, StoreError> {
        if !self.is_open() {
            self.reopen(&self.lock_writing())?;
        }
        let mut generation = 0;
        guarded(|| {
            let transaction = {
                let state = self.state();
                generation = state.generation;
                state.database()?.begin_read()?
            };
            work(&transaction)
        })
        .map_err(|error| self.fail(generation, error))
    }

    /// Runs `work` in one transaction, and returns when the transaction is on disk; without a change, nothing is
    /// written.
    pub(super) fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Effect, redb::Error>,
    ) -> Result<(), StoreError> {
        let writing = self.lock_writing();
        self.write_may_be_tried()?;
        if !self.is_open() {
            self.reopen(&writing)?;
        }
        let mut generation = 0;
        // The transaction begins and ends inside the guard: redb tells an unwinding drop from an ordinary one.
        let committed = guarded(|| {
            let mut transaction = {
                let state = self.state();
                generation = state.generation;
                state.database()?.begin_write()?
            };
            transaction.set_durability(Durability::Immediate)?;
            // Two syncs for each commit instead of one, for two reasons. Guests choose what is written, so a checksum
            // that is not cryptographic must not decide whether a commit is whole. And with the allocator's state in
            // every commit, opening after a crash or a failure does not walk through all the data.
            transaction.set_quick_repair(true);
            match work(&transaction)? {
                Effect::Changed => Ok(transaction.commit()?),
                Effect::Unchanged => Ok(transaction.abort()?),
            }
        })
        .map_err(|error| {
            let failure = self.fail(generation, error);
            if let StoreError::Unavailable { source } = &failure {
                self.state_mut().write_failed = Some((Instant::now(), Arc::clone(source)));
            }
            failure
        });
        self.recent.settle();
        committed
    }

    /// Closes the database for good, and releases its lock on the file.
    pub(super) fn close(&self) {
        let _writing = self.lock_writing();
        self.state_mut().leave(Phase::Closed);
    }

    fn is_open(&self) -> bool {
        matches!(self.state().phase, Phase::Open(_))
    }

    fn write_may_be_tried(&self) -> Result<(), StoreError> {
        match &self.state().write_failed {
            Some((at, error)) if at.elapsed() < PAUSE => {
                Err(StoreError::Unavailable { source: Arc::clone(error) })
            }
            _ => Ok(()),
        }
    }

    /// Opens the database unless another thread just did, or the pause is not over.
    fn reopen(&self, _writing: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let mut state = self.state_mut();
        let failure = match &state.phase {
            Phase::Open(_) => return Ok(()),
            Phase::Closed => return Err(StoreError::unavailable(redb::Error::DatabaseClosed)),
            Phase::Failed(error) => Arc::clone(error),
        };
        if state.opened_at.elapsed() < PAUSE {
            return Err(StoreError::Unavailable { source: failure });
        }
        state.opened_at = Instant::now();
        match guarded(&self.open) {
            Ok(database) => {
                state.generation = state.generation.wrapping_add(1);
                state.phase = Phase::Open(database);
                Ok(())
            }
            Err(error) => {
                let source = Arc::new(error);
                state.phase = Phase::Failed(Arc::clone(&source));
                Err(StoreError::Unavailable { source })
            }
        }
    }

    /// Closes the database that failed, unless it is closed already.
    fn fail(&self, generation: u64, error: redb::Error) -> StoreError {
        let source = Arc::new(error);
        let mut state = self.state_mut();
        if state.generation == generation && matches!(state.phase, Phase::Open(_)) {
            state.leave(Phase::Failed(Arc::clone(&source)));
            self.recent.forget();
        }
        StoreError::Unavailable { source }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn database(&self) -> Result<&redb::Database, redb::Error> {
        match &self.phase {
            Phase::Open(database) => Ok(database),
            Phase::Failed(_) => Err(redb::Error::PreviousIo),
            Phase::Closed => Err(redb::Error::DatabaseClosed),
        }
    }

    /// Closes the database, and only then releases the state lock: the next opening needs the lock on the file.
    fn leave(&mut self, phase: Phase) {
        let left = std::mem::replace(&mut self.phase, phase);
        // Closing writes to the disk, which may just have failed.
        let _ = guarded(|| {
            drop(left);
            Ok(())
        });
    }
}

/// Runs `work`, and turns a panic in it into an error. redb trusts the pages that it reads: a file that another
/// program has damaged can make redb panic, which must end neither the writer's thread nor the host.
fn guarded<R>(work: impl FnOnce() -> Result<R, redb::Error>) -> Result<R, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted("the database's code panicked on what it read".into()))
    })
}

fn before(now: Instant) -> Instant {
    now.checked_sub(PAUSE).unwrap_or(now)
}
